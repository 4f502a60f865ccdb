"""From files on the disk to chunks in a real store, and back in step with the disk."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from secondme.errors import Cancelled, ConfigError, ModelError
from secondme.ingest import plan as plan_module
from secondme.ingest import reasons
from secondme.ingest.pipeline import IngestOptions, ingest
from secondme.memory.store import Store
from secondme.paths import data_dir
from secondme.runtime.base import FloatMatrix
from secondme.runtime.echo import HashEmbedder
from secondme.types import (
    CancelCheck,
    FileProgress,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStarted,
    FileStored,
    FileUnchanged,
    IngestDone,
    IngestEvent,
    ScanProgress,
    StoredSource,
    never_cancelled,
)
from tests.make_corpus import Page, pdf, write_bad, write_corpus

LONG_AGO_NS = 1_700_000_000_000_000_000


class Memory:
    """A store that takes in folders and keeps the events of the last pass."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.embedder = HashEmbedder()
        self.events: list[IngestEvent] = []

    def add(self, *paths: Path, within: Sequence[Path] = (), **options: object) -> IngestDone:
        chosen = IngestOptions(**options)  # type: ignore[arg-type]  # the options of each test are literals
        self.events = list(ingest(paths, self.store, self.embedder, chosen, within=within))
        done = self.events[-1]
        assert isinstance(done, IngestDone)
        return done

    def skips(self) -> dict[str, str]:
        return {Path(e.path).name: e.reason for e in self.events if isinstance(e, FileSkipped)}

    def removed(self) -> list[str]:
        return [Path(e.path).name for e in self.events if isinstance(e, FileRemoved)]

    def source(self, path: Path) -> StoredSource | None:
        return self.store.source("default", str(path))

    def text(self, path: Path) -> str:
        source = self.source(path)
        return "".join(c.chunk.text for c in self.store.source_chunks(source.id)) if source else ""

    def found(self, word: str) -> list[str]:
        return [Path(c.path).name for c in self.store.chunks([i for i, _ in self.store.search_text(word, 5, None)])]


