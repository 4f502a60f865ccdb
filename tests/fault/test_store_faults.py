"""The store under kill -9, a full disk and a folder that cannot be written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secondme.errors import StoreError, StoreLocked
from secondme.memory.store import Store
from tests.storing import KEY, put, texts_found

ROOT = Path(__file__).parents[2]

START = """
import json, os, resource, sys
from pathlib import Path
from secondme.errors import SecondMeError
from secondme.memory.store import Store
from tests.storing import KEY, put, texts_found
path = Path(sys.argv[1])
"""


def child(code: str, *args: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START + code, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def lines_of(code: str, *args: str) -> list[Any]:
    """Run a child to its end and return the JSON lines it prints."""
    with child(code, *args) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


# Kill -9 -------------------------------------------------------------------------------------------------------

# Step n stores file n; each third step then takes the file before it away, each seventh stores file 0 anew.
STEPS = """
store = Store.open(path, KEY)
n = int(sys.argv[2])
while True:
    n += 1
    if n % 7 == 0:
        put(store, "/0", [f"again {n}"])
    elif n % 3 == 0:
        gone = store.source("default", f"/{n - 1}")
        if gone:
            store.remove_source(gone.id)
    else:
        put(store, f"/{n}", [f"text {n} {i}" * 20 for i in range(n % 5)])
    print(n, flush=True)
"""


def after(n_steps: int) -> dict[str, list[str]]:
    """What the store holds after so many steps."""
    files: dict[str, list[str]] = {}
    for n in range(1, n_steps + 1):
        if n % 7 == 0:
            files["/0"] = [f"again {n}"]
        elif n % 3 == 0:
            files.pop(f"/{n - 1}", None)
        else:
            files[f"/{n}"] = [f"text {n} {i}" * 20 for i in range(n % 5)]
    return files


def held(store: Store) -> dict[str, list[str]]:
    return {s.path: [c.chunk.text for c in store.source_chunks(s.id)] for s in store.sources()}


def test_kill_9_while_the_store_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    chance = random.Random(2)
    for i in range(4):
        path = tmp_path / f"{i}" / "store.db"
        path.parent.mkdir()
        with child("print(1, flush=True); Store.open(path, KEY)", str(path)) as process:
            assert process.stdout is not None and process.stdout.readline()
            try:
                process.wait(chance.uniform(0, 0.03))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        store = Store.open(path, KEY)
        put(store, "/a", ["apple"])
        assert texts_found(store, "apple") == ["apple"]
        store.close()
        assert {p.name for p in path.parent.iterdir()} == {"store.db", "store.db-watermark"}


# A full disk ---------------------------------------------------------------------------------------------------


def test_a_full_database_keeps_what_it_has_and_goes_on(store: Store) -> None:
    put(store, "/a", ["apple"])
    conversation = store.new_conversation("default", "t")
    with store._database.reading() as connection:
        n_pages = connection.execute("PRAGMA page_count").get
        connection.execute(f"PRAGMA max_page_count = {n_pages + 3}").fetchall()
    big = ["quince " * 2000] * 4
    for write in (
        lambda: put(store, "/b", big),
        lambda: put(store, "/a", big),
        lambda: store.add_turn(conversation, "user", big[0] * 4, ()),
        lambda: store.set_embedder("test", 4096),
    ):
        with pytest.raises(StoreError) as caught:
            write()
        assert caught.value.hint
        assert held(store) == {"/a": ["apple"]} and texts_found(store, "quince") == []
        assert store.turns(conversation) == []
    with store._database.reading() as connection:
        connection.execute(f"PRAGMA max_page_count = {1 << 30}").fetchall()
    put(store, "/b", big)
    assert len(texts_found(store, "quince")) == 4
    assert {c.status for c in store.check(read_data=True)} == {"ok"}


FULL = """
store = Store.open(path, KEY)
put(store, "/a", ["apple"])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
limit = max(p.stat().st_size for p in path.parent.iterdir()) + 400_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
n_stored = 0
try:
    while n_stored < 500:
        put(store, f"/{n_stored}", ["quince " * 300])
        n_stored += 1
