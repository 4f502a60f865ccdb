"""A followed folder, as real editors and file managers change it, under the real watcher of this system."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers import Observer

from secondme.errors import SecondMeError, StoreFull
from secondme.ingest import reasons
from secondme.ingest.watch import FolderWatcher, Rhythm, follow
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from secondme.types import FileRenamed, FileSkipped, FileStored, IngestDone, IngestEvent, ScanProgress

FAST = Rhythm(quiet_s=0.05, longest_s=1.0, roots_s=0.1, rescan_s=600, poll_s=600)
PATIENCE_S = 8.0


class Following:
    """Follows folders in a thread, as the app does, and tells what memory holds."""

    def __init__(self, store: Store, *folders: Path, rhythm: Rhythm = FAST) -> None:
        self.store = store
        self.folders = folders
        self.events: list[IngestEvent] = []
        self.failed: list[SecondMeError] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(rhythm,))
        self._thread.start()

    def _run(self, rhythm: Rhythm) -> None:
        events = follow(self.folders, self.store, HashEmbedder(), rhythm=rhythm, cancelled=self._stop.is_set)
        try:
            for event in events:
                self.events.append(event)
        except SecondMeError as error:
            self.failed.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def texts(self) -> dict[str, str]:
        """Text in memory by path from the first folder on."""
        return {
            os.path.relpath(s.path, self.folders[0]): "".join(c.chunk.text for c in self.store.source_chunks(s.id))
            for s in self.store.sources()
            if s.n_chunks
        }

    def comes_to(self, expected: dict[str, str]) -> None:
        until(lambda: self.texts() == expected)
        assert self.texts() == expected

    def told(self, kind: type[IngestEvent]) -> list[IngestEvent]:
        return [e for e in self.events if isinstance(e, kind)]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("first")
    (folder / "sub" / "b.txt").write_text("second")
    return folder


@pytest.fixture
def following(store: Store, docs: Path) -> Iterator[Following]:
    follower = Following(store, docs)
    follower.comes_to({"a.txt": "first", "sub/b.txt": "second"})
    yield follower
    follower.stop()
    assert follower.failed == []


def test_edits_new_files_and_deletions(following: Following, docs: Path) -> None:
    (docs / "a.txt").write_text("edited")
    (docs / "c.md").write_text("new")
    following.comes_to({"a.txt": "edited", "c.md": "new", "sub/b.txt": "second"})
    (docs / "c.md").unlink()
    with (docs / "a.txt").open("a") as file:
        file.write(" and more")
    following.comes_to({"a.txt": "edited and more", "sub/b.txt": "second"})


def test_an_atomic_save(following: Following, docs: Path) -> None:
    """As vim, VS Code and most others do: a new file takes the old one's place."""
    temporary = docs / ".a.txt.swp"
    for n in range(3):
        temporary.write_text(f"saved {n}")
        temporary.replace(docs / "a.txt")
        following.comes_to({"a.txt": f"saved {n}", "sub/b.txt": "second"})
    (docs / "a.txt").rename(docs / "a.txt~")
    (docs / "a.txt").write_text("with a backup")
    following.comes_to({"a.txt": "with a backup", "sub/b.txt": "second"})


def test_renames_embed_nothing_again(following: Following, docs: Path) -> None:
    (docs / "a.txt").rename(docs / "sub" / "c.txt")
    following.comes_to({"sub/b.txt": "second", "sub/c.txt": "first"})
    (docs / "sub").rename(docs / "other")
    following.comes_to({"other/b.txt": "second", "other/c.txt": "first"})
    assert len(following.told(FileRenamed)) == 3
    assert len(following.told(FileStored)) == 2


def test_a_folder_that_is_moved_out_is_forgotten_and_no_longer_heard(following: Following, docs: Path) -> None:
    away = docs.parent / "away"
    (docs / "sub").rename(away)
    following.comes_to({"a.txt": "first"})
    (away / "b.txt").write_text("changed elsewhere")
    (docs / "a.txt").write_text("still heard")
    following.comes_to({"a.txt": "still heard"})
    away.rename(docs / "sub")
    following.comes_to({"a.txt": "still heard", "sub/b.txt": "changed elsewhere"})


def test_a_folder_that_comes_in_whole(following: Following, docs: Path, tmp_path: Path) -> None:
    (tmp_path / "new/deep").mkdir(parents=True)
    (tmp_path / "new/deep/c.txt").write_text("third")
    shutil.move(tmp_path / "new", docs / "new")
    following.comes_to({"a.txt": "first", "sub/b.txt": "second", "new/deep/c.txt": "third"})
    shutil.rmtree(docs / "sub")
    following.comes_to({"a.txt": "first", "new/deep/c.txt": "third"})


def test_the_root_deleted_and_made_again(following: Following, docs: Path) -> None:
    shutil.rmtree(docs)
    until(lambda: bool(following.told(FileSkipped)))
    (skip,) = following.told(FileSkipped)
    assert isinstance(skip, FileSkipped) and (skip.path, skip.reason) == (str(docs), reasons.MISSING_FOLDER)
    docs.mkdir()
    (docs / "new.txt").write_text("after")
    following.comes_to({"new.txt": "after"})
    (docs / "new.txt").write_text("heard again")
    following.comes_to({"new.txt": "heard again"})


