"""The shim that records what a program does to its files, or makes it fail: built, run under, spoken to and read.

`shim/iolog.c` says what it does. A child started by `run_under` speaks to it with `ack` and `failing`; without the shim
in place both raise OSError, so that no test passes for want of it.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "shim" / "iolog.c"
ACK_FD = -77
CONTROL_FD = -78

Op = Literal[
    "ack", "open", "create", "write", "truncate", "sync", "rename", "link", "unlink", "mkdir", "rmdir", "close", "other"
]
NAMES: tuple[Op, ...] = Op.__args__  # type: ignore[attr-defined]  # in the order of `enum op`
CHANGES = "create|write|truncate|sync|rename|link|unlink|mkdir|rmdir"

_ENTRY = struct.Struct("=IiQQII")


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation that succeeded. `data` is what was written, the new path of a rename or link, the text of an ack."""

    op: Op
    path: str
    inode: int
    offset: int
    data: bytes


@functools.cache
def library() -> Path:
    """Compile the shim, once for each version of its source."""
    built = ROOT / "build" / "iolog" / f"{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        fresh = built.with_suffix(f".{os.getpid()}")
        command = [os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]
        subprocess.run([*command, fresh, SOURCE, "-lpthread"], check=True, timeout=60)
        fresh.replace(built)
    return built


def environment(root: Path, record: Path | None = None) -> dict[str, str]:
    """What a child's environment needs for its work below `root` to be seen, and recorded if there is a `record`."""
    found = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "LD_PRELOAD": str(library()),
        "IOLOG_ROOT": str(root.resolve()),
    }
    return found | ({"IOLOG_FILE": str(record)} if record is not None else {})


def start_under(
    code: str, *args: str, root: Path, record: Path | None = None, more: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a Python child with the shim in place."""
    command = [sys.executable, "-c", code, *args]
    environ = environment(root, record) | dict(more or {})
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def run_under(code: str, *args: str, root: Path, record: Path | None = None, timeout: float = 60) -> str:
    """Run a Python child with the shim in place to its good end and return what it prints."""
    with start_under(code, *args, root=root, record=record) as process:
        try:
            out, error = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, error
    return out


# In the child --------------------------------------------------------------------------------------------------


def ack(text: str) -> None:
    """Mark in the record that everything up to `text` was acknowledged."""
    os.write(ACK_FD, text.encode())


@contextmanager
def failing(ops: str, nth: int, error: int, mode: str = "once", path: str = "") -> Iterator[list[int]]:
    """Make the `nth` of `ops` fail meanwhile; afterwards the list holds how many were seen."""
    seen: list[int] = []
    os.write(CONTROL_FD, f"{ops} {nth} {error} {mode} {path}".encode())
    try:
        yield seen
    finally:
        seen.append(os.write(CONTROL_FD, b"off"))


def kill_at(ops: str, nth: int) -> None:
    """Let this process die by SIGKILL at the `nth` of `ops` from now, before it is done."""
    os.write(CONTROL_FD, f"{ops} {nth} {errno.EIO} kill".encode())


# The record ----------------------------------------------------------------------------------------------------


def read_record(path: Path) -> list[Entry]:
    data = path.read_bytes()
    entries: list[Entry] = []
    at = 0
    while at < len(data):
        op, _, inode, offset, n_path, n_data = _ENTRY.unpack_from(data, at)
        middle = at + _ENTRY.size + n_path
        name = os.fsdecode(data[at + _ENTRY.size : middle])
        entries.append(Entry(NAMES[op], name, inode, offset, data[middle : middle + n_data]))
        at = middle + n_data
    return entries
