"""What an answer must hold: a time of day, a day, a sum, a number; and which sentences ask instead of telling.

A question for a time is answered by a time, whatever else a statement speaks of; two statements that give the same sort
of value may be about one matter, "make it 4pm" and "the dentist is at 3". Sorts are told by their form, in any case.
"""

from __future__ import annotations

import re
from typing import Literal

from secondme.text.date_words import WEEKDAY_WORDS
from secondme.text.terms import words

Sort = Literal["time", "day", "money", "often", "long", "version", "number", "code", "name", "place"]
"""day: a weekday or a date. often: a frequency. long: a duration. code: a number to dial or to type. place: words after
a preposition of place."""

CRISP: frozenset[Sort] = frozenset({"time", "day", "money", "often", "long", "version", "number", "code"})
"""Sorts that nothing but an answer of that sort looks like."""

_NUMERAL = (
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred)"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_WEEKDAY = rf"(?:(?:mon|tues?|wednes|weds?|thu(?:rs)?|fri|satur|sun)(?:days?)?|sat|{'|'.join(sorted(WEEKDAY_WORDS))})"
_PERIOD = r"(?:week|month|year|spring|summer|autumn|fall|winter)"
_SOURCES: tuple[tuple[Sort, str], ...] = (
    (
        "time",
        r"\b\d{1,2}[:.h]\d\d(?:\s?[ap]\.?m\b)?(?!\d)|\b\d{1,2}\s?(?:[ap]\.?m\b|o'?clock\b)"
        r"|\b(?:noon|midnight|midday)\b"
        rf"|\b(?:half|quarter|ten|twenty|five)(?: past| to|(?= {_NUMERAL}\b))"
        rf"|\bat {_NUMERAL}\b|\bat \d{{1,2}}\b(?![:.%])",
    ),
    (
        "day",
        rf"\b{_WEEKDAY}s?\b|\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\b|\b{_MONTH} \d{{1,4}}(?:st|nd|rd|th)?\b"
        rf"|\b(?:in|until|till|from|to|by|early|late|mid|end of|this|next) {_MONTH}\b"
        r"|\b\d{1,2}[./-]\d{1,2}(?:[./-]\d{2,4})\b|\b(?:19|20)\d\d-\d\d-\d\d\b|\b\d{1,2}(?:st|nd|rd|th)\b"
        rf"|\b(?:tomorrow|today|tonight|weekend|(?:next|this|last) {_PERIOD})\b"
        r"|\b(?:christmas|easter|halloween|(?:19|20)\d\d)\b",
    ),
    (
        "money",
        r"[$€£¥]\s?\d|\b\d[\d.,]*\s?(?:k\b|euros?|dollars?|pounds?|quid|bucks|usd|eur|gbp|grand|pence|cents?|€|£|\$)"
        rf"|\b{_NUMERAL} (?:hundred|thousand|grand|quid|bucks|pounds|euros|dollars)\b",
    ),
    (
        "often",
        r"\b(?:once|twice|thrice|\w+ times) (?:a|an|per|every)\b|\bevery (?:other |second |single )?(?:\w+ ){0,2}?"
        r"(?:days?|weeks?|months?|years?|mornings?|evenings?|nights?|hours?|minutes?|weekends?|\w+days?)\b"
        r"|\b(?:daily|weekly|monthly|yearly|hourly|nightly|fortnightly|biweekly)\b",
    ),
    (
        "long",
        rf"\b(?:\d[\d.,]*|an?|half an?|{_NUMERAL})[- ]"
        r"(?:seconds?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?)\b",
    ),
    ("version", r"\bv?\d+(?:\.\d+)+\b"),
    ("code", r"\d[\d ()+/.-]{5,}\d|\+\d{6,}|\S+@\S+\.\w+"),
    ("number", rf"\b\d|\b{_NUMERAL}\b"),
)
_SORTS = tuple((sort, re.compile(pattern, re.I)) for sort, pattern in _SOURCES)
_NAME = re.compile(r"(?<![.!?:]\s)(?<!^)\b(?!I\b|I'|I’)[A-ZÀ-ÞŁŚŽČØÅ][\w&+'’.-]*")
_PLACE = re.compile(
    r"\b(?:in|at|to|into|near|under|behind|beside|inside|outside|above|below|beneath|by|with|on|between|next to)"
    r"\s+(?:the|a|an|my|our|his|her|their|[A-ZÀ-Þ])"
)
_NOT_NAMES = frozenset("i ok okay lol btw fyi ugh update no yes sorry correction".split())


