"""Stores with known content, ways to damage them, and all that one of them holds."""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.memory import oplog
from secondme.memory.checks import read_data
from secondme.memory.database import connect
from secondme.memory.guard import Guard
from secondme.memory.salvage import Plan, examined
from secondme.memory.store import Store
from secondme.types import Check, ItemLink, NewItem, Span, Trust, WatchedFolder
from tests.storing import KEY, citation_of, put, unit_vectors

PAGE = 4096
CONTENT = ("harbour", "lighthouse", "whale", "secret title")
"""Words of the stored content, none of which may stand in a report."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store on the disk, with the witness outside its folder."""

    store: Path
    witness: Path
    keys: StoreKeys = KEY

    def open(self) -> Store:
        return Store.open(self.store, self.keys, self.witness)

    def checks(self) -> list[Check]:
        return list(read_data(self.store, self.keys, self.witness))

    def failed(self) -> list[str]:
        """`name: detail` of each failed line."""
        return [f"{c.name}: {c.detail}" for c in self.checks() if c.status == "failed"]

    def plan(self) -> Plan:
        with examined(self.store, self.keys, self.witness) as salvage:
            return salvage.plan

    def repair(self) -> Path | None:
        with examined(self.store, self.keys, self.witness) as salvage:
            kept = salvage.repair()
        return self.repair() if salvage.plan.way == "bits" else kept

    def copy(self, folder: Path) -> Place:
        shutil.copytree(self.store.parent, folder / "data")
        shutil.copyfile(self.witness, folder / "witness")
        return Place(folder / "data" / "store.db", folder / "witness", self.keys)


def filled(folder: Path, n_files: int = 12) -> Place:
    """A closed store of files, conversations and a folder, over enough pages that each table has some of its own."""
    (folder / "data").mkdir(parents=True)
    place = Place(folder / "data" / "store.db", folder / "witness")
    store = place.open()
    for i in range(n_files):
        texts = [
            f"{i}.{j} the harbour and the lighthouse " + "of the long winter " * 12 * j + "\n" for j in range(1 + i)
        ]
        put(store, f"/notes/{i}.md", texts, seed=i)
    for n in range(2):
        conversation = store.new_conversation("default", f"secret title {n}")
        for k in range(6):
            store.add_turn(conversation, "user", f"where is the whale, {n}.{k}? " + "it swims " * 60, [citation_of()])
    store.add_folder(WatchedFolder("/notes", "default", watch=True, added_at=1.0))
    learn(store)
    store.close()
    return place


N_ITEMS = 12


def learn(store: Store) -> None:
    """Items that were learned from turns and passages, two of them in one slot, with links and all that finds them."""
    texts = [f"Item {i}: a whale near the harbour. " + "it swims " * 30 for i in range(1, N_ITEMS + 1)]
    spans = [(Span("turn", i, 0, 5), Span("passage", min(i, store.n_chunks), 1, 4)) for i in range(1, N_ITEMS + 1)]
    new = [
        NewItem("semantic", text, slot="whale|place" if i < 2 else "", trust=Trust.CONVERSATION, spans=places)
        for i, (text, places) in enumerate(zip(texts, spans, strict=True))
    ]
    items = store.add_items(new)
    store.put_links([ItemLink(items[0].id, item.id, "related") for item in items[1:]])
    store.put_item_vectors([(item.id, row) for item, row in zip(items, unit_vectors(len(items)), strict=True)])


def pages(place: Place) -> dict[str, list[int]]:
    """The pages of each b-tree, by its name."""
    found = defaultdict(list)
    with closing(connect(place.store, place.keys.db)) as connection:
        for name, page in connection.execute("select name, pageno from dbstat order by pageno"):
            found[str(name)].append(int(page))
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    return dict(found)


def flip(place: Place, page: int, at: int = 2000) -> None:
    """Turn one bit of a page, counted from 1, over."""
    data = bytearray(place.store.read_bytes())
    data[(page - 1) * PAGE + at] ^= 4
    place.store.write_bytes(data)


def spoil(place: Place, page: int) -> None:
    """Write over a part of a page, counted from 1: more than a bit, and so beyond correction."""
    data = bytearray(place.store.read_bytes())
    start = (page - 1) * PAGE + 2000
    data[start : start + 16] = bytes(16)
    place.store.write_bytes(data)


def tamper(place: Place, *statements: str) -> None:
    """Change the store with its own key, and vouch for it: what is left to tell of it are the records' digests."""
    with closing(connect(place.store, place.keys.db)) as connection:
        connection.pragma("foreign_keys", False)
        for sql in statements:
            connection.execute(sql)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        head = oplog.head(connection) if connection.table_exists(None, "op") else oplog.genesis(place.keys.store_id)
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    Guard(place.store, place.keys, place.witness).begin(head)


@dataclass(frozen=True, slots=True)
class Held:
    """Passages of each file by path, turns by id, titles of conversations by id, folders, and texts of items by id."""

    files: dict[str, list[str]]
    turns: dict[int, str]
    titles: dict[int, str]
    folders: list[str]
    items: dict[int, str]


def held(place: Place) -> Held:
    store = place.open()
    try:
        conversations = store.conversations()
        return Held(
            {s.path: [c.chunk.text for c in store.source_chunks(s.id)] for s in store.sources()},
            {t.id: t.text for c in conversations for t in store.turns(c.id)},
            {c.id: c.title for c in conversations},
            [f.path for f in store.folders()],
            {item.id: item.text for item in store.items(states=None)},
        )
    finally:
        store.close()
