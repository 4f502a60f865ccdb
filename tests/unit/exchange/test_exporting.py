"""Where an export is written, what is left when it cannot be, and what is in it for reading."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from secondme.errors import Cancelled, CorruptRecord, StoreError, UsageError
from secondme.exchange.content import ExportProgress
from secondme.exchange.export import ExportDone, ExportOptions, export
from secondme.memory.portable import PortableConversation
from secondme.memory.store import Store
from tests.exchanging import content, exported, imported, members
from tests.storing import citation_of, put

ROOT = Path(__file__).parents[3]


@pytest.fixture
def filled(store: Store) -> Store:
    put(store, "/notes/A tree\u2028.md", ["# The tree\n", "Planted in 1931 \ud83d.\n"])
    conversation = store.new_conversation("default", "When?\nAnd  where")
    store.add_turn(conversation, "user", "When?", ())
    store.add_turn(conversation, "assistant", "In 1931 [1].", (citation_of("/notes/A tree\n.md"),))
    return store


def test_progress_counts_first_and_then_writes(filled: Store, tmp_path: Path) -> None:
    *progress, done = export(filled, tmp_path / "e.tar", ExportOptions(None))
    assert isinstance(done, ExportDone) and done.size_bytes == (tmp_path / "e.tar").stat().st_size
    totals = [p.n_total for p in progress if isinstance(p, ExportProgress)]
    assert totals[0] == 0 < totals[-1] and totals == sorted(totals)
    last = progress[-1]
    assert isinstance(last, ExportProgress) and last.n_done == last.n_total


def test_only_its_owner_may_read_it(filled: Store, tmp_path: Path) -> None:
    exported(filled, tmp_path / "e.tar")
    assert (tmp_path / "e.tar").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir() if "secondme-export" in p.name] == []


def test_what_a_kill_left_goes_with_the_next_export(filled: Store, tmp_path: Path) -> None:
    for name in (".e[1].tar.0123.secondme-export", ".other.tar.0123.secondme-export"):
        (tmp_path / name).write_bytes(b"half")
    exported(filled, tmp_path / "e[1].tar")
    assert [p.name for p in tmp_path.iterdir() if "export" in p.name] == [".other.tar.0123.secondme-export"]


def test_a_sealed_one_says_nothing_and_opens_with_the_age_format(filled: Store, tmp_path: Path) -> None:
    exported(filled, tmp_path / "e.age", "p\u00e4ss")
    exported(filled, tmp_path / "e.tar")
    sealed = (tmp_path / "e.age").read_bytes()
    assert b"1931" not in sealed and b"manifest" not in sealed
    (tmp_path / "opened.tar").write_bytes(pyrage.passphrase.decrypt(sealed, "p\u00e4ss"))
    assert content(tmp_path / "opened.tar") == content(tmp_path / "e.tar")


def test_it_is_in_the_operation_log(filled: Store, tmp_path: Path) -> None:
    exported(filled, tmp_path / "e.tar")
    op = filled.log()[-1]
    assert (op.kind, op.subjects) == ("exported", ("store",))
    assert (op.detail["memories"], op.detail["turns"], op.detail["sealed"]) == (2, 2, 0)


def test_markdown_for_reading(filled: Store, tmp_path: Path) -> None:
    exported(filled, tmp_path / "e.tar")
    readable = {
        name: data.decode() for name, data in members(tmp_path / "e.tar").items() if name.startswith("markdown/")
    }
    talk = next(text for name, text in readable.items() if name.startswith("markdown/conversations/when-and-where-"))
    assert talk.startswith('---\ntitle: "When?\\nAnd  where"\n')
    assert "# When? And where\n\n## user (" in talk
    assert "In 1931 [1].\n\n- [1] `/notes/A tree .md`, line 1\n" in talk
    file = next(text for name, text in readable.items() if name.startswith("markdown/sources/a-tree-md-"))
    assert file.endswith("---\n\n# The tree\nPlanted in 1931 ?.\n\n")


def test_what_is_there_is_not_replaced_unless_asked(filled: Store, tmp_path: Path) -> None:
    path = tmp_path / "e.tar"
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="already"):
        list(export(filled, path, ExportOptions(None)))
    assert path.read_bytes() == b"mine"
    exported(filled, path)
    assert path.read_bytes() != b"mine"


def test_places_that_take_no_export(filled: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "no" / "folder", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError):
            list(export(filled, path, ExportOptions(None, replace=True)))


def test_a_record_that_no_import_would_take_is_not_written(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.exchange.content.MAX_LINE", 300)
    with pytest.raises(StoreError, match="too long"):
        list(export(filled, tmp_path / "e.tar", ExportOptions(None)))


def test_times_that_no_calendar_has_are_told_as_such(store: Store, tmp_path: Path) -> None:
    with store.arriving("test") as arrivals:
        arrivals.add_conversation(PortableConversation(bytes(16), "default", "t", 1e300, 1.0, 0), [])
    exported(store, tmp_path / "e.tar")
    (text,) = [data for name, data in members(tmp_path / "e.tar").items() if name.startswith("markdown/")]
    assert b'created: "unknown"\nupdated: "1970-01-01T00:00:01Z"' in text


@pytest.mark.parametrize("origin", ["{", "[1]", '"x"'])
def test_an_origin_that_cannot_be_read_is_damage(filled: Store, tmp_path: Path, origin: str) -> None:
    with filled._database.writing() as connection:
        connection.execute("update conversation set origin = ?", (origin,))
    with pytest.raises(CorruptRecord):
        list(export(filled, tmp_path / "e.tar", ExportOptions(None)))


def test_its_own_folders_are_not_written_to(filled: Store, home: Path) -> None:
    (home / "data" / "more").mkdir(parents=True)
    for path in (home / "data" / "store.db", home / "data" / "more" / "e.tar"):
        with pytest.raises(UsageError, match="own folders"):
            list(export(filled, path, ExportOptions(None, replace=True)))


def test_a_file_that_cannot_be_written_is_named(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="ENAMETOOLONG"):
        list(export(filled, tmp_path / ("long" * 62), ExportOptions(None)))


def test_stopped_at_any_time_nothing_is_left(filled: Store, tmp_path: Path) -> None:
    put(filled, "/large", ["word " * 60_000 for _ in range(5)])
    polls = iter(range(10_000))
    with pytest.raises(Cancelled):
        list(export(filled, tmp_path / "e.tar", ExportOptions("pass"), cancelled=lambda: next(polls) == 20))
    n_events = len(list(export(filled, tmp_path / "whole.tar", ExportOptions(None))))
    for after in (1, n_events // 2, n_events - 1):
        stopped = export(filled, tmp_path / "e.tar", ExportOptions(None))
        for _ in range(after):
            next(stopped)
        stopped.close()  # type: ignore[attr-defined]  # it is a generator; this is what ctrl-c does to it
    assert [p.name for p in tmp_path.iterdir() if "e.tar" in p.name] == ["whole.tar"]
    assert [op.kind for op in filled.log()].count("exported") == 1
    assert imported(filled, tmp_path / "whole.tar").new.n_files == 0


FULL = """
import resource, signal, sys
from pathlib import Path
from secondme.errors import StoreFull
from secondme.exchange.export import ExportOptions, export
from secondme.memory.store import Store
from tests.storing import KEY, put
folder = Path(sys.argv[1])
store = Store.open(folder / "store.db", KEY)
put(store, "/a", ["text " * 4000])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in range(0, 120_000, 7_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        list(export(store, folder / "e.tar", ExportOptions(None)))
        raise SystemExit("it found room")
    except StoreFull as error:
        assert error.hint
    assert not [p for p in folder.iterdir() if p.suffix == ".tar" or "export" in p.name]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
