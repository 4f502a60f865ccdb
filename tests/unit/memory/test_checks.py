"""Everything stored is held to the operation log; what differs is named, item by item, and never quoted."""

from __future__ import annotations

import re
import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from secondme.crypto.unlock import unlock
from secondme.memory import scavenge
from secondme.memory.database import connect
from secondme.memory.history import read_history
from secondme.memory.oplog import Head, genesis, head
from secondme.memory.scavenge import Gap
from secondme.types import Check
from tests.damaging import CONTENT, Place, filled, pages, spoil, tamper
from tests.golden.make_store import PASSPHRASE
from tests.storing import KEY, put

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "store-1"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return filled(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def place(sound: Place, tmp_path: Path) -> Place:
    return sound.copy(tmp_path / "memory")


def test_a_sound_store_has_a_line_for_each_part(place: Place) -> None:
    checks = place.checks()
    assert {c.status for c in checks} == {"ok"}, checks
    parts = ["store", "history", "pages", "files", "conversations", "folders", "memories", "word index", "vectors"]
    assert [c.name for c in checks] == parts
    assert "12 with 78 passages" in " ".join(c.detail for c in checks)
    assert sorted(p.name for p in place.store.parent.iterdir()) == ["store.db", "store.db-watermark"]


ONE_ITEM = {
    "a passage's text": (
        "update chunk set text = 'x' || substr(text, 2) where source_id = 6 and ordinal = 2",
        r"file: /notes/5.md \(s6\): passage 3 of 6 is not what was stored",
    ),
    "a passage that is no text": (
        "update chunk set text = cast(x'ff41' as text) where source_id = 6 and ordinal = 0",
        r"file: /notes/5.md \(s6\): passage 1 of 6 cannot be read",
    ),
    "a turn that is no text": (
        "update turn set text = cast(x'ff41' as text) where id = 5",
        r"turn: turn t5 of conversation c1 \(.*\) cannot be read",
    ),
    "a vector that is text": (
        "update vector_auxiliary set value00 = cast(x'ff41' as text) where rowid = 5",
        "vectors: not all can be read",
    ),
    "a file's title": (
        "update source set title = 'another' where id = 4",
        r"file: /notes/3.md \(s4\): its text or what is recorded of it is not what was stored",
    ),
    "a passage taken out": (
        "delete from chunk where source_id = 6 and ordinal = 3",
        r"file: /notes/5.md \(s6\): passage 5 of 6 is not what was stored",
    ),
    "a file taken out": ("delete from source where id = 3", r"file: a file whose path .* \(s3\) is missing"),
    "a turn's text": (
        "update turn set text = 'another' where id = 4",
        r"turn: turn t4 of conversation c1 \(\d{4}-.*\) is not what was stored",
    ),
    "a turn taken out": ("delete from turn where id = 9", r"turn: turn t9 of conversation c2 \(.*\) is missing"),
    "a turn put in": (
        "insert into turn(conversation_id, role, text, created_at, citations, uid)"
        " values(1, 'user', 'whale', 1, '[]', randomblob(16))",
        "history: no step tells of turn t13: it was put in by something else",
    ),
    "a title": ("update conversation set title = 'x' where id = 2", "conversation: conversation c2 is not what"),
    "a folder": ("update folder set path = cast('/etc' as blob)", "folder: /etc is not what was stored"),
    "a folder taken out": ("delete from folder", "folder: folder 1 is missing"),
    "citations": ("update turn set citations = '[{}]' where id = 2", "turn: turn t2 of conversation c1"),
    "the word index": (
        "insert into word(word, rowid, text, title, headings)"
        " select 'delete', id, text, title, headings from chunk_words where id = 3",
        "word index: does not match the stored text",
    ),
    "an exact vector": (
        "update vector_auxiliary set value00 = zeroblob(32) where rowid = 5",
        r"vectors: 1 of 78 are damaged: s3 \(#5\)",
    ),
    "a vector that is no number": (
        "update vector_auxiliary set value00 = cast(x'0000c07f' || substr(value00, 5) as blob) where rowid = 7",
        r"vectors: 1 of 78 are damaged: s4 \(#7\)",
    ),
    "a step": ("update op set at = at + 1 where seq = 7", "history: the operation log is whole up to step 6"),
    "a step taken out": ("delete from op where seq = 7", "history: the operation log is whole up to step 6"),
}


@pytest.mark.parametrize("name", ONE_ITEM)
def test_what_was_changed_with_the_right_key_is_named(place: Place, name: str) -> None:
    sql, line = ONE_ITEM[name]
    tamper(place, sql)
    place.open().close()  # nothing else would tell
    failed = place.failed()
    assert any(re.match(line, f) for f in failed), failed
    assert not [f for f in failed if any(word in f for word in CONTENT)]
    assert all(c.remedy for c in place.checks() if c.status == "failed")


def test_a_change_of_one_item_is_not_laid_to_another(place: Place) -> None:
    tamper(place, ONE_ITEM["a passage's text"][0])
    assert [f.split(":")[0] for f in place.failed()] == ["file", "word index"]
    tamper(place, ONE_ITEM["a turn taken out"][0])
    assert [f.split(":")[0] for f in place.failed()] == ["file", "turn", "word index"]


def test_all_that_is_damaged_is_named_at_once(place: Place) -> None:
    names = ["a file's title", "a turn taken out", "a title", "the word index", "an exact vector"]
    tamper(place, *(ONE_ITEM[name][0] for name in names))
    failed = place.failed()
    for name in names:
        assert any(re.match(ONE_ITEM[name][1], f) for f in failed), (name, failed)
    assert len(failed) == len(names)


def test_passages_without_a_vector_are_waiting(place: Place) -> None:
    tamper(place, "delete from vector where chunk_id in (2, 3, 78)")
    checks = [c for c in place.checks() if c.status != "ok"]
    assert [(c.name, c.status) for c in checks] == [("vectors", "warning")]
    assert checks[0].detail.startswith("3 passages await their vectors")
    assert checks[0].remedy == "run: secondme memory reindex"


def test_a_vector_of_no_passage_is_damage(place: Place) -> None:
    tamper(place, "insert into vector values(999, 1, vec_int8(zeroblob(8)), zeroblob(32))")
    assert any(re.match("vectors: 1 of 79 are damaged: #999 of no passage", f) for f in place.failed())


def test_a_log_that_was_cut_off_does_not_make_its_items_false(place: Place) -> None:
    with_all = place.copy(place.witness.parent / "whole")
    tamper(place, "delete from op where seq > 20", "delete from op_subject where seq > 20")
    # As the owner's watermark still knows the steps, opening it is refused.
    for name in ("store.db-watermark",):
        (place.store.parent / name).write_bytes((with_all.store.parent / name).read_bytes())
    failed = place.failed()
    assert failed[0].startswith("history: the store ends at step 20")
    assert not [f for f in failed if f.startswith(("file", "turn"))]


def test_steps_behind_a_damaged_one_are_vouched_for_by_the_acknowledged_one(place: Place) -> None:
    tamper(place, "update op set detail = '{}' where seq = 3")
    connection = connect(place.store, KEY.db)
    try:
        last = head(connection)
        found = read_history(connection, genesis(KEY.store_id), last)
        assert (found.whole.seq, found.n_missing, found.n_trusted) == (2, 1, last.seq - 1)
        tenth = Head(10, bytes(connection.execute("select hash from op where seq = 10").get))
        behind = read_history(connection, genesis(KEY.store_id), tenth)
        assert (behind.whole.seq, behind.n_missing, behind.n_trusted) == (2, 1, last.seq - 1)
        lone = read_history(connection, genesis(KEY.store_id), Head(last.seq, bytes(32)))
        assert (lone.whole.seq, lone.n_trusted) == (2, 2)
        assert lone.n_missing == last.seq - 2
    finally:
        connection.close()


def test_a_page_that_cannot_be_read_hides_no_other(place: Place) -> None:
    found = pages(place)
    spoil(place, found["turn"][-1])
    spoil(place, found["word_data"][-1])
    spoil(place, found["chunk"][len(found["chunk"]) // 2])
    failed = place.failed()
    assert failed[0].startswith("pages: 3 pages were changed by something else: ")
    in_pages = failed[1]
    for part in ("the texts of the files", "the turns of conversations", "the word index"):
        assert part in in_pages
    assert [f for f in failed if re.match(r"file: /notes/\d+.md \(s\d+\): passages? [-\d, ]+ of \d+ cannot be read", f)]
    assert [f for f in failed if re.match(r"turn: turn t\d+ of conversation c2 .* cannot be read", f)]


def test_a_project_that_cannot_be_read_makes_no_file_false(place: Place) -> None:
    spoil(place, pages(place)["project"][0])
    failed = place.failed()
    assert re.match(r"pages: 1 page was changed by something else: \d+$", failed[0])
    assert failed[1:] == [
        "pages: not all can be read, or are not in order, in the list of projects",
        "pages: because of them 27 items cannot be held to the log, though their text can be read",
    ]


def test_no_store_and_no_first_page_are_lines_as_well(place: Place) -> None:
    spoil(place, 1)
    assert place.failed() == [
        "store: the first pages of the store cannot be read: the file is damaged, or another memory's"
    ]
    place.store.write_bytes(b"")
    assert place.failed() == ["store: the store file is empty or cut off"]
    place.store.unlink()
    assert place.failed() == ["store: there is no store file"]


def test_a_page_that_the_log_will_write_again_is_no_damage(place: Place) -> None:
    store = place.open()
    store.add_turn(1, "user", "not in the file yet", [])
    image = place.store.with_name("image")
    shutil.copytree(place.store.parent, image, ignore=shutil.ignore_patterns("image"))
    store.close()
    killed = Place(image / "store.db", place.witness)
    wal = (image / "store.db-wal").read_bytes()
    spoil(killed, int.from_bytes(wal[32:36], "big"))
    assert [c for c in killed.checks() if c.name == "pages"] == [
        Check("pages", "ok", "every page was read and is whole")
    ]


def test_the_quick_check_reads_the_log_and_looks_at_the_pages(place: Place) -> None:
    store = place.open()
    assert [(c.name, c.status) for c in store.check()] == [("history", "ok"), ("pages", "ok")]
    store.close()
    tamper(place, "update op set at = at + 1 where seq = 7")
    store = place.open()
    assert [(c.name, c.status) for c in store.check()] == [("history", "failed"), ("pages", "ok")]
    store.close()


def test_items_from_before_the_log_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(GOLDEN, folder)
    place = Place(folder / "store.db", tmp_path / "witness", unlock(folder, passphrase=PASSPHRASE).store)
    place.open().close()
    files = next(c for c in place.checks() if c.name == "files")
    assert (files.status, files.detail.endswith("; 7 items are from before the log")) == ("ok", True)


def test_steps_that_are_no_json_are_damage(place: Place) -> None:
    tamper(place, "update op set subjects = 'x' where seq = 5")
    assert place.failed()[0].startswith("history: the operation log is whole up to step 4")


def test_more_vectors_than_are_looked_at_at_once(tmp_path: Path) -> None:
    place = filled(tmp_path, n_files=1)
    store = place.open()
    put(store, "/notes/long.md", [f"{n} of many\n" for n in range(1100)])
    store.close()
    assert [c.detail for c in place.checks() if c.name == "vectors"] == ["1101 of 8 dimensions"]
    tamper(place, "update vector_auxiliary set value00 = zeroblob(32) where rowid = 1050")
    assert "vectors: 1 of 1101 are damaged: s2 (#1050)" in place.failed()


def test_rows_are_read_on_both_sides_of_a_gap(place: Place) -> None:
    tamper(place, "delete from turn where id % 3 = 1")
    with closing(connect(place.store, KEY.db)) as connection:
        ids = [int(row[0]) for row in scavenge.rows(connection, "turn", "text", "id") if not isinstance(row, Gap)]
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    assert ids == [2, 3, 5, 6, 8, 9, 11, 12]
    for page in pages(place)["turn"][1:]:
        damaged = place.copy(place.witness.parent / f"page-{page}")
        spoil(damaged, page)
        with closing(connect(damaged.store, KEY.db)) as connection:
            found = list(scavenge.rows(connection, "turn", "text", "id"))
        gaps = [row for row in found if isinstance(row, Gap)]
        read = [int(row[0]) for row in found if not isinstance(row, Gap)]
        assert gaps
        assert read == sorted(read)
        assert set(ids) - set(read) <= {i for gap in gaps for i in range(gap.first, gap.last + 1)}


def test_a_fault_of_the_program_is_not_taken_for_damage(place: Place) -> None:
    with closing(connect(place.store, KEY.db)) as connection, pytest.raises(apsw.SQLError):
        list(scavenge.rows(connection, "turn", "nonsense", "id"))
