"""Vectors inside the database: an int8 copy for the scan and the float32 rows for the second stage (sqlite-vec).

`vector` is a vec0 table with a partition per project. The scan reads only the int8 blocks; the float32 rows lie in an
auxiliary column and are read for the candidates alone. NumPy is imported when first needed: opening the store to list
conversations does without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import apsw

from secondme.errors import StoreError
from secondme.memory import changes
from secondme.memory.failures import damaged
from secondme.memory.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatMatrix = NDArray[np.float32]
    Int8Matrix = NDArray[np.int8]

OVERSAMPLING = 4
"""Candidates of the int8 scan for each result wanted."""

MAX_CANDIDATES = 4096
"""sqlite-vec's limit on k."""

MOST = 127
"""Greatest int8 value: -128 is left out, so that a vector and its opposite are stored alike."""

_ROWS_PER_BLOCK = 256
_LENGTH_TOLERANCE = 1e-3  # of the squared length
# A component of a unit vector has a standard deviation of 1 / sqrt(n_dims): eight of them are never exceeded but by
# the few outlier dimensions some models have, which are cut alike in all rows.
_RANGE_SIGMAS = 8.0

# Blocks are filled in order and a hole is never filled again, so a table of many edits grows; see `compact`.
_HOLES_ALLOWED = 4096


def create_table(connection: apsw.Connection, n_dims: int) -> None:
    """Make the table anew, empty, for vectors of `n_dims`."""
    changes.note_new_table(connection)
    connection.execute("drop table if exists vector")
    # L2 and not cosine: of unit vectors it gives the same order, in half the time.
    connection.execute(
        "create virtual table vector using vec0(chunk_id integer primary key, project_id integer partition key,"
        f" coarse int8[{int(n_dims)}] distance_metric=l2, +fine blob, chunk_size={_ROWS_PER_BLOCK})"
    )


def as_matrix(rows: object, n_dims: int) -> FloatMatrix:
    """`rows` as contiguous float32 [n, n_dims] of length 1, or 0.

    Raises StoreError for another shape or a value that is not finite.
    """
    import numpy as np

    matrix = np.ascontiguousarray(rows, dtype=np.float32)
    if matrix.size == 0:
        return matrix.reshape(0, n_dims)
    if matrix.ndim != 2 or matrix.shape[1] != n_dims:
        raise StoreError(
            f"vectors of shape {matrix.shape} do not fit a store of {n_dims} dimensions",
            hint="run: secondme memory reindex",
        )
    if not np.isfinite(matrix).all():
        raise StoreError("a vector holds a value that is not a number", hint="verify the embedding model")
    return unit(matrix)


def unit(matrix: FloatMatrix) -> FloatMatrix:
    """Rows [n, n_dims] of another length than 1 are scaled to it: cosines are the same, and only unit rows are scanned
    well. Rows of zeros stay; a matrix of unit rows is returned as it is."""
    import numpy as np

    with np.errstate(over="ignore"):
        odd = np.flatnonzero(np.abs(np.einsum("nd,nd->n", matrix, matrix) - 1) > _LENGTH_TOLERANCE)
    if not len(odd):
        return matrix
    scaled: FloatMatrix = matrix.copy()
    lengths = np.linalg.norm(matrix[odd].astype(np.float64), axis=1, keepdims=True)
    scaled[odd] = matrix[odd] / np.where(lengths > 0, lengths, 1)
    return scaled


def quantize(matrix: FloatMatrix) -> Int8Matrix:
    """int8 [n, n_dims] of unit rows: the same step for all, so that distances stay comparable."""
    import numpy as np

    coarse: Int8Matrix = np.clip(np.rint(matrix * steps(matrix.shape[1])), -MOST, MOST).astype(np.int8)
    return coarse


def joined(blobs: Iterable[bytes], n_dims: int) -> Int8Matrix:
    """Stored int8 rows as one matrix [n, n_dims], not to be written to. Raises CorruptRecord for another width."""
    import numpy as np

    found = list(blobs)
    if any(len(blob) != n_dims for blob in found):
        raise damaged("vectors")
    return np.frombuffer(b"".join(found), np.int8).reshape(len(found), n_dims)


def steps(n_dims: int) -> float:
    """int8 steps for a component of 1."""
    return MOST / min(1.0, _RANGE_SIGMAS / math.sqrt(n_dims))


def insert_source(connection: apsw.Connection, source_id: int, after_id: int, matrix: FloatMatrix) -> None:
    """Store the vectors of a source's chunks with ids above `after_id`, in their order; `matrix` is [n, n_dims].

    One statement for all of them, several times faster than one for each.
    """
    values = (quantize(matrix).tobytes(), matrix.tobytes(), matrix.shape[1], source_id, after_id)
    with blocks_read():
        connection.execute(
            """insert into vector(chunk_id, project_id, coarse, fine)
               select id, project_id, vec_int8(substr(?1, n * ?3 + 1, ?3)), substr(?2, 4 * n * ?3 + 1, 4 * ?3)
               from (select id, project_id, row_number() over (order by id) - 1 as n
                     from chunk where source_id = ?4 and id > ?5)""",
            values,
        )


