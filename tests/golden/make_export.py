"""Writes tests/golden/export-2/memory.tar, an export of the newest format: python -m tests.golden.make_export FILE

Run once for each released format and never again for an old one: later versions must import what is there. Nothing in
it is anybody's.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from secondme.crypto.keys import StoreKeys
from secondme.exchange.export import ExportOptions, export
from secondme.memory.item_transfer import PortableItem, PortableLink, PortableSpan
from secondme.memory.portable import (
    PortableCitation,
    PortableConversation,
    PortableEdge,
    PortableFolder,
    PortablePassage,
    PortableProject,
    PortableSource,
    PortableTurn,
)
from secondme.memory.store import Store
from secondme.types import Chunk, Citation, FileStamp, Trust

PROJECTS = (PortableProject(b"\x01" * 16, "default"), PortableProject(b"\x02" * 16, "w\u00f6rk \udcff"))
FOLDER = PortableFolder("default", "/golden", True, 1_700_000_000.5)
SOURCES = (
    PortableSource(
        b"\x11" * 16,
        "default",
        "/golden/caf\u00e9 \udcff\n.md",
        "text/markdown",
        "A caf\u00e9",
        b"\x01" * 32,
        FileStamp(57, 2, 2**64 - 1),
        Trust.DOCUMENT,
        2,
        1_700_000_001.25,
        None,
    ),
    PortableSource(
        b"\x12" * 16,
        "default",
        "/golden/c.bin",
        "",
        "",
        b"",
        FileStamp(5, -6, 7),
        Trust.DOCUMENT,
        0,
        1_700_000_002.0,
        "not text",
    ),
    PortableSource(
        b"\x13" * 16,
        PROJECTS[1].name,
        "import:jsonl/1",
        "text/plain",
        "",
        b"\x03" * 32,
        FileStamp(1, 0, 0),
        Trust.IMPORTED,
        1,
        1_700_000_003.0,
        None,
        {"from": "jsonl", "id": "1", "tags": ["a", "\u00e9"]},
    ),
)
PASSAGES = (
    PortablePassage(SOURCES[0].uid, Chunk(0, "# One\n\nThe quince tree.\n", 0, 24, 1, 3, None, ("One",))),
    PortablePassage(
        SOURCES[0].uid, Chunk(2, "## Zw\u00f6lf\nwalls \U0001f600\x00", 24, 46, 4, 5, 12, ("One", "Zw\u00f6lf"))
    ),
    PortablePassage(SOURCES[2].uid, Chunk(0, "A line.", 0, 7, 1, 1, None, ())),
)
CONVERSATION = PortableConversation(b"\x21" * 16, "default", "The tree", 1_700_000_010.5, 1_700_000_012.0, 2)
CITATION = Citation(
    n=1,
    chunk_id=0,
    path=SOURCES[0].path,
    title=SOURCES[0].title,
    project="default",
    page=None,
    line_start=1,
    line_end=3,
    byte_start=0,
    byte_end=24,
    heading_path=("One",),
    text=PASSAGES[0].chunk.text,
    quote="The quince tree.",
    quote_start=7,
    quote_end=23,
    quote_line=3,
    score=0.1 + 0.2,
    marked=True,
)
TURNS = (
    PortableTurn(b"\x22" * 16, CONVERSATION.uid, "user", "Which tree?", 1_700_000_011.0),
    PortableTurn(
        b"\x23" * 16,
        CONVERSATION.uid,
        "assistant",
        "The quince [1].",
        1_700_000_012.0,
        (PortableCitation(PASSAGES[0].uid, CITATION), PortableCitation(None, CITATION)),
        {"from": "chatgpt", "id": "m-2"},
    ),
)
EDGE = PortableEdge(SOURCES[2].uid, SOURCES[0].uid, "links_to", 1_700_000_013.0)

# Since the second format ----------------------------------------------------------------------------------------

TALK = PortableConversation(b"\x24" * 16, "default", "Two of them", 1_700_000_020.0, 1_700_000_022.0, 2)
TALKED = (
    PortableTurn(b"\x25" * 16, TALK.uid, "user", "I moved to Caf\u00e9 street.", 1_700_000_021.0, speaker="Ann"),
    PortableTurn(
        b"\x26" * 16,
        TALK.uid,
        "assistant",
        "You moved [1] [2].",
        1_700_000_022.0,
        (
            PortableCitation(b"\x25" * 16, replace(CITATION, kind="turn", at=1_700_000_021.0)),
            PortableCitation(b"\x31" * 16, replace(CITATION, n=2, kind="item", at=1_700_000_021.0)),
        ),
    ),
)
_HOME = PortableItem(
    uid=b"\x31" * 16,
    project="default",
    kind="semantic",
    slot="owner|home street",
    subject="owner",
    attribute="home street",
    value="Caf\u00e9 street",
    text="The owner lives in Caf\u00e9 street.",
    trust=Trust.CONVERSATION,
    made_by="rule:move/1",
    state="active",
    created_at=1_700_000_021.5,
    valid_from=1_700_000_021.0,
    place=2,
    n_uses=3,
    used_at=1_700_000_022.0,
    spans=(PortableSpan("turn", b"\x25" * 16, 0, 24),),
)
ITEMS = (
    replace(
        _HOME,
        uid=b"\x32" * 16,
        value="Elm street",
        text="The owner lives in Elm street.",
        trust=Trust.OWNER,
        made_by="owner",
        created_at=1_700_000_005.0,
        valid_from=1_600_000_000.0,
        valid_to=1_700_000_021.0,
        place=1,
        n_uses=0,
        used_at=1_700_000_005.0,
        spans=(),
    ),
    _HOME,
    PortableItem(
        uid=b"\x33" * 16,
        project=PROJECTS[1].name,
        kind="vault",
        slot="",
        subject="owner",
        attribute="locker",
        value="\udcff 1234",
        text="The code of the locker",
        trust=Trust.IMPORTED,
        made_by="import:mem0",
        state="pending",
        created_at=1_700_000_023.0,
        valid_from=1_700_000_023.0,
        valid_to=1_800_000_000.5,
        told_to=1_800_000_000.5,
        interrupts=True,
        strength_days=0.5,
        used_at=1_700_000_023.0,
        n_helpful=1,
        n_harmful=2,
        spans=(PortableSpan("passage", PASSAGES[2].uid, 2, 6),),
        origin={"from": "mem0", "id": "m-1"},
    ),
)
LINK = PortableLink(ITEMS[1].uid, ITEMS[0].uid, "contradicts", 0.25)


def fill(store: Store) -> None:
    """Put all of it into an empty store."""
    with store.arriving("golden") as arrivals:
        for project in PROJECTS:
            arrivals.add_project(project)
        arrivals.add_folder(FOLDER)
        for source in SOURCES:
            arrivals.add_source(source)
            passages = [p for p in PASSAGES if p.source == source.uid]
            if passages:
                arrivals.add_passages(source.uid, passages)
        arrivals.add_conversation(CONVERSATION, TURNS)
        arrivals.add_conversation(TALK, TALKED)
        for item in ITEMS:
            arrivals.add_item(item)
        arrivals.add_edge(EDGE)
        arrivals.add_link(LINK)


def make(path: Path) -> None:
    """Write the export."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store.db", StoreKeys.derived(bytes(32)))
        fill(store)
        list(export(store, path, ExportOptions(None)))
        store.close()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
