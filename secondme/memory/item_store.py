"""The store's methods for items; see `store.py` for what holds of all its methods."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from secondme.memory import item_rows, item_uses, item_vectors, items, lineage, merging, oplog, search
from secondme.memory.database import Database
from secondme.memory.item_rows import ACTIVE
from secondme.memory.sources import project_id
from secondme.memory.vector_column import ITEMS, Asked, VectorColumn, tags_of
from secondme.types import ItemChanges, ItemKind, ItemLink, ItemState, LinkKind, MemoryItem, NewItem

if TYPE_CHECKING:
    import apsw

    from secondme.memory.nearest import Ids
    from secondme.memory.vectors import FloatMatrix, Int8Matrix

_PAGE = 500
"""Items read at once where all are listed."""


class ItemStore:
    """What a store holds of items."""

    def __init__(self, database: Database, vector_bytes: int | None) -> None:
        self._database = database
        self._near_items = VectorColumn(database, ITEMS, vector_bytes)

    def add_item(self, new: NewItem, *, actor: str = oplog.OWNER) -> MemoryItem:
        """Store an item; if it is active, what held in its slot when it begins ends there, and both stay.

        Raises UsageError if a time is not a number or its end comes before its beginning, StoreError if a turn or
        passage where it was said is gone.
        """
        return self.add_items([new], actor=actor)[0]

    def add_items(self, new: Sequence[NewItem], *, actor: str = oplog.OWNER) -> list[MemoryItem]:
        """Store several items in their order, all or none, at the price of one transaction."""
        with self._deleting_items() as connection:
            return item_rows.by_ids(connection, [items.add(connection, one, actor) for one in new])

    def item(self, item_id: int) -> MemoryItem | None:
        found = self.items_by_ids([item_id])
        return found[0] if found else None

    def items_by_ids(self, ids: Sequence[int]) -> list[MemoryItem]:
        """Items in the order asked for; those that are gone are left out."""
        with self._database.reading() as connection:
            return item_rows.by_ids(connection, ids)

    def items(
        self,
        project: str | None = None,
        *,
        kinds: Collection[ItemKind] | None = None,
        states: Collection[ItemState] | None = ACTIVE,
        holding: bool | None = None,
        at: float | None = None,
        slot: str | None = None,
        subject: str | None = None,
    ) -> list[MemoryItem]:
        """Items, those stored last first; all that is set must hold.

        `holding`: those that hold until further notice, or those that do not. `at`: those that held at that moment.
        """
        wanted = item_rows.Wanted(kinds, states, holding, at, slot, subject)
        with self._database.reading() as connection:
            return item_rows.several(connection, project, wanted)

    def each_item(
        self,
        project: str | None = None,
        *,
        kinds: Collection[ItemKind] | None = None,
        states: Collection[ItemState] | None = ACTIVE,
        at: float | None = None,
    ) -> Iterator[MemoryItem]:
        """What `items` finds, in the same order, read a page at a time: for lists that may be long."""
        below = None
        while True:
            with self._database.reading() as connection:
                wanted = item_rows.Wanted(kinds, states, at=at, below=below, most=_PAGE)
                page = item_rows.several(connection, project, wanted)
            yield from page
            if len(page) < _PAGE:
                return
            below = page[-1].id

    def item_history(self, item_id: int) -> list[MemoryItem]:
        """All items of the slot of `item_id`, and what it was edited from and to, oldest first; [] if it is gone."""
        with self._database.reading() as connection:
            return item_rows.history(connection, item_id)

    def close_item(self, item_id: int, at: float | None = None, *, actor: str = oplog.OWNER) -> MemoryItem:
        """It is so no longer, from `at` (None: now) on; at or before its beginning means that it never was.

        Raises StoreError if the item is gone.
        """
        with self._deleting_items() as connection:
            return item_rows.by_ids(connection, [items.close(connection, item_id, at, actor)])[0]

    def set_item_state(self, item_id: int, state: ItemState, *, actor: str = oplog.OWNER) -> MemoryItem:
        """Activate (and so approve), archive or quarantine an item, or leave it to the owner.

        One that becomes active takes its place in the slot by the times it was told; one that is taken out of use
        gives its time back to what it closed. Raises StoreError if the item is gone.
        """
        with self._deleting_items() as connection:
            return item_rows.by_ids(connection, [items.set_state(connection, item_id, state, actor)])[0]

    def change_item(self, item_id: int, changes: ItemChanges, *, actor: str = oplog.OWNER) -> MemoryItem:
        """Edit an item: a new one takes its place from now on, the old one is closed; returns the new one.

        One that holds no longer is corrected in its time. Raises StoreError if the item is gone.
        """
        with self._deleting_items() as connection:
            return item_rows.by_ids(connection, [items.change(connection, item_id, changes, actor)])[0]

    def remove_items(self, ids: Sequence[int], *, actor: str = oplog.OWNER) -> int:
        """Forget items with their words, vectors and links, in the write-ahead log as well; returns how many went.

        What they closed holds again, as if they had never been there.
        """
        with self._deleting_items() as connection:
            gone = items.remove(connection, ids, actor)
        self._database.compact_wal()
        return len(gone)

    def merge_items(self, keep_id: int, other_ids: Sequence[int], *, actor: str = oplog.OWNER) -> MemoryItem:
        """Make one item of several that say the same: `keep_id` takes over spans, links and counts, the others go.

        Raises StoreError if one of them is gone, or began before `keep_id`.
        """
        with self._deleting_items() as connection:
            merging.merge(connection, keep_id, other_ids, actor)
            found = item_rows.by_ids(connection, [keep_id])[0]
        self._database.compact_wal()
        return found

    def items_from(self, kind: item_rows.Origin, ref_id: int) -> list[MemoryItem]:
        """What was made from a `turn` or `passage`, or any of a `conversation` or `source`, in order of storing."""
        with self._database.reading() as connection:
            return item_rows.made_from(connection, kind, ref_id)

    def is_forgotten(self, new: NewItem) -> bool:
        """Whether the owner forgot what `new` claims as learned from one of its places: it is not to be learned again.

        The same said elsewhere, or later, is not forgotten by that.
        """
        with self._database.reading() as connection:
            return lineage.is_forgotten(connection, new)

    def use_items(self, ids: Sequence[int], at: float | None = None) -> None:
        """Count that an answer used these items at `at` (None: now), which makes them last; cheap."""
        with self._database.writing() as connection:
            item_uses.use(connection, ids, time.time() if at is None else at)

    def rate_item(self, item_id: int, helpful: bool) -> None:
        """Count that an item was of help, or did harm. Raises StoreError if it is gone."""
        with self._database.writing() as connection:
            item_uses.rate(connection, item_id, helpful)

    def link_items(
        self, from_id: int, to_id: int, kind: LinkKind, weight: float = 1.0, *, actor: str = oplog.OWNER
    ) -> None:
        """Link two items, or give their link another weight; nothing happens if one of them is gone."""
        self.put_links([ItemLink(from_id, to_id, kind, weight)], actor=actor)

    def put_links(self, links: Sequence[ItemLink], *, actor: str = oplog.OWNER) -> int:
        """Store many links at the price of one; returns how many, without those of items that are gone."""
        with self._database.writing() as connection:
            return item_uses.link(connection, links, actor)

    def item_links(self, item_id: int) -> list[ItemLink]:
        """The links from and to an item."""
        with self._database.reading() as connection:
            return item_rows.links(connection, item_id)

    def item_match(self, terms: Sequence[str]) -> str:
        """The FTS5 expression for any of `terms` with which `search_items` takes a few milliseconds at most.

        Rare terms come first; common ones are left out once search.MOST_RANKED items would be ranked.
        """
        with self._database.reading() as connection:
            return search.any_of(search.counted(connection, "item_word", terms))

    def search_items(
        self, match: str, k: int, project: str | None, *, states: Collection[ItemState] = ACTIVE
    ) -> list[tuple[int, float]]:
        """The `k` items that fit the FTS5 expression `match` best: (item id, BM25), best and highest first.

        Secrets and lessons are never found. If more than search.MOST_RANKED fit, only the newest of them are looked at:
        build `match` with `item_match`. Raises UsageError if it is not such an expression.
        """
        with self._database.reading() as connection:
            return item_rows.by_words(connection, match, k, project, states)

    def nearest_items(
        self, vector: FloatMatrix, k: int, project: str | None, *, states: Collection[ItemState] = ACTIVE
    ) -> list[tuple[int, float]]:
        """The `k` items nearest to `vector` (float32 [n_dims]): (item id, cosine to about .002), best first."""
        number = None
        if project is not None:
            with self._database.reading() as connection:
                number = project_id(connection, project)
            if number is None:
                return []
        return self._near_items.search(vector, k, Asked(number, tags_of(states)))

    def put_item_vectors(self, batch: Sequence[tuple[int, FloatMatrix]]) -> None:
        """Give items their vectors, (item id, float32 [n_dims]); secrets, lessons and items that are gone get none.

        Raises StoreError unless the vectors are as wide as those of the recorded embedding model (`set_embedder`).
        """
        with self._database.writing() as connection:
            item_vectors.put(connection, batch)

    def items_without_vector(self, limit: int = 256) -> list[MemoryItem]:
        """Items that have no vector yet and should, those stored last first."""
        with self._database.reading() as connection:
            return item_rows.by_ids(connection, item_vectors.missing(connection, limit))

    def item_vectors(
        self, project: str | None = None, *, states: Collection[ItemState] = ACTIVE
    ) -> tuple[Ids, Int8Matrix]:
        """(ids int64 [n], vectors int8 [n, n_dims] as `vectors.quantize` makes them) of items, in order of storing."""
        with self._database.reading() as connection:
            return item_vectors.several(connection, project, states)

    def _deleting_items(self) -> AbstractContextManager[apsw.Connection]:
        """A transaction that may take rows of items out, which live on in the write-ahead log until it is cut."""
        return self._database.writing(deletes=True)
