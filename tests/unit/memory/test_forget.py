"""What forgetting takes along, what it leaves, and that nothing of it can be found afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from secondme.errors import CorruptRecord
from secondme.memory import forget, oplog
from secondme.memory.digests import source_digest, turn_digest
from secondme.memory.forgetting import Target, examine
from secondme.memory.redaction import REMOVED_ANSWER
from secondme.memory.rows import passage_uid
from secondme.memory.store import Store
from secondme.memory.tombstones import Place
from secondme.types import WatchedFolder
from tests.storing import KEY, chunks_of, citation_of, holding, put, source_of, texts_found, unit_vectors

HERON = "The heron nests by the third weir every single spring.\n"
OTTER = "Otters were seen below the old mill on a cold January morning.\n"
TOAD = "A toad lives under the stone beside the well in the garden.\n"


def ids(store: Store, source_id: int) -> list[int]:
    return [c.id for c in store.source_chunks(source_id)]


def answered(store: Store, text: str, *citations: tuple[str, str, int]) -> tuple[int, int]:
    """A conversation with a question and an answer that cites (path, text, chunk id); ids of it and of the answer."""
    conversation = store.new_conversation("default", "Birds")
    store.add_turn(conversation, "user", "where?", ())
    cited = [citation_of(path, text, chunk_id) for path, text, chunk_id in citations]
    return conversation, store.add_turn(conversation, "assistant", text, cited)


def turn(store: Store, conversation: int, turn_id: int) -> tuple[str, Sequence[str]]:
    found = next(t for t in store.turns(conversation) if t.id == turn_id)
    return found.text, [c.path for c in found.citations]


def sound(store: Store) -> bool:
    """The check passes, and the log's newest digest of every record is that of the record."""
    with store._database.reading() as connection:
        for subject, digest in oplog.last_digests(connection).items():
            kind, _, number = subject.partition(":")
            compute = {"source": source_digest, "turn": turn_digest}.get(kind)
            assert compute is None or compute(connection, int(number)) == digest, subject
        oplog.verify(connection, KEY.store_id)
    return {c.status for c in store.check(read_data=True)} == {"ok"}


def test_a_file_goes_with_its_passages_words_vectors_and_answers(store: Store) -> None:
    a, b = put(store, "/a", [HERON, OTTER]), put(store, "/b", [TOAD], seed=2)
    conversation, answer = answered(store, "By the weir [1].", ("/a", HERON, ids(store, a)[0]), ("/b", TOAD, 99))
    other, kept = answered(store, "Under the stone [1].", ("/b", TOAD, ids(store, b)[0]))
    shown = store.forgetting(Target(sources=(a,)))
    assert [s.path for s in shown.sources] == ["/a"] and shown.passages == tuple(ids(store, a))
    assert (shown.n_vectors, shown.answers, shown.n_citations, shown.copies) == (2, (answer,), 2, ())
    assert store.forget(Target(sources=(a,))) == shown
    assert [s.path for s in store.sources()] == ["/b"] and texts_found(store, "heron") == []
    assert store.search_vectors(unit_vectors(2)[0], 10, None)[0][0] == ids(store, b)[0]
    assert turn(store, conversation, answer) == (REMOVED_ANSWER, [])
    assert turn(store, other, kept) == ("Under the stone [1].", ["/b"])
    assert store._database.path.with_name("store.db-wal").stat().st_size == 0
    assert sound(store)
    with store._database.reading() as connection:
        assert holding(connection, b"heron") == holding(connection, b"weir") == []


def test_a_passage_leaves_the_rest_of_its_file(store: Store) -> None:
    a = put(store, "/a", [HERON, OTTER, TOAD])
    first, second, third = ids(store, a)
    conversation, answer = answered(store, "In January [1].", ("/a", OTTER, second), ("/a", TOAD, third))
    store.forget(Target(passages=(second,)))
    assert [c.chunk.text for c in store.source_chunks(a)] == [HERON, TOAD] and store.sources()[0].n_chunks == 2
    assert texts_found(store, "otters") == [] and texts_found(store, "heron") == [HERON]
    assert {i for i, _ in store.search_vectors(unit_vectors(3)[1], 10, None)} == {first, third}
    assert turn(store, conversation, answer) == (REMOVED_ANSWER, [])
    assert sound(store)
    kinds = [op.kind for op in store.log()][-3:]
    assert kinds == ["forgotten", "source-redacted", "turn-redacted"]
    store.forget(Target(passages=(third,)))
    assert [c.chunk.text for c in store.source_chunks(a)] == [HERON] and sound(store)


def test_answers_are_kept_when_the_owner_says_so_but_not_their_citations(store: Store) -> None:
    a = put(store, "/a", [HERON])
    conversation, answer = answered(store, "By the weir [1].", ("/a", HERON, ids(store, a)[0]), ("/b", TOAD, 0))
    shown = store.forget(Target(sources=(a,), keep_answers=True))
    assert shown.n_citations == 1 and turn(store, conversation, answer) == ("By the weir [1].", ["/b"])
    assert sound(store)


