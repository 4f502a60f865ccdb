"""What people say about themselves, as a table: attributes, the words by which they are named and asked for.

"My job", "what I do for a living" and "my profession" are one attribute, so that a later statement in other words meets
the earlier one. `takes` tells what its values look like, by which a rule knows "my doctor is Kim" from "my doctor is
late". Everything here is folded lower case.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from secondme.text.terms import fold

Takes = Literal["name", "place", "org", "role", "number", "date", "thing", "code"]
"""name, place, org: proper names. role: an occupation. number: with a unit, maybe. date: a day or a time of day.
code: an address, a number, a name of a machine. thing: a noun phrase."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`many` values may hold at once. `nouns` name it ("my NOUN is"); `cues` are stems and phrases that ask for it."""

    name: str
    takes: Takes
    many: bool = False
    nouns: tuple[str, ...] = ()
    cues: tuple[str, ...] = ()


def _a(name: str, takes: Takes, nouns: str = "", cues: str = "", *, many: bool = False) -> Attribute:
    split = [tuple(x.strip() for x in text.split(",") if x.strip()) for text in (nouns, cues)]
    return Attribute(name, takes, many, (name, *split[0]), split[1])


_TABLE = (
    _a("name", "name", "full name, real name, first name", "am i called, who am i, my name"),
    _a("nickname", "name", "nick name", "should you call me, go by, nickname"),
    _a(
        "employer",
        "org",
        "company, workplace, place of work, current employer, firm",
        "do i work at, where do i work, do i work for, who employs me, employs, employ, i work, am i working, place "
        "of employment,"
        " working for, work for, work at, works at, works for, does work, did i work, used to work, employer, company",
    ),
    _a(
        "job",
        "role",
        "occupation, profession, job title, title, position, line of work, role, day job, career",
        "do i do for, for aliving, i work as, do i do for work, does do for, my job, work do i do, did i do for,"
        " earn my living, job, profession, occupation, what do i do",
    ),
    _a(
        "home",
        "place",
        "city, home city, town, place of residence, residence, current city, current home, new home",
        "do i live, where i live, am i living, i live in, am i based, where is home, does live, did i live, used to "
        "live,"
        " lives, living, reside, based, city, call home, where am i at home, based these days",
    ),
    _a("address", "code", "home address, street address, postal address", "my address, street do i live"),
    _a("origin", "place", "hometown, home town, country of origin, home country", "am i from, come from, originally"),
    _a("birthplace", "place", "place of birth", "was i born, where born"),
    _a("birthday", "date", "date of birth, birth date, birthdate", "when was i born, turn a year older, celebrate"),
    _a("age", "number", "", "how old"),
    _a(
        "phone number",
        "code",
        "phone, number, mobile, mobile number, cell, cell number, telephone number, telephone",
        "reach me by phone, call me at, phone, call me on",
    ),
    _a("email", "code", "email address, e-mail, e-mail address, mail address", "write to me, email, e-mail"),
    _a(
        "partner",
        "name",
        "wife, husband, spouse, girlfriend, boyfriend, fiancee, fiance, other half, significant other",
        "married to, am i with, dating, seeing, wife, husband, girlfriend, boyfriend, spouse, engaged to",
    ),
    _a("relationship status", "thing", "marital status", "am i married, am i single, married or, in a relationship"),
    _a("mother", "name", "mum, mom, mommy", "mum, mom, mother"),
    _a("father", "name", "dad, daddy", "dad, father"),
    _a("boss", "name", "manager, line manager, supervisor, team lead, team leader", "report to, do i answer to, boss"),
    _a("best friend", "name", "closest friend, best mate", "best friend"),
    _a("doctor", "name", "gp, physician, family doctor", "doctor, gp, physician"),
    _a("dentist", "name", "", "look after my teeth"),
    _a("therapist", "name", "psychologist, counsellor, counselor", "therapy with"),
    _a("landlord", "name", "landlady", "rent from"),
    _a("roommate", "name", "flatmate, housemate", "share my flat, live with, flat with"),
    _a("trainer", "name", "coach, personal trainer", "train with"),
    _a("teacher", "name", "tutor, instructor, piano teacher, guitar teacher", "teaches me"),
    _a("lawyer", "name", "attorney, solicitor", ""),
    _a("accountant", "name", "tax advisor", "my taxes"),
    _a("sister", "name", "big sister, little sister, older sister, younger sister, twin sister", "sister", many=True),
    _a(
        "brother",
        "name",
        "big brother, little brother, older brother, younger brother, twin brother",
        "brother",
        many=True,
    ),
    _a("son", "name", "boy, eldest son, youngest son", "son, kids, children, boy", many=True),
    _a(
        "daughter", "name", "girl, eldest daughter, youngest daughter, baby girl", "daughter, kids, children", many=True
    ),
    _a("child", "name", "kid, baby", "kid, child, baby", many=True),
    _a("friend", "name", "mate, buddy, pal", "friend", many=True),
    _a("colleague", "name", "coworker, co-worker, workmate", "colleague, coworker, work with", many=True),
    _a("cousin", "name", "", "cousin", many=True),
    _a("aunt", "name", "auntie", "aunt", many=True),
    _a("uncle", "name", "", "uncle", many=True),
    _a("grandmother", "name", "grandma, granny, nan, gran", "grandma, grandmother, granny", many=True),
    _a("grandfather", "name", "grandpa, granddad, grandad", "grandpa, grandfather", many=True),
    _a("nephew", "name", "", "nephew", many=True),
    _a("niece", "name", "", "niece", many=True),
    _a("neighbour", "name", "neighbor", "next door, neighbour, neighbor", many=True),
    _a("dog", "name", "puppy", "dog, pet, puppy", many=True),
    _a("cat", "name", "kitten", "cat, pet, kitten", many=True),
    _a(
        "pet", "name", "rabbit, hamster, parrot, horse, goldfish, guinea pig, tortoise, bunny", "pet, animal", many=True
    ),
    _a("car", "thing", "vehicle, ride", "do i drive, drive, car"),
    _a("phone model", "thing", "smartphone, mobile phone", "which phone, what phone, kind of phone, phone do i use"),
    _a("laptop", "thing", "computer, pc, work laptop, notebook", "laptop, computer"),
    _a("editor", "thing", "code editor, ide, text editor", "write code in, edit code, editor, ide"),
    _a("operating system", "thing", "os, distro", "os, operating system"),
    _a("programming language", "thing", "main language, main programming language", "program in, code in, write in"),
    _a("browser", "thing", "web browser, default browser", "browse, browser"),
    _a("bank", "org", "", "bank with, bank"),
    _a("gym", "org", "fitness studio", "work out, gym, exercise at"),
    _a(
        "school",
        "org",
        "university, college, uni, alma mater",
        "do i study at, where do i study, go to school, go to university, enrolled, university, college, attend",
    ),
    _a(
        "field of study",
        "thing",
        "major, degree, subject, course of study, degree course",
        "majoring, what do i study, am i studying, degree, major, study",
    ),
    _a("diet", "thing", "", "do i eat meat, vegetarian, vegan, eat, diet, eating habits"),
    _a("allergy", "thing", "", "allergic, allergy, allergies, must i not eat, avoid eating", many=True),
    _a("health", "thing", "condition, diagnosis, medical condition", "illness, condition, suffer, health", many=True),
    _a("speaks", "thing", "mother tongue, native language", "languages do i speak, speak, languages", many=True),
    _a("learns", "thing", "", "am i learning, learning, teach myself", many=True),
    _a("hobby", "thing", "pastime", "free time, for fun, hobby, hobbies, pastime, spare time, weekends", many=True),
    _a("plays", "thing", "instrument, sport", "instrument, play, sport", many=True),
    _a(
        "likes",
        "thing",
        "",
        "like, love, enjoy, fond, hate, dislike, feel about, can't stand, into, opinion",
        many=True,
    ),
    _a("prefers", "thing", "preference", "prefer, rather, preference", many=True),
    _a("uses", "thing", "", "use, using, tool, app, software, rely on", many=True),
    _a("has", "thing", "", "have, own, how many", many=True),
    _a("reads", "thing", "current book", "reading, read, book"),
    _a("watches", "thing", "", "watching, series, show"),
    _a("project", "thing", "current project, side project, main project", "working on, project"),
    _a(
        "team",
        "org",
        "football team, soccer team, favourite team, favorite team, club",
        "support, root for, cheer for, team, club",
    ),
    _a("commute", "thing", "", "get to work, go to work, commute, travel to work"),
    _a("wake-up time", "date", "alarm, alarm time, wake up time, wakeup time", "get up, wake up, wake, alarm"),
    _a("bedtime", "date", "", "go to bed, go to sleep, bedtime"),
    _a("coffee", "thing", "coffee order, usual coffee", "take my coffee, coffee, coffee order"),
    _a("tea", "thing", "", "take my tea"),
    _a("height", "number", "", "how tall, tall"),
    _a("weight", "number", "", "weigh, how heavy"),
    _a("shoe size", "number", "", "shoe, shoes"),
    _a("shirt size", "thing", "t-shirt size, tshirt size, clothes size, dress size", "shirt, t-shirt"),
    _a("blood type", "thing", "blood group", "blood"),
    _a("nationality", "thing", "citizenship", "citizen, nationality, passport"),
    _a("religion", "thing", "faith", "believe in, religion"),
    _a("star sign", "thing", "zodiac sign, sign", "zodiac, star sign"),
    _a("timezone", "thing", "time zone", "time zone, timezone"),
    _a("salary", "number", "pay, wage, income", "earn, salary, paid, make a month, make a year"),
    _a("rent", "number", "monthly rent", "rent, pay for my flat"),
    _a("budget", "number", "", "spend, budget"),
    _a("answer language", "thing", "", "language should you answer, answer in, language you answer"),
    _a("answer style", "thing", "", "how should you answer, style of answers, answers be, length of answers"),
    _a("how to", "thing", "", "how do i, how do we, how to, steps", many=True),
)

