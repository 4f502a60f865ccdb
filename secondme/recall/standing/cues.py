"""Signs in the words of one statement: that it asks, that something became otherwise, and of whom it speaks.

Each is weak and counts a little; what they count is learned (weights.py). They name no attribute and no value.
"""

from __future__ import annotations

import re

from secondme.text.terms import fold

_REQUEST = re.compile(
    r"^\W*(?:(?:hey|hi|ok|okay|so|and|but|also|please|pls|oh|well|btw|sorry|quick question|question)[\s,:]+)*"
    r"(?:what|who|whom|whose|which|where|when|why|how|is|are|am|was|were|do|does|did|can|could|would|should|will|has"
    r"|have|best|any|recipes?|poem|ideas?|songs?|good|explain|translate|write|make|give|tell|find|suggest|help|name"
    r"|list|show|need an?|looking for|difference|legal|similar|until|at what|in which|for how|from what)\b",
    re.I,
)
_RECENT = re.compile(
    r"\b(?:now|since|from (?:now|here|today|then)|as of|these days|nowadays|this time|new|latest|meanwhile|today"
    r"|yesterday|just|finally|officially|last night|this (?:morning|week|spring|summer|year|month)|starting"
    r"|until further notice|by now|again)\b",
    re.I,
)
_BECAME = re.compile(
    r"\b(?:mov(?:e|ed|ing)|switch\w*|swap\w*|chang\w*|went (?:over|up|down|with|back)|gone|go(?:es)? up|bump\w*"
    r"|rais\w*|lower\w*|shift\w*|push\w*|replac\w*|upgrad\w*|migrat\w*|transfer\w*|convert\w*|reschedul\w*|postpon\w*"
    r"|exten(?:d\w*|sion)|renam\w*|join\w*|start\w*|becom\w*|became|turned|promot\w*|took over|put me|assigned"
    r"|rebook\w*|got an?|bought|traded|makes? (?:it|that)|correct(?:ed|ion)|updat\w*|drop\w* to|rose|up to|down to"
    r"|rolled|opened at|enrolled)\b",
    re.I,
)
_OVER = re.compile(
    r"\b(?:left|quit|sold|clos\w*|shut|broke|broken|burst|died|dead|lost|stolen|cancel\w*|finish\w*|ended|over"
    r"|stopp\w*|gave up|given up|no longer|any ?more|any longer|not|isn'?t|doesn'?t|don'?t|can'?t|retire\w*|leave|split"
    r"|divorce\w*|instead|rather|forget|wrong|mis(?:read|heard|spoke|typed|remembered)|mistake|sorry|oops|wait|scratch"
    r"|actually|turns out|turned out|too \w+|because)\b",
    re.I,
)
_PEOPLE = re.compile(
    r"\b(?:friend|flatmate|roommate|colleague|co-?worker|neighbou?r|boss|manager|buddy|mate|guy|lady|bloke|folks"
    r"|people|others|everyone|everybody|somebody|someone|bestie|cousin|uncle|aunt|nephew|niece|brother|sister|sis|bro"
    r"|mum|mom|dad|mother|father|gran\w*|in-?laws?|ex|hubby|husband|wife|partner|son|daughter|kids?|children|twins"
    r"|boyfriend|girlfriend|[bg]f|fianc[eé]e?|landlord|landlady|client|customer|team|intern|\w+mate|\w+-in-law)\b",
    re.I,
)

_BACK = re.compile(
    r"\b(?:used to|miss(?:ed|ing)?|nostalgi\w+|remember(?:s|ed|ing)? (?:when|how|the|that|my|our)|back (?:when|then|in)"
    r"|once|in (?:those|the old) days|dream(?:s|ed|t|ing)? of|fond\w*|memor(?:y|ies)|good old|still|always"
    r"|(?:my|our|the|that) (?:old|former|previous|first|ex)|(?:i|we) had|had (?:been|had))\b"
    r"|\bfor \w+(?:-\w+)? years\b",
    re.I,
)
_OWN = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|im|ive|me|we|we're|we've|we'll|us|mine|ours|myself)\b", re.I)
_MY = re.compile(r"\b(?:my|our)\s+([\w-]+)", re.I)


def begins_as_asked(text: str) -> bool:
    """Whether it begins as questions and requests do, which in chat often have no question mark."""
    return _REQUEST.search(text) is not None


def is_recent(text: str) -> bool:
    """Whether it says that something is so of late."""
    return _RECENT.search(text) is not None


def became(text: str) -> bool:
    """Whether it says that something became otherwise, by what it is now."""
    return _BECAME.search(text) is not None


def is_over(text: str) -> bool:
    """Whether it says that something is over or was wrong."""
    return _OVER.search(text) is not None


def looks_back(text: str) -> bool:
    """Whether it speaks of how things were."""
    return _BACK.search(text) is not None


def is_own(text: str) -> bool:
    """Whether the owner, or what is his, is in it; his people do not count."""
    return _OWN.search(text) is not None or any(not _PEOPLE.fullmatch(m) for m in _MY.findall(text))


def people(text: str) -> frozenset[str]:
    """What people are called in it who are not the owner, folded."""
    return frozenset(fold(word) for word in _PEOPLE.findall(text))
