"""A damaged or rolled back store is put right: what is sound stays, what is lost was named before."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from secondme.crypto.unlock import unlock
from secondme.errors import CorruptRecord, IntegrityError, RolledBack, StoreFull
from secondme.memory import lineage
from secondme.memory.salvage import examined, kept_files
from tests.damaging import CONTENT, PAGE, Held, Place, filled, flip, held, pages, spoil, tamper
from tests.fault.soak import n as n_of
from tests.golden.make_store import PASSPHRASE
from tests.storing import KEY, put, quota


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return filled(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def whole(sound: Place, tmp_path_factory: pytest.TempPathFactory) -> Held:
    return held(sound.copy(tmp_path_factory.mktemp("held") / "memory"))


@pytest.fixture
def place(sound: Place, tmp_path: Path) -> Place:
    return sound.copy(tmp_path / "memory")


GOLDEN = Path(__file__).parent.parent / "golden" / "store-1"


def assert_repaired(place: Place, whole: Held, lost: tuple[str, ...]) -> Held:
    """Nothing fails any more; whatever is not as it was stands in `lost`, and nothing is there that was not."""
    assert place.failed() == []
    now = held(place)
    named = " ".join(lost)
    for path, texts in whole.files.items():
        if now.files.get(path) != texts:
            assert path in named or "a file " in named, (path, lost)
        assert set(now.files.get(path, [])) <= set(texts)
    for turn_id, text in whole.turns.items():
        if now.turns.get(turn_id) != text:
            assert f"turn t{turn_id} " in named, (turn_id, lost)
            assert turn_id not in now.turns
    for i, title in whole.titles.items():
        assert now.titles.get(i) == title or f"conversation c{i}" in named
    for i, text in whole.items.items():
        assert now.items.get(i) == text or (i not in now.items and f"memory m{i}" in named), (i, lost)
    assert now.folders == whole.folders or "/etc" in named or "/notes" in lost or "folder" in named
    assert not [line for line in lost if any(word in line for word in CONTENT)]
    return now


# Pages ---------------------------------------------------------------------------------------------------------


# In the long form each b-tree of the store, six pages of each.
COMMON = ("setting", "source", "sqlite_autoindex_source_1", "chunk", "turn", "conversation", "op", "word_data",
          "vector_rowids", "vector_auxiliary")  # fmt: skip


def test_a_spoiled_page_of_any_b_tree_costs_what_was_on_its_page_and_no_more(
    sound: Place, whole: Held, tmp_path: Path
) -> None:
    for name, numbers in pages(sound.copy(tmp_path / "map")).items():
        if name not in COMMON and n_of(0, 1) == 0:
            continue
        for n, page in enumerate(numbers[-n_of(1, 6) :]):
            if name == "sqlite_schema":
                continue  # see below: without the first pages nothing can be read
            place = sound.copy(tmp_path / f"{name}-{n}")
            spoil(place, page)
            assert place.failed(), name
            plan = place.plan()
            assert plan.way == "rebuild"
            kept = place.repair()
            assert kept is not None
            assert kept.stat().st_size == sound.store.stat().st_size
            assert_repaired(place, whole, plan.lost)
            if name.startswith(("word", "vector", "sqlite_autoindex", "source_", "turn_", "op")):
                assert not [line for line in plan.lost if "record of what was done" not in line], name
                assert held(place) == whole, name


def test_a_bit_that_turned_over_is_set_right_wherever_it_is(sound: Place, whole: Held, tmp_path: Path) -> None:
    place = sound.copy(tmp_path / "memory")
    written = place.store.read_bytes()
    numbers = [1, *(found[-1] for found in pages(place).values())]
    places = (0, 17, 100, 4063, 4064, 4079, 4080, 4095)
    for n, page in enumerate(numbers):
        flip(place, page, places[n % len(places)])
        assert place.failed(), (page, n)
        plan = place.plan()
        assert (plan.way, plan.lost) == ("bits", ()), (page, n)
        assert plan.wrong == (f"store.db: a single bit is wrong in page {page}",)
        assert place.repair() is None
        assert place.store.read_bytes() == written
    for page, at in zip(numbers[:5], (3, 500, 1500, 2500, 3500), strict=True):
        flip(place, page, at)
    assert place.plan().way == "bits"
    place.repair()
    assert place.store.read_bytes() == written
    assert assert_repaired(place, whole, ()) == whole


def test_bits_are_set_right_before_the_rest_is_repaired(place: Place, whole: Held) -> None:
    found = pages(place)
    flip(place, 1)
    spoil(place, found["word_data"][-1])
    assert place.plan().way == "bits"
    with examined(place.store, KEY, place.witness) as salvage:
        salvage.repair()
    assert place.plan().way == "rebuild"
    place.repair()
    assert assert_repaired(place, whole, ()) == whole


def test_one_damaged_passage_leaves_the_other_passages_of_its_file(place: Place, whole: Held) -> None:
    spoil(place, pages(place)["chunk"][-3])
    plan = place.plan()
    place.repair()
    now = assert_repaired(place, whole, plan.lost)
    parts = [path for path, texts in now.files.items() if 0 < len(texts) < len(whole.files[path])]
    assert parts
    warnings = [c for c in place.checks() if c.status == "warning" and c.name == "file"]
    assert [c.remedy for c in warnings] == [f"run: secondme add {path}" for path in parts]
    # The file counts as changed, so that adding it again stores it anew.
    store = place.open()
    assert all(s.content_hash == b"" for s in store.sources() if s.path in parts)
    store.close()


def test_without_its_first_page_the_store_stays_as_it_is(place: Place) -> None:
    spoil(place, 1)
    before = place.store.read_bytes()
    with pytest.raises(CorruptRecord, match="first pages"):
        place.repair()
    assert place.store.read_bytes() == before


def test_a_list_of_projects_that_is_lost_is_taken_from_its_index(place: Place, whole: Held) -> None:
    spoil(place, pages(place)["project"][0])
    place.repair()
    store = place.open()
    assert {s.project for s in store.sources()} == {"default"}
    store.close()
    assert assert_repaired(place, whole, ()) == whole


def test_ids_are_not_given_twice(place: Place) -> None:
    spoil(place, pages(place)["turn"][-1])
    place.repair()
    store = place.open()
    conversation = store.conversations()[0].id
    assert store.add_turn(conversation, "user", "new", []) == 13
    store.close()


# Records -------------------------------------------------------------------------------------------------------

CHANGES = {
    "update chunk set text = 'x' || substr(text, 2) where source_id = 6 and ordinal = 2": "/notes/5.md (s6)",
    "update source set title = 'another' where id = 4": "/notes/3.md (s4)",
    "delete from chunk where source_id = 6": "/notes/5.md (s6)",
    "delete from source where id = 3": "a file (s3)",
    "update turn set text = 'another' where id = 4": "turn t4 of conversation c1",
    "delete from turn where id = 9": "turn t9 of conversation c2",
    "update turn set citations = '[{}]' where id = 2": "turn t2 of conversation c1",
    "update conversation set title = 'x' where id = 2": "conversation c2: its title",
    "delete from conversation where id = 1": "conversation c1",
    "update item set text = 'another', value = 'x' where id = 3": "memory m3",
    "update item set valid_to = 5 where id = 4": "memory m4",
    "delete from item where id = 5": "memory m5",
    "update item_span set byte_start = 3 where item_id = 6 and kind = 'turn'": "memory m6",
    "delete from item_span where item_id = 7": "memory m7",
    "insert into item select 99, x'01', project_id, kind, slot, subject, attribute, value, text, trust, made_by, state,"
    " created_at, valid_from, valid_to, told_to, place, interrupts, continues, strength_days, used_at, n_uses,"
    " n_helpful, n_harmful, vector, origin from item where id = 1": "memory m99",
    "update folder set path = cast('/etc' as blob)": "/etc",
    "insert into turn select 13, 1, role, text, 1, citations, x'01', null, null from turn where id = 1": "turn t13",
    "insert into source(id, project_id, path, media_type, title, content_hash, size_bytes, mtime_ns, inode, trust,"
    " n_chunks, ingested_at, uid) values(99, 1, x'61', '', '', x'00', 0, 0, 0, 'document', 0, 0, x'01')": "file s99",
    "update op set at = at + 1 where seq = 7": "the record of what was done from step 7",
    "delete from op where seq = 7": "the record of what was done from step 7",
}


@pytest.mark.parametrize("sql", CHANGES)
def test_a_changed_record_goes_and_every_other_stays(place: Place, whole: Held, sql: str) -> None:
    tamper(place, sql)
    plan = place.plan()
    assert any(CHANGES[sql] in line for line in plan.lost), plan.lost
    kept = place.repair()
    assert kept is not None
    assert_repaired(place, whole, plan.lost)


@pytest.mark.parametrize(
    "sql",
    [
        "insert into word(word) values('delete-all')",
        "insert into turn_word(turn_word) values('delete-all')",
        "insert into item_word(item_word) values('delete-all')",
        "update item set vector = zeroblob(7) where id in (3, 5)",
        "insert into turn_trace values(2, x'01')",
        "update vector_auxiliary set value00 = zeroblob(32) where rowid in (5, 70)",
        "insert into vector values(999, 1, vec_int8(zeroblob(8)), zeroblob(32))",
        "drop table vector",
    ],
)
def test_what_is_derived_is_made_again(place: Place, whole: Held, sql: str) -> None:
    tamper(place, sql)
    plan = place.plan()
    assert plan.way == ("rebuild" if "drop" in sql else "renew")
    assert plan.lost == ()
    place.repair()
    assert assert_repaired(place, whole, ()) == whole
    store = place.open()
    assert len(store.search_text("harbour", 100, None)) == 78
    assert len(store.search_turns("whale", 100, None)) == 12 and len(store.search_items("whale", 100, None)) == 12
    store.close()


def test_a_place_that_is_lost_takes_no_item_along(place: Place, whole: Held) -> None:
    tamper(place, "delete from turn where id = 9")
    assert [line.partition(" (")[0] for line in place.failed()] == ["turn: turn t9 of conversation c2"]
    place.repair()
    assert assert_repaired(place, whole, ("turn t9 ",)).items == whole.items
    store = place.open()
    (kept,) = store.items_by_ids([9])
    assert [span.kind for span in kept.spans] == ["passage"] and len(store.item_links(1)) == 11
    # What items are searched by is made again, as their text may be another one.
    assert len(store.items_without_vector()) == len(whole.items)
    store.close()


def test_places_that_point_nowhere_are_taken_out_where_they_stand(place: Place, whole: Held) -> None:
    store = place.open()
    with store._database.writing() as connection:
        connection.execute("update item_span set ref_id = 77 where item_id = 3 and kind = 'turn'")
        lineage.log_spans(connection, 3)
    store.close()
    plan = place.plan()
    assert (plan.way, plan.lost) == ("renew", ()) and "1 memories no longer say" in plan.mended[0]
    assert place.repair() is None
    assert assert_repaired(place, whole, ()) == whole


def test_a_page_of_what_was_learned_costs_what_was_on_it(place: Place, whole: Held) -> None:
    found = pages(place)
    for name in ("item", "item_slot"):
        spoil(place, found[name][-1])
    plan = place.plan()
    assert plan.way == "rebuild" and any("what was learned" in line for line in plan.wrong)
    place.repair()
    now = assert_repaired(place, whole, plan.lost)
    assert len(now.items) < len(whole.items) and now.turns == whole.turns


# What is older -------------------------------------------------------------------------------------------------


def grown(place: Place) -> None:
    store = place.open()
    store.add_turn(1, "user", "after the copy was made", [])
    store.close()


def test_an_old_store_put_back_is_taken_for_what_it_is(place: Place, whole: Held) -> None:
    old = place.store.read_bytes()
    grown(place)
    place.store.write_bytes(old)
    with pytest.raises(RolledBack, match=r"ends at step \d+ \(.*\), but 1 more were acknowledged"):
        place.open()
    plan = place.plan()
    assert plan.way == "accept"
    assert any(re.match(r"step \d+: whatever was stored or removed after \d{4}-", line) for line in plan.lost)
    assert place.repair() is None
    assert assert_repaired(place, whole, ()) == whole
    store = place.open()
    assert [op.detail["from_seq"] - op.detail["to_seq"] for op in store.log() if op.kind == "rolled-back"] == [1]
    store.close()


def test_an_old_folder_put_back_is_taken_for_what_it_is(place: Place, whole: Held, tmp_path: Path) -> None:
    shutil.copytree(place.store.parent, tmp_path / "old")
    grown(place)
    shutil.rmtree(place.store.parent)
    shutil.copytree(tmp_path / "old", place.store.parent)
    with pytest.raises(RolledBack, match="older copy"):
        place.open()
    assert place.plan().way == "accept"
    place.repair()
    assert assert_repaired(place, whole, ()) == whole
    grown(place)


@pytest.mark.parametrize("damage", ["missing", "flipped", "short", "another"])
def test_a_watermark_that_is_no_good_is_written_anew(place: Place, whole: Held, damage: str) -> None:
    mark = place.store.with_name("store.db-watermark")
    data = bytearray(mark.read_bytes())
    data[20] ^= 1
    mark.write_bytes({"flipped": bytes(data), "short": bytes(data[:50])}.get(damage, b"SMWM"))
    if damage == "missing":
        mark.unlink()
    with pytest.raises(IntegrityError):
        place.open()
    plan = place.plan()
    assert (plan.way, plan.lost) == ("accept", ())
    place.repair()
    assert assert_repaired(place, whole, ()) == whole


WRITER = """
import os, signal, sys
from pathlib import Path
from secondme.memory.store import Store
from tests.storing import KEY, put
store = Store.open(Path(sys.argv[1]), KEY, Path(sys.argv[2]))
for i in range(12):
    store.add_turn(1, "user", f"acknowledged {i} " + "and long " * 200, [])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("damage", ["cut", "spoiled"])
