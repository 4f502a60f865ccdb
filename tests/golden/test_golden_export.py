"""An export of each released format is imported, holds what was written into it, and comes out the same.

`make_export.py` writes one. An export that is refused here is one that no owner gets back either.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.memory.store import Store
from tests.exchanging import content, exported, imported
from tests.golden import make_export
from tests.golden.make_export import (
    CONVERSATION,
    EDGE,
    FOLDER,
    ITEMS,
    LINK,
    PASSAGES,
    PROJECTS,
    SOURCES,
    TALK,
    TALKED,
    TURNS,
)

HERE = Path(__file__).parent
FORMATS = sorted(p.name for p in HERE.glob("export-*"))


def test_there_is_an_export_of_every_format() -> None:
    assert FORMATS == ["export-1", "export-2"]
    assert sum(p.stat().st_size for p in HERE.glob("export-*/*")) < 100_000


@pytest.fixture(params=[*FORMATS, "made now"])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param in FORMATS:
        return HERE / str(request.param) / "memory.tar"
    make_export.make(tmp_path / "now.tar")
    return tmp_path / "now.tar"


def test_it_holds_what_was_written(export: Path, store: Store) -> None:
    done = imported(store, export)
    is_first = export.parent.name == "export-1"
    items, links, talks = ((), (), ()) if is_first else (ITEMS, (LINK,), (TALK, *TALKED))
    assert (done.new.n_files, done.new.n_passages, done.new.n_turns) == (3, 3, 2 if is_first else 4)
    assert (done.new.n_items, done.new.n_links) == (len(items), 1 + len(links))
    with store.portable() as portable:
        assert tuple(portable.projects()) == PROJECTS
        assert tuple(portable.folders()) == (FOLDER,)
        assert sorted(portable.sources(), key=lambda s: s.uid) == list(SOURCES)
        assert sorted(portable.passages(), key=lambda p: (p.source, p.chunk.ordinal)) == list(PASSAGES)
        assert tuple(portable.conversations()) == (CONVERSATION, *TURNS, *talks)
        assert tuple(portable.items()) == items
        assert tuple(portable.links()) == links
        assert tuple(portable.edges()) == (EDGE,)
    assert [c.chunk.text for c in store.chunks([i for i, _ in store.search_text("quince", 5, None)])] == [
        PASSAGES[0].chunk.text
    ]


def test_it_comes_out_the_same(export: Path, store: Store, tmp_path: Path) -> None:
    imported(store, export)
    exported(store, tmp_path / "again.tar")
    # The first format had nothing to say of what was learned.
    assert _records(tmp_path / "again.tar") == {"items.jsonl": b""} | _records(export)


def _records(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(path).items() if name.endswith(".jsonl")}
