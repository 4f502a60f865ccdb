"""Overwrites secrets in this process's memory, as well as Python lets one.

Python's strings and bytes cannot be changed and are not cleared when they are freed: a key would stay readable in
memory until something else happens to lie there. CPython keeps their characters in one piece behind the object's
header (PEP 393), so that they can be overwritten in place. What cannot be reached so: copies that Python, a library or
the terminal made on the way. On other Pythons only bytearrays are overwritten.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_BYTES_HEADER = bytes.__basicsize__ - 1
# A string's size is its header, its characters and a zero of one character's width.
_ASCII_HEADER = sys.getsizeof("") - 1
_WIDE_HEADER = sys.getsizeof("\xe9\xe8") - 3


def erase(*secrets: str | bytes | bytearray | None) -> None:
    """Overwrite `secrets` with zeros. Only for values that this process made and that nobody else still needs.

    Values of one character are left alone, because Python shares them; None is passed over.
    """
    for secret in secrets:
        if isinstance(secret, bytearray):
            secret[:] = bytes(len(secret))
        elif secret is not None and len(secret) > 1 and layout_is_known():
            ctypes.memset(*_place(secret))


@cache
def layout_is_known() -> bool:
    """Whether characters lie where this module looks for them: tried on values of each width."""
    if sys.implementation.name != "cpython":
        return False
    order = "le" if sys.byteorder == "little" else "be"
    samples = {"ab": "ascii", "\xe9b": "latin-1", "\u20acb": f"utf-16-{order}", "\U0001f600b": f"utf-32-{order}"}
    texts = all(ctypes.string_at(*_ends(_place(text))) == text.encode(code) for text, code in samples.items())
    return texts and ctypes.string_at(*_ends(_place(b"ab"))) == b"ab"


def _place(secret: str | bytes) -> tuple[int, int, int]:
    """Address, filling and length in bytes, as memset takes them."""
    if isinstance(secret, bytes):
        return id(secret) + _BYTES_HEADER, 0, len(secret)
    if secret.isascii():
        return id(secret) + _ASCII_HEADER, 0, len(secret)
    widest = max(map(ord, secret))
    width = 1 if widest < 0x100 else 2 if widest < 0x10000 else 4
    return id(secret) + _WIDE_HEADER, 0, width * len(secret)


def _ends(place: tuple[int, int, int]) -> tuple[int, int]:
    return place[0], place[2]
