"""Claims from clauses of the owner's: "I live in ...", "my X is ...", "I no longer ...".

A rule is a pattern over one clause, the attribute it speaks of, and the sort of value it must find; where the value
does not look like one, nothing is claimed. Negation is taken out beforehand (negation.py), so that each rule knows one
form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from secondme.reflect.claims import Says
from secondme.reflect.negation import Plain
from secondme.reflect.values import NOT_NAMES, first_words, is_role, is_thing, looks_like, split_list
from secondme.reflect.wording import sentence
from secondme.text.attributes import CONCERNS, OCCASIONS, Takes, attribute, canonical, head, is_many, takes
from secondme.text.terms import fold
from secondme.types import OWNER, ItemKind


@dataclass(frozen=True, slots=True)
class Found:
    """A claim within a clause: characters [`start`, `end`) of it."""

    attribute: str
    value: str
    start: int
    end: int
    rule: str
    says: Says = "holds"
    subject: str = OWNER
    name: str = ""
    kind: ItemKind = "semantic"
    text: str = ""
    replaces: str = ""
    corrects: bool = False
    several: bool = False
    denied: bool = False
    noun: str = ""

    def wording(self) -> str:
        """`noun` is the owner's own word for the attribute: a partner may be a wife."""
        return self.text or sentence(self.subject, self.noun or self.attribute, self.value, self.says, name=self.name)


Rule = Callable[[Plain], Iterator[Found]]

_ADV = (
    r"(?:\s+(?:now|currently|actually|also|still|just|really|recently|presently|basically|both|already|finally"
    r"|officially|only|always"
    r"|absolutely|definitely|totally|mostly|usually|mainly|have|even|all|so|very|much|completely|fully|happily"
    r"|again|proudly|then|since"
    r"|kind|quite|generally|typically|normally|personally|genuinely|sometimes|often|deeply|truly|simply))*"
)
_I = r"^(?:i|we)" + _ADV
_AM = r"^(?:i am|i'm|im|we are|we're)" + _ADV
_HAVE = r"^(?:i|we)(?:'ve| have| had)?" + _ADV


