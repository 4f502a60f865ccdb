"""The SQL functions in an encrypted connection: sqlite-vec's own KNN and NumPy are the oracles."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest
from numpy.typing import NDArray

from secondme.kernels import capabilities, sql
from secondme.memory import vectors
from secondme.memory.database import connect

Int8Matrix = NDArray[np.int8]
SLOTS = 256
MATCH = "select chunk_id from vector where coarse match vec_int8(?) and k = ?"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[apsw.Connection]:
    with closing(opened(tmp_path / "memory.db")) as made:
        assert sql.load(made)
        yield made


def opened(path: Path) -> apsw.Connection:
    path.touch()
    return connect(path, bytes(range(32)))


def rows_of_one_length(n: int, n_dims: int, seed: int) -> Int8Matrix:
    """Permutations of the same numbers with random signs: the nearest by distance are those with the greatest product.

    Small numbers, so that sqlite-vec's float32 distances tell all different products apart.
    """
    random = np.random.default_rng(seed)
    base = random.integers(0, 20, n_dims, np.int8)
    signs = random.choice(np.array([-1, 1], np.int8), (n, n_dims))
    return np.asarray(random.permuted(np.tile(base, (n, 1)), axis=1) * signs, np.int8)


def fill(connection: apsw.Connection, rows: Int8Matrix, n_projects: int = 1) -> None:
    """Row n gets id 10 + 3 n and project n % n_projects."""
    vectors.create_table(connection, rows.shape[1])
    insert(connection, ((10 + 3 * n, n % n_projects, row.tobytes()) for n, row in enumerate(rows)))


def insert(connection: apsw.Connection, rows: Iterable[tuple[int, int, bytes]]) -> None:
    """(id, project, int8 bytes) in one transaction."""
    with connection:
        connection.executemany(
            "insert into vector(chunk_id, project_id, coarse, fine) values(?, ?, vec_int8(?), x'')", rows
        )


def products(rows: Int8Matrix, query: Int8Matrix) -> dict[int, int]:
    exact = (rows.astype(np.int64) * query.astype(np.int64)).sum(axis=1)
    return {10 + 3 * n: int(score) for n, score in enumerate(exact)}


def assert_best(found: NDArray[np.void], scores: dict[int, int], k: int) -> None:
    """Each row with its score, best first, none twice, and as good as the best k."""
    pairs = list(zip(found["id"].tolist(), found["score"].tolist(), strict=True))
    assert pairs == sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
    assert len({i for i, _ in pairs}) == len(pairs)
    assert all(scores[i] == score for i, score in pairs)
    assert [score for _, score in pairs] == sorted(scores.values(), reverse=True)[:k]
    assert not found["zero"].any()


@pytest.mark.parametrize(
    ("n", "n_dims", "n_projects"),
    [(0, 8, 1), (1, 1, 1), (7, 3, 2), (255, 65, 1), (257, 128, 1), (1500, 31, 5), (3000, 384, 2), (600, 1024, 1)],
)
def test_finds_what_sqlite_vec_finds(connection: apsw.Connection, n: int, n_dims: int, n_projects: int) -> None:
    rows = rows_of_one_length(n + 1, n_dims, n)
    rows, query = rows[:n], rows[n]
    fill(connection, rows, n_projects)
    scores = products(rows, query)
    for k in (1, 10, 100, 1500):
        found = sql.nearest(connection, query, k)
        assert_best(found, scores, k)
        oracle = [int(row[0]) for row in connection.execute(MATCH, (query.tobytes(), k))]
        assert found["score"].tolist() == sorted((scores[i] for i in oracle), reverse=True)
    for project in range(n_projects):
        within = {i: score for i, score in scores.items() if (i - 10) // 3 % n_projects == project}
        assert_best(sql.nearest(connection, query, 20, partition=project), within, 20)
    assert len(sql.nearest(connection, query, 20, partition=n_projects)) == 0


def test_extremes_are_exact(connection: apsw.Connection) -> None:
    rows = np.random.default_rng(2).choice(np.array([-128, 127], np.int8), (300, 1023))
    rows[17] = -128
    fill(connection, rows)
    assert_best(sql.nearest(connection, rows[17], 300), products(rows, rows[17]), 300)


def test_equal_rows_come_by_id(connection: apsw.Connection) -> None:
    rows = np.tile(rows_of_one_length(1, 16, 3), (700, 1))
    fill(connection, rows)
    found = sql.nearest(connection, rows[0], 700)
    assert found["id"].tolist() == [10 + 3 * n for n in range(700)]
    assert len(set(sql.nearest(connection, rows[0], 50)["id"].tolist())) == 50


def test_deleted_rows_are_not_found_and_new_ones_are(connection: apsw.Connection) -> None:
    rows = rows_of_one_length(2000, 48, 4)
    fill(connection, rows)
    scores = products(rows, rows[5])
    doomed = np.random.default_rng(1).permutation(list(scores))[:1500].tolist()
    with connection:
        for i in doomed:
            vectors.delete(connection, int(i))
            del scores[i]
    assert_best(sql.nearest(connection, rows[5], 40), scores, 40)
    insert(connection, [(99_999, 0, rows[5].tobytes())])
    assert sql.nearest(connection, rows[5], 1)["id"].tolist() == [99_999]
    connection.execute("delete from vector")
    assert len(sql.nearest(connection, rows[5], 40)) == 0


@pytest.mark.parametrize("share", [0.0, 0.002, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("spread", [1, 2**20, 2**40])
def test_any_sql_filter_selects_rows(connection: apsw.Connection, share: float, spread: int) -> None:
    """`spread` puts ids close together (a bitmap) or far apart (a sorted list), below zero, too."""
    rows = rows_of_one_length(1200, 40, 5)
    random = np.random.default_rng(8)
    vectors.create_table(connection, 40)
    ids = [(n - 600) * spread for n in range(1200)]
    insert(connection, ((i, n % 3, row.tobytes()) for n, (i, row) in enumerate(zip(ids, rows, strict=True))))
    chosen = [i for i, r in zip(ids, random.random(1200), strict=True) if r < share]
    connection.execute("create temp table chosen(id integer)")
    connection.executemany(
        "insert into chosen values(?)", [(i,) for i in random.permutation(np.array(chosen, int)).tolist()]
    )
    connection.execute("insert into chosen values(null)")
    packed = connection.execute("select sm_ids(id) from chosen").get
    exact = (rows.astype(np.int64) * rows[1].astype(np.int64)).sum(axis=1).tolist()
    scores = {i: s for i, s in zip(ids, exact, strict=True) if i in set(chosen)}
    assert_best(sql.nearest(connection, rows[1], 30, ids=packed), scores, 30)
    within = {i: scores[i] for n, i in enumerate(ids) if i in scores and n % 3 == 2}
    assert_best(sql.nearest(connection, rows[1], 30, ids=packed, partition=2), within, 30)


def test_ids_at_the_ends_of_their_range(connection: apsw.Connection) -> None:
    rows = rows_of_one_length(4, 8, 6)
    vectors.create_table(connection, 8)
    ends = [-(2**63), -1, 0, 2**63 - 1]
    insert(connection, ((i, 0, row.tobytes()) for i, row in zip(ends, rows, strict=True)))
    for wanted in ([ends[0]], [ends[3]], [ends[0], ends[3]], [-1, 0], []):
        values = ",".join(f"({i})" for i in wanted) or "(null)"
        packed = connection.execute(f"select sm_ids(column1) from (values {values})").get
        assert sorted(sql.nearest(connection, rows[0], 9, ids=packed)["id"].tolist()) == wanted


@pytest.mark.parametrize("k", [-1, -(2**63), sql.MAX_K + 1])
def test_k_out_of_range_is_refused(connection: apsw.Connection, k: int) -> None:
    fill(connection, rows_of_one_length(3, 8, 1))
    with pytest.raises(apsw.SQLError, match="k must be"):
        sql.nearest(connection, np.ones(8, np.int8), k)


def test_k_of_nothing_and_of_more_than_there_is(connection: apsw.Connection) -> None:
    rows = rows_of_one_length(3, 8, 1)
    fill(connection, rows)
    assert len(sql.nearest(connection, rows[0], 0)) == 0
    assert len(sql.nearest(connection, rows[0], sql.MAX_K)) == 3
    connection.execute("delete from vector_chunks")
    assert len(sql.nearest(connection, rows[0], 5)) == 0


GOOD = (bytes(8 * 16), b"\xff\xff", bytes(16 * 5), bytes(5), 3)
"""A block of 16 slots with 5 dimensions, a query and k."""


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[(0, bytes(n)) for n in (0, 7, 8, 64, 8 * 16 - 1, 8 * 16 + 1, 8 * 24)],
        *[(1, bytes(n)) for n in (0, 1, 3)],
        *[(2, bytes(n)) for n in (0, 16 * 5 - 1, 16 * 5 + 1, 16 * 4, 16 * 6)],
        *[(3, bytes(n)) for n in (0, 1, 4, 6, 80, 200_000)],
        *[(place, value) for place in range(4) for value in (None, "text", 3, 2.5)],
        *[(4, value) for value in (None, "3", 3.0, b"3")],
    ],
)
def test_sizes_and_types_that_do_not_fit_are_an_error(connection: apsw.Connection, place: int, value: object) -> None:
    statement = "select sm_top_i8(?, ?, ?, ?, ?)"
    assert len(connection.execute(statement, GOOD).get) == 3 * sql.NEIGHBOUR.itemsize
    with pytest.raises(apsw.SQLError):
        connection.execute(statement, (*GOOD[:place], value, *GOOD[place + 1 :])).get  # noqa: B018 - read to run it


@pytest.mark.parametrize(
    "ids", [b"", bytes(7), bytes(9), b"\x02" + bytes(7), b"\x01" + bytes(7), b"\x01" + bytes(14), None, "text", 1]
)
def test_what_is_no_set_of_ids_is_an_error(connection: apsw.Connection, ids: object) -> None:
    for statement, values in (
        ("select sm_top_i8(?, ?, ?, ?, ?, ?)", (*GOOD, ids)),
        ("select sm_has_id(?, ?, ?)", (*GOOD[:2], ids)),
    ):
        with pytest.raises(apsw.SQLError):
            connection.execute(statement, values).get  # noqa: B018 - read to run it


@pytest.mark.parametrize(
    "damage",
    [
        "update vector_chunks set validity = substr(validity, 2) where chunk_id = 2",
        "update vector_chunks set validity = zeroblob(0) where chunk_id = 2",
        "update vector_chunks set rowids = zeroblob(8) where chunk_id = 2",
        "update vector_chunks set rowids = 'text' where chunk_id = 2",
        "update vector_vector_chunks00 set vectors = x'' where _rowid_ = 2",
        "update vector_vector_chunks00 set vectors = substr(vectors, 2) where _rowid_ = 2",
    ],
)
def test_a_damaged_block_is_an_error(connection: apsw.Connection, damage: str) -> None:
    rows = rows_of_one_length(700, 24, 9)
    fill(connection, rows)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.execute(damage)
    with pytest.raises(apsw.SQLError, match=r"do not fit|BLOB"):
        sql.nearest(connection, rows[0], 5)


def test_validity_is_believed_and_nothing_else(connection: apsw.Connection) -> None:
    """Bits of unused slots name empty rows; that is wrong, but reads nothing outside of the block."""
    rows = rows_of_one_length(300, 24, 9)
    fill(connection, rows)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.execute("update vector_chunks set validity = zeroblob(32) where chunk_id = 1")
    assert set(sql.nearest(connection, rows[0], 999)["id"].tolist()) == {10 + 3 * n for n in range(256, 300)}
    ones = "ff" * 32
    connection.execute(f"update vector_chunks set validity = x'{ones}'")
    assert len(sql.nearest(connection, rows[0], 999)) == 2 * SLOTS


def test_dot_products(connection: apsw.Connection) -> None:
    random = np.random.default_rng(4)
    for n_dims in (0, 1, 5, 64, 771):
        a, b = random.integers(-128, 128, (2, n_dims), np.int8)
        found = connection.execute("select sm_dot_i8(?, ?)", (a.tobytes(), b.tobytes())).get
        assert found == int(a.astype(int) @ b.astype(int))
    for wrong in ((b"12", b"1"), (b"1", None), ("a", b"1"), (bytes(200_000), bytes(200_000))):
        with pytest.raises(apsw.SQLError):
            connection.execute("select sm_dot_i8(?, ?)", wrong).get  # noqa: B018 - read to run it


def test_the_schema_may_use_them(connection: apsw.Connection) -> None:
    """Deterministic, or an index would be refused; innocuous, or a view would be, as the schema is not trusted."""
    assert connection.pragma("trusted_schema") == 0
    connection.execute("create table pair(a blob, b blob)")
    connection.execute("create index products on pair(sm_dot_i8(a, b))")
    connection.execute("create view product as select sm_dot_i8(a, b) as value, sm_ids(rowid) as ids from pair")
    connection.execute("insert into pair values(x'02', x'ff')")
    assert connection.execute("select value from product").get == -2


def test_a_scan_can_be_interrupted(connection: apsw.Connection) -> None:
    endless = """with recursive n(i) as (select 1 union all select i + 1 from n)
                 select sm_top_i8(?, ?, ?, ?, ?), sm_ids(i % 100) from n"""
    timer = threading.Timer(0.2, connection.interrupt)
    timer.start()
    with pytest.raises(apsw.InterruptError):
        connection.execute(endless, GOOD).get  # noqa: B018 - read to run it
    timer.join()
    assert len(connection.execute("select sm_top_i8(?, ?, ?, ?, ?)", GOOD).get) == 3 * sql.NEIGHBOUR.itemsize


def test_loading_leaves_the_door_closed(connection: apsw.Connection) -> None:
    with pytest.raises(apsw.ExtensionLoadingError):
        connection.load_extension(str(capabilities().extension), sql.ENTRY_POINT)


ASK = """
import apsw
from secondme.errors import ConfigError
from secondme.kernels import sql
connection = apsw.Connection(":memory:")
try:
    loaded = sql.load(connection)
    print(loaded, connection.execute("select sm_dot_i8(x'80', x'80')").get if loaded else "")
except ConfigError as error:
    print(error.message)
"""


def fresh(code: str, isa: str) -> str:
    environment = {**os.environ, "SECONDME_ISA": isa}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("isa", capabilities().isas)
def test_the_same_kernels_run_here_as_elsewhere(isa: str) -> None:
    assert fresh(ASK, isa).split() == (["False"] if isa == "numpy" else ["True", "16384"])


def test_unknown_kernels_and_a_missing_extension() -> None:
    assert "z80" in fresh(ASK, "z80")
    assert fresh("import sys\nsys.modules['secondme.kernels._native'] = None\n" + ASK, "").split() == ["False"]