_BY_NOUN = {noun: a for a in _TABLE for noun in a.nouns}

OCCASIONS = frozenset(
    """appointment meeting deadline flight train exam test wedding party trip launch release interview presentation
    class course lesson conference dinner lunch breakfast call delivery concert game match date checkup check-up surgery
    operation vacation holiday standup stand-up review demo workshop seminar rehearsal reservation booking session
    ceremony graduation move webinar sprint hearing due-date anniversary retirement race marathon visit""".split()
)
"""What takes place at a time: "my X is on Friday", "the X was moved to Monday"."""

CONCERNS = OCCASIONS | frozenset(
    """office server port budget price rent salary host hostname database ip domain url venue room gate seat
    name codename version target goal size capital speaker caterer supplier vendor contractor landlord owner
    lead manager colour color theme logo font framework language plan subscription plate licence license
    branch""".split()
)
"""Heads of what "the X is Y" may be about without a "my": matters of the owner's, not of the world's."""


def attribute(noun: str) -> Attribute | None:
    """The attribute that `noun` names ("job title" is "job"), or None. A leading adjective of time is passed over."""
    key = _noun_key(noun)
    return _BY_NOUN.get(key) or _BY_NOUN.get(_singular(key))


def canonical(noun: str) -> str:
    """The attribute's name: from the table, or the noun itself; "favourite" in one spelling."""
    known = attribute(noun)
    if known:
        return known.name
    key = _singular(_noun_key(noun)).replace("'s ", " ")
    timed = re.fullmatch(r"(.+) (?:date|day|time|slot)", key)
    if timed and head(timed.group(1)) in OCCASIONS:
        return timed.group(1)
    return f"favourite {_one_word(key[10:])}" if key.startswith("favourite ") else key