def test_a_log_that_lost_its_tail_gives_back_what_is_left_of_it(place: Place, whole: Held, damage: str) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(place.store), str(place.witness)], check=False)
    assert done.returncode == -signal.SIGKILL
    wal = place.store.with_name("store.db-wal")
    data = bytearray(wal.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 8] = bytes(8)
    wal.write_bytes(data)
    with pytest.raises(RolledBack):
        place.open()
    plan = place.plan()
    assert plan.way == "rebuild"  # what is in the damaged log must not be written over
    assert any(re.match(r"steps \d+ to \d+: whatever was stored", line) for line in plan.lost)
    kept = place.repair()
    assert kept is not None
    assert kept.with_name(kept.name + "-wal").read_bytes() == data
    assert place.failed() == []
    now = held(place)
    assert {i: t for i, t in now.turns.items() if i <= 12} == whole.turns
    assert 0 < len(now.turns) - len(whole.turns) < 12
    assert now.files == whole.files


def test_a_bit_of_the_log_that_turned_over_costs_nothing(place: Place, whole: Held) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(place.store), str(place.witness)], check=False)
    assert done.returncode == -signal.SIGKILL
    wal = place.store.with_name("store.db-wal")
    written = wal.read_bytes()
    for at in (100, len(written) // 2, len(written) - 1):  # of the first page, of one between, of the last tag
        wal.write_bytes(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :])
        plan = place.plan()
        assert (plan.way, plan.lost) == ("bits", ())
        assert plan.wrong[0].startswith("store.db-wal: a single bit is wrong in page ")
        place.repair()
        assert wal.read_bytes() == written
    assert place.failed() == []
    now = held(place)
    assert len(now.turns) == len(whole.turns) + 12
    assert now.files == whole.files


