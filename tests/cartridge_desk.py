"""A memory with one document in it, whose cartridge one runtime builds and another opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from secondme.cartridges import build, load, prefix
from secondme.cartridges.build import Bench, Clock, Order, Stop
from secondme.cartridges.calibration import Calibration
from secondme.cartridges.events import BuildEvent
from secondme.cartridges.files import Shelf
from secondme.cartridges.manifest import Expected, Tier, hash_of_tokens
from secondme.crypto.unlock import unlock
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.store import Store
from secondme.runtime.base import Generator
from secondme.runtime.kv import AnyCells, KvReader
from tests.keyfiles import CHEAP
from tests.storing import put

INSTRUCTION = "\nRepeat:\n"


@dataclass(frozen=True)
class Desk:
    """`head` are the tokens of the prefix, `tokens` the document's."""

    store: Store
    shelf: Shelf
    head: tuple[int, ...]
    tokens: tuple[int, ...]
    calibration: Calibration | None = None

    @property
    def n_tokens(self) -> int:
        return len(self.head) + len(self.tokens)

    @property
    def row(self) -> StoredCartridge:
        row = self.store.cartridge(self.store.sources()[0].id)
        assert row is not None
        return row

    def order(self) -> Order:
        source = self.store.sources()[0]
        document_hash = self.store.document_hash(source.id)
        assert document_hash is not None
        return Order(source, self.tokens, document_hash, self.store.cartridge(source.id))

    def bench(self, reader: KvReader, generator: Generator) -> Bench:
        kept = prefix.stored(self.store, reader.identity, self.head)
        head = kept or prefix.read(self.store, reader, self.head)
        instruction = tuple(generator.tokenize(INSTRUCTION))
        return Bench(reader, head, self.shelf, self.calibration, instruction, generator.detokenize)

    def building(self, generator: Generator, tier: Tier, stop: Stop) -> Iterator[BuildEvent]:
        """Build its cartridge, going on from the one there is."""
        reader = generator.reader(1024)
        try:
            yield from build.build(self.order(), self.bench(reader, generator), tier, Clock(stop))
        finally:
            reader.close()

    def build(self, generator: Generator, tier: Tier) -> StoredCartridge:
        for _ in self.building(generator, tier, Stop()):
            pass
        return self.row

    def open(self, reader: KvReader, *, ragged: bool | None = None) -> AnyCells:
        """Have `reader` hold it, and return what was placed; as `ragged` as it takes them, if nothing else is said."""
        row, identity = self.row, reader.identity
        calibration = self.calibration.digest if self.calibration else None
        head = prefix.stored(self.store, identity, self.head)
        assert head is not None
        expected = Expected(
            identity, row.source_hash.hex(), head.digest, hash_of_tokens(self.tokens), calibration, reader.n_ctx
        )
        with self.shelf.open(row) as file:
            part = load.decode(file, expected, self.calibration)
        is_ragged = reader.takes_ragged if ragged is None else ragged
        ground = load.Ground(head, identity, reader.n_ctx, self.calibration, is_ragged)
        n_tokens, cells = load.compose(ground, [part])
        reader.place(n_tokens, cells)
        return cells


@contextmanager
def a_desk(
    folder: Path, head: Sequence[int], tokens: Sequence[int], calibration: Calibration | None = None
) -> Iterator[Desk]:
    """In a new folder. What the document's text is does not matter to its cartridge: its tokens are given."""
    folder.mkdir()
    with unlock(folder, passphrase="one", work=CHEAP) as keys:
        store = Store.open(folder / "store.db", keys.store)
        try:
            put(store, "/document.txt", ["the text"])
            shelf = Shelf(store, keys)
            yield Desk(store, shelf, tuple(head), tuple(tokens), calibration)
            shelf.close()
        finally:
            store.close()