except SecondMeError as error:
    print(json.dumps([type(error).__name__, error.message]))
print(json.dumps([texts_found(store, "apple"), len(texts_found(store, "quince")), n_stored]))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
put(store, "/last", ["plum"])
print(json.dumps([texts_found(store, "plum"), [c.status for c in store.check(read_data=True)]]))
store.close()
"""


def test_a_disk_that_fills_up_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "memory" / "store.db"
    path.parent.mkdir()
    error, (apple, n_quince, n_stored), (plum, checks) = lines_of(FULL, str(path))
    assert error[0] == "StoreFull" and "full" in error[1]
    assert apple == ["apple"] and n_quince == n_stored > 0
    assert plum == ["plum"] and set(checks) == {"ok"}
    store = Store.open(path, KEY)
    assert len(texts_found(store, "quince")) == n_stored
    store.close()


FULL_AT_FIRST = """
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in (1000, 10_000, 40_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        Store.open(path, KEY)
    except SecondMeError as error:
        print(json.dumps([type(error).__name__, path.exists()]))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
store = Store.open(path, KEY)
put(store, "/a", ["apple"])
print(json.dumps([texts_found(store, "apple"), False]))
store.close()
"""


def test_a_disk_that_is_full_at_first_leaves_no_half_store(tmp_path: Path) -> None:
    *refused, made = lines_of(FULL_AT_FIRST, str(tmp_path / "store.db"))
    assert refused == [["StoreFull", False]] * 3
    assert made == [["apple"], False]
    assert {p.name for p in tmp_path.glob("store*")} == {"store.db", "store.db-watermark"}


# A folder that cannot be written -------------------------------------------------------------------------------

READ_ONLY = """
import ctypes, struct
from secondme.crypto.unlock import unlock
from secondme.memory.lock import StoreLock
warm = Path(sys.argv[2])
unlock(warm, passphrase="one")
Store.open(warm / "warm.db", KEY).close()
if os.geteuid() == 0:
    # Without its capabilities root is bound by permissions like everybody, in a user namespace too.
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    assert ctypes.CDLL(None).capset(header, none) == 0
for attempt in (
    lambda: Store.open(path, KEY),
    lambda: Store.open(path.with_name("another.db"), KEY),
    lambda: StoreLock(path.parent).acquire(),
    lambda: unlock(path.parent / "empty", passphrase="one"),
):
    try:
        attempt()
        print(json.dumps(["opened", "", ""]))
    except SecondMeError as error:
        print(json.dumps([type(error).__name__, error.message, error.hint]))
"""


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with a store that only others may write, reachable by everybody."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        store = Store.open(folder / "store.db", KEY)
        put(store, "/a", ["apple"])
        store.close()
        (folder / "store.db").chmod(0o444)
        (folder / "empty").chmod(0o555)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        (folder / "empty").chmod(0o755)


def test_a_folder_that_cannot_be_written_is_one_clear_error(read_only: Path, tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in read_only.rglob("*")}
    refused = lines_of(READ_ONLY, str(read_only / "store.db"), str(tmp_path))
    assert [kind for kind, _, _ in refused] == ["StoreError"] * 4
    assert all("permission" in hint.lower() or "folder" in hint.lower() for _, _, hint in refused), refused
    assert {p: p.stat().st_mtime_ns for p in read_only.rglob("*")} == before


def test_a_store_in_use_is_not_opened_twice_by_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(path, KEY)
    put(store, "/a", ["apple"])
    code = """
try:
    Store.open(path, KEY)
except SecondMeError as error:
    print(json.dumps(type(error).__name__))
"""
    assert lines_of(code, str(path)) == [StoreLocked.__name__]
    assert texts_found(store, "apple") == ["apple"]
    store.close()
