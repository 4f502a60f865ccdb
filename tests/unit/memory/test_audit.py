"""Where an item came from and what became of it, also once it is gone."""

from __future__ import annotations

import pytest

from secondme.errors import CorruptRecord
from secondme.memory import forget, tombstones
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from tests.storing import put


def kinds(store: Store, kind: str, item_id: int) -> list[str]:
    return [op.kind for op in store.provenance(kind, item_id).steps]


def test_a_passage_knows_its_file_and_model_and_every_step_while_it_was_there(store: Store) -> None:
    store.note("exported", ["store"])
    source = put(store, "/a", ["apple", "plum"])
    first = store.source_chunks(source)[0].id
    store.note("shown", [f"passage:{first}"], detail={"by": "search"})
    store.note("exported", ["store"])
    store.touch_source(source, store.sources()[0].stamp)
    store.move_source(source, "/b", store.sources()[0].stamp)
    found = store.provenance("passage", first)
    assert found.there and found.passage is not None and found.passage.chunk.text == "apple"
    assert found.source is not None and found.source.path == "/b" and found.embedder == "test"
    assert kinds(store, "passage", first) == ["put", "shown", "exported", "moved"]
    put(store, "/b", ["quince"], seed=2)
    store.note("exported", ["store"])
    store.remove_source(source)
    gone = store.provenance("passage", first)
    assert not gone.there and gone.passage is None and gone.embedder is None
    assert [op.kind for op in gone.steps] == ["put", "shown", "exported", "moved", "put"]


def test_a_skipped_file_ends_its_passages_too(store: Store) -> None:
    from tests.storing import source_of

    source = put(store, "/a", ["apple"])
    first = store.source_chunks(source)[0].id
    store.put_skip(source_of("/a"), "the file is empty")
    store.put_skip(source_of("/a"), "the file is empty")
    assert kinds(store, "passage", first) == ["put", "skipped"]
    assert kinds(store, "source", source) == ["put", "skipped", "skipped"]


def test_a_forgotten_passage_leaves_its_steps_and_nothing_else(store: Store) -> None:
    source = put(store, "/a", ["apple", "plum"])
    first = store.source_chunks(source)[0].id
    store.forget(Target(passages=(first,)))
    store.note("exported", ["store"])
    assert kinds(store, "passage", first)[:2] == ["put", "forgotten"]
    assert "exported" not in kinds(store, "passage", first) and "exported" in kinds(store, "source", source)


def test_conversations_and_turns_have_their_own_steps_and_origin(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    turn = store.add_turn(conversation, "user", "hello", ())
    with store._database.writing() as connection:
        connection.execute("""update conversation set origin = '{"from": "chatgpt", "id": "x"}'""")
    found = store.provenance("conversation", conversation)
    assert found.there and found.origin == {"from": "chatgpt", "id": "x"} and found.embedder is None
    assert kinds(store, "conversation", conversation) == ["conversation-new", "turn-added"]
    assert kinds(store, "turn", turn) == ["turn-added"] and store.provenance("turn", turn).origin is None


def test_what_never_was_has_no_steps(store: Store) -> None:
    for kind in ("passage", "source", "conversation", "turn"):
        found = store.provenance(kind, 99)
        assert (found.there, found.steps, found.source) == (False, (), None)


def test_a_missing_key_of_the_tombstones_is_damage(store: Store) -> None:
    with store._database.writing() as connection:
        connection.execute("delete from setting where name = 'tombstone_salt'")
    with pytest.raises(CorruptRecord, match="key of what was forgotten"):
        store.tombstones()


def test_a_log_that_is_not_empty_is_noticed(store: Store) -> None:
    put(store, "/a", ["apple"])
    with pytest.raises(CorruptRecord, match="write-ahead log"):
        forget.verify_log(store._database.path)
    store.compact_wal()
    forget.verify_log(store._database.path)


def test_a_text_without_words_has_no_wordings() -> None:
    assert list(tombstones.all_wordings("...\n--\n")) == []


def test_an_answer_is_redacted_once(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    question = store.add_turn(conversation, "user", "where?", ())
    store.add_turn(conversation, "assistant", "there", ())
    later = store.add_turn(conversation, "user", "when?", ())
    assert len(store.forget(Target(turns=(question,))).answers) == 1
    assert store.forget(Target(turns=(later,))).answers == ()
