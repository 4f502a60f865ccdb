"""From places in a string to places in its UTF-8 bytes, which is how spans of stored text are told."""

from __future__ import annotations

from collections.abc import Callable


def byte_offsets(text: str) -> Callable[[int], int]:
    """A function from a character index of `text` to its byte offset; asked in ascending order, it reads once.

    Lone surrogates count three bytes.
    """
    if text.isascii():
        return _same
    known, offset = 0, 0

    def to_bytes(i: int) -> int:
        nonlocal known, offset
        if i < known:
            known, offset = 0, 0
        offset += len(text[known:i].encode("utf-8", "surrogatepass"))
        known = i
        return offset

    return to_bytes


def _same(i: int) -> int:
    return i
