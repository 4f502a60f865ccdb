"""Claims about what is at a time: appointments, and what the owner did or went through."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.found import Found
from secondme.reflect.negation import Plain
from secondme.reflect.values import NOT_NAMES, looks_like, mentions_date
from secondme.text.attributes import OCCASIONS, canonical
from secondme.text.terms import fold

_OCC = "|".join(sorted(OCCASIONS, key=len, reverse=True))
_NP = (
    rf"(?P<n>(?:(?!to\b|on\b|at\b|the\b|in\b)[\w'-]+ ){{0,3}}?(?:{_OCC}))(?: (?:with|to|at|for|in|of) (?:my |the "
    rf"|our |a )?(?P<w>(?!on\b|at\b|next\b|this\b|tomorrow\b)[\w'.-]+(?: (?!on\b|at\b|next\b|this\b|from\b|in\b"
    rf"|tomorrow\b)[\w'.-]+)??))?"
)
_WHO = (
    r"(?P<n>dentist|doctor|gp|therapist|physio(?:therapist)?|vet|lawyer|accountant|optician|hairdresser|barber"
    r"|dermatologist|cardiologist|surgeon|"
    r"gynaecologist|gynecologist|psychologist|psychiatrist|orthodontist|notary|tax advisor|landlord|bank|midwife"
    r"|specialist)"
)
_TIME = (
    r"(?P<v>(?:on |at |this |next |tomorrow|today|tonight|in (?=\d|a |an |two|three|four|five|six|seven|eight"
    r"|nine|ten|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|from |(?:at )?the \d).*)$"
)


def _rx(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


_HAVE = _rx(
    rf"^(?:i|we)(?:'ve| have|'m having| am having)?(?: now| also| just| already| got| have| has)*(?: got| "
    rf"scheduled| booked| made| set up| arranged| planned)?\s+(?:an?|my|our|the|another)\s+{_NP}\s+(?:is "
    rf"|set |scheduled |booked |planned )?(?:for )?{_TIME}"
)
_THERE = _rx(rf"^there(?:'s| is) (?:an?|my|our|the)\s+{_NP}\s+{_TIME}")
_SEE = _rx(
    rf"^(?:i|we)(?:'m| am|'re| are)?\s+(?:see|seeing|meet|meeting|visit|visiting|go to|going to|have to "
    rf"see)\s+(?:my|the|a|our)\s+{_WHO}\s+(?:again )?{_TIME}"
)
_LEADING = _rx(
    rf"^(?P<v>(?:on |this |next |tomorrow|in ).{{0,40}}?),?\s+(?:i|we)(?:'m| am|'ll| will| have| 've"
    rf"|'ve)*\s+(?:see|seeing|meet|meeting|visit|visiting|go to|going to|got|have)?\s*(?:my|the|an?"
    rf"|our)\s+(?:{_WHO}|(?P<m>(?:[\w'-]+ ){{0,2}}(?:{_OCC})))\b"
)
_SHORT = _rx(
    r"^(?P<n>(?:[\w'-]+ ){0,2}(?:appointment|meeting|deadline|flight|checkup|interview|exam))(?::"
    r"|,)?\s+(?P<v>(?:on |next |this |tomorrow|at ).+)$"
)
_TRAVEL = _rx(
    rf"^(?:i|we)(?:'m|'re| am| are)\s+(?P<n>flying|travelling|traveling|going|driving|heading"
    rf"|moving)\s+(?:back |over |out )?to\s+(?P<p>(?-i:[A-Z][\w'-]+(?: [A-Z][\w'-]+)*))\s+(?:for [\w ]+ "
    rf")?{_TIME}"
)

_LIFE = (
    r"got (?:married|engaged|divorced|promoted|fired|laid off|hired|a dog|a cat|a puppy|a kitten|a (?:new )?(?:job"
    r"|car|bike|promotion|raise|tattoo|scholarship|degree|phd|diagnosis))"
    r"|graduated|retired|passed (?:my|the)|failed (?:my|the)|ran (?:a|my|the)|finished (?:my|the|a|writing|reading"
    r"|building)|broke (?:my|a)|had (?:surgery|an? (?:baby|operation|accident|miscarriage|surgery|party|car accident"
    r"|knee surgery|job interview|interview|great|wonderful))"
    r"|bought (?:a|an|our|my|the)|sold (?:my|our|the|a)|adopted|won (?:a|the|my)|lost my|met (?:my|the|(?-i:[A-Z]))"
    r"|visited|travelled to|traveled to|went (?:to|on|hiking|skiing|climbing|sailing|diving|swimming|camping)|flew "
    r"to|climbed|hiked"
    r"|started (?:a|my|therapy|university|school|running)|quit (?:my|smoking|drinking)|moved (?:in|out|house|flat)"
    r"|painted|planted|built|published|saw (?:the|my|a|(?-i:[A-Z]))|attended|celebrated|gave birth|became a|cooked"
    r"|baked|learned to|learnt to|wrote (?:a|my)|gave (?:a|my)|spent (?:a|the|two|three|my)|joined (?:a|the)|took "
    r"(?:part|a|my|the)|stayed (?:in|at|with)|rode|swam|watched|played (?:in|at|my)|repaired|renovated|crashed"
    r"|injured|hurt|sprained|founded|launched|signed|completed|submitted|defended|submitted"
)
_DID = _rx(
    rf"^(?P<lead>(?:yesterday|today|last \w+|this (?:morning|week|month|year|spring|summer|autumn|winter"
    rf"|\w+day)|on \w+(?: \w+){{0,3}}|in \w+(?: \d{{4}})?|(?:two|three|four|five|six|a|\d+) \w+ ago|earlier "
    rf"today|a while ago|the other day)\s*,?\s+)?"
    rf"(?:i|we)(?:'ve| have)?(?: just| finally| also| recently| already| actually)*\s+(?P<v>{_LIFE})\b"
)
_BIG = _rx(
    r"^(?:got (?:married|engaged|divorced|promoted)|graduated|retired|had (?:a baby|surgery|an operation|an "
    r"accident|a car accident)|adopted|broke (?:my|a)|lost my (?:job|wallet|keys|father|mother|dad|mom|mum)"
    r"|gave birth|ran (?:a|my first) (?:half[- ])?marathon|passed (?:my|the) [\w' -]*(?:exam|test|driving)"
    r"|won (?:a|the)|published|founded|bought (?:a|an|our) (?:house|flat|apartment|car|boat|bike|farm|dog"
    r"|horse)|sold (?:my|our) (?:house|flat|car|company|boat|apartment))"
)
_WITH_PREPOSITION = _rx(r"(?:on|at|in|next|this|tomorrow|today|tonight|from)\b")
_DECIDED = _rx(
    r"^(?:we|i)(?:'ve| have)?(?: now| finally| just| all)?\s+(?:decided|agreed|resolved"
    r"|settled)\s+(?P<v>(?:to|on|that|against|not to)\b.+)$"
)


def happenings(clause: Plain) -> Iterator[Found]:
    """Appointments with their time, then events."""
    text = clause.text
    if clause.says == "holds":
        found = next(_appointment(text), None)
        if found is not None:
            yield found
            return
        match = _TRAVEL.search(text)
        if match:
            yield Found("plan", text, 0, len(text), "travel", kind="episodic", text=_told(text))
            return
        match = _DECIDED.search(text)
        if match and len(match.group("v").split()) > 2:
            yield Found("decision", match.group("v"), 0, len(text), "decided", kind="episodic", text=_told(text))
            return
        match = _DID.search(text)
        if match and (
            _BIG.search(text[match.start("v") :])
            or mentions_date(text)
            or re.search(r"\bago\b|\blast\b|\byesterday\b", text, re.I)
        ):
            yield Found("event", text, 0, len(text), "did", kind="episodic", text=_told(text))


def _appointment(text: str) -> Iterator[Found]:
    for rule, pattern in (
        ("appointment", _HAVE),
        ("appointment", _THERE),
        ("see", _SEE),
        ("see", _LEADING),
        ("appointment", _SHORT),
    ):
        match = pattern.search(text)
        if not match:
            continue
        value = _time(match.group("v"))
        groups = match.groupdict()
        noun = fold(groups.get("n") or groups.get("m") or "")
        if not noun or not looks_like("date", value) or re.search(r"\b(?:every|each|always|usually)\b", value):
            continue
        if rule == "see" and groups.get("n"):
            noun = f"{noun} appointment"
        who = groups.get("w")
        if (
            who
            and noun.split()[-1]
            in ("appointment", "meeting", "call", "interview", "lunch", "dinner", "checkup", "check-up")
            and fold(who) not in NOT_NAMES
        ):
            noun = f"{fold(who)} {noun}" if noun in OCCASIONS else noun
        name = canonical(noun)
        at = match.end("v")
        yield Found(
            name,
            value,
            0,
            at,
            rule,
            text=f"My {name} is {'' if _WITH_PREPOSITION.match(value) else 'on '}{value}.",
        )
        return


def _time(raw: str) -> str:
    """The time alone: "on Friday at 3, I hope" is "Friday at 3"."""
    cut = re.split(
        r"[,;!?](?=\s|$)|\s+(?:and (?:i|we|then|it|my)|but|because|so|with|to (?!\d)|about|for (?!\d)"
        r"|which|where|before (?!\d|noon)|after (?!\d|noon)|if|instead)\b",
        raw,
    )[0]
    return re.sub(r"^(?:on|at)\s+(?=\w+day|\d{1,2}(?:st|nd|rd|th)|the )", "", cut.strip(" .,"), flags=re.I)


def _told(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + "."