def _rx(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


# Plain verbs ---------------------------------------------------------------------------------------------------

# (rule, pattern with the value after it, attribute, what the value must look like, whether the verb tells of the past)
_VERB_SOURCES: tuple[tuple[str, str, str, Takes, bool], ...] = (
        ("work-at", _I + r"\s+(?:work|working) (?:\w+ly )?(?:(?:full|part)[- ]time "
                         r")?(?:at|for)\s+", "employer", "org", False),
        ("work-at", _AM + r"\s+(?:working|employed|hired|under contract) (?:at|for|by"
                          r"|with)\s+", "employer", "org", False),
        ("work-at", _HAVE + r"\s+been working (?:at|for)\s+", "employer", "org", False),
        ("worked-at", _I + r"\s+worked (?:at|for)\s+", "employer", "org", True),
        ("join", _HAVE + r"\s+(?:started|begun|began|start)(?: working| work| a (?:new )?(?:job|position|role)| my "
                         r"new job)? (?:at|with|for)\s+",
         "employer", "org", False),
        ("join", _HAVE + r"\s+(?:got|accepted|took|landed|found|have)(?: \w+){0,2} (?:job|position|role|offer) (?:at"
                         r"|with|from)\s+", "employer",
         "org", False),
        ("join", _HAVE + r"\s+(?:joined|signed with|been hired by|got hired by|went to work for)\s+(?=(?-i:[A-Z]))",
            "employer", "org", False),
        ("join", r"^my (?:new )?(?:job|employer|role|position) is (?:now )?(?:at|with)\s+", "employer", "org", False),
        ("join", _AM + r"\s+(?:at|with)\s+(?=(?-i:[A-Z]))", "employer", "org", False),
        ("live-in", _I + r"\s+(?:live|living|reside) (?:\w+ly )?(?:in|at|near)\s+", "home", "place", False),
        ("live-in", _AM + r"\s+(?:living|based|residing|located|settled|at home) (?:in|at"
                          r"|near)\s+", "home", "place", False),
        ("live-in", _HAVE + r"\s+been living in\s+", "home", "place", False),
        ("lived-in", _I + r"\s+lived in\s+", "home", "place", True),
        ("move-to", _HAVE + r"\s+(?:moved|relocated|move|resettled)(?: (?!from\b)\w+){0,2}? (?:to|into|over to|out to"
                            r"|down to|up to)\s+", "home", "place", False),
        ("move-to", _HAVE + r"\s+(?:settled|settled down|ended up living) in\s+", "home", "place", False),
        ("new-home", _HAVE + r"\s+(?:got|found|rented|have|moved into) (?:my own|our own|a new|my new|our new) "
                             r"(?:little |small )?"
                             r"(?:place|flat|apartment|house|home|studio) in\s+", "home", "place", False),
        ("home-is", r"^(?:my |our )?home is (?:now )?(?:in )?\s*(?=(?-i:[A-Z]))", "home", "place", False),
        ("grew-up", _HAVE + r"\s+(?:grew|grown) up in\s+", "grew up in", "place", False),
        ("from", r"^(?:i come|i originally come|i'm originally|i am originally|i'm|i am)(?: originally)? from\s+",
            "origin", "place", False),
        ("speak", _I + r"\s+speak (?:fluent |good |native |some |a little |a bit of )?", "speaks", "thing", False),
        ("learn", _AM + r"\s+(?:learning|studying|teaching myself)(?: how)?(?: to speak| to play)? (?:the )?",
            "learns", "thing", False),
        ("learn", _HAVE + r"\s+(?:started|begun|began|taken up|took up) (?:learning|studying) (?:the )?", "learns",
            "thing", False),
        ("play", _I + r"\s+play (?:the |a bit of |some )?", "plays", "thing", False),
        ("take-up", _HAVE + r"\s+(?:taken up|took up|got into|gotten into)\s+", "hobby", "thing", False),
        ("study-at", _I + r"\s+(?:study|go to school|go to university|go to college) (?:\w+ )?(?:at"
                          r"|in)\s+(?=(?-i:[A-Z]))", "school", "org", False),
        ("study-at", _AM + r"\s+(?:studying|a student|enrolled)(?: \w+)? at\s+(?=(?:the )?(?-i:[A-Z]))", "school",
            "org", False),
        ("study", _I + r"\s+(?:study|major in|am majoring in)\s+(?!at |in |for |with )",
            "field of study", "thing", False),
        ("study", _AM + r"\s+majoring in\s+", "field of study", "thing", False),
        ("drive", _I + r"\s+(?:drive|driving)\s+an?\s+", "car", "thing", False),
        ("support", _I + r"\s+(?:support|root for|cheer for)\s+(?=(?-i:[A-Z]))", "team", "org", False),
        ("use", _I + r"\s+use\s+(?=(?-i:[A-Z])|\w+ (?:for|to|as|on)\b)", "uses", "thing", False),
        ("use", _AM + r"\s+using\s+(?=(?-i:[A-Z]))", "uses", "thing", False),
        ("use", _HAVE + r"\s+(?:started using|begun using|begun to use"
                        r"|adopted)\s+(?=(?-i:[A-Z]))", "uses", "thing", False),
        ("read", _AM + r"\s+(?:reading)\s+(?=(?-i:[A-Z]))", "reads", "thing", False),
        ("read", _HAVE + r"\s+(?:started|begun|began) reading\s+(?=(?-i:[A-Z]))", "reads", "thing", False),
        ("watch", _HAVE + r"\s+(?:started|begun|began) watching\s+(?=(?-i:[A-Z]))", "watches", "thing", False),
        ("watch", _AM + r"\s+(?:watching)\s+(?=(?-i:[A-Z]))", "watches", "thing", False),
        ("work-on", _AM + r"\s+working on (?=a |an |my |our |the |(?-i:[A-Z]))", "project", "thing", False),
        ("weigh", _I + r"\s+weigh\s+", "weight", "number", False),
        ("wake-up", _I + r"\s+(?:get up|wake up|rise) at\s+", "wake-up time", "date", False),
        ("bedtime", _I + r"\s+(?:go to bed|go to sleep) at\s+", "bedtime", "date", False),
        ("take-drink", _I + r"\s+(?:take|drink) my coffee\s+", "coffee", "thing", False),
        ("take-drink", _I + r"\s+(?:take|drink) my tea\s+", "tea", "thing", False),
        ("commute", _I + r"\s+(?:commute|go to work|get to work|travel to work)\s+(?=by |on |with )", "commute",
            "thing", False),
        ("commute", _I + r"\s+(?:bike|cycle|walk|drive) to work", "commute", "thing", False),
        ("wear", _I + r"\s+(?:wear|take) (?:shoe |a )?size\s+", "shoe size", "number", False),
        ("bank", _HAVE + r"\s+opened (?:an account|one|a new account|a bank account) (?:at"
                         r"|with)\s+", "bank", "org", False),
        ("gym", _HAVE + r"\s+signed up (?:at|with)\s+(?=(?-i:[\w ]*(?:Gym|Fit)))", "gym", "org", False),
        ("bank", _I + r"\s+bank with\s+", "bank", "org", False),
        ("gym", _I + r"\s+(?:work out|exercise|train) at\s+(?=(?-i:[A-Z]))", "gym", "org", False),
        ("named", r"^(?:my (?:full |first |real )?name is|my name's|the name's|i am called|i'm called|i'm named)\s+",
            "name", "name", False),
        ("named", _HAVE + r"\s+changed my (?:last |sur)?name to\s+", "name", "name", False),
        ("call-me", r"^(?:please |you can |you may |just )*call me\s+(?=(?-i:[A-Z]))|^(?:everyone|everybody|people"
                    r"|friends|my friends) calls? me\s+"
         r"(?=(?-i:[A-Z]))|^i go by\s+(?=(?-i:[A-Z]))", "nickname", "name", False),
        ("married-to", _AM + r"\s+(?:married|engaged) to\s+(?=(?-i:[A-Z]))", "partner", "name", False),
        ("married-to", _AM + r"\s+(?:dating|seeing|together with|in a relationship with)\s+(?=(?-i:[A-Z]))", "partner",
            "name", False),
        ("married-to", _HAVE + r"\s+(?:married|got married to|got engaged "
                               r"to)\s+(?=(?-i:[A-Z]))", "partner", "name", False),
        ("report-to", _I + r"\s+report to\s+(?=(?-i:[A-Z]))", "boss", "name", False),
)  # fmt: skip
_VERBS = tuple((rule, _rx(pattern), name, sort, past) for rule, pattern, name, sort, past in _VERB_SOURCES)

_END_SOURCES: tuple[tuple[str, str, str, Takes], ...] = (
        ("leave-job", _HAVE + r"\s+(?:left|quit|resigned from|been (?:laid off|fired|let go) (?:from|by)|retired "
                              r"from|parted ways with)\s+"
         r"(?:my (?:job|position|role) (?:at|with)\s+)?(?=(?-i:[A-Z]))", "employer", "org"),
        ("leave-job", r"^i was (?:laid off|fired|let go) (?:from|by)\s+(?=(?-i:[A-Z]))", "employer", "org"),
        ("leave-job", _HAVE + r"\s+stopped working (?:at|for)\s+", "employer", "org"),
        ("leave-home", _HAVE + r"\s+(?:moved away from|moved out of)\s+", "home", "place"),
        ("break-up", _HAVE + r"\s+(?:broke up with|broken up with|split up with|got divorced from"
                             r"|divorced)\s+(?=(?-i:[A-Z]))", "partner",
         "name"),
        ("give-up", _HAVE + r"\s+(?:sold|sold off|gave away|got rid of) (?:my|our|the)\s+", "", "thing"),
        ("give-up", _HAVE + r"\s+finished (?:reading |watching )?(?=(?-i:[A-Z]))", "", "thing"),
        ("give-up", _HAVE + r"\s+(?:gave up|given up|quit|stopped \w+ing|dropped|gone off|went off)\s+"
         r"(?!my |the job|it\b|on\b|trying|that\b)", "", "thing"),
)  # fmt: skip
_ENDS = tuple((rule, _rx(pattern), name, sort) for rule, pattern, name, sort in _END_SOURCES)


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
            yield Found(name, one, 0, _end(clause, raw, value, match.end()), rule, says)
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
                yield Found(name, value, 0, _end(clause, raw, value, match.end()), rule, "ends")
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


def _end(clause: Plain, raw: str, value: str, at: int) -> int:
    where = raw.find(value)
    return at + where + len(value) if where >= 0 else len(clause.text)


# What one is ---------------------------------------------------------------------------------------------------

_DIETS = (
    r"(?:an?\s+)?(vegan|vegetarian|pescatarian|flexitarian|lactose[- ]intolerant|gluten[- ]intolerant"
    r"|gluten[- ]free|halal|kosher|"
    r"carnivore|teetotal(?:ler)?|on a (?:keto|paleo|low[- ]carb|gluten[- ]free|vegan|vegetarian) diet)"
)
_STATUS = r"(single|married|engaged|divorced|widowed|separated|in a relationship|a widow|a widower)"
_DIET = _rx(
    r"^(?:i am|i'm|im|i went|i became|i've become|i have become|i turned|i've gone|i have gone|i've been|i "
    r"have been|i was)" + _ADV + r"(?:\s+(?:a|an|strict|strictly|turned|gone|become|became|went))*\s+" + _DIETS + r"\b"
)
_STATUS_IS = _rx(
    r"^(?:i am|i'm|im|we are|we're|i got|we got|i was|i've got|i just got|we just got)"
    + _ADV
    + r"\s+(?:recently |just |happily |newly )?"
    + _STATUS
    + r"(?=$|[,.!]|\s+(?:now|again|since|last|in|on|for|to|with|and|yesterday|this)\b)"
)
_ROLE = _rx(
    r"^i(?:'m|m|'ve| am| have)?"
    + _ADV
    + r"(?:\s+(?:got promoted to|been promoted to|was promoted to|work (?:full|part)[- ]time|work|been working|working"
    r"|worked|was|became|become|been|am employed|employed|started working|started|got a job|have a job|a job"
    r"|found a job|got hired|retrained))?" + _ADV + r"\s+(?:as\s+)?(?:(an?|the|our|your)\s+)?"
)
_AGE = _rx(
    _AM + r"\s+(\d{1,3})(?: years? old| years? of age|yo| y/o)?(?=$|\s*[,.!]|\s+(?:now|and|years old|as of"
    r"|since|already|today)\b)|"
    r"^(?:i|i've|i have)(?: just| recently)?\s+turned (\d{1,3})\b|^my age is (\d{1,3})\b"
)
_HEIGHT = _rx(
    _AM + r"\s+(\d(?:[.,]\d+)?\s?m(?:eters?|etres?)?|\d{3}\s?cm|\d'\s?\d{0,2}\"?|\d (?:feet|foot|ft)(?: "
    r"\d{1,2}(?: inches)?)?)(?: tall)?\b"
)
_BORN = _rx(r"^i was born(?: and (?:raised|grew up))?(?: (?:on|in)\s+(?P<a>.+?))?(?: (?:in|on|at)\s+(?P<b>[^,]+))?$")
_ALLERGIC = _rx(
    _AM + r"\s+(?:severely |deathly |badly |slightly |highly |a bit |mildly )?(?:allergic to|intolerant "
    r"to|intolerant of)\s+|"
    r"^i(?:'ve| have|'ve got)?(?: got| developed| have)? an? (?:\w+ )?(?:allergy|intolerance) to\s+"
)
_ALLERGY = _rx(r"^i(?:'ve| have| suffer from)?(?: got| have)? an? (?P<v>\w+(?: \w+)?) (?:allergy|intolerance)\b")
_HEALTH = _rx(
    r"^i(?:'ve| have| suffer from|'m diagnosed with|'ve been diagnosed with| was diagnosed with| have been "
    r"diagnosed with)(?: got)?"
    + _ADV
    + r"\s+(?:been diagnosed with )?(?:an? |the )?(?P<v>(?:\w+ )?(?:diabetes|asthma|migraines?"
    r"|epilepsy|arthritis|adhd|add|"
    r"hypertension|high blood pressure|low blood pressure|hay fever|celiac disease|coeliac disease"
    r"|insomnia|anemia|anaemia|psoriasis|"
    r"eczema|tinnitus|depression|anxiety|dyslexia|scoliosis|endometriosis|glaucoma|hypothyroidism|crohn's "
    r"disease|ms|ibs|autism|"
    r"parkinson's|sleep apnea|sciatica))\b"
)
_NATIONS = frozenset(
    """german french italian spanish portuguese dutch belgian swiss austrian polish czech slovak hungarian romanian
    bulgarian greek turkish russian ukrainian swedish norwegian danish finnish icelandic irish scottish welsh
    english british american canadian mexican brazilian argentinian chilean colombian peruvian australian japanese
    chinese korean vietnamese thai indonesian indian pakistani bangladeshi iranian iraqi israeli egyptian moroccan
    tunisian nigerian kenyan ethiopian ghanaian south-african filipino malaysian singaporean taiwanese croatian
    serbian slovenian albanian estonian latvian lithuanian cuban jamaican""".split()
)
_PLAIN_NAME = _rx(r"^(?:i am|i'm)\s+(?P<v>(?-i:[A-ZÀ-Þ][\w'-]+(?: [A-ZÀ-Þ][\w'.-]+){0,2}))(?=$|,)")
_EMPLOYED = _rx(r"\s+(?:at|for|with)\s+(?=(?-i:[A-Z]))")


def states(clause: Plain) -> Iterator[Found]:
    """What the owner is: an occupation, a diet, an age, a name."""
    text, says = clause.text, clause.says
    for pattern, name in ((_DIET, "diet"), (_STATUS_IS, "relationship status"), (_HEIGHT, "height")):
        match = pattern.search(text)
        if match:
            over: Says = "held" if says == "holds" and re.match(r"i was\b", text, re.I) else says
            yield Found(name, match.group(1), 0, match.end(1), name.replace(" ", "-"), over)
            return
    match = _AGE.search(text)
    if match and says == "holds":
        value = match.group(1) or match.group(2) or match.group(3)
        yield Found("age", value, 0, match.end(), "age")
        return
    match = _ALLERGIC.search(text)
    if match:
        raw = text[match.end() :]
        for one in split_list(first_words(raw, "thing")):
            if looks_like("thing", one):
                yield Found("allergy", one, 0, _end(clause, raw, one, match.end()), "allergic", says)
        return
    for pattern, name, rule in ((_ALLERGY, "allergy", "allergic"), (_HEALTH, "health", "health")):
        match = pattern.search(text)
        if match:
            yield Found(name, match.group("v"), 0, match.end("v"), rule, says)
            return
    if re.match(r"i was born\b", text, re.I) and says == "holds":
        yield from _born(text)
        return
    yield from _roles(clause)


def _born(text: str) -> Iterator[Found]:
    for match in re.finditer(r"\b(?:on|in|at)\s+(?:the\s+)?", text, re.I):
        rest = text[match.end() :]
        piece = re.split(r"\s+(?:in|on|at|and|to|but)\s+|, (?=in |on |a )", rest)[0].strip(" ,.")
        end = match.end() + len(piece)
        if re.fullmatch(r"(?:19|20)\d\d", piece):
            yield Found("birth year", piece, 0, end, "born")
        elif re.search(r"\d", piece) and looks_like("date", piece):
            yield Found("birthday", piece, 0, end, "born")
        elif piece[:1].isupper() and not looks_like("date", piece):
            place = first_words(piece, "place")
            if looks_like("place", place):
                yield Found("birthplace", place, 0, end, "born")


def _roles(clause: Plain) -> Iterator[Found]:
    text, says = clause.text, clause.says
    match = _ROLE.search(text)
    if not match:
        return
    start = re.match(r"[a-z']+(?: [a-z]+)?", text, re.I)
    opening = match.group().lower()
    raw = text[match.end() :]
    value = first_words(raw, "role")
    firm = " as " in f" {opening}" or "promoted" in opening
    if value and (match.group(1) or firm) and is_role(value) and start:
        over: Says = "held" if says == "holds" and re.match(r"i (?:was|worked)\b(?! promoted)", text, re.I) else says
        of = re.match(r"\s+of\s+[\w ]+?(?=\s+(?:at|for|in|with)\b|$)", raw[len(value) :])
        value += of.group() if of else ""
        yield Found("job", _with_article(match.group(1), value), 0, match.end() + len(value), "role", over)
        firm_match = _EMPLOYED.search(raw)
        if firm_match:
            employer = first_words(raw[firm_match.end() :], "org")
            if looks_like("org", employer):
                yield Found("employer", employer, 0, match.end() + firm_match.end() + len(employer), "role-at", over)
        return
    named = _PLAIN_NAME.search(text)
    if named and says == "holds":
        value = named.group("v")
        if fold(value) in _NATIONS:
            yield Found("nationality", value, 0, named.end(), "nationality")
        elif looks_like("name", value) and text[0] == "I":
            yield Found("name", value, 0, named.end(), "plain-name")
    elif re.match(r"(?:i am|i'm)" + _ADV + r"\s+(?:an? )?(\w+)$", text, re.I) and fold(text.split()[-1]) in _NATIONS:
        yield Found("nationality", text.split()[-1], 0, len(text), "nationality", says)
    elif re.match(r"i(?:'m| am| have|'ve)" + _ADV + r"\s+retired\b", text, re.I):
        yield Found("job", "retired", 0, len(text), "retired", says)


def _with_article(article: str | None, value: str) -> str:
    return f"{article.lower()} {value}" if article and article.lower() in ("a", "an", "the") else value


# Tastes --------------------------------------------------------------------------------------------------------

_LIKE = _rx(
    _I
    + r"\s+(?:like|love|enjoy|adore|am fond of|am into|am a (?:big |huge |great )?fan of|am crazy about)\s+|"
    + _AM
    + r"\s+(?:into|fond of|crazy about|a (?:big |huge |great )?fan of|a lover of|keen on)\s+|"
    r"^i(?:'ve| have) (?:come|grown|started|begun) to (?:like|love|enjoy)\s+|^i (?:started|began) (?:liking"
    r"|loving|enjoying)\s+"
)
_DISLIKE = _rx(
    _I + r"\s+(?:hate|dislike|can't stand|cannot stand|can't bear|detest|loathe|despise|can't abide|am "
    r"sick of|am tired of)\s+|"
    r"^i(?:'ve| have) (?:come|grown|started) to (?:hate|dislike)\s+|" + _AM + r"\s+(?:sick of|no fan of|tired of)\s+"
)
_EAT = _rx(_I + r"\s+(eat|drink|smoke)\s+(?=\w)")
_PREFER = _rx(_I + r"\s+prefer\s+(?P<v>.+?)(?:\s+(?:to|over|rather than|instead of|more than|than)\s+(?P<w>.+))?$")
_CANT_EAT = _rx(r"^i (?:can't|cannot|mustn't|must not|am not allowed to) (?:eat|have|drink)\s+")


def tastes(clause: Plain) -> Iterator[Found]:
    """Likes, dislikes and preferences."""
    text, says = clause.text, clause.says
    if says == "holds" and re.match(r"(?:i|we) prefer|(?:i|we)(?: \w+)? prefer", text, re.I):
        match = _PREFER.search(text)
        if match:
            value = first_words(match.group("v"), "thing")
            other = first_words(match.group("w") or "", "thing")
            if looks_like("thing", value) and not re.match(r"(?:not|that|when|if|your)\b", value, re.I):
                text_ = f"I prefer {value} to {other}." if other else ""
                end = match.start("v") + len(value)
                yield Found("prefers", value, 0, match.end("w") if other else end, "prefer", text=text_, replaces=other)
        return
    for pattern, name in ((_LIKE, "likes"), (_DISLIKE, "dislikes")):
        match = pattern.search(text)
        if not match:
            continue
        raw = text[match.end() :]
        for one in _liked(raw):
            end = _end(clause, raw, one, match.end())
            if says == "ends" and name == "likes" and not clause.any_more:
                yield Found("dislikes", one, 0, end, "dislike")
            else:
                yield Found(name, one, 0, end, name.rstrip("s"), says)
        return
    match = _EAT.search(text)
    if match and says == "ends":
        raw = text[match.end() :]
        value = first_words(raw, "thing")
        if looks_like("thing", value) and len(value.split()) <= 3:
            yield Found(f"does not {match.group(1).lower()}", value, 0, _end(clause, raw, value, match.end()), "avoid")
        return
    match = _CANT_EAT.search(text)
    if match:
        raw = text[match.end() :]
        for one in split_list(first_words(raw, "thing")):
            if looks_like("thing", one) and len(one.split()) <= 3:
                yield Found("does not eat", one, 0, _end(clause, raw, one, match.end()), "avoid")


def _liked(raw: str) -> list[str]:
    value = first_words(raw, "thing")
    if re.match(
        r"(?:the (?:idea|way|fact|sound|look|answer|suggestion|plan|first|second|last|one|new)|your|this"
        r"|that|these|those|how|it\b|"
        r"you\b|to (?:know|see|hear|ask|be|have|get|think|do)\b|my (?!\w+'s )|when|what|being able|hearing "
        r"from|talking to you|working with you)",
        value,
        re.I,
    ):
        return []
    found = [
        re.sub(r"^(?:to|the taste of)\s+", "", one) if one.lower().startswith("the taste") else one
        for one in split_list(value)
    ]
    return [one for one in found if (looks_like("thing", one) or re.match(r"to \w{3,}", one)) and len(one.split()) <= 6]


# My X is Y -----------------------------------------------------------------------------------------------------

_NOUN = (
    r"(?P<n>(?!(?:really|actually|only|currently|probably|usually)\b)[\w'-]+"
    r"(?: (?!is\b|was\b|are\b|were\b|who\b|that\b|which\b|and\b|has\b|have\b|will\b"
    r"|got\b|can\b|does\b|to\b|then\b)[\w'&-]+){0,3}?"
    r"(?: (?:of|for|with|at|to) (?:my |our |the )?[\w'-]+(?: [\w'-]+)?)?)"
)
_IS = (
    r"(?P<is>(?:has |have |was |were |got |is |will )?(?:now )?(?:been |be )?(?:moved|changed|rescheduled|slipped"
    r"|postponed|pushed(?: back| out)?|"
    r"brought forward|delayed|shifted|renamed|switched|updated|raised|increased|lowered|cut|reduced|bumped"
    r"|migrated|extended|dropped|gone up|went up|"
    r"grown|fallen)\s+(?:from .+? )?(?:to|until|till|up to|down to|by)|(?:has |have )?(?:become|became|turned "
    r"into|goes by|will be|takes place|leaves|departs|starts|begins)(?: on| at)?"
    r"|(?:'s|is|are|was|were)" + _ADV + r"(?:\s+(?:called|named|at|on|in|for|set to|set for|scheduled for"
    r"|scheduled on|planned for|due on|due|"
    r"going to be|being))?)"
)
_MY = _rx(r"^(?P<whose>my|our|the)\s+" + _NOUN + r"\s*(?<=[\w'])(?:\s|(?='s))" + _IS + r"\s+(?P<v>\S.*)$")
_ADDRESSED = _rx(
    r"^(?:you can (?:reach|call|phone|text|email|mail) me (?:at|on)|(?:reach|email|text|phone) me (?:at"
    r"|on))\s+(?P<v>\S+.*)$"
)
_REVERSED = _rx(
    r"^(?P<v>[\w'&.+#-]+(?: [\w'&.+#-]+){0,4}?)\s+(?:is|was|became|has become)"
    + _ADV
    + r"\s+(?:my|our)\s+(?:new |own |absolute |all-time )?"
    r"(?P<n>[\w'-]+(?: [\w'-]+){0,2}?)(?: now| these days| at the moment| currently)?$"
)
_CANCELLED = _rx(
    r"^(?P<whose>my|our|the)\s+" + _NOUN + r"\s+(?:is|was|has been|got|have been|has)\s+(?:been "
    r")?(?:cancelled|canceled|called off|scrapped)\b"
)
_MOVED = _rx(
    r"^(?:(?:i|we|they|he|she|it|somebody|someone|[\w'.]+(?: [\w'.]+){0,3}?)(?:'ve| have| has| had to| needed "
    r"to)?(?: just| also| now)*)\s+"
    r"(?:moved?|rescheduled?|pushed?|postponed?|changed?|raised?|increased?|lowered?|reduced?|cut|shift(?:ed)?"
    r"|extend(?:ed)?|bump(?:ed)?"
    r"|upped|set|brought|bring|switch(?:ed)?|delay(?:ed)?|updated?)\s+(?P<whose>my|our|the)\s+"
    + _NOUN
    + r"(?: back| forward| up| down| out)?(?:\s+from\s+(?P<w>\S.*?))?\s+to\s+(?P<v>\S.*)$"
)
_BARE = _rx(
    r"^(?P<n>(?!my\b|our\b|the\b)(?:[\w-]+ ){0,2}[\w-]+)\s+(?:(?:has |was |is |got |been )*(?:moved|slipped"
    r"|postponed|pushed(?: back)?"
    r"|rescheduled"
    r"|delayed|shifted|changed|brought forward)\s+to|is now(?: on| at)?)\s+(?P<v>\S.*)$"
)
_NEW_ONE = _rx(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| finally| recently| also)*(?:\s+(?:found|have|got|hired|picked|chosen"
    r"|chose))?\s+an?\s+new\s+"
    r"(?P<n>[\w'-]+(?: [\w'-]+){0,2}?)\s*(?:[:,–—]|\s-|\s+(?:called|named)|,? (?:his|her|its|the) name "
    r"is)\s*(?P<v>\S.*)$"
)
_NAMING = frozenset(
    "medication medicine drug breakfast dessert drink snack sport instrument breed brand model username genre "
    "flavour flavor"
    " shift topic subject material handle login pronoun pronouns diet major minor".split()
)
"""Heads of what is named by a plain noun: "my medication is ramipril"."""

_OF_PERSONS = frozenset(
    "advisor adviser mentor supervisor assistant buddy partner successor deputy editor agent guide guru".split()
)
_BAD_NOUN = frozenset(
    "guess point question problem hope thought idea understanding opinion impression concern issue "
    "worry bad first second last "
    "next plan mistake fault request answer response advice favorite favourite text message input "
    "prompt feeling day life head "
    "back stomach heart leg arm eyes foot mind mood fear dream wish experience goal aim intention "
    "main biggest only best worst code program script function app class loop query "
    "whole entire most other one two three dear god word turn bet".split()
)


def possessions(clause: Plain) -> Iterator[Found]:
    """ "My X is Y", "our X was moved to Y", "the deadline is Y", "Y is my X"."""
    text, says = clause.text, clause.says
    match = _ADDRESSED.search(text)
    if match:
        name = "email" if "@" in match.group("v") else "phone number"
        value = match.group("v").split()[0] if name == "email" else match.group("v")
        if looks_like("code", value):
            yield Found(name, value.rstrip("."), 0, len(text), "reach-me")
        return
    cancelled = _CANCELLED.search(text)
    if cancelled and _is_concern(cancelled.group("whose"), cancelled.group("n")):
        yield Found(canonical(cancelled.group("n")), "", 0, len(text), "cancelled", "ends")
        return
    match = _MY.search(text)
    if match:
        yield from _possession(clause, match)
        return
    changed = _changed(text)
    if changed is not None:
        yield changed
        return
    match = _REVERSED.search(text)
    if match and fold(match.group("v")).split()[0] not in (
        "it",
        "this",
        "that",
        "he",
        "she",
        "they",
        "there",
        "what",
        "which",
        "here",
        "you",
        "i",
    ):
        name = canonical(match.group("n"))
        value, known = match.group("v"), attribute(match.group("n"))
        is_of = fold(match.group("n")).split()[-1] in _OF_PERSONS and looks_like("name", value)
        fits = looks_like(known.takes, value) if known else is_of or name.startswith("favourite ")
        if fits and not _is_kin_noun(name):
            yield Found(name, value, 0, len(text), "is-my", says)


def _changed(text: str) -> Found | None:
    """ "We moved the wedding to Y", "launch slipped to Y", "I have a new boss: Y"."""
    for pattern in (_MOVED, _BARE, _NEW_ONE):
        match = pattern.search(text)
        if not match:
            continue
        groups = match.groupdict()
        noun, whose = match.group("n"), groups.get("whose") or ("the" if pattern is _BARE else "my")
        if not _is_concern(whose, noun) and attribute(noun) is None:
            continue
        name = canonical(noun)
        value = first_words(match.group("v"), takes(name))
        if value and _fits(name, takes(name), value, named=pattern is _NEW_ONE):
            other = first_words(groups.get("w") or "", takes(name))
            return Found(name, value, 0, match.start("v") + len(value), "changed", replaces=other, corrects=True)
    return None


def _possession(clause: Plain, match: re.Match[str]) -> Iterator[Found]:
    noun = match.group("n")
    noun = re.sub(r" (?:since|from) [\w ]+$", "", noun)
    named_one = re.match(r"name of (?:my|our|the) (.+)", noun, re.I)
    if named_one:
        noun = named_one.group(1)
    elif fold(noun).endswith("'s name"):
        noun = noun[:-7]
    elif (owner := attribute(noun.split("'s ")[0])) is not None and "'s " in noun and owner.takes == "name":
        return  # of somebody else: people.py
    elif noun.split()[-1][:1].isupper() and attribute(" ".join(noun.split()[:-1])) is not None:
        return  # "my sister Kate"
    name, sort = canonical(noun), takes(canonical(noun))
    if not named_one and not _is_concern(match.group("whose"), noun):
        return
    verb = match.group("is").lower()
    raw = match.group("v")
    named = "called" in verb or "named" in verb or "name" in fold(match.group("n")).split("'s ")[-1].split()
    if fold(noun).endswith(" name") and attribute(noun[:-5]) is not None:
        name, sort = canonical(noun[:-5]), "name"
    if (
        sort == "date"
        and fold(name).split()[-1] in OCCASIONS
        and not verb.startswith(("'s", "is", "are", "was", "will", "takes"))
    ):
        sort = "date"
    replaces = ""
    other = re.match(r"(?P<a>.+?)\s+(?:to|->|→)\s+(?P<b>.+)$", raw) if " from" in f" {raw}"[:6] else None
    if other:
        raw, replaces = other.group("b"), re.sub(r"^from\s+", "", other.group("a"))
    not_that = re.search(r",?\s+(?:and )?not\s+(.+)$", raw)
    if not_that:
        replaces = replaces or first_words(not_that.group(1), sort)
        raw = raw[: not_that.start()]
    value = first_words(raw, sort)
    if name == "phone number" and sum(c.isdigit() for c in value) < 5:
        name, sort = "phone model", "thing"
        value = first_words(raw, sort)
    says: Says = (
        "held"
        if re.match(r"was|were", verb)
        and clause.says == "holds"
        and not re.search(
            r"\b(?:moved|changed|resch|post|pushed|brought|ren"
            r"|shift|switch|updat|rais|incr|low|cut|red|bump|mig|ext|delay)",
            verb,
        )
        else clause.says
    )
    if sort == "name" and re.search(r"moved|postponed|pushed|shifted|migrated|grown|takes place|went|gone", verb):
        return  # "my sister moved to Rome"
    if not value or not _fits(name, sort, value, named=named):
        return
    many = split_list(value) if is_many(name) and " and " in raw else [value]
    end = match.start("v") + max(0, match.group("v").find(value)) + len(value)
    changed = bool(
        re.search(
            r"moved|changed|resch|postp|pushed|brought|renamed|switched|updated|become|became|now"
            r"|raised|increased|lowered|delayed",
            verb,
        )
    )
    for one in many:
        yield Found(
            name,
            one,
            0,
            end,
            "my-is",
            says,
            replaces=replaces,
            corrects=changed,
            several=len(many) > 1,
            noun=fold(noun) if sort == "name" and attribute(noun) else "",
        )


def _fits(name: str, sort: Takes, value: str, *, named: bool) -> bool:
    if name.startswith("favourite ") or name in ("hobby", "preference", "prefers"):
        return looks_like("thing", value) and fold(value).split()[0] not in (
            "not",
            "very",
            "so",
            "really",
            "too",
            "in",
            "on",
        )
    if sort == "thing":
        known = attribute(name) is not None
        first = fold(value).split()[0]
        if head(name) in _NAMING and len(value.split()) <= 3 and first not in NOT_NAMES and not first.endswith("ing"):
            return True
        return (
            named
            or is_thing(value)
            or (known and len(value.split()) <= 3 and not first.endswith("ing") and first in ("vim", "emacs", "linux"))
        )
    if sort == "org":
        return is_thing(value) or named
    return looks_like(sort, value, named=named)


def _is_concern(whose: str, noun: str) -> bool:
    """Whether "my NOUN" or "the NOUN" is a matter of the owner's, and no figure of speech."""
    noun_head, first = _head(noun), fold(noun).split()[0]
    if attribute(noun) is not None and whose.lower() != "the":
        return True
    if first in _BAD_NOUN and not (
        first in ("favorite", "favourite", "main", "best", "next", "first", "second") and len(noun.split()) > 1
    ):
        return False
    return noun_head in CONCERNS if whose.lower() in ("the", "our") else noun_head not in _BAD_NOUN


def _head(noun: str) -> str:
    return fold(re.split(r"\s+(?:of|for|with|at|to)\s+", noun)[0]).split()[-1]


def _is_kin_noun(name: str) -> bool:
    return name in ("child",)


FACTS: tuple[Rule, ...] = (verbs, states, tastes, possessions)
