"""From token bytes to text that may be shown: whole characters only, and nothing of a stop string.

Apart from the backends because both need exactly the same rules.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

NO_TOKEN = -1
"""The `token` of a DecodedText that only delivers text held back from earlier tokens."""


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many leading items the two have in common."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


class TextStream:
    """Turns the bytes of one token after the other into final text.

    Incomplete UTF-8 waits for its next byte; the start of a possible stop string waits until it is one or is not.
    Bytes that can never become UTF-8 turn into U+FFFD.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        """Text that became final with `piece`. Nothing comes after a stop."""
        if self.stopped:
            return ""
        text = self._held + self._utf8.decode(piece)
        if not self._stop:
            return text
        cut = min((at for at in (text.find(stop) for stop in self._stop) if at >= 0), default=-1)
        if cut >= 0:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What is still held back, at the end of a decode; a character that was cut off is left out."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
