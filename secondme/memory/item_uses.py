"""What happens to items without changing what they say: uses, ratings, and links between them.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from secondme.memory import oplog, slots
from secondme.types import ItemLink

GROWTH = 1.6
"""What a use makes of an item's strength: the forgetting curve flattens with each recall (Ebbinghaus 1885; MemoryBank,
Zhong et al. 2023, adds a day; a factor keeps its meaning from days to years)."""

MOST_DAYS = 3650.0


def strengthened(days: float) -> float:
    """Strength S, in days, after one more use."""
    return min(MOST_DAYS, days * GROWTH)


def use(connection: apsw.Connection, ids: Iterable[int], at: float) -> None:
    """Count a use of items at `at`, which strengthens them; those that are gone are passed over."""
    used = []
    for item_id in slots.firsts(connection, ids):
        days = connection.execute("select strength_days from item where id = ?", (item_id,)).get
        sql = """update item set n_uses = n_uses + 1, used_at = max(used_at, ?1), strength_days = ?2
                 where id = ?3 or continues = ?3"""
        connection.execute(sql, (at, strengthened(float(days)), item_id))
        used.append(f"item:{item_id}")
    if used:
        oplog.append(connection, "items-used", used)


def rate(connection: apsw.Connection, item_id: int, helpful: bool) -> None:
    """Count that an item was of help, or did harm. Raises StoreError if it is gone."""
    item_id = slots.found(connection, item_id)[2].id
    sql = """update item set n_helpful = n_helpful + ?2, n_harmful = n_harmful + 1 - ?2
             where id = ?1 or continues = ?1"""
    connection.execute(sql, (item_id, int(helpful)))
    oplog.append(connection, "item-rated", [f"item:{item_id}"], detail={"helpful": int(helpful)})


def link(connection: apsw.Connection, links: Sequence[ItemLink], actor: str) -> int:
    """Store links, or their new weights; those from or to items that are gone are passed over. Returns how many.

    What continues an item is linked as that item.
    """
    sql = """insert into item_link values(?, ?, ?, ?)
             on conflict(from_id, to_id, kind) do update set weight = excluded.weight"""
    linked: set[int] = set()
    n = 0
    for one in links:
        ends = [slots.firsts(connection, [i]) for i in (one.from_id, one.to_id)]
        if all(ends):
            connection.execute(sql, (ends[0][0], ends[1][0], one.kind, one.weight))
            linked.update(ends[0], ends[1])
            n += 1
    if n:
        subjects = [f"item:{i}" for i in sorted(linked)]
        oplog.append(connection, "items-linked", subjects, actor=actor, detail={"links": n})
    return n
