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
from secondme.memory.lock import FILE, StoreLock, _catches, ask_to_lock, is_held

HOLD = """
import signal, sys
from pathlib import Path
from secondme.memory.lock import StoreLock
def asked(number, frame):
    print("asked", flush=True)
    raise SystemExit(3)
if sys.argv[2] == "listening":
    signal.signal(signal.SIGUSR1, asked)
lock = StoreLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


def holder(folder: Path, how: str = "deaf") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
    for attempt in (lambda: StoreLock(tmp_path).acquire(), lambda: is_held(tmp_path)):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert not isinstance(caught.value, StoreLocked)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        StoreLock(tmp_path / "missing").acquire()
    assert not isinstance(caught.value, StoreLocked) and caught.value.hint


# Asking the holder to lock -------------------------------------------------------------------------------------


def test_nobody_is_asked_where_nobody_holds_the_store(tmp_path: Path) -> None:
    assert ask_to_lock(tmp_path) is None and not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).write_text(f"{os.getpid()} locks\n")  # what a killed holder leaves behind
    assert ask_to_lock(tmp_path) is None and not is_held(tmp_path)


def test_a_holder_that_listens_is_asked(tmp_path: Path) -> None:
    with holder(tmp_path, "listening") as process:
        assert is_held(tmp_path)
        assert ask_to_lock(tmp_path) == process.pid
        assert process.stdout is not None and process.stdout.readline() == "asked\n"
        assert process.wait(5) == 3
    assert ask_to_lock(tmp_path) is None and not is_held(tmp_path)


def test_a_holder_that_would_die_of_being_asked_is_not(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(StoreLocked, match=str(process.pid)) as caught:
            ask_to_lock(tmp_path)
        assert caught.value.hint
        # Nor is a process whose number stands there by mistake, as after a crash and a restart.
        (tmp_path / FILE).write_text(f"{process.pid} locks\n")
        with pytest.raises(StoreLocked):
            ask_to_lock(tmp_path)
        process.communicate("go\n", timeout=5)
        assert process.returncode == 0


def test_a_holder_without_a_name_is_waited_for_and_then_said_so(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        (tmp_path / FILE).write_bytes(b"")
        with pytest.raises(StoreLocked, match="does not say which"):
            ask_to_lock(tmp_path)
        process.communicate("go\n", timeout=5)


def test_looking_does_not_keep_a_process_from_taking_the_lock(tmp_path: Path) -> None:
    import fcntl
    import threading

    (tmp_path / FILE).touch()
    with (tmp_path / FILE).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        done = threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN))
        done.start()
        with StoreLock(tmp_path):
            assert is_held(tmp_path)
        done.join()


def test_a_system_without_the_signal_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secondme.memory import lock

    with holder(tmp_path, "listening") as process:
        monkeypatch.setattr(lock, "ASK", None)
        with pytest.raises(StoreLocked) as caught:
            ask_to_lock(tmp_path)
        assert str(process.pid) in caught.value.message and "ctrl+l" in (caught.value.hint or "")
        process.communicate("go\n", timeout=5)
        assert process.returncode == 0


def test_another_users_process_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    with holder(tmp_path, "listening") as process:
        monkeypatch.setattr(os, "kill", refuse)
        with pytest.raises(StoreLocked, match="another user's"):
            ask_to_lock(tmp_path)
        process.communicate("go\n", timeout=5)


def test_where_nothing_tells_what_a_process_catches_it_is_asked() -> None:
    """As on macOS, which has no /proc: here the process is one that ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert _catches(process.pid, signal.SIGUSR1)
    assert not _catches(os.getpid(), signal.SIGKILL)


def test_a_holder_that_ends_meanwhile_needs_no_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(pid: int, number: int) -> None:
        raise ProcessLookupError

    with holder(tmp_path, "listening") as process:
        monkeypatch.setattr(os, "kill", gone)
        assert ask_to_lock(tmp_path) is None
        process.communicate("go\n", timeout=5)
