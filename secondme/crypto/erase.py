"""Overwrites secrets in this process's memory, as well as Python lets one.

Python's strings and bytes cannot be changed and are not cleared when they are freed: a key would stay readable in
memory until something else happens to lie there. CPython keeps their characters in one piece behind the object's
header (PEP 393), so that they can be overwritten in place. On other Pythons only bytearrays are overwritten.

Native libraries make copies of their own. Those that they free as they are can be overwritten where the allocator is
glibc's (`freed_is_cleared`). What cannot be reached: what Python, a library or the terminal copied elsewhere.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_BYTES_HEADER = bytes.__basicsize__ - 1
# A string's size is its header, its characters and a zero of one character's width.
_ASCII_HEADER = sys.getsizeof("") - 1
# mallopt(3); glibc keeps up to seven freed blocks of each of these sizes in bytes for every thread (malloc.c, tcache).
_M_PERTURB = -6
_CACHED_SIZES, _CACHED_BLOCKS = range(24, 1040, 16), 7
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


@contextmanager
def freed_is_cleared() -> Iterator[None]:
    """Overwrite what native code frees inside the block, in this thread. Nothing happens without glibc."""
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_PERTURB, 0xFF)
    try:
        yield
    finally:
        libc.mallopt(_M_PERTURB, 0)
        # Blocks that the thread keeps for its next use are passed over by that: take them all, and give them back.
        for size in _CACHED_SIZES:
            blocks = [libc.malloc(size) for _ in range(_CACHED_BLOCKS)]
            for block in filter(None, blocks):
                ctypes.memset(block, 0, size)
                libc.free(block)


def give_back_freed() -> None:
    """Return what was freed so far to the system, whole pages of it, which hands them out as zeros. Without glibc
    nothing happens."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return None
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    return libc
