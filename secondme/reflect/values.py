"""The values of claims: where one ends in a clause, and whether it looks like what its attribute takes."""

from __future__ import annotations

import re

from secondme.text.attributes import Takes
from secondme.text.terms import fold, words

_STOP = re.compile(
    r"[,.;!?()\n\"“”\ufffc]+(?=\s|$)|[,;!?()\n\"“”\ufffc]|\s+[-–—]\s|\s+(?:but|because|since|so|which|who|whom|whose"
    r"|where|when|while"
    r"|although|though|too|now|nowadays|these days|those days|at the moment|currently|anymore|any more|any longer|no "
    r"longer|from now on"
    r"|right now|for now|for (?:a|an|over|almost|about|nearly|more|many|several|some|the (?:last|past|time|next)|\d+"
    r"|two|three|four|five"
    r"|six|seven|eight|nine|ten|years|ages|good)\b.*|by the way|btw|again|please|thanks|instead|until|till|already"
    r"|in case|as well"
    r"|as of|ever since|from (?:january|february|march|april|may|june|july|august|september|october|november"
    r"|december|\d|today"
    r"|tomorrow|monday|next|last|here)|starting|beginning|effective|a few|a couple|(?:a|one|two|three|four|five|six"
    r"|several|some|many)"
    r" (?:days?|weeks?|months?|years?) ago"
    r"|yesterday|today|tomorrow|tonight|last (?:week|month|year|spring|summer|autumn|fall|winter|night|\w+day"
    r"|january|february|march"
    r"|april|may|june|july|august|september|october|november|december)|next (?:week|month|year|\w+day)|this (?:week"
    r"|month|year|morning"
    r"|spring|summer|autumn|fall|winter|\w+day)|in (?:19|20)\d\d|(?:back )?in (?:january|february|march|april|may"
    r"|june|july|august"
    r"|september|october|november|december)|recently|lately|just now|after all|of course|actually|really|by now"
    r"|full[- ]time|part[- ]time"
    r"|and (?:i|i'm|i've|my|we|our|it|it's|she|he|they|that|so|now|not|also|will|am|was|is|has|had)|is|are|was|were"
    r"|has been|ago|rather"
    r"|if|unless|except|especially|even|anyway|haha|lol|:\)|every (?:day|week|month|morning|evening|night|weekend"
    r"|year))(?=\s|$|[,.;!?])",
    re.I,
)
_PLACE_STOP = re.compile(
    r"\s+(?:with|near|for|on|to|after|before|by|at|together|as|from|next|close|outside|and|or"
    r"|not|via|due"
    r"|downtown|in (?:a|an|the|my|our|\d))(?=\s|$)",
    re.I,
)
_ORG_STOP = re.compile(
    r"\s+(?:as|in|on|with|for|doing|after|before|to|from|where|not|by|via|instead|over|near"
    r"|making|building|making"
    r"|full|part|two|every|selling|and|or|at)(?=\s|$)",
    re.I,
)
_NAME_STOP = re.compile(
    r"\s+(?:and|or|not|in|on|at|from|with|for|as|by|to|after|before|works|lives|likes|loves"
    r"|hates|has|had|got|moved"
    r"|told|came|went|will|can|does|did|of|since|turned|just|also|recently|still|speaks|plays"
    r"|studies|started|wants"
    r"|who|bought|died|joined|became|left|says|said|made|gave|always|never|thinks)(?=\s|$)",
    re.I,
)
_THING_STOP = re.compile(
    r"\s+(?:before|after|when|for (?:my|our|the|all|most|every|work|personal|private|that|this"
    r"|it|me|us|now)|not|than|"
    r"or|at work|at home|with my|with the|in the|on (?:my|the|weekends|\w+days?))(?=\s|$)",
    re.I,
)
_RUN = re.compile(
    r"[A-ZÀ-ÞŁŚŻŠČŽĐØÅ0-9][\w'&.+-]*(?:\s+(?:(?:of|the|de|la|le|van|von|der|den|del|di|da|du|do|dos|y"
    r"|bin|al|el|upon|&|and)\s+){0,2}"
    r"[A-ZÀ-ÞŁŚŻŠČŽĐØÅ0-9][\w'&.+-]*)*"
)
_OPENING = re.compile(
    r"^(?:(?:called|named|now|still|actually|just|also|only|currently|simply|indeed|definitely"
    r"|officially|really|again"
    r"|going to be|located|in fact)\s+)+",
    re.I,
)