def sorts_of(text: str) -> frozenset[Sort]:
    """Sorts of values that stand in `text`."""
    found: set[Sort] = {sort for sort, pattern in _SORTS if pattern.search(text)}
    if any(words(m.group())[:1] and words(m.group())[0] not in _NOT_NAMES for m in _NAME.finditer(text)):
        found.add("name")
    if _PLACE.search(text):
        found.add("place")
    return frozenset(found)


_ASKED: tuple[tuple[frozenset[Sort], re.Pattern[str]], ...] = tuple(
    (frozenset(sorts), re.compile(pattern, re.I))  # type: ignore[arg-type]
    for sorts, pattern in (
        (("often", "number", "day"), r"\bhow (?:often|frequently|regularly)\b|\bhow many times\b"),
        (("time", "often", "number"), r"\b(?:what|which|at what|around what) time\b|\bwhat hour\b"),
        (
            ("day", "often", "number"),
            r"\b(?:what|which|on what|on which) (?:day|date|month|week|weekday|year)\b"
            r"|\bwhat(?:'s| is| was) the (?:\w+ ){0,2}date\b",
        ),
        (
            ("money", "number"),
            r"\bhow much (?:money|is|are|does|do|did|was|were|will|am)\b"
            r".*\b(?:cost|pay|paid|charge|earn|make|spend|price|rent|is|are|was)\b"
            r"|\b(?:price|salary|wage|rent|budget|fee|cost|quote)\b",
        ),
        (("number", "money", "long"), r"\bhow (?:many|much|old|tall|far|big|heavy|high)\b"),
        (("long", "number", "time", "day"), r"\bhow long\b"),
        (("version", "number"), r"\b(?:which|what) (?:\w+ ){0,2}version\b"),
        (
            ("code", "number"),
            r"\be-?mail\b|\b(?:phone|mobile|cell) ?number\b|\b(?:what|which)\b.*\bnumber\b|\bpin\b|\bextension\b",
        ),
        (("time", "day", "often", "number"), r"\bwhen\b"),
    )
)


def sorts_asked(question: str) -> frozenset[Sort]:
    """Sorts of which an answer must hold one; none where any words may answer."""
    return next((sorts for sorts, pattern in _ASKED if pattern.search(question)), frozenset())


_ASKS = re.compile(
    r"^\W*(?:(?:hey|hi|ok|okay|so|and|but|also|please|pls|oh|well|btw|quick question)[\s,:]+)*(?:"
    r"(?:who|whom|whose|what|which|where|how)(?:'s|s|'re|'d)?\s+(?:the|my|our|is|are|was|were|do|does|did|am|can"
    r"|could|should|would|will|have|has|had|to|many|much|long|often|old|far|rhymes|if|about|kind|sort|time"
    r"|\w+ (?:is|are|was|were|do|does|did|should|can))\b"
    r"|(?:when|why)(?:'s)?\s+(?:is|are|was|were|do|does|did|am|can|could|should|would|will|have|has|had)\b"
    r"|(?:is|are|am|was|were|do|does|did|can|could|would|should|will|have|has|had)\s+"
    r"(?:i|you|we|it|there|this|that|the|my|our|he|she|they|any\w*|some\w*)\b"
    r"|(?:explain|translate|summari[sz]e|write(?! to (?:me|us)| me)|draft|compose|rewrite|proofread|suggest"
    r"|recommend|list|compare|define"
    r"|describe|calculate|convert|help me|give me|tell me|show me|find me"
    r"|say (?:it|that|this)|shorten|continue|go on|repeat (?:it|that|this)|paraphrase|rephrase"
    r"|tell us|remind me what|any (?:ideas?|tips|chance))\b)",
    re.I,
)


def asks(text: str) -> bool:
    """Whether `text` is a question or a request and tells nothing: with or without its question mark."""
    return text.rstrip().endswith("?") or _ASKS.search(text) is not None