def test_an_imported_question_that_cites_loses_its_citations_and_keeps_its_words(store: Store) -> None:
    a = put(store, "/a", [HERON])
    conversation = store.new_conversation("default", "Birds")
    asked = store.add_turn(conversation, "user", "Is this right?", [citation_of("/a", HERON, ids(store, a)[0])])
    store.forget(Target(sources=(a,)))
    assert turn(store, conversation, asked) == ("Is this right?", [])
    assert sound(store)


def test_citations_of_earlier_versions_and_other_paths_are_found(store: Store) -> None:
    a = put(store, "/old", [HERON, OTTER])
    stale = ids(store, a)
    stamp = store.sources()[0].stamp
    store.move_source(a, "/new", stamp)
    put(store, "/new", [TOAD])
    by_id, one = answered(store, "One [1].", ("/old", "reworded since", stale[1]))
    by_text, two = answered(store, "Two [1].", ("/copy", f"Before. {TOAD}", 0))
    by_words, three = answered(store, f"I said: {TOAD}")
    of_nobody, four = answered(store, "Four [1].", ("/old", "of another file", 77))
    store.forget(Target(sources=(a,)))
    for conversation, answer in ((by_id, one), (by_text, two), (by_words, three)):
        assert turn(store, conversation, answer) == (REMOVED_ANSWER, [])
    assert turn(store, of_nobody, four) == ("Four [1].", ["/old"])


def test_a_passage_takes_its_copies_along_and_a_file_does_not(store: Store) -> None:
    a, b = put(store, "/a", [HERON, OTTER]), put(store, "/b", [HERON.upper(), TOAD], seed=2)
    shown = store.forgetting(Target(passages=(ids(store, a)[0],)))
    assert shown.copies == (ids(store, b)[0],) and len(shown.passages) == 2
    store.forget(Target(sources=(a,)))
    assert texts_found(store, "heron") == [HERON.upper()]
    stones = store.tombstones()
    assert stones.hides(OTTER, Place("default", "/x")) and not stones.hides(HERON, Place("default", "/x"))
    store.forget(Target(passages=(ids(store, b)[0],)))
    assert texts_found(store, "heron") == [] and store.tombstones().hides(HERON, Place("default", "/x"))
    assert sound(store)


def test_a_path_takes_everything_below_it_and_is_no_longer_followed(store: Store) -> None:
    for path in ("/n/a", "/n/deep/b", "/na"):
        put(store, path, [f"{path} {HERON}"])
    for folder in ("/n", "/n/deep", "/na"):
        store.add_folder(WatchedFolder(folder, "default", watch=True, added_at=1.0))
    shown = store.forget(Target(paths=(("default", "/n"),)))
    assert [s.path for s in shown.sources] == ["/n/a", "/n/deep/b"]
    assert [f.path for f in store.folders()] == ["/na"] and [s.path for s in store.sources()] == ["/na"]
    assert store.tombstones().hides_path("default", "/n/new") and not store.tombstones().hides_path("default", "/na")


def test_a_conversation_and_a_turn_go_and_an_answer_with_its_question(store: Store) -> None:
    conversation = store.new_conversation("default", "Birds")
    question = store.add_turn(conversation, "user", "where?", ())
    answer = store.add_turn(conversation, "assistant", "there", ())
    later = store.add_turn(conversation, "user", "when?", ())
    other = store.new_conversation("default", "Toads")
    shown = store.forget(Target(turns=(question,), conversations=(other,)))
    assert (shown.turns, shown.answers, [c.title for c in shown.conversations]) == ((question,), (answer,), ["Toads"])
    assert [(t.id, t.text) for t in store.turns(conversation)] == [(answer, REMOVED_ANSWER), (later, "when?")]
    assert [c.id for c in store.conversations()] == [conversation]
    store.forget(Target(conversations=(conversation,)))
    assert store.conversations() == [] and sound(store)
    assert [op.kind for op in store.log("turn:1")] == ["turn-added", "forgotten"]


def test_links_go_from_either_end(store: Store) -> None:
    a, b = put(store, "/a", [HERON]), put(store, "/b", [TOAD], seed=2)
    with store._database.writing() as connection:
        uid_a, uid_b = (connection.execute("select uid from source where id = ?", (i,)).get for i in (a, b))
        edges = [(passage_uid(uid_a, 0, HERON), uid_b), (uid_b, uid_a), (uid_b, b"elsewhere")]
        connection.executemany("insert into edge values(?, ?, 'about', 1.0)", edges)
    assert store.forget(Target(sources=(a,))).n_links == 2
    with store._database.reading() as connection:
        assert connection.execute("select to_uid from edge").fetchall() == [(b"elsewhere",)]