# Killed --------------------------------------------------------------------------------------------------------


def killed(place: Place, at: int) -> bool:
    """Run the repair in a process that dies at its `at`th call to the system for a change; False if it had fewer."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    calls = iter(range(at))

    def dying(name: str) -> None:
        call = getattr(os, name)

        def instead(*args: object, **options: object) -> object:
            if next(calls, None) is None:
                os._exit(9)
            return call(*args, **options)

        setattr(os, name, instead)

    for name in ("fsync", "replace", "rename", "unlink", "link", "open", "truncate"):
        dying(name)
    try:
        place.repair()
    finally:
        os._exit(0)


@pytest.mark.parametrize("damage", ["page", "log", "words", "old"])
def test_a_repair_that_was_killed_is_run_again(sound: Place, whole: Held, tmp_path: Path, damage: str) -> None:
    base = sound.copy(tmp_path / "base")
    if damage == "page":
        spoil(base, pages(base)["word_data"][-1])
    elif damage == "words":
        tamper(base, "insert into word(word) values('delete-all')")
    elif damage == "old":
        old = base.store.read_bytes()
        grown(base)
        base.store.write_bytes(old)
    else:
        subprocess.run([sys.executable, "-c", WRITER, str(base.store), str(base.witness)], check=False)
        wal = base.store.with_name("store.db-wal")
        os.truncate(wal, wal.stat().st_size // 2)
    expected = base.copy(tmp_path / "expected")
    expected.repair()
    result = held(expected)
    at, alive = 0, True
    while alive:
        place = base.copy(tmp_path / f"at-{at}")
        alive = killed(place, at)
        try:
            place.open().close()  # as the owner does first; it must not throw away what the repair needs
        except IntegrityError:
            place.repair()
        assert place.failed() == [] if place.plan().way == "nothing" else place.repair() or place.failed() == []
        assert held(place) == result, at
        at += n_of(4, 1)
    assert at > 3
    assert {t: result.turns[t] for t in whole.turns} == whole.turns


def test_looking_changes_nothing(place: Place) -> None:
    spoil(place, pages(place)["chunk"][-1])
    before = {p.name: p.read_bytes() for p in place.store.parent.iterdir()}
    place.checks()
    with examined(place.store, KEY, place.witness) as salvage:
        assert salvage.plan.wrong
    assert {p.name: p.read_bytes() for p in place.store.parent.iterdir()} == before


def test_the_damaged_store_is_kept_and_told_of(place: Place) -> None:
    assert kept_files(place.store) == []
    spoil(place, pages(place)["chunk"][-1])
    kept = place.repair()
    assert kept is not None
    assert kept_files(place.store) == [kept]
    assert re.fullmatch(r"store\.db\.damaged-\d{8}T\d{6}Z", kept.name)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert place.plan().way == "nothing"


@pytest.mark.parametrize(
    "damage", ["chunk", "turn", "word_data", "sequence", "project", "source", "a passage", "citations"]
)
def test_a_store_of_the_first_version_is_repaired_and_brought_up_to_date(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "data"
    shutil.copytree(GOLDEN, folder)
    place = Place(folder / "store.db", tmp_path / "witness", unlock(folder, passphrase=PASSPHRASE).store)
    by_sql = {"a passage": "delete from chunk where id = 2", "citations": "update turn set citations = '[{}]'"}
    if damage in by_sql:
        tamper(place, by_sql[damage])
        place.store.with_name("store.db-watermark").unlink()
        place.witness.unlink()
    else:
        spoil(place, pages(place)[{"sequence": "sqlite_sequence"}.get(damage, damage)][-1])
    assert place.failed()
    assert place.checks()[1].detail.startswith("none yet: an earlier version wrote the store")
    plan = place.plan()
    assert bool(plan.lost) == (damage in ("chunk", "turn", "source", *by_sql))
    place.repair()
    assert place.failed() == []
    now = held(place)
    assert len(now.turns) == (0 if damage == "turn" else 2)
    assert sum(map(len, now.files.values())) == {"chunk": 0, "a passage": 2}.get(damage, 3)


def test_a_disk_that_is_full_leaves_the_damaged_store_as_it_was(place: Place) -> None:
    spoil(place, pages(place)["chunk"][-1])
    before = {p.name: p.read_bytes() for p in place.store.parent.iterdir()}
    with quota(100_000), pytest.raises(StoreFull):
        place.repair()
    assert {p.name: p.read_bytes() for p in place.store.parent.iterdir()} == before
    place.repair()
    assert place.failed() == []


def test_a_file_system_without_second_names_gets_a_copy(
    place: Place, whole: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*names: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    spoil(place, pages(place)["word_data"][-1])
    damaged = place.store.read_bytes()
    monkeypatch.setattr(os, "link", refused)
    kept = place.repair()
    assert kept is not None
    assert kept.read_bytes() == damaged
    assert kept.stat().st_mode & 0o777 == 0o600
    assert assert_repaired(place, whole, ()) == whole


def test_more_pages_than_bits_turn_over_in_are_not_guessed_at(place: Place) -> None:
    data = bytearray(place.store.read_bytes())
    for start in range(PAGE, len(data), PAGE):
        data[start + 1] ^= 1
    place.store.write_bytes(data)
    with pytest.raises(CorruptRecord, match="first pages"):
        place.plan()


def test_a_file_that_changed_in_a_lost_step_is_kept_as_it_is(place: Place, whole: Held) -> None:
    """The log ends before the file was stored anew: the step that did it is lost, and not what it did."""
    store = place.open()
    n_steps = len(store.log())
    put(store, "/notes/3.md", ["the harbour anew\n"])
    store.rename_conversation(1, "renamed")
    store.close()
    mark = place.store.with_name("store.db-watermark").read_bytes()
    tamper(place, f"delete from op where seq > {n_steps}", f"delete from op_subject where seq > {n_steps}")
    place.store.with_name("store.db-watermark").write_bytes(mark)
    place.witness.write_bytes(mark)
    plan = place.plan()
    assert plan.way == "rebuild"
    assert any("/notes/3.md (s4) is kept as it is" in line for line in plan.mended), plan
    place.repair()
    assert place.failed() == []
    now = held(place)
    assert now.files == whole.files | {"/notes/3.md": ["the harbour anew\n"]}
    assert now.titles == whole.titles | {1: "renamed"}


def test_a_file_of_which_only_the_passages_can_be_read_keeps_them(place: Place, whole: Held) -> None:
    found = pages(place)
    spoil(place, found["source"][0])
    plan = place.plan()
    assert all(f"{path} (s" in " ".join(plan.mended) for path in whole.files)
    place.repair()
    assert place.failed() == []
    assert held(place).files == whole.files


def test_a_file_whose_path_is_lost_as_well_keeps_its_passages(place: Place, whole: Held) -> None:
    found = pages(place)
    for name in ("source", "sqlite_autoindex_source_1", "source_uid"):
        spoil(place, found[name][0])
    assert any("a file (s4)" in line for line in place.plan().mended)
    place.repair()
    assert place.failed() == []
    now = held(place).files
    assert now == {f"/recovered/s{i + 1}": whole.files[f"/notes/{i}.md"] for i in range(12)}


def test_turns_whose_conversation_is_lost_stay_together(place: Place, whole: Held) -> None:
    found = pages(place)
    for name in ("conversation", "conversation_uid", "project", "sqlite_autoindex_project_1"):
        spoil(place, found[name][0])
    plan = place.plan()
    assert "conversation c1: its title" in plan.lost
    place.repair()
    assert place.failed() == []
    now = held(place)
    assert now.turns == whole.turns
    assert now.titles == {1: "(title lost)", 2: "(title lost)"}
    store = place.open()
    assert {s.project for s in store.sources()} == {"recovered-1"}
    store.close()


def test_what_no_step_vouches_for_is_named_if_it_is_lost(place: Place) -> None:
    spoil(place, pages(place)["setting"][0])
    plan = place.plan()
    assert any(line.startswith("the store's settings: ") for line in plan.lost)
    place.repair()
    assert [c.detail for c in place.checks() if c.status == "warning"] == [
        "78 passages await their vectors: until then only words find them"
    ]


def test_vectors_are_taken_over_one_by_one(place: Place, whole: Held) -> None:
    nan = "cast(x'0000c07f' || substr(value00, 5) as blob)"
    tamper(
        place,
        "update vector_auxiliary set value00 = zeroblob(5) where rowid = 2",
        f"update vector_auxiliary set value00 = {nan} where rowid = 3",
    )
    spoil(place, pages(place)["vector_rowids"][-1])
    place.repair()
    assert assert_repaired(place, whole, ()) == whole
    assert [c.detail[:20] for c in place.checks() if c.status == "warning"] == ["2 passages await the"]


def test_random_damage_never_makes_a_repair_lie(place: Place, tmp_path: Path) -> None:
    """Holes, old bytes and noise in the store, its log and its watermark: what is there after it was there before."""
    subprocess.run([sys.executable, "-c", WRITER, str(place.store), str(place.witness)], check=False)
    before = {p.name: p.read_bytes() for p in place.store.parent.iterdir()}
    reference = place.copy(tmp_path / "reference")
    whole = held(reference)
    random = Random(11)
    names = ["store.db", "store.db-wal", "store.db-watermark"]
    n_refused = 0
    for _ in range(n_of(12, 1000)):
        for name, content in before.items():
            (place.store.parent / name).write_bytes(content)
        for name in random.sample(names, random.randint(1, 2)):
            data = bytearray(before[name])
            for _ in range(random.randint(1, 3)):
                start, size = random.randrange(len(data)), random.choice([1, 16, 512, 5000])
                size = min(size, len(data) - start)
                kinds = [bytes(size), random.randbytes(size), bytes(data[:size])]
                data[start : start + size] = random.choice(kinds)
            (place.store.parent / name).write_bytes(
                data[: random.choice([len(data), len(data), random.randrange(len(data))])]
            )
        shutil.copyfile(reference.witness, place.witness)
        try:
            plan = place.plan()
            place.repair()
        except IntegrityError:
            n_refused += 1
            continue
        assert place.failed() == []
        now = held(place)
        assert all(whole.turns[i] == text for i, text in now.turns.items()), plan
        for path, texts in now.files.items():
            assert path.startswith("/recovered/") or set(texts) <= set(whole.files[path]), plan
        for kept in kept_files(place.store):
            kept.unlink()
    assert n_refused < n_of(12, 1000) // 2
