"""What the embedder makes of turns: a vector of each, and those of its words, packed by `kernels/late.py`.

All of it is derived, and goes with the text that it was made of. The vectors are int8 with one step for all
(`vectors.quantize`), which is what a search reads; the rounding moves a cosine by about .001.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import apsw

from secondme.errors import StoreError
from secondme.memory import settings, vectors
from secondme.memory.rows import Row

if TYPE_CHECKING:
    from secondme.memory.vectors import FloatMatrix


def packed(connection: apsw.Connection, vector: FloatMatrix) -> bytes:
    """A vector, float32 [n_dims], as it is stored. Raises StoreError for another width than the recorded model's."""
    known = settings.embedder(connection)
    if known is None:
        raise StoreError(
            "no embedding model is recorded in the store", hint="this is a fault of secondme; please report it"
        )
    return vectors.quantize(vectors.as_matrix(vector.reshape(1, -1), known[1])).tobytes()


def put(connection: apsw.Connection, batch: Sequence[tuple[int, FloatMatrix, bytes]]) -> None:
    """Store (turn id, float32 [n_dims], packed words) in place of earlier ones; turns that are gone are passed over."""
    for turn_id, vector, tokens in batch:
        for table, column, value in (
            ("turn_trace", "pooled", packed(connection, vector)),
            ("turn_token", "tokens", tokens),
        ):
            connection.execute(
                f"""insert into {table} select ?1, ?2 where exists (select 1 from turn where id = ?1)
                    on conflict(turn_id) do update set {column} = excluded.{column}""",  # noqa: S608  named above
                (turn_id, value),
            )


def get(connection: apsw.Connection, ids: Sequence[int]) -> dict[int, tuple[FloatMatrix, bytes]]:
    """Vectors, float32 [n_dims] of length 1, and packed words, by turn id; turns without a trace are left out.

    Raises CorruptRecord for a vector of another width.
    """
    import numpy as np

    sql = """select v.turn_id, v.pooled, w.tokens from json_each(?) j cross join turn_trace v on v.turn_id = j.value
             cross join turn_token w on w.turn_id = v.turn_id"""
    known = settings.embedder(connection)
    rows: list[Row] = connection.execute(sql, (json.dumps(list(ids)),)).fetchall() if known else []
    matrix = vectors.joined((row[1] for row in rows), known[1] if known else 0).astype(np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1)
    return {row[0]: (matrix[i], row[2]) for i, row in enumerate(rows)}


def missing(connection: apsw.Connection, limit: int) -> list[int]:
    """Ids of turns without a trace, the newest first."""
    sql = "select turn_id from turn_untraced order by turn_id desc limit ?"
    return [int(row[0]) for row in connection.execute(sql, (limit,))]


def drop_all(connection: apsw.Connection) -> None:
    """Take the traces of all turns and the vectors of all items out: another model will make them anew."""
    connection.execute("delete from turn_trace")
    connection.execute("delete from turn_token")
    connection.execute("update item set vector = null where vector is not null")
