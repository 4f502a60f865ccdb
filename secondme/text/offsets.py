"""From places in a string to places in its UTF-8 bytes, which is how spans of stored text are told."""

from __future__ import annotations

from collections.abc import Callable


def byte_offsets(text: str) -> Callable[[int], int]:
    """A function from a character index of `text` to its byte offset. Lone surrogates count three bytes."""
    if text.isascii():
        return _same
    return lambda i: len(text[:i].encode("utf-8", "surrogatepass"))


def _same(i: int) -> int:
    return i


def cut_bytes(text: str, start: int, end: int | None) -> str:
    """Bytes [start, end) of `text` as a string; None is to the end."""
    if text.isascii():
        return text[start:end]
    return text.encode("utf-8", "surrogatepass")[start:end].decode("utf-8", "surrogatepass")