_TITLE = re.compile(r"(?:Dr|Mr|Mrs|Ms|Prof|St)\.?\s+(?=[A-Z])")

_ROLES = frozenset(
    """nurse chef cook pilot judge student postdoc intern coach midwife clerk spy monk nun mayor guard architect
    astronaut athlete barista priest vet bartender cashier surgeon diplomat freelancer novelist poet potter
    butcher mechanic plumber paramedic electrician retiree pensioner entrepreneur ceo cto cfo coo developer dev
    professor lecturer librarian lawyer attorney solicitor barrister consultant accountant analyst engineer
    scientist teacher tutor doctor dentist designer writer musician singer actor actress dancer artist painter
    photographer journalist editor translator carpenter farmer gardener florist baker barber hairdresser tailor
    soldier officer firefighter policeman policewoman detective secretary assistant manager director producer
    salesman saleswoman salesperson marketer realtor broker banker trader economist statistician mathematician
    physicist chemist biologist geologist psychologist therapist psychiatrist pharmacist physiotherapist
    radiologist cardiologist paediatrician pediatrician optician veterinarian zookeeper bookkeeper goldsmith
    apprentice trainee principal headmaster dean researcher programmer admin sysadmin tester strategist recruiter
    lead head owner founder co-founder partner president chairman chairwoman minister politician sailor captain
    steward stewardess driver courier welder roofer bricklayer stonemason glazier locksmith watchmaker jeweller
    beekeeper brewer winemaker sommelier waiter waitress host hostess receptionist concierge housekeeper cleaner
    janitor nanny babysitter au-pair caretaker carer warden lifeguard referee umpire jockey trainer instructor
    chiropractor osteopath acupuncturist masseur masseuse stylist beautician model influencer blogger vlogger
    youtuber podcaster streamer illustrator animator sculptor composer conductor pianist violinist cellist drummer
    guitarist bassist organist choreographer playwright screenwriter copywriter ghostwriter proofreader publisher
    curator archivist historian archaeologist anthropologist sociologist philosopher theologian ranger forester
    fisherman hunter miner logger postman mailman dispatcher operator technician surveyor draftsman planner
    paralegal notary auditor actuary underwriter controller treasurer buyer merchandiser""".split()
)
_NOT_ROLES = frozenset(
    """fan lover member user person man woman girl boy guy human player beginner expert morning night owl mess bit
    lot little idiot fool failure loser winner genius liar stranger customer subscriber reader listener follower
    believer parent father mother brother sister mum mom dad husband wife friend neighbour neighbor number matter
    supporter newcomer sleeper eater walker drinker smoker sucker hater dreamer thinker overthinker procrastinator
    perfectionist optimist pessimist realist introvert extrovert citizen resident native speaker foreigner tourist
    traveler traveller guest visitor vegetarian vegan monster disaster bother pleasure treasure letter paper
    computer character center centre problem hour year week month day dinosaur robot assistant-like patient
    survivor helper early late baby kid child adult teenager believer minor major superhero hero star king queen
    prince princess christian witness sufferer owner-to-be virgin aquarius libra taurus scorpio pisces gemini
    cancer leo capricorn sagittarius aries moderate liberal conservative feminist pacifist""".split()
)
COUNTED = frozenset("a an the one two three four five six seven eight nine ten".split())
"""What may stand before a thing, and before a name may not."""