@pytest.fixture
def memory(store: Store) -> Memory:
    return Memory(store)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def write(path: Path, text: str, *, age: bool = True) -> Path:
    """Write a file, last changed long ago, so that its stamp can be trusted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    if age:
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return path


def test_every_format_is_taken_in_and_found_again(memory: Memory, docs: Path) -> None:
    facts = write_corpus(docs)
    done = memory.add(docs)
    assert (done.n_stored, done.n_skipped) == (len(facts), 0), memory.skips()
    stats = memory.store.stats()
    assert stats.n_chunks == stats.n_vectors == done.n_chunks
    for name, fact in facts.items():
        assert fact in memory.text(docs / name), name
        (vector,) = memory.embedder.embed([fact])
        nearest = memory.store.chunks([i for i, _ in memory.store.search_vectors(vector, 3, None)])
        assert any(fact in c.chunk.text for c in nearest), name


def test_places_point_into_the_files(memory: Memory, docs: Path) -> None:
    text = "# Über\n\nFirst.\n\n" + "\n\n".join(f"## Part {n}\n\n" + "Some words here. " * 60 for n in range(3))
    note = write(docs / "note.md", text)
    (docs / "a.pdf").write_bytes(pdf([Page(["first"]), Page(["second"])]))
    memory.add(docs)
    raw = note.read_bytes()
    source = memory.source(note)
    assert source is not None
    stored = memory.store.source_chunks(source.id)
    assert len(stored) > 3
    for each in stored:
        chunk = each.chunk
        assert raw[chunk.byte_start : chunk.byte_end].decode() == chunk.text
        lines = raw.decode().split("\n")[chunk.line_start - 1 : chunk.line_end]
        assert "\n".join(lines).strip() == chunk.text.strip() or chunk.text.strip() in "\n".join(lines)
    assert stored[-1].chunk.heading_path == ("Über", "Part 2")
    pages = memory.source(docs / "a.pdf")
    assert pages is not None
    assert [c.chunk.page for c in memory.store.source_chunks(pages.id)] == [1, 2]


def test_bad_files_have_reasons_and_the_rest_goes_on(memory: Memory, docs: Path) -> None:
    expected = write_bad(docs)
    write(docs / "good.txt", "words")
    done = memory.add(docs)
    assert memory.skips() == expected
    assert (done.n_stored, done.n_skipped) == (1, len(expected))
    memory.add(docs)
    assert memory.skips() == expected
    assert not any(isinstance(e, FileStarted) for e in memory.events)  # nothing was parsed again


def test_the_order_of_events(memory: Memory, docs: Path) -> None:
    write(docs / "a.txt", "words " * 9000)
    write(docs / "b.txt", "words")
    memory.add(docs)
    kinds = [type(e) for e in memory.events]
    assert kinds[0] is ScanProgress and kinds[-1] is IngestDone
    first = [e for e in memory.events if getattr(e, "path", "").endswith("a.txt")]
    assert isinstance(first[0], FileStarted) and isinstance(first[-1], FileStored)
    progress = [e for e in first if isinstance(e, FileProgress)]
    assert len(progress) > 1
    assert [p.n_chunks_done for p in progress] == sorted(p.n_chunks_done for p in progress)
    assert progress[-1].n_chunks_done == progress[-1].n_chunks_total == first[-1].n_chunks
    counted = [(e.n_done, e.n_total) for e in memory.events if isinstance(e, FileStored)]
    assert counted == [(1, 2), (2, 2)]


# Again ---------------------------------------------------------------------------------------------------------


def test_unchanged_files_are_not_even_opened(memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(docs / "a.txt", "words")
    memory.add(docs)
    monkeypatch.setattr("secondme.ingest.pipeline.read_file", None)
    done = memory.add(docs)
    assert (done.n_stored, done.n_unchanged) == (0, 1)


def test_two_thousand_unchanged_files_are_passed_over_quickly(memory: Memory, docs: Path) -> None:
    for n in range(2000):
        write(docs / f"{n // 100}" / f"note-{n}.md", f"Note {n}")
    memory.add(docs)
    started = time.perf_counter()
    done = memory.add(docs)
    elapsed = time.perf_counter() - started
    assert done.n_unchanged == 2000
    assert elapsed < 2.0


def test_an_edit_replaces_what_was_known(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "the albatross flies")
    memory.add(docs)
    source = memory.source(note)
    write(note, "the cormorant dives", age=False)
    done = memory.add(docs)
    assert done.n_stored == 1
    assert memory.text(note) == "the cormorant dives"
    assert memory.found("albatross") == [] and memory.found("cormorant") == ["a.txt"]
    again = memory.source(note)
    assert source is not None and again is not None and again.id == source.id


def test_a_change_within_the_clocks_grain_is_seen(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "first", age=False)
    status = note.stat()
    memory.add(docs)
    note.write_text("other")
    os.utime(note, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, time and inode
    memory.add(docs)
    assert memory.text(note) == "other"


def test_rehash_sees_through_a_forged_date(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "first")
    memory.add(docs)
    write(note, "other")
    assert memory.add(docs).n_stored == 0
    assert memory.add(docs, rehash=True).n_stored == 1
    assert memory.add(docs, rehash=True).n_unchanged == 1


def test_a_touched_file_is_read_once_and_then_trusted(
    memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = write(docs / "a.txt", "words")
    memory.add(docs)
    os.utime(note, ns=(LONG_AGO_NS + 1, LONG_AGO_NS + 1))
    assert memory.add(docs).n_unchanged == 1
    monkeypatch.setattr("secondme.ingest.pipeline.read_file", None)
    assert memory.add(docs).n_unchanged == 1


def test_a_skip_is_tried_again_when_the_file_or_the_limit_changes(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "x" * 2_500_000)
    assert memory.add(docs, max_file_mb=1).n_skipped == 1
    assert memory.skips() == {"a.txt": reasons.TOO_LARGE.format(1)}
    assert memory.add(docs, max_file_mb=2).n_skipped == 1
    assert memory.add(docs, max_text_mb=1).n_skipped == 1
    assert memory.skips() == {"a.txt": reasons.TOO_MUCH_TEXT.format(1)}
    assert memory.add(docs, max_text_mb=2).n_skipped == 1
    write(note, "short", age=False)
    assert memory.add(docs).n_stored == 1
    assert memory.store.stats().n_skipped == 0


def test_a_huge_file_is_never_read(memory: Memory, docs: Path) -> None:
    with (docs / "huge.txt").open("wb") as file:
        file.truncate(500_000_000)
    started = time.perf_counter()
    assert memory.add(docs).n_skipped == 1
    assert time.perf_counter() - started < 1
    assert memory.events[-2] == FileSkipped(
        str(docs / "huge.txt"), "it is larger than 64 MB", "raise max_file_mb in the settings, or split it", 1, 1
    )


def test_a_file_that_turns_bad_is_forgotten_and_one_out_of_reach_is_not(
    memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = write(docs / "a.txt", "words")
    other = write(docs / "b.txt", "other words")
    memory.add(docs)
    note.write_bytes(bytes(100))
    os.utime(other)
    opened = os.open

    def refusing(path: str, *args: int) -> int:
        if str(path) == str(other):
            raise PermissionError(13, "not for you")
        return opened(path, *args)

    monkeypatch.setattr("secondme.ingest.read.os.open", refusing)
    memory.add(docs)
    assert memory.skips() == {"a.txt": reasons.BINARY, "b.txt": reasons.NO_PERMISSION}
    assert memory.text(note) == ""
    assert memory.text(other) == "other words"
    monkeypatch.undo()
    memory.add(docs)
    assert memory.skips() == {"a.txt": reasons.BINARY}


# Moved and gone ------------------------------------------------------------------------------------------------


def test_a_renamed_file_is_not_embedded_again(memory: Memory, docs: Path) -> None:
    note = write(docs / "albatross.txt", "words of some length")
    memory.add(docs)
    before = memory.source(note)
    new = docs / "sub" / "cormorant.txt"
    new.parent.mkdir()
    note.rename(new)
    done = memory.add(docs)
    assert (done.n_stored, done.n_unchanged, done.n_removed) == (0, 1, 0)
    assert [e for e in memory.events if isinstance(e, FileRenamed)] == [FileRenamed(str(note), str(new))]
    after = memory.source(new)
    assert before is not None and after is not None
    assert (after.id, after.title) == (before.id, "cormorant.txt")
    assert memory.source(note) is None
    assert memory.found("cormorant") == ["cormorant.txt"] and memory.found("albatross") == []


def test_a_file_moved_over_another_takes_its_place(memory: Memory, docs: Path) -> None:
    one, two = write(docs / "1.txt", "first"), write(docs / "2.txt", "second")
    memory.add(docs)
    one.replace(two)
    memory.add(docs)
    assert memory.text(two) == "first"
    assert memory.source(one) is None
    assert memory.store.stats().n_sources == 1


def test_a_copy_is_another_source(memory: Memory, docs: Path) -> None:
    shutil.copy(write(docs / "1.txt", "first"), docs / "2.txt")
    assert memory.add(docs).n_stored == 2


def test_a_new_extension_means_parsing_anew(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "# Heading\n\nwords")
    memory.add(docs)
    note.rename(docs / "a.md")
    done = memory.add(docs)
    assert (done.n_stored, done.n_removed) == (1, 1)
    source = memory.source(docs / "a.md")
    assert source is not None and source.title == "Heading"


def test_deleted_files_are_forgotten(memory: Memory, docs: Path) -> None:
    write(docs / "keep.txt", "kept")
    write(docs / "sub/a.txt", "albatross")
    memory.add(docs)
    shutil.rmtree(docs / "sub")
    done = memory.add(docs)
    assert (done.n_removed, memory.removed()) == (1, ["a.txt"])
    assert memory.found("albatross") == []


def test_deleting_the_last_file_empties_the_folder_in_memory(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "words")
    memory.add(docs)
    note.unlink()
    assert memory.add(docs).n_removed == 1


def test_adding_one_folder_leaves_others_alone(memory: Memory, docs: Path) -> None:
    write(docs / "a/x.txt", "one")
    write(docs / "ab/y.txt", "two")
    memory.add(docs)
    shutil.rmtree(docs / "ab")
    assert memory.add(docs / "a").n_removed == 0


def test_a_missing_folder_costs_nothing(memory: Memory, docs: Path) -> None:
    write(docs / "a.txt", "words")
    memory.add(docs)
    docs.rename(docs.parent / "away")
    done = memory.add(docs)
    assert (done.n_removed, memory.skips()) == (0, {"docs": reasons.MISSING_FOLDER})
    assert memory.store.stats().n_sources == 1
    memory.add(docs.parent / "never")
    assert memory.skips() == {"never": reasons.NOT_FOUND}


def test_a_missing_file_is_forgotten_if_its_folder_is_there(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "words")
    memory.add(note)
    note.unlink()
    assert memory.add(note).n_removed == 1


def test_a_folder_that_cannot_be_listed_costs_nothing(
    memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docs / "locked/deep/a.txt", "words")
    write(docs / "b.txt", "words too")
    memory.add(docs)
    shutil.rmtree(docs / "locked" / "deep")
    (docs / "b.txt").unlink()
    listed = os.scandir

    def refusing(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("locked"):
            raise PermissionError(13, "not for you")
        return listed(path)

    monkeypatch.setattr("secondme.ingest.walk.os.scandir", refusing)
    memory.add(docs)
    assert memory.skips() == {"locked": reasons.UNREADABLE_FOLDER}
    assert memory.removed() == ["b.txt"]


def test_an_unmounted_disk_costs_nothing(memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = write(docs / "disk/a.txt", "words")
    memory.add(docs / "disk")
    note.unlink()
    monkeypatch.setattr(plan_module, "_MOUNTS", (docs,))
    memory.add(docs / "disk")
    assert memory.skips() == {"disk": reasons.EMPTY_MOUNT}
    memory.add(note)
    assert memory.skips() == {"a.txt": reasons.MISSING_FOLDER}
    assert memory.text(note) == "words"


def test_the_owners_ignore_file_takes_files_out_of_memory(memory: Memory, docs: Path) -> None:
    write(docs / "a.txt", "words")
    write(docs / "drafts/b.txt", "draft")
    hidden = write(docs / ".hidden.txt", "named by the owner")
    memory.add(docs)
    memory.add(hidden)
    write(docs / ".secondmeignore", "drafts/\n")
    memory.add(docs)
    assert memory.removed() == ["b.txt"]
    assert memory.text(hidden) == "named by the owner"


def test_within_a_followed_folder_a_missing_path_is_gone(memory: Memory, docs: Path) -> None:
    write(docs / "sub/a.txt", "one")
    write(docs / "sub/deep/b.txt", "two")
    write(docs / "c.txt", "three")
    memory.add(docs)
    shutil.rmtree(docs / "sub")
    assert memory.add(docs / "sub", docs / "nothing", within=[docs]).n_removed == 2
    assert memory.skips() == {}
    write(docs / ".git/x.txt", "never")
    write(docs / "node_modules/y.txt", "never")
    assert memory.add(docs / ".git/x.txt", docs / "node_modules", within=[docs]).n_stored == 0


# Odd paths -----------------------------------------------------------------------------------------------------


def test_paths_of_any_bytes(memory: Memory, docs: Path) -> None:
    names = [b"new\nline.txt", b"\xff\xfe.txt", b"\x1b]0;title\x07.md", b"dir\xff\n/a.txt", " ü.txt".encode()]
    for name in names:
        write(docs / os.fsdecode(name), "words")
    assert memory.add(docs).n_stored == len(names)
    assert memory.add(docs).n_unchanged == len(names)
    moved = docs / os.fsdecode(b"\xff\xfe.txt")
    moved.rename(docs / os.fsdecode(b"\xfd.txt"))
    memory.add(docs)
    assert any(isinstance(e, FileRenamed) for e in memory.events)


def test_what_is_given_twice_counts_once(memory: Memory, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(docs / "sub/a.txt", "words")
    monkeypatch.chdir(docs)
    done = memory.add(docs, docs / "sub", Path("sub/../sub/a.txt"), Path())
    assert (done.n_stored, done.n_unchanged) == (1, 0)


def test_a_given_link_is_followed_and_its_own_folders_are_refused(memory: Memory, docs: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "elsewhere/a.txt", "words")
    (docs / "link.txt").symlink_to(target)
    (docs / "folder").symlink_to(target.parent)
    assert memory.add(docs / "link.txt", docs / "folder").n_stored == 2
    write(data_dir() / "a.txt", "mine")
    memory.add(data_dir(), data_dir() / "a.txt")
    assert memory.skips() == {"data": reasons.OWN_DATA, "a.txt": reasons.OWN_DATA}


def test_a_loop_of_links_and_a_pipe(memory: Memory, docs: Path) -> None:
    (docs / "loop").symlink_to(docs / "loop")
    os.mkfifo(docs / "pipe")
    memory.add(docs / "loop", docs / "pipe")
    assert memory.skips() == {"loop": reasons.BROKEN_LINK, "pipe": reasons.NOT_REGULAR}


def test_projects_are_apart(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "words")
    memory.add(docs)
    assert memory.add(docs, project="other").n_stored == 1
    note.unlink()
    assert memory.add(docs, project="other").n_removed == 1
    assert memory.text(note) == "words"


# Stopping ------------------------------------------------------------------------------------------------------


class StopAfter:
    """A CancelCheck that says yes from the nth time on."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("n", [0, 3, 5, 9])
