"""Secrets are overwritten in place: that, nothing beside it, and never a value that Python shares."""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from secondme.crypto import erase as erase_module
from secondme.crypto.erase import erase, freed_is_cleared, give_back_freed, layout_is_known


def test_the_layout_is_known_here() -> None:
    """Otherwise nothing would be overwritten, and the tests that look for keys in memory fail as well."""
    assert layout_is_known() == (sys.implementation.name == "cpython")


@pytest.mark.parametrize("text", ["correct horse", "caf\xe9 ole", "\u65e5\u672c\u8a9e!", "\U0001f600 and more"])
def test_a_string_is_overwritten_whole(text: str) -> None:
    secret = "".join(list(text))  # one of our own, and not the constant
    beside = "".join(list(text))
    erase(secret)
    assert all(letter == "\0" for letter in secret) and beside == text


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_are_overwritten_whole(kind: type[bytes] | type[bytearray]) -> None:
    secret, beside = kind(range(1, 33)), kind(range(1, 33))
    erase(secret)
    assert secret == bytes(32) and beside == bytes(range(1, 33))


def test_what_python_shares_is_left_alone() -> None:
    letter, byte = "Zebra"[0], b"Zebra"[:1]
    erase(letter, byte, "", b"", None)
    assert letter == "Zebra"[0] == chr(90) and byte == bytes([90])


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
@pytest.mark.parametrize("size", [40, 120, 1000, 1100, 70_000])
def test_what_native_code_frees_is_cleared(size: int) -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    with freed_is_cleared():
        address = libc.malloc(size)
        ctypes.memset(address, ord("S"), size)
        libc.free(address)
    with Path("/proc/self/mem").open("rb", 0) as memory:
        memory.seek(address)
        # Nothing else ran in between, so that the place is still mapped and still free.
        assert b"SSSSSSSS" not in memory.read(size)


def test_on_another_python_only_what_can_be_changed_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "implementation", SimpleNamespace(name="pypy"))
        layout_is_known.cache_clear()
        secret, changeable = "".join(["our", " own"]), bytearray(b"our own")
        erase(secret, changeable)
        assert (secret, changeable) == ("our own", bytearray(7))
    layout_is_known.cache_clear()


@pytest.mark.parametrize("platform", ["darwin", "linux"])
def test_without_glibc_the_block_simply_runs(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        patch.setattr(ctypes, "CDLL", lambda name: object())  # as musl's, which has no such function
        erase_module._glibc.cache_clear()
        ran = []
        with freed_is_cleared():
            ran.append(True)
        assert ran
        give_back_freed()
    erase_module._glibc.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_freed_memory_is_given_back() -> None:
    """Blocks that are freed below one that is not stay with the process, until they are asked for."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_size_t],
        [ctypes.c_void_p],
    )
    size = 100_000
    blocks = [libc.malloc(size) for _ in range(20)]
    for block in blocks:
        ctypes.memset(block, ord("S"), size)
    for block in blocks[:-1]:
        libc.free(block)

    def left() -> int:
        with Path("/proc/self/mem").open("rb", 0) as memory:
            memory.seek(blocks[10])
            return memory.read(size).count(b"S" * 1000)

    assert left() > size // 1000 - 10  # the allocator writes into what is freed
    give_back_freed()
    assert left() <= 2 * mmap.PAGESIZE // 1000  # the first and the last page may be other blocks' as well
    libc.free(blocks[-1])
