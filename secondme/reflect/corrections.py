"""Corrections that name values only ("it's Berlin, not Bonn"), and changes from one value to another ("from A to B").

What they are about is found where the claims meet what memory holds (conflict.py): these leave `attribute` empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.found import Found
from secondme.reflect.negation import Plain
from secondme.reflect.values import COUNTED, NOT_NAMES, first_words
from secondme.text.attributes import canonical
from secondme.text.date_words import WEEKDAY_WORDS
from secondme.text.terms import fold

_V = r"(?P<v>[^\s,;][^,;!?]{0,60}?)"
_W = r"(?P<w>[^\s,;][^,;!?]{0,50}?)"
_NO_VALUES = NOT_NAMES - COUNTED - WEEKDAY_WORDS - {"on", "at", "next"}


def _rx(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.I)


_PAIRS = tuple(
    _rx(pattern)
    for pattern in (
        rf"^(?:it's|it is|that's|it was|i meant|i mean|make that|make it|that should be|it should be|should be|he's "
        rf"called|she's called|his name is|her name is)\s+(?:actually |now )?{_V}\s*,?\s+(?:and )?(?:not|instead of"
        rf"|rather than)\s+{_W}$",
        rf"^(?:it's|it is|it was) not\s+{_W}\s*,?\s+(?:but|it's|it is|rather)\s+{_V}$",
        rf"^(?:it isn't|it's no longer|it is no longer|it wasn't)\s+{_W}(?: any ?more)?\s*(?:,|;|\.)?\s+(?:but|it's"
        rf"|it is|it was|now it's)\s+(?:now )?{_V}$",
        rf"^not\s+{_W}\s*,?\s+(?:but|it's|rather|-|–|—)\s+{_V}$",
        rf"^{_V}\s*,\s*not\s+{_W}$",
    )
)
_ALONE = _rx(
    rf"^(?:it's|it is|that's now|it's been|i meant|i mean|make that|make it|that changed to|it changed to"
    rf"|it(?:'s| has| was)? (?:been )?(?:moved|changed|rescheduled|pushed|postponed|renamed|updated)(?: "
    rf"back| forward)? to)\s+(?:now |actually |going to be )*{_V}(?:\s+(?:now|instead|these days|from now "
    rf"on))?$"
)
_NOW = _rx(rf"^{_V}\s+now$")
_SWITCH = _rx(
    r"^(?:i|we|the team|our team|my team|the company|everyone|everybody|the whole team|they)(?:'ve| have| has)?(?: "
    r"now| just| recently| finally| also| completely| actually)*\s+(?:switched"
    r"|changed|moved|migrated|converted|swapped|went|gone|transitioned|upgraded|downgraded|shifted"
    r"|hopped)(?: over| jobs| banks| teams| roles| everything| back| companies| phones| cars| (?:my|our|all my|all "
    r"our) [\w-]+)?"
    r"\s+from\s+(?P<w>.+?)\s+(?:over )?to\s+(?P<v>.+)$"
)
_SWITCH_NOUN = _rx(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| recently| finally| also)*\s+(?:switched"
    r"|changed)\s+(?:my\s+)?(?P<n>[\w-]+(?: [\w-]+)?)(?:\s+from\s+(?P<w>.+?))?\s+to\s+(?P<v>.+)$"
)
_INSTEAD = _rx(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| recently| finally)*\s+(?:bought|got|ordered|picked up|chose"
    r"|purchased)\s+(?:an?\s+|the\s+)?"
    r"(?:new\s+)?(?P<v>.+?)\s+(?:to replace|in place of|instead of|as a replacement for)\s+(?:my |our |the )?(?P<w>.+)$"
)
_SWITCH_TO = _rx(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| recently| finally| also| completely| "
    r"actually)*\s+(?:switched|changed|migrated|converted|transitioned|upgraded)(?: over| "
    r"back)?\s+to\s+(?P<v>.+)$"
)
_REPLACED = _rx(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| recently| finally)*\s+(?:replaced|swapped|traded|exchanged"
    r"|traded in)\s+(?:my |our |the )?(?P<w>.+?)\s+(?:with|by|for)\s+(?:an?\s+|the\s+)?(?P<v>.+)$"
)


def corrections(clause: Plain, *, corrects: bool) -> Iterator[Found]:
    """`corrects`: the sentence began like a correction, which a value alone needs to be taken for one."""
    text = clause.text
    for pattern in (_SWITCH, _SWITCH_NOUN, _REPLACED, _INSTEAD, _SWITCH_TO):
        match = pattern.search(text)
        if match:
            yield from _switched(match)
            return
    for pattern in _PAIRS:
        match = pattern.search(text)
        if match:
            value, other = _bare(match.group("v")), _bare(match.group("w"))
            if value and other and fold(value) not in NOT_NAMES and len(other.split()) <= 6:
                yield Found("", value, 0, len(text), "not-but", replaces=other, corrects=True)
            return
    match = _ALONE.search(text) or (_NOW.search(text) if corrects else None)
    if match and (
        corrects
        or re.search(
            r"\bnow\b|\binstead\b|changed|moved|rescheduled|pushed|postponed|renamed"
            r"|make (?:that|it)|i mean",
            text,
            re.I,
        )
    ):
        value = _bare(match.group("v"))
        first = fold(value).split()[0] if value.split() else ""
        if value and first not in _NO_VALUES:
            yield Found("", value, 0, len(text), "it-is", corrects=True)


def _switched(match: re.Match[str]) -> Iterator[Found]:
    groups = match.groupdict()
    value = first_words(match.group("v"), "thing")
    other = first_words(groups.get("w") or "", "thing")
    noun = groups.get("n")
    name = canonical(noun) if noun and fold(noun) not in ("over", "back", "jobs", "from", "everything") else ""
    first = fold(value).split()[0] if value.split() else ""
    if value and first not in (
        "it",
        "this",
        "that",
        "you",
        "my",
        "your",
        "a",
        "be",
        "being",
        "do",
        "get",
        "make",
        "see",
    ):
        rule = "move-from" if re.search(r"\bmoved(?: back| over)? from\b", match.group(), re.I) else "switch"
        yield Found(name, value, 0, match.end(), rule, replaces=other, corrects=True)


def _bare(value: str) -> str:
    return re.sub(
        r"\s+(?:now|instead|anymore|any more|these days|actually|please|sorry)$", "", value.strip(" .\"'"), flags=re.I
    )