NOT_NAMES = frozenset(
    """a an the it he she they this that there here what who not very so too really quite always never late sick ill
    great good bad nice fine okay ok well happy sad angry tired busy awesome amazing terrible horrible broken dead
    alive changed old young new big small tall short mean kind strict lovely funny weird strange annoying boring cool
    cute fat thin pregnant married single divorced away home back gone out in on at from my your his her our their one
    two three four five six seven eight nine ten ready sure sorry afraid scared worried excited glad proud crazy
    mad wrong right true false also still just only now then monday tuesday wednesday thursday friday saturday
    sunday january february march april may june july august september october november december today tomorrow
    yesterday getting going coming having being trying looking making doing working feeling driving killing
    turning hurting visiting helping asking i me you we us him them no yes better best worse worst more most much
    less mine yours free full empty open closed important interested hungry thirsty coming unknown secret pretty
    super like about retired unemployed""".split()
)
_NO_THINGS = NOT_NAMES - COUNTED - {"old", "new", "open"}
_LIKED_NOTHING = frozenset(
    """it that this you him her them these those how when what where why your yours everything nothing something
    anything one ones someone everyone people way idea fact look looks sound answer suggestion plan part thing
    things stuff so to myself yourself here there them all both either neither such""".split()
)
_NUMBER = re.compile(
    r"(?:about |around |roughly |exactly |[$€£¥])?\s*(?:\d[\d.,'/:]*[km]?|zero|one|two|three|four"
    r"|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty"
    r"|forty|fifty|sixty"
    r"|seventy|eighty|ninety|hundred)\b",
    re.I,
)
_DATE = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|mon|tue|wed|thu|fri|sat|sun|jan(?:uary)?|feb(?:ruary)?"
    r"|mar(?:ch)?|apr(?:il)?|may"
    r"|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|tomorrow|today|tonight"
    r"|yesterday|noon"
    r"|midnight|next (?:week|month|year|weekend|spring|summer|fall|autumn|winter)|this (?:week|weekend|month|evening"
    r"|afternoon|morning"
    r"|spring|summer|autumn|fall|winter)|in (?:\d+|a|an|two|three|four|five|six|seven|eight|nine|ten|twelve) "
    r"(?:minutes?|hours?|days?"
    r"|weeks?|months?|years?)|(?:19|20)\d\d|\d{1,2}[./-]\d{1,2}(?:[./-]\d{2,4})?|\d{1,2}(?:st|nd|rd|th)|\d{1,2}:\d\d"
    r"|\d{1,2}\s*(?:am|pm"
    r"|a\.m|p\.m|o'clock)|end of (?:the )?(?:week|month|year|\w+)|christmas|easter|new year|halloween|half past"
    r"|quarter (?:past|to)"
    r"|(?:spring|summer|autumn|winter) (?:19|20)\d\d)\b|^(?:at )?(?:six|seven|eight|nine|ten|eleven|twelve|one|two"
    r"|three|four|five"
    r"|\d{1,2})(?:\s|$)",
    re.I,
)
_BEFORE_DATE = re.compile(
    r"(?:(?:on|at|the|in|from|by|about|around|approximately|early|end|of|next|this|coming|morning|every|until|till|half"
    r"|quarter|past|to|due|mid|now|set|for|a|an|\d{1,2}|one|two|three|week|weeks|days)\W*|\W)*",
    re.I,
)
_CODE = re.compile(r"^(?=.*\d|.*@|.*[a-z]\.[a-z]|.*/)\S.*", re.I)


def first_words(raw: str, takes: Takes) -> str:
    """The value at the beginning of `raw`, cut where another thought begins; it may be empty."""
    opening = _OPENING.match(raw)
    value = raw[opening.end() :] if opening else raw
    title = _TITLE.match(value) if takes in ("name", "thing", "org") else None
    if title:
        return title.group() + first_words(value[title.end() :], takes)
    stop = (
        _STOP.search(" " + value)
        if takes not in ("date", "code", "number")
        else re.search(
            r"[;!?\n\ufffc]|,(?=\s)| but | and (?:i|we|my)\b"
            r"| now\b| instead| because | so | anymore| any more",
            value + " ",
            re.I,
        )
    )
    if stop:
        value = value[: max(0, stop.start() - (takes not in ("date", "code", "number")))]
    more = {"place": _PLACE_STOP, "org": _ORG_STOP, "name": _NAME_STOP, "thing": _THING_STOP}.get(takes)
    if takes == "role":
        more = re.compile(
            r"\s+(?:at|in|for|with|from|and|by|on|or|not|working|based|near|who|to|here|specialis\w+"
            r"|specializ\w+)(?=\s|$)",
            re.I,
        )
    run = _RUN.match(value) if takes in ("place", "org", "name") else None
    if run and value[:1].isupper():
        value = _cut_run(run.group(), takes)
    elif more:
        cut = more.search(" " + value)
        value = value[: max(0, cut.start() - 1)] if cut else value
    return value.strip(" \t\"'“”.,;:!?*_-–—")