def test_stopping_keeps_whole_files_and_goes_on_later(memory: Memory, docs: Path, n: int) -> None:
    for name in "abcd":
        write(docs / f"{name}.txt", f"{name} words. " * 2000)
    with pytest.raises(Cancelled):
        list(ingest([docs], memory.store, memory.embedder, cancelled=StopAfter(n)))
    stored = memory.store.stats()
    assert stored.n_sources < 4
    assert stored.n_chunks == stored.n_vectors
    done = memory.add(docs)
    assert done.n_stored + done.n_unchanged == 4
    assert done.n_unchanged == stored.n_sources


def test_a_failing_model_ends_it(memory: Memory, docs: Path) -> None:
    class Failing(HashEmbedder):
        def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
            raise ModelError("the model failed")

    write(docs / "a.txt", "words")
    with pytest.raises(ModelError):
        list(ingest([docs], memory.store, Failing()))
    assert memory.store.stats().n_sources == 0


def test_another_models_vectors_are_not_mixed_in(memory: Memory, docs: Path) -> None:
    write(docs / "a.txt", "words")
    memory.add(docs)
    with pytest.raises(ConfigError):
        list(ingest([docs], memory.store, HashEmbedder(64)))


def test_what_is_unchanged_is_told_as_such(memory: Memory, docs: Path) -> None:
    note = write(docs / "a.txt", "words")
    memory.add(docs)
    memory.add(docs)
    assert FileUnchanged(str(note), 1, 1) in memory.events
