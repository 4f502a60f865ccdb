"""Between positions in a `str` and byte offsets into its UTF-8 encoding, in one pass over the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def byte_offsets(text: str, positions: Iterable[int]) -> list[int]:
    """Byte offsets of ascending character positions."""
    positions = list(positions)
    if text.isascii():
        return positions
    found: list[int] = []
    at_char = at_byte = 0
    for position in positions:
        at_byte += len(text[at_char:position].encode())
        at_char = position
        found.append(at_byte)
    return found


def char_positions(text: str, offsets: Sequence[int]) -> list[int]:
    """Character positions of ascending byte offsets, each at the beginning of a character."""
    if text.isascii():
        return list(offsets)
    raw = text.encode()
    found: list[int] = []
    at_char = at_byte = 0
    for offset in offsets:
        at_char += len(raw[at_byte:offset].decode())
        at_byte = offset
        found.append(at_char)
    return found
