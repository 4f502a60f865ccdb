"""Ingest under faults: killed at any moment, out of disk, with parsers that crash."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.errors import CorruptRecord, StoreFull
from secondme.ingest import reasons
from secondme.ingest.parse import isolate
from secondme.ingest.pipeline import ingest
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from secondme.types import FileSkipped, FileStored, IngestDone
from tests.make_corpus import Page, pdf
from tests.storing import KEY

ROOT = Path(__file__).resolve().parents[2]

INGEST = """
import sys
from pathlib import Path
from secondme.crypto.keys import StoreKeys
from secondme.ingest.pipeline import ingest
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from secondme.types import FileStored
store = Store.open(Path(sys.argv[1]), StoreKeys.derived(bytes(range(32))))
for event in ingest([Path(sys.argv[2])], store, HashEmbedder()):
    if isinstance(event, FileStored):
        print(event.path, flush=True)
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:02}.md").write_text(f"# Note {n}\n\n" + f"Something about number {n}. " * 40 * (n % 7 + 1))
    (folder / "paper.pdf").write_bytes(pdf([Page([f"Line {n} of a page"]) for n in range(20)]))
    return folder


def held(store: Store) -> dict[str, str]:
    """Text in memory by file name; checks that words and vectors are there for all of it."""
    stats = store.stats()
    assert stats.n_vectors == stats.n_chunks
    assert all(check.status == "ok" for check in store.check(read_data=True))
    return {
        Path(s.path).name: "".join(c.chunk.text for c in store.source_chunks(s.id))
        for s in store.sources()
        if s.n_chunks
    }


def test_killed_at_any_moment_it_goes_on_where_it_was(docs: Path, tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    rng = random.Random(20261121)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    acknowledged: set[str] = set()
    for _ in range(3):
        command = [sys.executable, "-c", INGEST, str(database), str(docs)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        acknowledged |= {Path(line.strip()).name for line in (first, *child.stdout) if line.endswith("\n")}
        child.wait()
        store = Store.open(database, KEY)
        kept = held(store)
        store.close()
        assert acknowledged <= set(kept)
        for name, text in kept.items():
            assert name.endswith(".pdf") or text == (docs / name).read_text()
    assert len(acknowledged) >= 3
    store = Store.open(database, KEY)
    events = list(ingest([docs], store, HashEmbedder()))
    done = events[-1]
    assert isinstance(done, IngestDone)
    assert done.n_stored + done.n_unchanged == 61
    assert done.n_unchanged >= len(acknowledged)
    assert len(held(store)) == 61
    store.close()


def test_a_full_disk_ends_it_and_keeps_what_was_stored(store: Store, docs: Path) -> None:
    put = store.put_source
    stored: list[str] = []

    def filling(*args: object, **named: object) -> int:
        if len(stored) == 5:
            raise StoreFull("the disk is full", hint="free some space")
        stored.append("")
        return put(*args, **named)  # type: ignore[arg-type]  # passed through as they came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "put_source", filling)
        with pytest.raises(StoreFull):
            list(ingest([docs], store, HashEmbedder()))
    assert len(held(store)) == 5
    done = list(ingest([docs], store, HashEmbedder()))[-1]
    assert isinstance(done, IngestDone) and (done.n_stored, done.n_unchanged) == (56, 5)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in which files can grow to 1 MB: what a quota does."""
    import resource

    def ignore(*_: object) -> None:
        """Without a handler the signal would end the process; with one, writing fails."""

    before = signal.signal(signal.SIGXFSZ, ignore)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def test_a_disk_that_really_fills_up(small_disk: Path, docs: Path) -> None:
    store = Store.open(small_disk / "small.db", KEY)
    stored: list[str] = []
    with pytest.raises(StoreFull):
        for event in ingest([docs], store, HashEmbedder()):
            if isinstance(event, FileStored):
                stored.append(Path(event.path).name)
    assert stored
    assert set(stored) <= set(held(store))
    store.close()


def test_damage_in_the_store_is_never_taken_for_a_bad_file(store: Store, docs: Path) -> None:
    def damaged(*args: object) -> int:
        raise CorruptRecord("a page fails its check")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "put_skip", damaged)
        (docs / "00.md").write_bytes(bytes(100))
        with pytest.raises(CorruptRecord):
            list(ingest([docs], store, HashEmbedder()))


def test_a_crashing_parser_costs_its_file_and_no_other(store: Store, docs: Path) -> None:
    (docs / "page.html").write_text("<p>words")
    boot = "import os, sys; sys.stdin.buffer.readline(); os.abort()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolate, "_BOOT", boot)
        events = list(ingest([docs], store, HashEmbedder()))
    skipped = {Path(e.path).name: e.reason for e in events if isinstance(e, FileSkipped)}
    assert skipped == {"page.html": reasons.CRASHED, "paper.pdf": reasons.CRASHED}
    assert len(held(store)) == 60


def test_files_that_come_and_go_meanwhile(store: Store, docs: Path) -> None:
    events = ingest([docs], store, HashEmbedder())
    for event in events:
        if isinstance(event, FileStored):
            (docs / "30.md").unlink(missing_ok=True)
            (docs / "31.md").write_text("changed on the way")
            break
    rest = [e for e in events if isinstance(e, FileSkipped)]
    assert [(Path(e.path).name, e.reason) for e in rest] == [("30.md", reasons.VANISHED)]
    assert held(store)["31.md"] == "changed on the way"
