"""What is read of sqlite-vec's own tables, pinned against the installed version: names, types, sizes and bit order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

from secondme.kernels import sql
from secondme.memory import vectors
from secondme.memory.database import connect
from secondme.memory.rows import Row

N_DIMS = 12
SLOTS = 256


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    """Rows 1, 3, 5, ... in project 7 and 2, 4, 6, ... in project 9; row 5 deleted."""
    (tmp_path / "memory.db").touch()
    opened = connect(tmp_path / "memory.db", bytes(range(32)))
    vectors.create_table(opened, N_DIMS)
    with opened:
        vectors.insert(opened, ((n, 7 if n % 2 else 9, unit(n)) for n in range(1, 601)))
        vectors.delete(opened, 5)
    yield opened
    opened.close()


def unit(n: int) -> vectors.FloatMatrix:
    row = np.random.default_rng(n).standard_normal(N_DIMS).astype(np.float32)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def columns(connection: apsw.Connection, table: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute("select name, type from pragma_table_info(?)", (table,))]


def test_the_four_tables_have_these_columns(connection: apsw.Connection) -> None:
    assert columns(connection, "vector_chunks") == [
        ("chunk_id", "INTEGER"),
        ("size", "INTEGER"),
        ("sequence_id", "INTEGER"),
        ("partition00", ""),
        ("validity", "BLOB"),
        ("rowids", "BLOB"),
    ]
    assert columns(connection, "vector_vector_chunks00") == [("rowid", ""), ("vectors", "BLOB")]
    assert columns(connection, "vector_rowids") == [
        ("rowid", "INTEGER"),
        ("id", ""),
        ("chunk_id", "INTEGER"),
        ("chunk_offset", "INTEGER"),
    ]
    assert columns(connection, "vector_auxiliary") == [("rowid", "INTEGER"), ("value00", "")]
    assert sql.readable(connection)


def test_a_block_holds_ids_bits_and_vectors_in_this_order(connection: apsw.Connection) -> None:
    """Slots are filled in order of insertion, per partition; the auxiliary column is the row as float32."""
    seen: list[int] = []
    rows: list[Row] = connection.execute(
        """select c.size, c.partition00, c.validity, c.rowids, v.vectors from vector_chunks c
           join vector_vector_chunks00 v on v._rowid_ = c.chunk_id order by c.chunk_id"""
    ).fetchall()
    for size, project, validity, rowids, block in rows:
        assert (size, len(validity), len(rowids), len(block)) == (SLOTS, SLOTS // 8, SLOTS * 8, SLOTS * N_DIMS)
        ids = np.frombuffer(rowids, "<i8")
        used = np.array([validity[slot // 8] >> slot % 8 & 1 for slot in range(SLOTS)], bool)
        coarse = np.frombuffer(block, np.int8).reshape(SLOTS, N_DIMS)
        for slot in np.flatnonzero(used):
            n = int(ids[slot])
            assert project == (7 if n % 2 else 9)
            assert np.array_equal(coarse[slot], vectors.quantize(unit(n)[None, :])[0])
        assert not coarse[~used].any(), "sqlite-vec zeroes what it deletes"
        seen += ids[used].tolist()
    assert sorted(seen) == [n for n in range(1, 601) if n != 5]
    fine = connection.execute("select value00 from vector_auxiliary where rowid = 8").get
    assert np.array_equal(np.frombuffer(fine, "<f4"), unit(8))


def test_every_row_knows_its_place(connection: apsw.Connection) -> None:
    chunks: list[Row] = connection.execute("select chunk_id, rowids from vector_chunks").fetchall()
    blocks: dict[int, bytes] = {row[0]: row[1] for row in chunks}
    places: list[Row] = connection.execute("select rowid, chunk_id, chunk_offset from vector_rowids").fetchall()
    assert len(places) == 599
    for rowid, chunk, offset in places:
        assert rowid == int.from_bytes(blocks[chunk][8 * offset : 8 * offset + 8], "little", signed=True)


@pytest.mark.parametrize(
    "damage",
    [
        "update vector_chunks set validity = substr(validity, 2) where chunk_id = 1",
        "update vector_chunks set validity = cast(validity || x'00' as blob) where chunk_id = 2",
        "update vector_chunks set rowids = 'text' where chunk_id = 1",
        "update vector_chunks set size = 255 where chunk_id = 1",
        "update vector_chunks set size = 0 where chunk_id = 1",
        "update vector_vector_chunks00 set vectors = x'' where _rowid_ = 1",
        "update vector_vector_chunks00 set vectors = substr(vectors, 2) where _rowid_ = 1",
        "update vector_vector_chunks00 set rowid = 77 where _rowid_ = 1",
        "delete from vector_vector_chunks00 where _rowid_ = 2",
        "alter table vector_chunks rename column validity to valid",
        "drop table vector_chunks",
    ],
)
def test_another_layout_is_noticed(connection: apsw.Connection, damage: str) -> None:
    assert sql.readable(connection)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.execute(damage)
    assert not sql.readable(connection)
