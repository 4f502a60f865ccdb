"""Finds in what somebody typed the words of others by how they are laid out: letters, logs of chats, posts, dialogues.

No words of a language decide here but salutations and closings: a signature, a time beside a name, a name on a line of
its own, dashes that take turns. What is laid out so was copied, or written for others to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

NAME = r"[A-ZÀ-ÖØ-ÞŁŚŽČĐ][\w'’.-]*(?:[ \t]+[A-ZÀ-ÖØ-ÞŁŚŽČĐ][\w'’.-]*){0,2}"
"""A name as it is written: one to three words with a capital. Case matters."""

_TIME = (
    r"(?:\d{1,2}[:.]\d\d(?::\d\d)?(?: ?[ap]\.?m\.?)?|\d{1,3} ?(?:s|m|min|h|hr|d|w|mo|y)\b(?: ago)?|yesterday at \d\S*)"
)
_BEFORE_NAME = re.compile(
    rf"^[ \t]*(?:\[[^\]\n]{{0,30}}\d[^\]\n]{{0,12}}\]|\(?{_TIME}\)?(?:[ \t]*[-–—|])?)[ \t]+(?P<who><?{NAME}>?)"
    rf"[ \t]*(?:$|[:>–—-]|[a-z])",
    re.M,
)
_AFTER_NAME = re.compile(
    rf"^[ \t]*(?:<?{NAME}>?[ \t]*(?:[·•|,–—-][ \t]*|\()?{_TIME}\)?[ \t]*[:>]?(?=[ \t]*$)"
    rf"|[\[(]{NAME}[,;|][^\]\n]{{0,24}}\d[^\]\n]{{0,12}}[\])]"
    rf"|@\w[\w.]*[ \t:]"
    rf"|<{NAME}>[ \t])",
    re.M,
)
_CLOSING = re.compile(
    r"^[ \t]*(?:(?:with |kind |best |warm |many |all the |lots of |much |yours |very |sincerely |truly |take "
    r"|see you |"
    r"your )*(?:regards|wishes|best|love|cheers|thanks|yours|sincerely|truly|faithfully|hugs|kisses|xx+|xoxo|care|soon"
    r"|warmly|greetings|friend|friends))[,.!]*[ \t]*\n+[ \t]*" + NAME + r"[ \t]*(?:\n|\Z)",
    re.I | re.M,
)
_SIGNED = re.compile(
    rf"^[ \t]*(?:--+[ \t]*\n+[ \t]*|[—–~-]+[ \t]?){NAME}[ \t]*(?:,[^\n]{{0,40}})?(?:\n[^\n]*){{0,3}}\Z", re.M
)
_TO_MANY = re.compile(
    r"^[ \t]*(?:hi|hello|hey|dear|good (?:morning|evening|afternoon))[ \t]+"
    r"(?:all|every(?:one|body)|team|folks|friends|guys|colleagues|neighbou?rs|tenants|members|customers?|sir|madam"
    r"|ladies)\b[^\n]{0,20}\n",
    re.I,
)
_DASHED = re.compile(r"^[ \t]*([-–—])[ \t]*(\S[^\n]*)$", re.M)
_CAPITALS = re.compile(r"^[ \t]*[A-Z]{3,}(?: [A-Z]{2,})?(?:[ \t]*\([^)\n]{0,30}\))?[ \t:.]+(?=[A-Z][^A-Z]|\()", re.M)
_TITLED = re.compile(
    rf"^[ \t]*(?:[\w ]{{0,20}}\b(?:by|from|via)[ \t]+(?-i:{NAME})[^\n.!?]{{0,30}}|(?:posted|written|sent|shared"
    rf"|uploaded"
    r"|comment|reply|review)(?:ed)? by \S+[^\n.!?]{0,30})\n",
    re.I,
)


def spoken_by_others(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of `text` that are laid out as a letter, a log, a post or a dialogue, in order."""
    found = list(_found(text))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _found(text: str) -> Iterator[tuple[int, int]]:
    if "\n" in text:
        closing = _CLOSING.search(text) or _SIGNED.search(text)
        if closing or _TO_MANY.search(text):
            yield 0, len(text) if closing is None else closing.end()
        title = _TITLED.match(text)
        if title:
            yield title.end(), len(text)
        yield from _dialogue(text)
        lines = list(_CAPITALS.finditer(text))
        if len(lines) > 1:
            yield lines[0].start(), len(text)
    for pattern in (_BEFORE_NAME, _AFTER_NAME):
        head = pattern.search(text)
        if head:
            yield head.start(), len(text)


def _dialogue(text: str) -> Iterator[tuple[int, int]]:
    """Lines with a dash each that ask and answer; a list of statements is none."""
    lines = list(_DASHED.finditer(text))
    if len(lines) < 2:
        return
    said = [line.group(2).rstrip() for line in lines]
    if any(
        one.endswith(("?", "?)")) or (len(one.split()) <= 2 and one.endswith(("!", ".", "…"))) for one in said
    ) or all(line.group(1) == "—" for line in lines):
        yield lines[0].start(), lines[-1].end()
