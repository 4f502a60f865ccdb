"""Vectors in sqlite-vec: int8 for the scan, float32 for rescoring, both in the encrypted file.

Unit vectors of d dimensions have components around d ** -0.5, so the int8 scale covers four times that; what lies
beyond is clipped, and rescoring a fourfold choice in float32 makes up for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from secondme.errors import StoreError

FloatMatrix = NDArray[np.float32]

OVERSAMPLING = 4
MAX_K = 4096  # sqlite-vec's own limit on k


def quantize(vectors: FloatMatrix) -> NDArray[np.int8]:
    """int8 of the same shape, for the coarse scan."""
    scale = 127.0 * vectors.shape[-1] ** 0.5 / 4.0
    rounded: NDArray[np.int8] = np.clip(np.rint(vectors * scale), -127, 127).astype(np.int8)
    return rounded


def create(connection: apsw.Connection, n_dims: int) -> None:
    """Make the table for vectors of `n_dims`, dropping an earlier one."""
    connection.execute("DROP TABLE IF EXISTS chunk_vector")
    connection.execute(
        "CREATE VIRTUAL TABLE chunk_vector USING vec0("
        f"chunk_id INTEGER PRIMARY KEY, project_id INTEGER PARTITION KEY, coarse INT8[{n_dims}], fine FLOAT[{n_dims}])"
    )


def insert(connection: apsw.Connection, project_id: int, ids: Sequence[int], vectors: FloatMatrix) -> None:
    """Add vectors [len(ids), n_dims]."""
    coarse = quantize(vectors)
    rows = ((i, project_id, c.tobytes(), f.tobytes()) for i, c, f in zip(ids, coarse, vectors, strict=True))
    connection.executemany(
        "INSERT INTO chunk_vector (chunk_id, project_id, coarse, fine) VALUES (?, ?, vec_int8(?), ?)", rows
    )


def delete(connection: apsw.Connection, ids: Iterable[int]) -> None:
    """Remove vectors; sqlite-vec overwrites their place with zeros."""
    connection.executemany("DELETE FROM chunk_vector WHERE chunk_id = ?", ((i,) for i in ids))


def search(connection: apsw.Connection, vector: FloatMatrix, k: int, project_id: int | None) -> list[tuple[int, float]]:
    """(chunk id, cosine), best first: coarse scan of all rows, then float32 over four times `k` of them."""
    n = min(MAX_K, max(k * OVERSAMPLING, 32))
    query = quantize(vector).tobytes()
    sql = "SELECT chunk_id, fine FROM chunk_vector WHERE coarse MATCH vec_int8(?) AND k = ?"
    rows: list[tuple[Any, ...]]
    if project_id is None:
        rows = connection.execute(sql, (query, n)).fetchall()
    else:
        rows = connection.execute(f"{sql} AND project_id = ?", (query, n, project_id)).fetchall()
    if not rows:
        return []
    fine = np.frombuffer(b"".join(f for _, f in rows), np.float32).reshape(len(rows), -1)
    scores = fine @ vector
    order = np.argsort(-scores, kind="stable")[:k]
    return [(rows[i][0], float(scores[i])) for i in order]


def check_shape(vectors: FloatMatrix, n: int, n_dims: int) -> FloatMatrix:
    """`vectors` as contiguous float32; raises StoreError if they are not [n, n_dims] finite numbers."""
    matrix: FloatMatrix = np.ascontiguousarray(vectors, dtype=np.float32)
    if matrix.shape != (n, n_dims) and n:
        raise StoreError(f"vectors of shape {matrix.shape} do not fit {n} passages of {n_dims} dimensions")
    if not np.isfinite(matrix).all():
        raise StoreError("a vector holds values that are no numbers", hint="check the embedding model")
    return matrix