_SAME_FAVOURITE = {
    "color": "colour", "dish": "food", "meal": "food", "cuisine": "food", "movie": "film", "show": "series",
    "tv show": "series", "tv series": "series", "novel": "book", "holiday destination": "place", "town": "city",
    "drink": "drink", "beverage": "drink", "musician": "singer", "writer": "author", "game": "game", "sweet": "dessert",
}  # fmt: skip


def _one_word(noun: str) -> str:
    """One name for what people call by several: a favourite dish is a favourite food."""
    return _SAME_FAVOURITE.get(noun, noun)


def takes(name: str) -> Takes:
    """What values of `name` look like; an occasion is a date, what nobody knows a thing."""
    known = attribute(name)
    if known:
        return known.takes
    return "date" if head(name) in OCCASIONS else "thing"


def head(name: str) -> str:
    """The noun that an attribute's name is about: of "flight to lisbon" that is "flight"."""
    return re.split(r"\s+(?:of|for|with|at|to|in)\s+", name)[0].split(" ")[-1]


def is_many(name: str) -> bool:
    """Whether several values of the attribute may hold at once; what is not in the table has one."""
    known = _BY_NOUN.get(name)
    return known.many if known else False


_DROPPED = re.compile(
    r"^(?:(?:new|current|old|own|former|previous|latest|actual|present|main|usual|dear|lovely|beloved|"
    r"late|regular|primary|next|upcoming|original|first ever|all[- ]time) )+"
)