_TO_DO = re.compile(
    r"^\W*(?:(?:please|pls|can you|could you|would you|will you|ok|okay|so|now|and)[\s,]+)*"
    r"(?:summari[sz]e|explain|describe|paraphrase|translate|compare|list(?!\s+of\b)|give me|tell me|show me"
    r"|write(?!\s+(?:down|that|this)\b)(?:\s+me)?)\b"
    r"(?:\s+(?:an?|the|some)?\s*(?:(?:short|brief|quick)\s+)?(?:summary|overview|explanation|description|list|gist|sentences?"
    r"|paragraphs?|words?)\s+(?:of|about|on|for)\b)?(?:\s+(?:about|to me|briefly|shortly)\b)*\s*",
    re.I,
)
_FORM = re.compile(
    r"(?<![\s,])[\s,]+(?:(?:in|with|using|as)\s+(?:(?:at most|about|no more than|only|just)\s+)?(?:an?|one|two"
    r"|three|four|five|six|seven|ten|\d+|few|short|simple|plain|bullet)\s+(?:\w+\s+)?(?:sentences?|words?|lines?|points?"
    r"|paragraphs?|bullets?|terms)|briefly|in short|in brief|please)\W*$",
    re.I,
)


_BETWEEN = re.compile(
    r"(?<=[.!?…])\s+|\s+[-–—]{1,2}\s+|;\s+|\n+|,?\s+(?=(?:anyway|btw|by the way)\b)"
    r"|,?\s+(?=(?:and|but|so|also)\s+(?:(?:can|could|would|will) you|what|how|any|who|where|when|why|is it|do you)\b)",
    re.I,
)
"""Between what is told and what is asked: in chat often without a stop, or without a capital behind it."""
_LEADS_IN = re.compile(r"^\W*(?:(?:anyway|also|btw|by the way|and|so|but|ok|okay|oh|hey|now|then)[\s,]+)*", re.I)
_WANTS = re.compile(
    r"(?:can|could|would|will) you\b|(?:got )?any (?:\w+ )?(?:ideas?|tips?|chance|suggestions?|advice|thoughts?)\b"
    r"|(?:tell|give|write|suggest|remind|help|draft|find|show|explain)\b",
    re.I,
)


def told_part(text: str) -> str:
    """What of `text` tells something: the clauses that ask or request are left out. "" where nothing is left."""
    return " ".join(part for part in _BETWEEN.split(text) if part.strip() and not _asks_for(part))


def _asks_for(part: str) -> bool:
    bare = _LEADS_IN.sub("", part)
    return part.rstrip().endswith("?") or asks(bare) or requests(bare) or _WANTS.match(bare) is not None


_TO_WRITE = re.compile(
    r"^\W*(?:\w+[\s,]+){0,6}?(?:summari[sz]e|explain|describe|paraphrase|translate|compare|write(?!\s+(?:down|that|this)\b)"
    r"|(?:summary|overview|explanation|description|gist|list) of)\b",
    re.I,
)
_HEAD = 200
"""Characters within which a request says that it is one. Blanks are single, or the pattern would try their runs."""


def requests(text: str) -> bool:
    """Whether `text` says what is to be done, such as "summarise ..."; it tells nothing."""
    return _TO_DO.match(" ".join(text[:_HEAD].split())) is not None


def is_to_be_written(text: str) -> bool:
    """Whether `text` requests what no sentence of memory can be: a summary, an explanation, a translation."""
    return _TO_WRITE.match(" ".join(text[:_HEAD].split())) is not None


def asked_about(question: str) -> str:
    """`question` without what is to be done and in which form: nothing in memory speaks of those.

    "Summarise what slices are in two sentences" is about "what slices are". What is no request, or of nothing else,
    stays.
    """
    if not requests(question):
        return question
    about = _FORM.sub("", _TO_DO.sub("", " ".join(question.split()), count=1))
    return about if any(c.isalnum() for c in about) else question


def values_in(text: str) -> list[str]:
    """What in `text` looks like a value: names, and values of the crisp sorts."""
    return [m.group() for m in _NAME.finditer(text)] + [m.group() for _, p in _SORTS for m in p.finditer(text)]


def without_values(text: str) -> str:
    """`text` without what looks like a value."""
    for _, pattern in _SORTS:
        text = pattern.sub(" ", text)
    return _NAME.sub(" ", text)
