"""The kernels inside SQLite: nearest neighbours over sqlite-vec's own blocks, where they lie.

The store's vec0 table `vector` keeps its vectors in ordinary tables, a block of slots per row. Reading those blocks
with the functions of native/src/sql finds what `... from vector where coarse match ? and k = ?` finds, several times
faster than sqlite-vec's scan and with any SQL filter:

    ids = connection.execute("select sm_ids(id) from chunk where source_id = ?", (7,)).get
    rows = nearest(connection, query, 40, ids=ids)

sqlite-vec is the oracle of the tests, and what to use where `load` or `readable` is False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondme.kernels import REFERENCE, Int8Vector, capabilities

if TYPE_CHECKING:
    import apsw

ENTRY_POINT = "sqlite3_secondme_init"
NEIGHBOUR = np.dtype([("id", "<i8"), ("score", "<i4"), ("zero", "<i4")])
"""A row of a result: `score` is the int8 dot product with the query."""

MAX_K = 1 << 20

_LAYOUT = {
    "vector_chunks": {
        "chunk_id": "INTEGER",
        "size": "INTEGER",
        "partition00": "",
        "validity": "BLOB",
        "rowids": "BLOB",
    },
    "vector_vector_chunks00": {"rowid": "", "vectors": "BLOB"},
}
_MISFIT = """
    select 1 from vector_chunks c left join vector_vector_chunks00 v on v._rowid_ = c.chunk_id
    where v.rowid is not c.chunk_id or typeof(c.validity) <> 'blob' or typeof(c.rowids) <> 'blob'
       or c.size <= 0 or c.size % 8 or length(c.validity) * 8 <> c.size or length(c.rowids) <> c.size * 8
       or length(v.vectors) = 0 or length(v.vectors) % c.size
    limit 1"""

# A cross join is read in the order it is written in: a block's vectors are fetched only if the rest of it is wanted.
_ALL = """
    select sm_top_i8(c.rowids, c.validity, v.vectors, :query, :k)
    from vector_chunks c cross join vector_vector_chunks00 v
    where (:partition is null or c.partition00 = :partition) and v._rowid_ = c.chunk_id"""
_AMONG = """
    select sm_top_i8(c.rowids, c.validity, v.vectors, :query, :k, :ids)
    from vector_chunks c cross join vector_vector_chunks00 v
    where (:partition is null or c.partition00 = :partition) and sm_has_id(c.rowids, c.validity, :ids)
      and v._rowid_ = c.chunk_id"""


def load(connection: apsw.Connection) -> bool:
    """Add the functions to a connection; False where the compiled extension is not built or not in use.

    Raises ConfigError if SECONDME_ISA names kernels that do not run here.
    """
    here = capabilities()
    if here.extension is None or here.isa == REFERENCE:
        return False
    connection.enable_load_extension(True)
    try:
        connection.load_extension(here.extension, ENTRY_POINT)
    finally:
        connection.enable_load_extension(False)
    return True


def readable(connection: apsw.Connection) -> bool:
    """Whether the blocks of `vector` have the layout that is read here: columns and sizes. Reads no vectors."""
    for table, wanted in _LAYOUT.items():
        columns = connection.execute("select name, type from pragma_table_info(?)", (table,))
        if not wanted.items() <= {str(name): str(kind) for name, kind in columns}.items():
            return False
    return connection.execute(_MISFIT).get is None


def nearest(
    connection: apsw.Connection,
    query: Int8Vector,
    k: int,
    *,
    partition: int | None = None,
    ids: bytes | None = None,
) -> NDArray[np.void]:
    """The `k` rows of `vector` with the greatest dot product with `query` [n_dims], as NEIGHBOUR [at most k].

    Best first, and equal ones by id. `partition` reads one value of the partition column alone; `ids`, as `sm_ids`
    makes it, allows only those rows, and blocks without any of them are not read. The result is read-only memory.
    Raises apsw.SQLError for k outside 0 to MAX_K and for blocks whose sizes do not fit each other and the query.
    """
    values = {"query": query.tobytes(), "k": k, "partition": partition}
    if ids is None:
        packed = connection.execute(_ALL, values).get
    else:
        packed = connection.execute(_AMONG, {**values, "ids": ids}).get
    return np.frombuffer(packed, NEIGHBOUR)
