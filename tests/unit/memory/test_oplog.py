"""The operation log: a chain that tells what was changed in it, left out of it, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from secondme.errors import CorruptRecord
from secondme.memory import oplog
from secondme.memory import store as store_module
from secondme.memory.oplog import Head
from secondme.memory.store import Store
from tests.storing import KEY, put


@pytest.fixture
def connection(store: Store) -> Iterator[apsw.Connection]:
    """Of a store with a few steps in its log."""
    put(store, "/a", ["apple"])
    store.remove_source(put(store, "/b", ["plum"]))
    store.note("shown", ["passage:1"], detail={"n": 1})
    with store._database.reading() as opened:
        yield opened


def test_the_log_is_read_in_pages_and_is_the_same(
    store: Store, connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_a_page in (1, 2, 5, 6, 100):
        monkeypatch.setattr(store_module, "_STEPS_A_PAGE", n_a_page)
        assert list(store.each_step()) == store.log()
        assert list(store.each_step("source:2")) == store.log("source:2")
        assert list(store.each_step("source:9")) == []


def test_it_tells_what_was_done_and_to_what(store: Store, connection: apsw.Connection) -> None:
    assert [op.kind for op in store.log()] == ["created", "embedder-set", "put", "put", "removed", "shown"]
    assert [op.kind for op in store.log("source:2")] == ["put", "removed"]
    assert [op.seq for op in store.log(after=2, limit=2)] == [3, 4]
    assert store.log()[-1].detail == {"n": 1}
    assert oplog.verify(connection, KEY.store_id) == oplog.head(connection)


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ("update op set kind = 'put' where seq = 2", 2),
        ("update op set at = at + 1 where seq = 3", 3),
        ("update op set detail = '{\"n\":2}' where seq = 6", 6),
        ("update op set hash = zeroblob(32) where seq = 4", 4),
        ("delete from op where seq = 1", 1),
        ("delete from op where seq = 3", 3),
        ("update op set seq = 9 where seq = 6", 6),
    ],
)
def test_a_changed_or_missing_step_is_named(connection: apsw.Connection, change: str, step: int) -> None:
    connection.execute("pragma foreign_keys = off; delete from op_subject")
    connection.execute(change)
    with pytest.raises(CorruptRecord, match=f"broken at step {step}"):
        oplog.verify(connection, KEY.store_id)


@pytest.mark.parametrize("column", ["subjects", "detail"])
def test_a_step_that_cannot_be_read_is_damage(connection: apsw.Connection, column: str) -> None:
    connection.execute(f"update op set {column} = '[' where seq = 2")
    with pytest.raises(CorruptRecord, match="cannot be read"):
        list(oplog.several(connection))


def test_another_stores_log_does_not_fit(connection: apsw.Connection) -> None:
    with pytest.raises(CorruptRecord, match="broken at step 1"):
        oplog.verify(connection, "another")


def test_an_empty_log_begins_where_its_store_does(connection: apsw.Connection) -> None:
    connection.execute("delete from op_subject; delete from op")
    start = oplog.genesis(KEY.store_id)
    assert oplog.head(connection) == start == oplog.verify(connection, KEY.store_id)
    assert oplog.hash_at(connection, 0, KEY.store_id) == start.hash
    assert oplog.hash_at(connection, 1, KEY.store_id) is None
    assert oplog.append(connection, "put", ["source:1"]) == Head(1, oplog.head(connection).hash)
    connection.execute("delete from op_subject; delete from op; delete from setting where name = 'oplog_genesis'")
    with pytest.raises(CorruptRecord, match="no beginning"):
        oplog.head(connection)
