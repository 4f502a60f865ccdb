"""Exports and imports under kill -9: all of it or nothing, and what was said to be done is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from secondme.memory.store import Store
from tests.exchanging import content, exported, imported
from tests.fault.soak import n
from tests.storing import KEY, citation_of, put

ROOT = Path(__file__).parents[2]
N_FILES = 60

START = """
import sys
from pathlib import Path
from secondme.exchange.export import ExportOptions, export
from secondme.exchange.importing import ImportRequest, import_
from secondme.exchange.recognize import recognize
from secondme.ingest.reindex import embed_missing
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from tests.storing import KEY
folder = Path(sys.argv[1])
store = Store.open(folder / "store.db", KEY)
print("ready", flush=True)
"""
IMPORT = """
list(import_(store, ImportRequest(recognize(folder / "whole.tar"), "default")))
print("imported", flush=True)
for event in embed_missing(store, HashEmbedder()):
    print(event.n_done, flush=True)
print("embedded", flush=True)
"""
EXPORT = """
while True:
    list(export(store, folder / "new.tar", ExportOptions(None, replace=True)))
    print("exported", flush=True)
"""


def time_needed(code: str, folder: Path) -> float:
    """Seconds that a child takes from being ready to its end."""
    started = time.perf_counter()
    killed("", folder, 60)
    bare = time.perf_counter() - started
    killed(code, folder, 60)
    return max(0.05, time.perf_counter() - started - 2 * bare)


def killed(code: str, folder: Path, seconds: float) -> list[str]:
    """Run a child, kill it some time after it is ready, and return what it said by then."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START + code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        return process.stdout.read().split()


def begin_anew(folder: Path) -> None:
    for path in folder.glob("store.db*"):
        path.unlink()


def filled(folder: Path) -> Store:
    store = Store.open(folder / "store.db", KEY)
    for i in range(N_FILES):
        put(store, f"/{i}", [f"apple {i} {j}" for j in range(5)])
    conversation = store.new_conversation("default", "A talk")
    for i in range(20):
        store.add_turn(conversation, "user", f"question {i}", (citation_of(chunk_id=i + 1),))
    return store


def test_an_import_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = filled(tmp_path / "first")
    exported(first, tmp_path / "whole.tar")
    first.close()
    seconds = time_needed(IMPORT, tmp_path)
    begin_anew(tmp_path)
    chance = random.Random(1)
    outcomes = set()
    # At once, and not at all: chance alone may choose four times the same side of the moment that decides.
    moments = [0.0, 60.0, *(chance.uniform(0, 1.2 * seconds) for _ in range(n(4, 200)))]
    for moment in moments:
        said = killed(IMPORT, tmp_path, moment)
        store = Store.open(tmp_path / "store.db", KEY)
        n_files, n_turns, n_missing = len(store.sources()), store.stats().n_turns, store.n_unembedded()
        assert (n_files, n_turns) in ((0, 0), (N_FILES, 20))
        assert n_files or "imported" not in said
        n_embedded = max((int(word) for word in said if word.isdigit()), default=0)
        assert n_missing <= (N_FILES * 5 - n_embedded if n_files else 0)
        outcomes.add((bool(n_files), bool(n_missing)))
        store.close()
        if n_files:
            begin_anew(tmp_path)
    store = Store.open(tmp_path / "store.db", KEY)
    imported(store, tmp_path / "whole.tar")
    exported(store, tmp_path / "again.tar")
    assert content(tmp_path / "again.tar") == content(tmp_path / "whole.tar")
    store.close()
    assert len(outcomes) > 1


def test_an_export_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    filled(tmp_path).close()
    chance = random.Random(2)
    whole: dict[str, bytes] = {}
    for _ in range(n(4, 200)):
        said = killed(EXPORT, tmp_path, chance.uniform(0, 0.4))
        assert (tmp_path / "new.tar").exists() or "exported" not in said
        if (tmp_path / "new.tar").exists():
            found = content(tmp_path / "new.tar")
            whole = whole or found
            assert found == whole
    store = Store.open(tmp_path / "store.db", KEY)
    exported(store, tmp_path / "new.tar")
    assert not [p for p in tmp_path.iterdir() if "secondme-export" in p.name]
    assert content(tmp_path / "new.tar") == (whole or content(tmp_path / "new.tar"))
    assert [op.kind for op in store.log()].count("exported") >= 1
    store.close()
