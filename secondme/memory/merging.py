"""Makes one item of several that say the same: the one that began first takes what the others know.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import apsw

from secondme.errors import StoreError
from secondme.memory import item_rows, items, oplog
from secondme.memory.digests import item_digest
from secondme.memory.tiers import higher


def merge(connection: apsw.Connection, keep_id: int, other_ids: Sequence[int], actor: str) -> None:
    """Give `keep_id` the spans, links, counts and, if higher, the trust and strength of others, which go.

    It keeps its text, its vector and its place in its slot. Raises StoreError if one of them is gone, or if one to go
    began before it: what was true first is not shortened.
    """
    others = [i for i in dict.fromkeys(other_ids) if i != keep_id]
    found = item_rows.by_ids(connection, [keep_id, *others])
    if len(found) != 1 + len(others) or any(o.valid_from < found[0].valid_from for o in found[1:]):
        raise StoreError("the items cannot be made one", hint="this is a fault of secondme; please report it")
    kept, rest = found[0], found[1:]
    trust = kept.trust
    for other in rest:
        trust = higher(trust, other.trust)
    connection.execute(
        """update item set trust = ?, strength_days = ?, used_at = ?, n_uses = ?, n_helpful = ?, n_harmful = ?
           where id = ?""",
        (
            trust.value,
            max(i.strength_days for i in found),
            max(i.used_at for i in found),
            sum(i.n_uses for i in found),
            sum(i.n_helpful for i in found),
            sum(i.n_harmful for i in found),
            keep_id,
        ),
    )
    _take_over(connection, keep_id, json.dumps(others))
    items.purge(connection, others, actor)
    oplog.append(connection, "item-removed", [f"item:{i}" for i in others], actor=actor)
    digest = item_digest(connection, keep_id)
    subjects = [f"item:{keep_id}"]
    oplog.append(connection, "item-respanned", subjects, digest=digest, actor=actor, detail={"merged": len(others)})


def _take_over(connection: apsw.Connection, keep_id: int, others: str) -> None:
    """Spans and links of `others` (a JSON list of ids) become those of `keep_id`."""
    connection.execute(
        """insert or ignore into item_span select ?1, kind, ref_id, byte_start, byte_end from item_span
           where item_id in (select value from json_each(?2))""",
        (keep_id, others),
    )
    for column, other_column in (("from_id", "to_id"), ("to_id", "from_id")):
        first, second = ("?1", "to_id") if column == "from_id" else ("from_id", "?1")
        connection.execute(
            f"""insert or ignore into item_link select {first}, {second}, kind, weight from item_link
                where {column} in (select value from json_each(?2)) and {other_column} != ?1
                and {other_column} not in (select value from json_each(?2))""",  # noqa: S608  columns named above
            (keep_id, others),
        )
