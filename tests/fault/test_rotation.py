"""Making all keys anew, interrupted: nothing acknowledged is lost, and the work is ended or taken back."""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from secondme.cartridges import files
from secondme.cartridges.files import Shelf
from secondme.cartridges.format import write_cartridge
from secondme.crypto import keyslots, manage
from secondme.crypto.keys import Keys
from secondme.crypto.unlock import unlock
from secondme.durable import move_file
from secondme.errors import StoreError, StoreFull, WrongPassphrase
from secondme.memory import install, rekey
from secondme.memory.store import Store
from secondme.rotate import rotate
from tests.fault.soak import n
from tests.keyfiles import CHEAP
from tests.sealing_cartridges import coded, shelve
from tests.storing import put

pytestmark = [pytest.mark.soak, pytest.mark.skipif(sys.platform == "win32", reason="forks")]


class Memory:
    """A memory of one passphrase, in a folder of its own, and what was acknowledged in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.path = folder / "store.db"
        self.witness = folder.parent / f"{folder.name}-witness"
        self.titles: list[str] = []
        self.n_cartridges = 0

    def unlocked(self) -> Keys:
        return unlock(self.folder, passphrase="one", opens=rekey.opener(self.path), work=CHEAP)

    def write(self, title: str) -> None:
        store = Store.open(self.path, self.unlocked().store, self.witness)
        store.new_conversation("default", title)
        store.close()
        self.titles.append(title)

    def shelve(self) -> None:
        """Add a file with a cartridge."""
        keys = self.unlocked()
        store = Store.open(self.path, keys.store, self.witness)
        source_id = put(store, f"/{self.n_cartridges}", [f"text {self.n_cartridges}"])
        assert shelve(Shelf(store, keys), store, source_id, seed=self.n_cartridges) is not None
        self.n_cartridges += 1
        store.close()

    def rotate(self) -> None:
        keys = self.unlocked()
        rotate(self.path, keys, manage.prepare(keys, passphrase="one", work=CHEAP), self.witness)

    def check(self) -> bytes:
        """Open it as after a restart; everything is there and nothing is half done. Returns the database's key."""
        keys = self.unlocked()
        store = Store.open(self.path, keys.store, self.witness)
        assert sorted(c.title for c in store.conversations()) == sorted(self.titles)
        assert {c.status for c in store.check(read_data=True)} == {"ok"}
        self._check_cartridges(store, keys)
        store.close()
        file = keyslots.load(self.folder)
        assert file is not None and file.next is None
        assert not {"keyslots.json.new", "store.db.next"} & {p.name for p in self.folder.iterdir()}
        return bytes(keys.store.db)

    def _check_cartridges(self, store: Store, keys: Keys) -> None:
        """Each opens with the keys in force and is what it was; nothing else lies beside them."""
        shelf = Shelf(store, keys)
        rows = store.cartridges()
        assert len(rows) == self.n_cartridges
        for row in rows:
            with shelf.open(row) as reader:
                assert bytes(reader.section("k", 1)) == coded(seed=int(row.path[1:]))["k", 1]
                reader.verify()
        found = {p for p in (self.folder / "cartridges").rglob("*") if p.is_file()}
        assert found == {shelf.path(row) for row in rows}
        shelf.close()


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    made = Memory(tmp_path / "memory")
    made.write("first")
    made.shelve()
    return made


def in_a_child(run: Callable[[], object]) -> int:
    """Run in a process of its own and return its number; it ends with 0 when it is done."""
    pid = os.fork()
    if pid:
        return pid
    try:
        run()
        os._exit(0)
    finally:
        os._exit(1)


def dies_at(step: int) -> None:
    """From here on, the process dies at the `step`th call that changes what is on the disk: before it is made."""
    left = step

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return call(*args, **more)

        return counting

    for name in ("fsync", "replace", "unlink", "pwrite"):
        setattr(os, name, counted(getattr(os, name)))