def test_a_project_goes_whole_and_leaves_no_tombstones(store: Store) -> None:
    put(store, "/a", [HERON], project="one")
    put(store, "/b", [TOAD], seed=2)
    store.new_conversation("one", "Birds")
    store.add_folder(WatchedFolder("/n", "one", watch=True, added_at=1.0))
    uid = store.project_uid("one")
    assert uid is not None and len(uid) == 16
    shown = store.forget_project("one")
    assert shown is not None and len(shown.sources) == len(shown.conversations) == 1
    assert [s.path for s in store.sources()] == ["/b"] and store.folders() == [] and store.conversations() == []
    assert store.project_uid("one") is None and store.forget_project("one") is None
    assert not store.tombstones().texts and not store.tombstones().paths
    assert [op.kind for op in store.log()][-1] == "project-removed" and sound(store)


def test_what_is_not_there_is_named_and_nothing_changes(store: Store) -> None:
    before = store.log()
    target = Target(sources=(9,), passages=(8,), conversations=(7,), turns=(6,))
    shown = store.forget(target)
    assert shown.is_empty and set(shown.missing) == {"source:9", "passage:8", "conversation:7", "turn:6"}
    assert store.log() == before


def test_reading_back_notices_each_kind_of_remainder(store: Store) -> None:
    a = put(store, "/a", [HERON])
    conversation, _ = answered(store, "Here.", ("/a", HERON, ids(store, a)[0]))
    target = Target(sources=(a,), conversations=(conversation,))
    with store._database.reading() as connection:
        plan = examine(connection, target)
        with pytest.raises(CorruptRecord) as caught:
            forget.verify(connection, plan)
    for what in ("files", "passages", "words", "vectors", "turns", "conversations", "citations"):
        assert what in caught.value.message
    assert "heron" not in caught.value.message
    store.forget(target)
    with store._database.writing() as connection:
        forget.verify(connection, plan)
        connection.execute("insert into edge values(?, x'00', 'about', 1.0)", (next(iter(plan.uids)),))
        with pytest.raises(CorruptRecord, match="links"):
            forget.verify(connection, plan)
        connection.execute("delete from edge")


def test_text_forgotten_meanwhile_is_not_stored_by_what_was_read_before(store: Store) -> None:
    a = put(store, "/a", [HERON])
    seen = store.tombstones()
    source = source_of("/a")
    store.forget(Target(sources=(a,)))
    assert store.put_source(source, [], unit_vectors(0), seen=seen) == 0 and store.sources() == []
    assert store.put_source(source, [], unit_vectors(0), seen=store.tombstones()) > 0


@pytest.mark.parametrize("passages_a_query", [0, 10**9])
def test_by_the_word_index_and_by_looking_through_all_the_same_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch, passages_a_query: int
) -> None:
    monkeypatch.setattr("secondme.memory.wordings._PASSAGES_A_QUERY", passages_a_query)
    snake = "the value of max_open_files is read by store_open when the program starts anew\n"
    a = put(store, "/a", [HERON, f"PIN 1234\n{OTTER}", snake, "PIN 1234\nstraße über größe fünf mal im jahr gesehen\n"])
    b = put(store, "/b", [HERON.upper(), f"Someone said: x.\n{OTTER}", snake.replace("_", " "), "PIN 1234\n"], seed=2)
    shown = store.forgetting(Target(passages=tuple(ids(store, a)[:3])))
    assert shown.copies == (ids(store, b)[0],)
    store.forget(Target(passages=tuple(ids(store, a)[:3])))
    stones = store.tombstones()
    here, there = Place("default", "/a", a), Place("default", "/b", b)
    assert stones.hides(HERON, there) and stones.hides(snake, there)
    assert not stones.hides(OTTER, there), "it stands in /b as well"
    assert not stones.hides("PIN 1234", here), "it stands in another passage of /a"
    store.forget(Target(passages=(ids(store, a)[0],)))
    assert store.tombstones().hides("PIN 1234", here) and not store.tombstones().hides("PIN 1234", there)
    assert store.tombstones().hides("Straße über Größe fünf mal im Jahr gesehen.", there)
    assert sound(store)


def test_a_heading_that_goes_is_no_longer_a_title_nor_over_other_passages(store: Store) -> None:
    store.set_embedder("test", 8)
    texts = ["# Secret diagnosis\nIntroduction.\n", "Plain words.\n", "## Other part\n", "More words.\n"]
    paths = (("Secret diagnosis",), ("Secret diagnosis",), ("Secret diagnosis", "Other part"), ("Other part",))
    chunks = [replace(c, heading_path=p) for c, p in zip(chunks_of(texts), paths, strict=True)]
    source = replace(source_of("/notes/a.md"), title="Secret diagnosis")
    a = store.put_source(source, chunks, unit_vectors(4))
    first = ids(store, a)[0]
    store.forget(Target(passages=(first,)))
    assert [c.chunk.heading_path for c in store.source_chunks(a)] == [(), ("Other part",), ("Other part",)]
    assert store.sources()[0].title == "a.md" and texts_found(store, "diagnosis") == []
    assert len(texts_found(store, "other")) == 2 and sound(store)
    with store._database.reading() as connection:
        assert holding(connection, b"diagnosis") == []
