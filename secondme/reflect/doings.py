"""Claims from what the owner does, said with a verb of its own: "I live in ...", "I work at ...", "I left ..."."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.claims import Says
from secondme.reflect.found import I_AM, I_DO, I_HAVE, Found, compiled, end_of
from secondme.reflect.negation import Plain
from secondme.reflect.values import first_words, looks_like, split_list
from secondme.text.attributes import Takes, attribute, canonical
from secondme.text.terms import fold

# (rule, pattern with the value after it, attribute, what the value must look like, whether the verb tells of the past)
_VERB_SOURCES: tuple[tuple[str, str, str, Takes, bool], ...] = (
        ("work-at", I_DO + r"\s+(?:work|working) (?:\w+ly )?(?:(?:full|part)[- ]time "
                         r")?(?:at|for)\s+", "employer", "org", False),
        ("work-at", I_AM + r"\s+(?:working|employed|hired|under contract) (?:at|for|by"
                          r"|with)\s+", "employer", "org", False),
        ("work-at", I_HAVE + r"\s+been working (?:at|for)\s+", "employer", "org", False),
        ("worked-at", I_DO + r"\s+worked (?:at|for)\s+", "employer", "org", True),
        ("join", I_HAVE + r"\s+(?:started|begun|began|start)(?: working| work| a (?:new )?(?:job|position|role)| my "
                         r"new job)? (?:at|with|for)\s+",
         "employer", "org", False),
        ("join", I_HAVE + r"\s+(?:got|accepted|took|landed|found|have)(?: \w+){0,2} (?:job|position|role|offer) (?:at"
                         r"|with|from)\s+", "employer",
         "org", False),
        ("join", I_HAVE + r"\s+(?:joined|signed with|been hired by|got hired by|went to work for)\s+(?=(?-i:[A-Z]))",
            "employer", "org", False),
        ("join", r"^my (?:new )?(?:job|employer|role|position) is (?:now )?(?:at|with)\s+", "employer", "org", False),
        ("join", I_AM + r"\s+(?:at|with)\s+(?=(?-i:[A-Z]))", "employer", "org", False),
        ("live-in", I_DO + r"\s+(?:live|living|reside) (?:\w+ly )?(?:in|at|near)\s+", "home", "place", False),
        ("live-in", I_AM + r"\s+(?:living|based|residing|located|settled|at home) (?:in|at"
                          r"|near)\s+", "home", "place", False),
        ("live-in", I_HAVE + r"\s+been living in\s+", "home", "place", False),
        ("lived-in", I_DO + r"\s+lived in\s+", "home", "place", True),
        ("move-to", I_HAVE + r"\s+(?:moved|relocated|move|resettled)(?: (?!from\b)\w+){0,2}? (?:to|into|over to|out to"
                            r"|down to|up to)\s+", "home", "place", False),
        ("move-to", I_HAVE + r"\s+(?:settled|settled down|ended up living) in\s+", "home", "place", False),
        ("new-home", I_HAVE + r"\s+(?:got|found|rented|have|moved into) (?:my own|our own|a new|my new|our new) "
                             r"(?:little |small )?"
                             r"(?:place|flat|apartment|house|home|studio) in\s+", "home", "place", False),
        ("home-is", r"^(?:my |our )?home is (?:now )?(?:in )?\s*(?=(?-i:[A-Z]))", "home", "place", False),
        ("grew-up", I_HAVE + r"\s+(?:grew|grown) up in\s+", "grew up in", "place", False),
        ("from", r"^(?:i come|i originally come|i'm originally|i am originally|i'm|i am)(?: originally)? from\s+",
            "origin", "place", False),
        ("speak", I_DO + r"\s+speak (?:fluent |good |native |some |a little |a bit of )?", "speaks", "thing", False),
        ("learn", I_AM + r"\s+(?:learning|studying|teaching myself)(?: how)?(?: to speak| to play)? (?:the )?",
            "learns", "thing", False),
        ("learn", I_HAVE + r"\s+(?:started|begun|began|taken up|took up) (?:learning|studying) (?:the )?", "learns",
            "thing", False),
        ("play", I_DO + r"\s+play (?:the |a bit of |some )?", "plays", "thing", False),
        ("take-up", I_HAVE + r"\s+(?:taken up|took up|got into|gotten into)\s+", "hobby", "thing", False),
        ("study-at", I_DO + r"\s+(?:study|go to school|go to university|go to college) (?:\w+ )?(?:at"
                          r"|in)\s+(?=(?-i:[A-Z]))", "school", "org", False),
        ("study-at", I_AM + r"\s+(?:studying|a student|enrolled)(?: \w+)? at\s+(?=(?:the )?(?-i:[A-Z]))", "school",
            "org", False),
        ("study", I_DO + r"\s+(?:study|major in|am majoring in)\s+(?!at |in |for |with )",
            "field of study", "thing", False),
        ("study", I_AM + r"\s+majoring in\s+", "field of study", "thing", False),
        ("drive", I_DO + r"\s+(?:drive|driving)\s+an?\s+", "car", "thing", False),
        ("support", I_DO + r"\s+(?:support|root for|cheer for)\s+(?=(?-i:[A-Z]))", "team", "org", False),
        ("use", I_DO + r"\s+use\s+(?=(?-i:[A-Z])|\w+ (?:for|to|as|on)\b)", "uses", "thing", False),
        ("use", I_AM + r"\s+using\s+(?=(?-i:[A-Z]))", "uses", "thing", False),
        ("use", I_HAVE + r"\s+(?:started using|begun using|begun to use"
                        r"|adopted)\s+(?=(?-i:[A-Z]))", "uses", "thing", False),
        ("read", I_AM + r"\s+(?:reading)\s+(?=(?-i:[A-Z]))", "reads", "thing", False),
        ("read", I_HAVE + r"\s+(?:started|begun|began) reading\s+(?=(?-i:[A-Z]))", "reads", "thing", False),
        ("watch", I_HAVE + r"\s+(?:started|begun|began) watching\s+(?=(?-i:[A-Z]))", "watches", "thing", False),
        ("watch", I_AM + r"\s+(?:watching)\s+(?=(?-i:[A-Z]))", "watches", "thing", False),
        ("work-on", I_AM + r"\s+working on (?=a |an |my |our |the |(?-i:[A-Z]))", "project", "thing", False),
        ("weigh", I_DO + r"\s+weigh\s+", "weight", "number", False),
        ("wake-up", I_DO + r"\s+(?:get up|wake up|rise) at\s+", "wake-up time", "date", False),
        ("bedtime", I_DO + r"\s+(?:go to bed|go to sleep) at\s+", "bedtime", "date", False),
        ("take-drink", I_DO + r"\s+(?:take|drink) my coffee\s+", "coffee", "thing", False),
        ("take-drink", I_DO + r"\s+(?:take|drink) my tea\s+", "tea", "thing", False),
        ("commute", I_DO + r"\s+(?:commute|go to work|get to work|travel to work)\s+(?=by |on |with )", "commute",
            "thing", False),
        ("commute", I_DO + r"\s+(?:bike|cycle|walk|drive) to work", "commute", "thing", False),
        ("wear", I_DO + r"\s+(?:wear|take) (?:shoe |a )?size\s+", "shoe size", "number", False),
        ("bank", I_HAVE + r"\s+opened (?:an account|one|a new account|a bank account) (?:at"
                         r"|with)\s+", "bank", "org", False),
        ("gym", I_HAVE + r"\s+signed up (?:at|with)\s+(?=(?-i:[\w ]*(?:Gym|Fit)))", "gym", "org", False),
        ("bank", I_DO + r"\s+bank with\s+", "bank", "org", False),
        ("gym", I_DO + r"\s+(?:work out|exercise|train) at\s+(?=(?-i:[A-Z]))", "gym", "org", False),
        ("named", r"^(?:my (?:full |first |real )?name is|my name's|the name's|i am called|i'm called|i'm named)\s+",
            "name", "name", False),
        ("named", I_HAVE + r"\s+changed my (?:last |sur)?name to\s+", "name", "name", False),
        ("call-me", r"^(?:please |you can |you may |just )*call me\s+(?=(?-i:[A-Z]))|^(?:everyone|everybody|people"
                    r"|friends|my friends) calls? me\s+"
         r"(?=(?-i:[A-Z]))|^i go by\s+(?=(?-i:[A-Z]))", "nickname", "name", False),
        ("married-to", I_AM + r"\s+(?:married|engaged) to\s+(?=(?-i:[A-Z]))", "partner", "name", False),
        ("married-to", I_AM + r"\s+(?:dating|seeing|together with|in a relationship with)\s+(?=(?-i:[A-Z]))", "partner",
            "name", False),
        ("married-to", I_HAVE + r"\s+(?:married|got married to|got engaged "
                               r"to)\s+(?=(?-i:[A-Z]))", "partner", "name", False),
        ("report-to", I_DO + r"\s+report to\s+(?=(?-i:[A-Z]))", "boss", "name", False),
)  # fmt: skip
_VERBS = tuple((rule, compiled(pattern), name, sort, past) for rule, pattern, name, sort, past in _VERB_SOURCES)

_END_SOURCES: tuple[tuple[str, str, str, Takes], ...] = (
        ("leave-job", I_HAVE + r"\s+(?:left|quit|resigned from|been (?:laid off|fired|let go) (?:from|by)|retired "
                              r"from|parted ways with)\s+"
         r"(?:my (?:job|position|role) (?:at|with)\s+)?(?=(?-i:[A-Z]))", "employer", "org"),
        ("leave-job", r"^i was (?:laid off|fired|let go) (?:from|by)\s+(?=(?-i:[A-Z]))", "employer", "org"),
        ("leave-job", I_HAVE + r"\s+stopped working (?:at|for)\s+", "employer", "org"),
        ("leave-home", I_HAVE + r"\s+(?:moved away from|moved out of)\s+", "home", "place"),
        ("break-up", I_HAVE + r"\s+(?:broke up with|broken up with|split up with|got divorced from"
                             r"|divorced)\s+(?=(?-i:[A-Z]))", "partner",
         "name"),
        ("give-up", I_HAVE + r"\s+(?:sold|sold off|gave away|got rid of) (?:my|our|the)\s+", "", "thing"),
        ("give-up", I_HAVE + r"\s+finished (?:reading |watching )?(?=(?-i:[A-Z]))", "", "thing"),
        ("give-up", I_HAVE + r"\s+(?:gave up|given up|quit|stopped \w+ing|dropped|gone off|went off)\s+"
         r"(?!my |the job|it\b|on\b|trying|that\b)", "", "thing"),
)  # fmt: skip
_ENDS = tuple((rule, compiled(pattern), name, sort) for rule, pattern, name, sort in _END_SOURCES)


def verbs(clause: Plain) -> Iterator[Found]:
    """What the owner does or is, said with a verb of its own."""
    for rule, pattern, name, sort, past in _VERBS:
        match = pattern.search(clause.text)
        if not match:
            continue
        raw = clause.text[match.end() :]
        if rule == "commute" and not raw.strip(" ."):
            raw = match.group().split()[1]
            value = {"bike": "by bike", "cycle": "by bike", "walk": "on foot", "drive": "by car"}.get(raw.lower(), "")
        else:
            value = first_words(raw, sort)
        if not looks_like(sort, value, named=rule in ("named", "call-me")) or _is_idle(name, value):
            continue
        says: Says = "held" if past and clause.says == "holds" else clause.says
        if (rule == "move-to" and clause.says != "holds") or (name == "speaks" and not _LANGUAGE.search(value)):
            continue
        whole = re.search(r"\bas (?:my|our) (?:main |default |primary )?([\w -]+)$", raw) if name == "uses" else None
        if whole and attribute(whole.group(1)) is not None:
            name = canonical(whole.group(1))
        if name in ("field of study", "uses") or whole:
            value = re.split(r"\s+(?:at|for|as|to|on|when)\s+", value)[0]
        for one in split_list(value) if name in ("speaks", "plays", "learns") else [value]:
            yield Found(name, one, 0, end_of(clause, raw, value, match.end()), rule, says)
        if rule != "study-at":
            return
    if clause.says == "holds":
        yield from _endings(clause)


def _endings(clause: Plain) -> Iterator[Found]:
    """ "I left X", "I gave up X"."""
    for rule, pattern, name, sort in _ENDS:
        match = pattern.search(clause.text)
        if match:
            raw = clause.text[match.end() :]
            value = first_words(raw, sort)
            if looks_like(sort, value):
                yield Found(name, value, 0, end_of(clause, raw, value, match.end()), rule, "ends")
            return


_LANGUAGE = re.compile(
    r"^(?:[A-Z]|english|german|french|spanish|italian|portuguese|dutch|polish|czech|russian"
    r"|ukrainian|turkish|greek|swedish|"
    r"norwegian|danish|finnish|japanese|chinese|mandarin|cantonese|korean|arabic|hebrew|hindi"
    r"|urdu|bengali|latin|welsh|irish"
    r"|a (?:little|bit)|some|fluent|basic|sign language)"
)
_IDLE = {
    "employer": frozenset("a an my the myself home it this that them him her me us fun free money hours".split()),
    "home": frozenset("a an my the it this that them peace fear hope our harmony hotel moment present past".split()),
    "origin": frozenset("a the my work home it here there".split()),
    "plays": frozenset("games a with around along it this that them hard safe well too".split()),
    "uses": frozenset("it this that them the your a an".split()),
    "learns": frozenset("how a it that this from so to more new about something".split()),
    "field of study": frozenset("hard it a this that every how".split()),
    "project": frozenset("a".split()),
    "hobby": frozenset("a the my trouble bed it this that".split()),
    "coffee": frozenset("at in the here home to".split()),
    "tea": frozenset("at in the here home to".split()),
}
_SETTLED = re.compile(
    r"^(?:the|a|an|my)\s+(?:\w+\s+)?(?:countryside|suburbs?|city|country|centre|center|coast"
    r"|mountains?|village|flat|house|"
    r"apartment|studio|farm|houseboat|van|bank|hospital|school|university|startup|start-up|bakery"
    r"|library|museum|"
    r"restaurant|hotel|law firm|agency|newspaper|post office|zoo|cafe|café|shop|bookshop"
    r"|netherlands|uk|us|usa)\b",
    re.I,
)


def _is_idle(name: str, value: str) -> bool:
    first = fold(value).split()[0]
    if name == "project":
        return fold(value) in ("it", "this", "that") or fold(value).split()[-1] in (
            "bug",
            "problem",
            "question",
            "homework",
            "it",
        )
    if _SETTLED.match(value) or (first == "the" and value[4:5].isupper()):
        return False
    return first in _IDLE.get(name, frozenset())