def test_the_root_moved_away_is_heard_no_longer(following: Following, docs: Path) -> None:
    away = docs.rename(docs.parent / "away")
    until(lambda: bool(following.told(FileSkipped)))
    (away / "a.txt").write_text("changed elsewhere")
    time.sleep(0.3)
    assert following.texts() == {"a.txt": "first", "sub/b.txt": "second"}
    away.rename(docs)
    following.comes_to({"a.txt": "changed elsewhere", "sub/b.txt": "second"})


def test_ignored_places_are_silent_until_the_ignore_file_changes(following: Following, docs: Path) -> None:
    (docs / ".git").mkdir()
    (docs / ".git" / "x.txt").write_text("never")
    (docs / "node_modules").mkdir()
    (docs / "node_modules" / "y.txt").write_text("never")
    (docs / "z.txt~").write_text("never")
    (docs / ".secondmeignore").write_text("sub/\n")
    following.comes_to({"a.txt": "first"})
    (docs / "sub" / "b.txt").write_text("ignored now")
    (docs / ".secondmeignore").unlink()
    following.comes_to({"a.txt": "first", "sub/b.txt": "ignored now"})


def test_odd_names_are_followed(following: Following, docs: Path) -> None:
    odd = docs / os.fsdecode(b"\xff\n\x1b[31m")
    odd.mkdir()
    (odd / "c\n.txt").write_text("third")
    following.comes_to({"a.txt": "first", "sub/b.txt": "second", os.fsdecode(b"\xff\n\x1b[31m/c\n.txt"): "third"})


def test_passes_without_news_are_silent(store: Store, docs: Path) -> None:
    (docs / "bad.txt").write_bytes(bytes(100))
    rhythm = Rhythm(quiet_s=0.02, longest_s=1, roots_s=0.05, rescan_s=0.1, poll_s=0.1)
    follower = Following(store, docs, rhythm=rhythm)
    follower.comes_to({"a.txt": "first", "sub/b.txt": "second"})
    until(lambda: bool(follower.told(IngestDone)))
    n_events = len(follower.events)
    time.sleep(0.6)
    assert len(follower.events) == n_events
    (docs / "a.txt").write_text("found by a full pass or by an event")
    follower.comes_to({"a.txt": "found by a full pass or by an event", "sub/b.txt": "second"})
    follower.stop()
    assert len(follower.told(FileSkipped)) == 1
    assert follower.told(ScanProgress) == []
    # What was told once is remembered by the store.
    again = Following(store, docs)
    time.sleep(0.3)
    again.stop()
    assert again.events == []


def test_a_missed_event_is_made_up_for(store: Store, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondme.ingest.watch._Listener.on_any_event", lambda self, event: None)
    follower = Following(store, docs, rhythm=Rhythm(quiet_s=0.02, longest_s=1, roots_s=0.05, rescan_s=0.2, poll_s=600))
    follower.comes_to({"a.txt": "first", "sub/b.txt": "second"})
    (docs / "a.txt").write_text("unheard")
    follower.comes_to({"a.txt": "unheard", "sub/b.txt": "second"})
    follower.stop()


def test_without_watches_left_folders_are_looked_through(
    store: Store, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "schedule", refused)
    follower = Following(store, docs, rhythm=Rhythm(quiet_s=0.02, longest_s=1, roots_s=0.05, rescan_s=600, poll_s=0.2))
    follower.comes_to({"a.txt": "first", "sub/b.txt": "second"})
    (docs / "a.txt").write_text("polled")
    follower.comes_to({"a.txt": "polled", "sub/b.txt": "second"})
    follower.stop()
    (skip,) = follower.told(FileSkipped)
    assert isinstance(skip, FileSkipped)
    assert reasons.template(skip.reason) == reasons.POLLING and "max_user_watches" in skip.hint


def test_a_full_disk_ends_it(store: Store, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Following(store, docs)
    follower.comes_to({"a.txt": "first", "sub/b.txt": "second"})

    def full(*args: object, **kwargs: object) -> None:
        raise StoreFull("the disk is full")

    monkeypatch.setattr(store, "put_source", full)
    (docs / "a.txt").write_text("does not fit")
    until(lambda: bool(follower.failed))
    follower.stop()
    assert [type(e) for e in follower.failed] == [StoreFull]


def test_many_changes_are_one_look_at_the_folders(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondme.ingest.watch._MAX_BATCH", 20)
    with FolderWatcher([docs], Rhythm(quiet_s=0.2, longest_s=5)) as watcher:
        for n in range(40):
            (docs / f"{n}.txt").touch()
        assert next(watcher.batches()) == {docs}


def test_a_burst_is_one_batch_and_endless_change_is_told_all_the_same(docs: Path) -> None:
    with FolderWatcher([docs], Rhythm(quiet_s=0.3, longest_s=0.6)) as watcher:
        for n in range(5):
            (docs / f"{n}.txt").write_text("x")
        assert next(watcher.batches()) == {docs / f"{n}.txt" for n in range(5)}
        stop = threading.Event()

        def scribble() -> None:
            while not stop.wait(0.05):
                (docs / "log.txt").write_text("x")

        writer = threading.Thread(target=scribble)
        writer.start()
        started = time.monotonic()
        assert next(watcher.batches()) == {docs / "log.txt"}
        assert time.monotonic() - started < 3
        stop.set()
        writer.join()


def test_the_watcher_says_nothing_on_the_terminal(docs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with FolderWatcher([docs]):
        logging.getLogger("watchdog.observers.inotify").warning("a path: %r", docs)
    assert capfd.readouterr() == ("", "")
