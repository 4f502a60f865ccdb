"""The store of each released format opens and reads exactly what was written into it.

`make_store.py` writes one. A store that no longer opens here is a store that no owner can open either.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from secondme.cartridges.files import Shelf
from secondme.crypto.unlock import unlock
from secondme.errors import WrongPassphrase
from secondme.memory.store import Store
from secondme.types import ItemLink, NewItem
from tests.golden import make_store
from tests.golden.make_cartridge import MANIFEST, TOKENS, sections
from tests.golden.make_store import (
    CHUNKS,
    CITATION,
    EMBEDDER,
    FOLDER,
    ITEMS,
    PASSPHRASE,
    REASON,
    SAID,
    SAID_AT,
    SKIPPED,
    SOURCES,
    SPEAKER,
    TRACE,
    TURNS,
)

HERE = Path(__file__).parent
FORMATS = sorted(p.name for p in HERE.glob("store-*"))


def test_there_is_a_store_of_every_format() -> None:
    assert FORMATS == ["store-1", "store-2", "store-3", "store-4"]
    assert sum(p.stat().st_size for p in HERE.glob("store-*/*")) < 900_000


@pytest.mark.parametrize("name", ["store-3", "store-4"])
def test_it_has_its_cartridge(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(HERE / name, folder)
    with unlock(folder, passphrase=PASSPHRASE) as keys:
        store = Store.open(folder / "store.db", keys.store)
        shelf = Shelf(store, keys)
        (row,) = store.cartridges()
        assert (row.path, row.project, row.tier, row.n_tokens) == (SOURCES[0].path, "default", "T2", len(TOKENS))
        assert row.source_hash == store.document_hash(row.source_id) and row.prefill_s == 1.5
        with shelf.open(row) as reader:
            assert reader.manifest.source_hash == row.source_hash.hex()
            assert replace(reader.manifest, sections=(), source_hash=MANIFEST.source_hash) == MANIFEST
            assert [reader.section(s.kind, s.layer) for s in sections()] == [s.data for s in sections()]
            reader.verify()
        store.close()


def test_what_was_learned_is_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    shutil.copytree(HERE / "store-4", folder)
    with unlock(folder, passphrase=PASSPHRASE) as keys:
        store = Store.open(folder / "store.db", keys.store)
        assert {c.status for c in store.check(read_data=True)} == {"ok"}
        found = list(reversed(store.items(states=None)))
        names = [f.name for f in fields(NewItem) if f.name not in ("valid_from", "valid_to", "strength_days")]
        for new, item in zip(ITEMS, found, strict=True):
            assert [getattr(new, name) for name in names] == [getattr(item, name) for name in names]
        assert [i.valid_to for i in found] == [1_683_000_000.0, None, None, None]
        assert [i.valid_from for i in found[:2]] == [n.valid_from for n in ITEMS[:2]]
        assert (found[1].n_uses, found[1].n_helpful, found[1].used_at) == (1, 1, found[1].created_at)
        assert store.item_links(1) == [ItemLink(2, 1, "contradicts", 0.25)]
        assert [i for i, _ in store.search_items("cafe", 5, None)] == [2]
        ids, matrix = store.item_vectors()
        assert ids.tolist() == [1, 2] and matrix.argmax(axis=1).tolist() == [3, 4]
        turn = store.turns(1)[2]
        assert (turn.text, turn.speaker, turn.created_at) == (SAID, SPEAKER, SAID_AT)
        assert [i for i, _ in store.search_turns("moved", 5, None)] == [turn.id]
        assert store.traces([turn.id])[turn.id][1] == TRACE
        store.close()


@pytest.fixture(scope="module", params=[*FORMATS, "made now"])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("golden") / "memory"
    if request.param in FORMATS:
        shutil.copytree(HERE / request.param, folder)
    else:
        make_store.make(folder)
    store = Store.open(folder / "store.db", unlock(folder, passphrase=PASSPHRASE).store)
    yield store
    store.close()


def test_it_holds_what_was_written(opened: Store) -> None:
    assert opened.embedder() == EMBEDDER
    for source, chunks in zip(SOURCES, CHUNKS, strict=True):
        stored = opened.source(source.project, source.path)
        assert stored is not None
        assert (stored.media_type, stored.title, stored.content_hash) == (
            source.media_type,
            source.title,
            source.content_hash,
        )
        assert (stored.stamp, stored.trust, stored.n_chunks) == (source.stamp, source.trust, len(chunks))
        assert tuple(c.chunk for c in opened.source_chunks(stored.id)) == chunks
    skipped = opened.source("default", SKIPPED.path)
    assert skipped is not None and (skipped.skip_reason, skipped.stamp) == (REASON, SKIPPED.stamp)
    assert opened.folders() == [FOLDER]
    assert {c.status for c in opened.check(read_data=True)} == {"ok"}


def test_its_conversation_is_as_it_was(opened: Store) -> None:
    (conversation,) = opened.conversations()
    assert (conversation.title, conversation.project) == ("The tree", "default")
    turns = opened.turns(conversation.id)[:2]
    assert [(t.role, t.text) for t in turns] == list(TURNS)
    assert [t.citations for t in turns] == [(), (CITATION,)]
    cited = opened.chunk(CITATION.chunk_id)
    assert cited is not None and cited.chunk.text == CITATION.text


def test_it_is_searched_by_words_and_vectors(opened: Store) -> None:
    found = opened.search_text("wall", 5, None)
    assert {c.path for c in opened.chunks([i for i, _ in found])} == {SOURCES[0].path, SOURCES[1].path}
    assert opened.search_text("zwolf", 5, "default")
    for source, matrix in zip(SOURCES, make_store.vectors(), strict=True):
        nearest, cosine = opened.search_vectors(matrix[0], 1, None)[0]
        chunk = opened.chunk(nearest)
        assert chunk is not None and (chunk.path, chunk.chunk.ordinal) == (source.path, 0)
        assert cosine == pytest.approx(1.0)


def test_another_passphrase_does_not_open_it(tmp_path: Path) -> None:
    for name in FORMATS:
        shutil.copytree(HERE / name, tmp_path / name)
        with pytest.raises(WrongPassphrase):
            unlock(tmp_path / name, passphrase="silver")
