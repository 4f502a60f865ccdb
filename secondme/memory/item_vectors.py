"""The vectors of items: int8 in their rows, all with the same step, so that distances stay comparable.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import apsw

from secondme.memory import settings, vectors
from secondme.memory.rows import Row
from secondme.memory.sources import project_id
from secondme.memory.traces import packed
from secondme.types import ItemState

if TYPE_CHECKING:
    from secondme.memory.nearest import Ids
    from secondme.memory.vectors import FloatMatrix, Int8Matrix


def put(connection: apsw.Connection, batch: Sequence[tuple[int, FloatMatrix]]) -> None:
    """Store (item id, float32 [n_dims]); secrets, lessons and items that are gone are passed over."""
    sql = "update item set vector = ? where id = ? and kind not in ('vault', 'lesson')"
    connection.executemany(sql, ((packed(connection, vector), item_id) for item_id, vector in batch))


def missing(connection: apsw.Connection, limit: int) -> list[int]:
    """Ids of items that should have a vector and have none, the newest first."""
    sql = "select id from item where vector is null and kind not in ('vault', 'lesson') order by id desc limit ?"
    return [int(row[0]) for row in connection.execute(sql, (limit,))]


def several(connection: apsw.Connection, project: str | None, states: Collection[ItemState]) -> tuple[Ids, Int8Matrix]:
    """Ids int64 [n] and vectors int8 [n, n_dims], in order of ids; n_dims is 0 before there is an embedding model."""
    import numpy as np

    sql = """select id, vector from item where vector is not null and state in (select value from json_each(?))
             and kind not in ('vault', 'lesson')"""
    values: list[str | int | None] = [json.dumps(sorted(states))]
    if project is not None:
        sql += " and project_id = ?"
        values.append(project_id(connection, project))
    rows: list[Row] = connection.execute(f"{sql} order by id", values).fetchall()
    known = settings.embedder(connection)
    n_dims = known[1] if known else 0
    ids = np.array([row[0] for row in rows], np.int64)
    return ids, vectors.joined((row[1] for row in rows), n_dims)