def insert(connection: apsw.Connection, rows: Iterable[tuple[int, int, FloatMatrix]]) -> None:
    """Store (chunk id, project id, float32 [n_dims]) one by one."""
    values = ((i, project, quantize(v[None, :]).tobytes(), v.tobytes()) for i, project, v in rows)
    with blocks_read():
        connection.executemany(
            "insert into vector(chunk_id, project_id, coarse, fine) values(?, ?, vec_int8(?), ?)", values
        )


def delete_source(connection: apsw.Connection, source_id: int) -> None:
    """Remove the vectors of a source's chunks; sqlite-vec overwrites both copies with zeros."""
    with blocks_read():
        connection.execute(
            "delete from vector where chunk_id in (select id from chunk where source_id = ?)", (source_id,)
        )


def delete(connection: apsw.Connection, chunk_id: int) -> None:
    """Remove one chunk's vector, if there are any vectors."""
    if connection.table_exists(None, "vector_rowids"):
        with blocks_read():
            connection.execute("delete from vector where chunk_id = ?", (chunk_id,))


def has(connection: apsw.Connection, chunk_id: int) -> bool:
    """Whether a chunk has a vector."""
    if not connection.table_exists(None, "vector_rowids"):
        return False
    return connection.execute("select 1 from vector_rowids where rowid = ?", (chunk_id,)).get is not None


@contextmanager
def blocks_read() -> Iterator[None]:
    """sqlite-vec hides a damaged page behind a plain error; with statements as fixed as these it has no other cause."""
    try:
        yield
    except apsw.SQLError:
        raise damaged("vectors") from None


def search(
    connection: apsw.Connection,
    vector: FloatMatrix,
    k: int,
    project_id: int | None,
    among: tuple[str, tuple[int | str, ...]] | None = None,
) -> list[tuple[int, float]]:
    """The `k` nearest chunks with their cosine, best first; at most MAX_CANDIDATES. `vector` is [n_dims].

    By sqlite-vec's own scan. `among` is a statement that selects chunk ids, with its values.
    """
    import numpy as np

    n_candidates = min(max(1, k) * OVERSAMPLING, MAX_CANDIDATES)
    query = quantize(vector[None, :])[0].tobytes()
    sql = "select chunk_id, fine from vector where coarse match vec_int8(?) and k = ?"
    values: tuple[bytes | int | str, ...] = (query, n_candidates)
    if project_id is not None:
        sql, values = sql + " and project_id = ?", (*values, project_id)
    if among is not None:
        sql, values = f"{sql} and chunk_id in ({among[0]})", (*values, *among[1])
    with blocks_read():
        rows: list[Row] = connection.execute(sql, values).fetchall()
    if not rows:
        return []
    matrix = np.frombuffer(b"".join(row[1] for row in rows), np.float32).reshape(len(rows), -1)
    lengths = np.linalg.norm(matrix, axis=1) * np.linalg.norm(vector)
    cosines = (matrix @ vector) / np.where(lengths > 0, lengths, 1)
    # Ties in the order of storing, so that the same question gives the same answer.
    order = sorted(range(len(rows)), key=lambda i: (-cosines[i], rows[i][0]))
    return [(rows[i][0], float(cosines[i])) for i in order[:k]]


def exact_rows(connection: apsw.Connection, ids: Sequence[int], n_dims: int) -> tuple[NDArray[np.int64], FloatMatrix]:
    """As `blocks.exact_rows`, by sqlite-vec itself, whatever its layout."""
    import numpy as np

    found: list[int] = []
    rows: list[FloatMatrix] = []
    for i in ids:
        fine = connection.execute("select fine from vector where chunk_id = ?", (i,)).get
        if fine is not None:
            found.append(i)
            rows.append(np.frombuffer(fine, np.float32))
    matrix = np.array(rows, np.float32).reshape(len(rows), n_dims)
    return np.array(found, np.int64), matrix


def missing(connection: apsw.Connection, after_id: int, limit: int) -> list[int]:
    """Ids above `after_id` of chunks that have no vector yet, in order."""
    sql = """select id from chunk c where id > ? and not exists (select 1 from vector_rowids v where v.rowid = c.id)
             order by id limit ?"""
    return [int(row[0]) for row in connection.execute(sql, (after_id, limit))]


def count(connection: apsw.Connection) -> int:
    return int(connection.execute("select count(*) from vector_rowids").get)


def compact(connection: apsw.Connection, n_dims: int) -> bool:
    """Build the table anew once holes outnumber rows; True if it did. Costs what the deletions before it saved."""
    n_slots = _ROWS_PER_BLOCK * int(connection.execute("select count(*) from vector_chunks").get)
    n_rows = count(connection)
    # The last block of each partition is rarely full.
    n_partial = _ROWS_PER_BLOCK * int(connection.execute("select count(*) from project").get)
    if n_slots - n_rows <= max(_HOLES_ALLOWED, n_rows) + n_partial:
        return False
    import numpy as np

    with blocks_read():
        rows: list[Row] = connection.execute("select chunk_id, project_id, fine from vector").fetchall()
    create_table(connection, n_dims)
    insert(connection, ((i, project, np.frombuffer(fine, np.float32)) for i, project, fine in rows))
    return True
