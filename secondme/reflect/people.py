"""Claims about the people and animals of the owner: who they are, and what is so of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from secondme.reflect.claims import Says
from secondme.reflect.found import Found
from secondme.reflect.negation import Plain, plain
from secondme.reflect.values import NOT_NAMES, first_words, is_role, looks_like, split_list
from secondme.text.attributes import Takes, attribute, canonical
from secondme.text.terms import fold

_KIN = (
    "wife|husband|spouse|partner|girlfriend|boyfriend|fianc[eé]e?|mother|mum|mom|father|dad|(?:(?:big|little|older"
    "|younger|twin|eldest|oldest|youngest)"
    " )?(?:sister|brother|son|daughter)|child|kid|baby|friend|best friend|mate|colleague|coworker|co-worker|cousin"
    "|aunt|uncle|grandmother|grandma"
    "|granny|grandfather|grandpa|nephew|niece|neighbou?r|dog|puppy|cat|kitten|rabbit|hamster|parrot|horse|goldfish"
    "|guinea pig|tortoise|bunny|boss"
    "|manager|supervisor|team lead|doctor|gp|dentist|therapist|landlord|landlady|roommate|flatmate|housemate|teacher"
    "|tutor|coach|trainer|lawyer|accountant"
)
_PLURALS = (
    "sisters|brothers|sons|daughters|children|kids|friends|best friends|cousins|aunts|uncles|nephews|nieces"
    "|neighbou?rs|dogs|puppies|cats|kittens"
    "|rabbits|hamsters|parrots|horses|goldfish|guinea pigs|tortoises|pets|boys|girls|colleagues|roommates|flatmates"
)
_SINGULAR = {
    "children": "child",
    "kids": "child",
    "puppies": "puppy",
    "goldfish": "goldfish",
    "boys": "son",
    "girls": "daughter",
}
_NAME = r"(?-i:[A-ZÀ-ÞŁŚŽČØÅ][\w-]*(?:'(?!s\b)[\w-]+)?(?: [A-ZÀ-Þ][\w-]+(?:'(?!s\b)[\w-]+)?)?)"
_COUNT = r"(?:two|three|four|five|six|seven|eight|\d|a couple of|some|both)"


def _rx(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


_HAD = (
    "(?:(?:big|little|older|younger|twin) )?(?:sisters?|brothers?|sons?|daughters?)|child|children|kids?|baby"
    "|cousins?|uncles?|aunts?|nephews?|nieces?"
    "|dogs?|puppy|puppies|cats?|kittens?|rabbits?|hamsters?|parrots?|horses?|goldfish|guinea pigs?|tortoises?|bunny"
    "|bunnies|roommates?|flatmates?"
)

_APPOSED = _rx(
    rf"\b(?:my|our)\s+(?:dear |lovely |new |beloved )?(?P<n>{_KIN})(?:,)?\s+(?P<v>{_NAME})(?=$"
    rf"|[\s,.!?])(?!\s+(?:is|was) not\b)"
)
_HAVE_ONE = _rx(
    rf"^(?:i|we)(?:'ve| have)?(?: now| also| just| recently)*(?: got| have| adopted| own| bought| "
    rf"rescued)?(?: now| also)*\s+an?\s+(?:\w+ ){{0,2}}?(?P<n>{_KIN})"
    rf"\s*,?\s+(?:called|named|whose name is|and (?:his|her|its) name is|by the name of)\s+(?P<v>.+)$"
)
_HAVE_MANY = _rx(
    rf"^(?:i|we)(?:'ve| have)?(?: now| also)*(?: got| have| adopted| own)?(?: now| "
    rf"also)*\s+{_COUNT}\s+(?:\w+ )?(?P<n>{_PLURALS})"
    rf"\s*(?:,|:|called|named|-|whose names are|\()+\s*(?P<v>{_NAME}.+)$"
)
_ARE_MANY = _rx(
    rf"^(?:my|our)\s+(?:{_COUNT} )?(?P<n>{_PLURALS})(?:'s)?\s+(?:(?:names )?are(?: called| "
    rf"named)?)\s+(?P<v>.+)$|"
    rf"^(?:my|our)\s+(?P<m>{_PLURALS})'? names are\s+(?P<w>.+)$"
)
_COUNTED = _rx(
    rf"^(?:i|we)(?:'ve| have| own)(?: now| also| got)*\s+(?P<v>(?:an?|one|two|three|four|five|six|seven"
    rf"|eight|nine|ten|\d+|no)\s+(?:(?:little|small|old|young|big|black|"
    rf"white|older|younger|grown[- ]up|adult|rescue|pet|teenage) )?(?P<n>{_HAD}|siblings?|pets?"
    rf"|grandchildren|grandkids|"
    r"twins|triplets|bikes?|bicycles?|motorbikes?|motorcycles?|chickens?|sheep|goats?|aquarium|garden"
    r"|allotment|balcony|piano|boat|sailboat"
    r"|houseboat|cars?|degrees?|phd|master's degree|tattoos?))(?=$|[\s,.!])(?!\s+(?:called|named|who|in "
    r"common|to|of|\w+ (?:on|at|next|tomorrow)))"
)
_AND_COUNTED = _rx(rf"\s+and\s+(?P<v>(?:an?|one|two|three|four|five|six|\d+)\s+(?:{_HAD}))$")
_IS_MINE = _rx(
    rf"^(?P<v>{_NAME})\s+(?:is|was|has become)(?: now| also| actually)?\s+(?:my|our)\s+(?:new "
    rf")?(?P<n>{_KIN})(?=$|[,.!])"
)
_RENAMED = _rx(
    rf"^(?:i|we)(?:'ve| have)?\s+(?:re)?named\s+(?:the|our|my)(?: new)?\s+(?P<n>{_KIN})(?:\s+from "
    rf"(?P<w>\w+))?\s+(?:to\s+)?(?P<v>{_NAME})"
)

_MY_KIN = _rx(
    rf"^(?:my|our)\s+(?:dear |lovely |new "
    rf")?(?P<n>{_KIN})(?:,?\s+(?P<v>{_NAME}),?)?(?P<s>'s)?\s+(?P<rest>\S.*)$"
)
_NAMED_ONE = re.compile(
    rf"^(?P<v>{_NAME})(?P<s>'s)?\s+(?P<rest>(?:is|has|works?|lives?|moved|got|joined|left|quit"
    rf"|likes?|loves?|hates?|prefers?|speaks?|plays?|studies|"
    r"drives?|was born|no longer|doesn't|used to|became|just|now|recently|favou?rite|birthday"
    r"|job|phone|email|address|new|started|turned|"
    r"switched|isn't|can't|still)\b.*)$"
)

# What others do, in the third person: (rule, pattern, attribute, sort). They are few, as each costs precision.
_OTHER_SOURCES: tuple[tuple[str, str, str, Takes], ...] = (
    (
        "their-work",
        r"^(?:now |currently |just |recently |still )*(?:works?|(?:is |been )?working|worked)(?: now| full[- ]time| "
        r"part[- ]time)* (?:at"
        r"|for)\s+",
        "employer",
        "org",
    ),
    (
        "their-work",
        r"^(?:just |recently |has |now )*(?:joined|(?:got|has) a (?:new )?job (?:at|with)|started (?:working )?at"
        r"|started a (?:new )?job at|moved jobs to|"
        r"is (?:now )?(?:working|employed) (?:at|by))\s+(?=(?-i:[A-Z]))",
        "employer",
        "org",
    ),
    (
        "their-home",
        r"^(?:now |currently |still |been )*(?:lives?|(?:is )?(?:now )?(?:living|based)|lived|resides)(?: now)? in\s+",
        "home",
        "place",
    ),
    (
        "their-home",
        r"^(?:just |recently |has |now |have )*(?:moved|relocated)(?: back| over| house)? to\s+",
        "home",
        "place",
    ),
    (
        "their-job",
        r"^(?:now |currently )*(?:works as|is working as|is(?: now| still| currently)?|became|has "
        r"become|was promoted to|got promoted to|has been promoted to)"
        r"\s+(?:an?\s+|the\s+)?",
        "job",
        "role",
    ),
    ("their-allergy", r"^is (?:severely |very |also )?allergic to\s+", "allergy", "thing"),
    ("their-plays", r"^(?:has )?(?:taken up|took up|started playing)\s+", "plays", "thing"),
    ("their-likes", r"^(?:now |really |absolutely |also )*(?:likes?|loves?|enjoys?|adores?)\s+", "likes", "thing"),
    (
        "their-likes",
        r"^(?:now |really |absolutely |also )*(?:hates?|dislikes?|can't stand|detests?)\s+",
        "dislikes",
        "thing",
    ),
    ("their-prefers", r"^(?:now |really )*prefers?\s+", "prefers", "thing"),
    ("their-speaks", r"^speaks\s+(?:fluent )?", "speaks", "thing"),
    ("their-plays", r"^plays\s+(?:the )?", "plays", "thing"),
    ("their-car", r"^drives an?\s+", "car", "thing"),
    ("their-school", r"^(?:studies at|goes to|is studying at|attends)\s+(?=(?-i:[A-Z]))", "school", "org"),
    ("their-study", r"^(?:studies|is studying)\s+(?!at |in |for |with |hard)", "field of study", "thing"),
    ("their-origin", r"^(?:is|comes)(?: originally)? from\s+(?=(?-i:[A-Z]))", "origin", "place"),
    (
        "their-age",
        r"^(?:is(?: now)?|turned|just turned)\s+(?=(?:\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten"
        r"|eleven|twelve|thirteen)(?: years? old)?(?:$|[\s,.!](?!o'clock"
        r"|minutes|km|%|percent)))",
        "age",
        "number",
    ),
    (
        "their-diet",
        r"^(?:is(?: now)?|went|became|turned|has become|has gone)(?: a| an| strictly)?\s+(?=vegan\b"
        r"|vegetarian\b|pescatarian\b)",
        "diet",
        "thing",
    ),
    ("their-birthplace", r"^was born in\s+(?=(?-i:[A-Z]))", "birthplace", "place"),
)
_OTHERS = tuple((rule, _rx(pattern), name, sort) for rule, pattern, name, sort in _OTHER_SOURCES)
_LEFT = _rx(r"^(?:just |recently |has |have )*(?:left|quit|resigned from)\s+(?=(?-i:[A-Z]))")
_QUIT = _rx(
    r"^(?:just |recently |has |have )*(?:quit|gave up|given up|stopped \w+ing"
    r"|dropped)\s+(?=(?-i:[a-z]))(?!his|her|the|it|my|on)"
)
_THEIR = _rx(
    r"^(?P<n>(?:new |favou?rite \w*\s?)?[\w'-]+(?: [\w'-]+){0,2}?)\s+(?:is|was|are|changed to|has changed "
    r"to|is now on|is on)(?: now| actually| on| at| called| still)*\s+(?P<v>.+)$"
)


_HAS = _rx(
    r"(?:now |just |recently |still |been |finally |also )*(?:moved|relocated|got|been|left|joined|started|working"
    r"|living|based|quit|switched|become|taken up|given up|turned|gone)\b"
)
"""What follows "'s" where that is a verb: "Joe's moved"."""


def people(clause: Plain) -> Iterator[Found]:
    """Names of relations and pets; then what is said of one of them."""
    text, says = clause.text, clause.says
    match = _RENAMED.search(text)
    if match:
        yield Found(
            canonical(match.group("n")),
            match.group("v"),
            0,
            match.end(),
            "renamed",
            says,
            corrects=True,
            replaces=match.group("w") or "",
        )
        return
    for pattern in (_HAVE_ONE, _HAVE_MANY, _ARE_MANY):
        match = pattern.search(text)
        if match:
            yield from _several(clause, match)
            return
    match = _IS_MINE.search(text)
    if match and fold(match.group("v")) not in NOT_NAMES:
        yield Found(
            canonical(match.group("n")), match.group("v"), 0, match.end(), "is-my", says, noun=fold(match.group("n"))
        )
        return
    for match in _APPOSED.finditer(text):
        if fold(match.group("v").split()[0]) not in NOT_NAMES:
            noun = fold(match.group("n"))
            yield Found(canonical(noun), match.group("v"), match.start(), match.end(), "apposition", noun=noun)
    match = _COUNTED.search(text)
    if match and says != "held":
        yield Found("has", match.group("v"), 0, match.end("v"), "have", says)
        also = _AND_COUNTED.search(text, match.end("v"))
        if also:
            yield Found("has", also.group("v"), 0, also.end("v"), "have", says)
        return
    yield from _of_others(clause)


def _several(clause: Plain, match: re.Match[str]) -> Iterator[Found]:
    groups = match.groupdict()
    noun, raw = fold(groups.get("n") or groups.get("m") or ""), groups.get("v") or groups.get("w") or ""
    noun = _SINGULAR.get(noun) or (noun if attribute(noun) and canonical(noun) != noun + "s" else noun.rstrip("s"))
    names = [first_words(one, "name") for one in split_list(raw.rstrip(")"))]
    names = [one for one in names if looks_like("name", one)]
    for one in names:
        start = clause.text.find(one)
        yield Found(canonical(noun), one, 0, start + len(one), "has-named", clause.says, several=len(names) > 1)


_NOT_ONE = NOT_NAMES | frozenset(("i", "we", "it's", "i've", "we've", "i'm", "i'd", "there's"))
_NOT_THEIRS = frozenset("it me you my to when how this that him her".split())
_MANY_AT_ONCE = frozenset(("likes", "dislikes", "allergy", "speaks", "plays"))


@dataclass(frozen=True, slots=True)
class _Other:
    """Somebody a clause is about: as a subject, as shown, and what is said of him, from character `at` on."""

    subject: str
    shown: str
    rest: str
    at: int


def _of_others(clause: Plain) -> Iterator[Found]:
    match = _MY_KIN.search(clause.text)
    if match:
        kin = attribute(match.group("n"))
        many = kin is not None and kin.many
        subject = fold(match.group("v")) if many and match.group("v") else canonical(match.group("n"))
        shown = f"My {fold(match.group('n'))}" + (f" {match.group('v')}" if match.group("v") else "")
    else:
        match = _NAMED_ONE.search(clause.text)
        if not match or fold(match.group("v")).split()[0] in _NOT_ONE:
            return
        subject, shown = fold(match.group("v")), match.group("v")
    other = _Other(subject, shown, match.group("rest"), match.start("rest"))
    if match.group("s") and not _HAS.match(other.rest):
        yield from _theirs(other.rest, other.at, subject, shown, clause.says)
    elif clause.says == "holds" and (quit_ := _QUIT.search(other.rest)):
        yield from _ended(other, quit_, "thing", "give-up")
    elif clause.says == "holds" and (left := _LEFT.search(other.rest)):
        yield from _ended(other, left, "org", "leave")
    else:
        yield from _said_of(clause, other)


def _ended(other: _Other, match: re.Match[str], sort: Takes, rule: str) -> Iterator[Found]:
    """What somebody gave up or left."""
    value = first_words(other.rest[match.end() :], sort)
    if sort == "thing" and not looks_like(sort, value):
        return
    end = other.at + match.end() + len(value)
    yield Found("", value, 0, end, rule, "ends", subject=other.subject, name=other.shown)


def _said_of(clause: Plain, other: _Other) -> Iterator[Found]:
    own = clause if clause.says != "holds" else plain(other.rest)
    rest = other.rest if clause.says != "holds" else own.text
    lead = len(rest) - len(rest.lstrip())
    for rule, pattern, name, sort in _OTHERS:
        found = pattern.search(rest.lstrip())
        if not found:
            continue
        value = first_words(rest[lead + found.end() :], sort)
        fits = is_role(value) if sort == "role" else looks_like(sort, value)
        if not fits or value.split()[0].lower() in _NOT_THEIRS:
            continue
        past = bool(re.search(r"\b(?:worked|lived)\b", found.group()))
        says: Says = "held" if past and own.says == "holds" else own.says
        if name == "job":
            article = re.search(r"\b(an?|the)\s+$", found.group(), re.I)
            if not article and "as" not in found.group() and "promoted" not in found.group():
                continue
            value = f"{article.group(1).lower()} {value}" if article else value
        if name == "age":
            value = value.split()[0]
        for one in split_list(value) if name in _MANY_AT_ONCE else [value]:
            last = one.split()[-1]
            end = clause.text.find(last, other.at) + len(last)
            yield Found(name, one, 0, end, rule, says, subject=other.subject, name=other.shown)
        return


def _theirs(rest: str, at: int, subject: str, shown: str, says: Says) -> Iterator[Found]:
    """ "My sister's birthday is ..." """
    match = _THEIR.search(rest)
    if not match or fold(match.group("n")).split()[-1] == "name":
        return
    known = attribute(match.group("n"))
    name = canonical(match.group("n"))
    if known is None and not name.startswith("favourite "):
        return
    sort = known.takes if known else "thing"
    value = first_words(match.group("v"), sort)
    if looks_like(sort, value) and (known is not None or len(value.split()) <= 4):
        yield Found(name, value, 0, at + match.start("v") + len(value), "theirs", says, subject=subject, name=shown)
