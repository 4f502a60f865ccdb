"""One process owns the store; the lock goes with its process."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from secondme.errors import StoreError, StoreLocked
from secondme.memory.lock import StoreLock

HOLD = """
import sys, time
from pathlib import Path
from secondme.memory.lock import StoreLock
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_it_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(StoreLocked) as caught:
            StoreLock(tmp_path).acquire()
        assert str(process.pid) in caught.value.message and caught.value.hint
        assert caught.value.exit_code == 75
        process.send_signal(signal.SIGKILL)
        process.wait()
        with StoreLock(tmp_path):
            pass


def test_it_is_free_after_release_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    for _ in range(2):
        with lock:
            lock.acquire()
            with pytest.raises(StoreLocked, match=str(os.getpid())):
                StoreLock(tmp_path).acquire()
        lock.release()
    # The file stays, for whoever waits on it, but names nobody.
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b""]


def test_what_a_lock_file_holds_is_not_repeated_unless_it_is_a_pid(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path)
    with lock:
        file = next(iter(tmp_path.iterdir()))
        file.write_bytes(b"\x1b[31mnot a pid")
        with pytest.raises(StoreLocked) as caught:
            StoreLock(tmp_path).acquire()
        assert "\x1b" not in caught.value.message and "not a pid" not in caught.value.message


def test_a_full_disk_does_not_keep_the_owner_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with StoreLock(tmp_path), pytest.raises(StoreLocked):
        StoreLock(tmp_path).acquire()


def test_a_file_system_without_locks_is_not_called_a_second_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError) as caught:
        StoreLock(tmp_path).acquire()
    assert not isinstance(caught.value, StoreLocked)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        StoreLock(tmp_path / "missing").acquire()
    assert not isinstance(caught.value, StoreLocked) and caught.value.hint
