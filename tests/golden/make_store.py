"""Writes tests/golden/store-4, the store of the newest format: python -m tests.golden.make_store FOLDER

Run once for each released format and never again for an old one: later versions must open what is there. The
passphrase is "golden", and nothing in it is anybody's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondme.cartridges.files import Shelf
from secondme.crypto.unlock import unlock
from secondme.memory.store import Store
from secondme.types import Chunk, Citation, FileStamp, NewItem, SourceFile, Span, Trust, WatchedFolder
from tests.golden.make_cartridge import MANIFEST, sections

PASSPHRASE = "golden"
N_DIMS = 16
EMBEDDER = ("golden-embedder", N_DIMS)

SOURCES = (
    SourceFile(
        "/golden/caf\u00e9 \udcff\n.md",
        "default",
        "text/markdown",
        "A caf\u00e9",
        b"\x01" * 32,
        FileStamp(57, 2, 2**64 - 1),
    ),
    SourceFile("/golden/b.pdf", "work", "application/pdf", "", b"\x02" * 32, FileStamp(2**40, 3, 4), Trust.IMPORTED),
)
CHUNKS = (
    (
        Chunk(0, "# One\n\nThe quince tree was planted in 1931.\n", 0, 44, 1, 3, None, ("One",)),
        Chunk(1, "## Zw\u00f6lf\nPainted \u2192 walls\n", 44, 73, 4, 5, None, ("One", "Zw\u00f6lf")),
    ),
    (Chunk(0, "A page about walls.", 0, 19, 1, 1, 12, ()),),
)
SKIPPED = SourceFile("/golden/c.bin", "default", "", "", b"\x03" * 32, FileStamp(5, 6, 7))
REASON = "not text"
FOLDER = WatchedFolder("/golden", "default", True, 1_700_000_000.5)
TURNS = (("user", "When was the tree planted?"), ("assistant", "In 1931 [1]."))
CITATION = Citation(
    n=1,
    chunk_id=1,
    path=SOURCES[0].path,
    title=SOURCES[0].title,
    project="default",
    page=None,
    line_start=1,
    line_end=3,
    byte_start=0,
    byte_end=44,
    heading_path=("One",),
    text=CHUNKS[0][0].text,
    quote="The quince tree was planted in 1931.",
    quote_start=7,
    quote_end=43,
    quote_line=3,
    score=0.1 + 0.2,
    marked=True,
)

# Since the fourth format.
SAID = "I moved to Caf\u00e9 street in May."
SAID_AT = 1_700_000_100.5
SPEAKER = "Ann"
TRACE = b"what a turn is searched by"
ITEMS = (
    NewItem(
        "semantic",
        "The owner lives in Elm street.",
        subject="owner",
        attribute="home street",
        value="Elm street",
        slot="owner|home street",
        valid_from=1_600_000_000.25,
    ),
    NewItem(
        "semantic",
        "The owner lives in Caf\u00e9 street.",
        subject="owner",
        attribute="home street",
        value="Caf\u00e9 street",
        slot="owner|home street",
        trust=Trust.CONVERSATION,
        made_by="rule:move/1",
        valid_from=1_683_000_000.0,
        strength_days=90.0,
        spans=(Span("passage", 1, 7, 43), Span("turn", 3, 0, 24)),
    ),
    NewItem("vault", "The code of the locker", value="1234 \udcff", subject="owner", attribute="locker"),
    NewItem(
        "episodic", "A wall was painted.", project="work", state="pending", trust=Trust.DOCUMENT, made_by="rule:r/2"
    ),
)


def vectors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of the chunks of each source: exact in float32, so the same on every machine."""
    rows = np.eye(N_DIMS, dtype=np.float32)
    return rows[:2], rows[2:3]


def make(folder: Path) -> None:
    """Write the key file, the store and a cartridge into an empty folder."""
    folder.mkdir(parents=True)
    keys = unlock(folder, passphrase=PASSPHRASE)
    store = Store.open(folder / "store.db", keys.store)
    store.set_embedder(*EMBEDDER)
    for source, chunks, matrix in zip(SOURCES, CHUNKS, vectors(), strict=True):
        store.put_source(source, chunks, matrix)
    store.put_skip(SKIPPED, REASON)
    store.add_folder(FOLDER)
    conversation = store.new_conversation("default", "The tree")
    store.add_turn(conversation, "user", TURNS[0][1], ())
    store.add_turn(conversation, "assistant", TURNS[1][1], (CITATION,))
    stored = store.source("default", SOURCES[0].path)
    assert stored is not None
    said = store.add_turn(conversation, "user", SAID, (), speaker=SPEAKER, at=SAID_AT)
    items = store.add_items(ITEMS)
    store.link_items(items[1].id, items[0].id, "contradicts", 0.25)
    store.use_items([items[1].id], SAID_AT)
    store.rate_item(items[1].id, helpful=True)
    unit = np.eye(N_DIMS, dtype=np.float32)
    store.put_item_vectors([(items[0].id, unit[3]), (items[1].id, unit[4])])
    store.put_traces([(said, unit[5], TRACE)])
    text_hash = store.document_hash(stored.id)
    assert text_hash is not None
    manifest = replace(MANIFEST, source_hash=text_hash.hex())
    assert Shelf(store, keys).put(stored, manifest, sections(), prefill_s=1.5, build_s=0.25) is not None
    store.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