def _cut_run(run: str, takes: Takes) -> str:
    """Only firms are called "A and B"; "Tom and Kit" are two."""
    if takes != "org":
        run = re.split(r"\s+(?:and|&)\s+", run)[0]
    run = re.sub(r"(?:'s)$", "", run)
    return re.sub(r"\s+(?:and|&|of|the)$", "", run)


def looks_like(takes: Takes, value: str, *, named: bool = False) -> bool:
    """Whether `value` can be what an attribute takes. `named`: the clause said that it is a name ("is called")."""
    parts = words(value)
    if not parts or len(value) > 80:
        return False
    first = parts[0]
    if takes == "name":
        capital = value[0].isupper()
        return (
            first not in NOT_NAMES
            and len(parts) <= 4
            and (capital or (named and len(parts) <= 2))
            and not first.endswith("ing")
        )
    if takes in ("place", "org"):
        return (
            first not in NOT_NAMES - {"the", "a", "an", "new", "home"}
            and len(parts) <= 6
            and parts[-1] not in NOT_NAMES
        )
    if takes == "role":
        return is_role(value)
    if takes == "number":
        return _NUMBER.match(value) is not None
    if takes == "date":
        found = _DATE.search(value)
        return found is not None and _BEFORE_DATE.fullmatch(value[: found.start()]) is not None
    if takes == "code":
        return _CODE.match(value) is not None
    return first not in _LIKED_NOTHING and len(parts) <= 8


def mentions_date(text: str) -> bool:
    """Whether a day or a time of day stands anywhere in `text`."""
    return _DATE.search(text) is not None


def is_role(value: str) -> bool:
    """Whether a noun phrase names an occupation: by its head, from a list or by its ending."""
    head = re.split(r"\s+(?:of|at|for|in|to)\s+", fold(value))[0].split()
    if not head or len(head) > 5:
        return False
    last = re.sub(r"s$", "", head[-1]) if head[-1] not in _ROLES else head[-1]
    if last in _NOT_ROLES or any(
        w
        in (
            "big",
            "huge",
            "bit",
            "fan",
            "morning",
            "night",
            "total",
            "terrible",
            "bad",
            "good",
            "great",
            "fast",
            "slow",
            "light",
            "heavy",
        )
        for w in head
    ):
        return False
    return last in _ROLES or (
        len(last) > 5
        and last.endswith(("ist", "eer", "grapher", "logist", "ician", "smith", "keeper", "maker", "engineer"))
    )


def is_thing(value: str) -> bool:
    """Whether "my X is VALUE" states what X is, not how it is doing: a name, a number, a noun with its article."""
    parts = value.split()
    if not parts or len(parts) > 8 or fold(parts[0]) in _NO_THINGS:
        return False
    article = parts[0].lower() in ("a", "an", "the")
    if article:
        return len(parts) > 1 and fold(parts[1]) not in (
            "bit",
            "lot",
            "mess",
            "disaster",
            "problem",
            "piece",
            "same",
            "best",
            "worst",
            "only",
            "pain",
            "joke",
            "nightmare",
            "real",
            "good",
            "great",
            "bad",
            "reason",
            "total",
            "little",
        )
    return value[0].isupper() or value[0].isdigit() or value[0] in "$€£#" or _NUMBER.match(value) is not None


def split_list(value: str) -> list[str]:
    """The members of "a, b and c"."""
    return [
        p.strip(" \t\"'.")
        for p in re.split(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|&)\s+", value)
        if p.strip(" \t\"'.")
    ]
