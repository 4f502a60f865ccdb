"""Where a text may be cut, and what of its white space matters."""

from __future__ import annotations

import re
import unicodedata

_RUN = re.compile(r"\s+")
_VISIBLE = re.compile(r"\S")
_EMPTY_LINE = re.compile(r"\n[ \t\r]*\n")
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]*\s+(?=[^a-z\s])|[。！？][」』”’）]*")
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+|(?<=[;,，、；：{}|&])(?=\S)")
_PROSE_ORDER = ((_EMPTY_LINE, 0.45), (_SENTENCE, 0.45), (_LINE, 0.6), (_WORD, 0.5))
_CODE_ORDER = ((_EMPTY_LINE, 0.45), (_LINE, 0.4), (_SENTENCE, 0.6), (_WORD, 0.5))
_JOINERS = {"\u200d", "\ufe0e", "\ufe0f"}
_LONGEST_CLUSTER = 12


def squeezed(text: str) -> str:
    """`text` without white space around it, and every run of it as one space, or one newline if it holds one."""
    return _RUN.sub(lambda m: "\n" if "\n" in m[0] else " ", text.strip())


def content_start(text: str, start: int, end: int) -> int:
    """Position of the first visible character in [start, end), or `end`."""
    found = _VISIBLE.search(text, start, end)
    return found.start() if found else end


def blank_to(text: str, cut: int, end: int) -> int:
    """Move `cut` behind the white space that follows it; the indentation of a next line stays with that line."""
    visible = content_start(text, cut, end)
    if visible == end:
        return end
    line = text.rfind("\n", cut, visible)
    if line >= 0:
        return line + 1
    return cut if text[cut - 1 : cut] == "\n" else visible


def best_break(text: str, start: int, limit: int, *, prose: bool) -> int:
    """The best place after `start` and not after `limit` to cut; `limit` lies inside the text.

    Kinds of places are tried in order, each from some share of the way on, so that pieces do not get too short.
    """
    for pattern, share in _PROSE_ORDER if prose else _CODE_ORDER:
        low = start + max(1, int((limit - start) * share))
        ends = [match.end() for match in pattern.finditer(text, low, limit)]
        if ends:
            return ends[-1]
    return _whole_cluster(text, start, limit)


def _whole_cluster(text: str, start: int, limit: int) -> int:
    """Step back so that no combining mark or joined emoji is torn from what it belongs to."""
    for cut in range(limit, max(start, limit - _LONGEST_CLUSTER), -1):
        if not (unicodedata.combining(text[cut]) or text[cut] in _JOINERS or text[cut - 1] == "\u200d"):
            return cut
    return limit