def _noun_key(noun: str) -> str:
    key = " ".join(fold(noun).replace("’", "'").split())
    if key in _BY_NOUN:
        return key
    key = _DROPPED.sub("", key)
    return re.sub(r"\b(?:favorite|fav|fave|favourite|preferred)\b", "favourite", key)


def _singular(key: str) -> str:
    if key.endswith("ies") and len(key) > 5:
        return key[:-3] + "y"
    return key[:-1] if key.endswith("s") and not key.endswith(("ss", "us", "is")) and len(key) > 4 else key


@functools.cache
def _cues() -> tuple[tuple[re.Pattern[str], str, float], ...]:
    found = []
    for a in _TABLE:
        for cue in dict.fromkeys((*a.cues, *a.nouns)):
            parts = cue.split()
            pattern = r"\W+(?:\w+\W+)?".join(re.escape(p) + (r"\w{0,3}" if len(p) > 3 else "") for p in parts)
            found.append((re.compile(rf"\b{pattern}\b"), a.name, 1.0 if len(parts) > 1 else 0.6))
    return tuple(found)


_SOMEBODY = r"(?:(?i:my|our) (?:[\w-]+ ){1,2}|(?!I )[A-ZÀ-Þ][\w'-]+ (?:[A-ZÀ-Þ][\w'-]+ )?)"
_OF_SOMEBODY = (
    (re.compile(rf"(?i:\bwhat (?:does|do|did)) {_SOMEBODY}(?i:do)(?i: for (?:work|a living))?\W*$"), "job"),
    (re.compile(rf"(?i:\bwhere (?:does|do|did)) {_SOMEBODY}(?i:live|stay)\b"), "home"),
    (re.compile(rf"(?i:\bwhere (?:does|do|did)) {_SOMEBODY}(?i:work)\b"), "employer"),
)
"""What is asked of others in words that name no attribute: "what does my sister do?"."""


def asked_for(question: str) -> dict[str, float]:
    """Attributes that `question` may ask for, with a weight of 0 to 1: a phrase tells more than a word."""
    text = fold(question).replace("’", "'").replace("for a living", "for aliving")  # where one lives is another matter
    weights: dict[str, float] = {}
    for pattern, name, weight in _cues():
        if weight > weights.get(name, 0.0) and pattern.search(text):
            weights[name] = weight
    for asked, name in _OF_SOMEBODY:
        if asked.search(question):
            weights[name] = 1.0
    for match in re.finditer(r"\b(?:favou?rite|preferred|fave?) (\w+(?: \w+)?)", text):
        head = match.group(1).split()[0]
        weights[f"favourite {_one_word(head)}"] = weights[f"favourite {_one_word(match.group(1))}"] = 1.0
        weights.pop("likes", None)
    for match in re.finditer(r"\bwh(?:at|ich) (\w+) do i (?:like|love|prefer)(?: the)? (?:best|most)\b", text):
        weights[f"favourite {_one_word(match.group(1))}"] = 1.0
    return weights


def nouns_of(name: str) -> tuple[str, ...]:
    """The nouns that name an attribute, itself among them; none for one that is not in the table."""
    known = _BY_NOUN.get(name)
    return known.nouns if known else ()