def test_a_rotated_memory_holds_what_it_held_under_other_keys(memory: Memory, tmp_path: Path) -> None:
    before = memory.check()
    old_keys = memory.unlocked().store
    memory.rotate()
    assert memory.check() != before
    with pytest.raises(WrongPassphrase):
        Store.open(memory.path, old_keys, memory.witness)
    memory.write("after")
    memory.check()


def test_a_cartridge_that_is_damaged_is_left_out_of_a_rotation(memory: Memory) -> None:
    memory.shelve()
    (file, other) = sorted((memory.folder / "cartridges").rglob("*.smkv"))
    file.write_bytes(file.read_bytes()[:-1])
    old = other.read_bytes()
    memory.rotate()
    memory.n_cartridges = 1
    memory.check()
    (file,) = (memory.folder / "cartridges").rglob("*.smkv")
    assert file.read_bytes() != old and file.name != other.name


def test_a_disk_that_fills_up_while_cartridges_are_sealed_anew_takes_the_rotation_back(
    memory: Memory,
) -> None:
    memory.shelve()
    before, n_written = memory.check(), 0

    def full(*given: object) -> object:
        nonlocal n_written
        n_written += 1
        if n_written == 2:
            raise StoreFull("the disk is full", hint="free some space")
        return write_cartridge(*given)  # type: ignore[arg-type]  # as they came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "write_cartridge", full)
        with pytest.raises(StoreFull):
            memory.rotate()
    assert n_written == 2 and len(list((memory.folder / "cartridges").rglob("*.smkv*"))) == 2
    assert memory.check() == before


def test_a_memory_without_a_store_yet_gets_new_keys(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    before = bytes(memory.unlocked().store.db)
    memory.rotate()
    assert bytes(memory.unlocked().store.db) != before
    memory.write("first")
    memory.check()


def test_death_before_any_step_on_the_disk(memory: Memory) -> None:
    """Each of them in the long form. Ends with the first number of steps that a whole rotation does not reach."""
    outcomes = set()
    for step in range(0, 100, n(4, 1)):
        memory.write(f"before step {step}")
        before = memory.check()

        def run(step: int = step) -> None:
            dies_at(step)
            memory.rotate()

        code = os.waitstatus_to_exitcode(os.waitpid(in_a_child(run), 0)[1])
        after = memory.check()
        outcomes.add((code, after != before))
        if code == 0:
            break
        assert code == 9
    assert outcomes == {(9, False), (9, True), (0, True)}


def test_kill_at_any_moment(memory: Memory) -> None:
    start = time.perf_counter()
    memory.rotate()
    whole_s = time.perf_counter() - start
    moments = random.Random(7)
    for i in range(n(10, 1000)):
        memory.write(f"before kill {i}")
        pid = in_a_child(memory.rotate)
        time.sleep(moments.uniform(0, 1.2 * whole_s))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        memory.check()


def test_a_rotation_may_follow_one_that_ended_just_before_the_watermark_took_its_place(memory: Memory) -> None:
    def failing(old: Path, new: Path) -> None:
        if old.name.endswith("-watermark.next"):
            raise OSError(errno.EIO, "failed")
        move_file(old, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(install, "move_file", failing)
        with pytest.raises(StoreError):
            memory.rotate()
    memory.rotate()
    memory.check()


def test_a_full_disk_takes_the_rotation_back(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.check()

    def full(*_: object, **__: object) -> None:
        raise StoreFull("the disk is full", hint="free some space")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rekey, "rekey", full)
        with pytest.raises(StoreFull):
            memory.rotate()
    file = keyslots.load(memory.folder)
    assert file is not None and file.next is not None
    assert memory.check() == before


def test_a_damaged_store_keeps_both_sets_of_keys(memory: Memory) -> None:
    """Until it was put back or repaired, nothing tells which of them it will need."""
    whole = memory.path.read_bytes()
    keys = memory.unlocked()
    manage.begin(keys)
    for damage in (b"", bytes(len(whole)), b"\xff" + whole[1:], whole[:1000]):
        memory.path.write_bytes(damage)
        assert memory.unlocked().file == keys.file
    memory.path.write_bytes(whole)
    assert memory.check() == bytes(keys.store.db)
