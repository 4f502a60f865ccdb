"""A small disk of one's own, for a process that may have one: mounted in a namespace that ends with it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MNT_DETACH = 2
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18


def own_mounts() -> bool:
    """Give this process mounts of its own; False where that is not permitted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare") or libc.unshare(_CLONE_NEWNS):
        return False
    return not libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)


def small_disk(folder: Path, size_kib: int, n_names: int) -> bool:
    """Mount an empty disk of that size on `folder`; False where that is not permitted."""
    options = f"size={size_kib}k,nr_inodes={n_names}".encode()
    return not ctypes.CDLL(None).mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing in `folder` be opened for writing for a while, not by root either. Needs `own_mounts`."""
    libc, name = ctypes.CDLL(None, use_errno=True), os.fsencode(folder)
    for flags in (_MS_BIND, _MS_BIND | _MS_REMOUNT | _MS_RDONLY):
        if libc.mount(name, name, None, flags, None):
            raise OSError(ctypes.get_errno(), "mount")
    try:
        yield
    finally:
        if libc.umount2(name, _MNT_DETACH):
            raise OSError(ctypes.get_errno(), "umount")
