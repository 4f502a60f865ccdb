"""A memory of its own, in which the benchmark's cartridges are built, sealed and opened as the program does it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType

import numpy as np

from secondme.bench.cartridges.documents import Document
from secondme.cartridges import build, load, prefix
from secondme.cartridges.build import Bench, Clock, Order, Stop, Weighed
from secondme.cartridges.calibrations import calibration_of
from secondme.cartridges.files import Shelf
from secondme.cartridges.manifest import Expected, hash_of_tokens
from secondme.cartridges.prefix import Prefix
from secondme.cartridges.tiers import TierName
from secondme.crypto.unlock import unlock
from secondme.errors import CartridgeIncompatible
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.store import Store
from secondme.projects.documents import repeat_instruction
from secondme.runtime.base import Generator as Model
from secondme.runtime.kv import AnyCells, KvIdentity, KvReader, RaggedCells
from secondme.types import CancelCheck, Chunk, FileStamp, SourceFile, StoredSource, never_cancelled

_N_OPENINGS = 3
"""The best of so many is taken: what else the machine does can only make them slower."""
_N_DRAFTS = 8
"""As many as are composed; 23 KB a token."""


@dataclass(frozen=True, slots=True)
class Made:
    """A cartridge on the disk, with seconds of reading the document alone and of the whole build."""

    size_bytes: int
    f16_bytes: int
    prefill_s: float
    build_s: float


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the tiers above T0 have in common, with the seconds of reading the document and of all until here."""

    weighed: Weighed
    prefill_s: float
    build_s: float


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening one or several cartridges gave and took.

    cells, n_tokens: for `KvReader.place`. held_bytes: what the documents' cells take in the runtime, without those of
    the prefix, elements taken for 16 bits. open_s: seconds from the file to a reader that can be asked. decode_s:
    processor seconds of reading, checking and decoding alone, all cores together. cache_bytes: what the runtime says
    that its cache takes now, and plain_bytes: what as many tokens read by itself would; 0 if it does not say.
    """

    cells: AnyCells | None
    n_tokens: int
    held_bytes: int
    open_s: float
    decode_s: float
    cache_bytes: int = 0
    plain_bytes: int = 0

    def place(self, reader: KvReader) -> None:
        """Raises ValueError where only the figures were kept."""
        if self.cells is None:
            raise ValueError("no cells")
        reader.place(self.n_tokens, self.cells)

    def without_cells(self) -> Opening:
        return replace(self, cells=None)


class Workshop:
    """Holds a temporary folder, an encrypted store in it and a reader of `n_ctx` positions until it is left."""

    def __init__(self, generator: Model, n_ctx: int, *, cancelled: CancelCheck = never_cancelled) -> None:
        self._stop = Stop(cancelled)
        self._folder = tempfile.TemporaryDirectory(prefix="secondme-bench-")
        self._keys = unlock(Path(self._folder.name), passphrase=token_hex(16))
        self._store = Store.open(Path(self._folder.name) / "store.db", self._keys.store)
        self._store.set_embedder("bench", 1)
        self._shelf = Shelf(self._store, self._keys)
        self._prefix: Prefix | None = None
        self._drafts: dict[str, _Draft] = {}
        self.reader = generator.reader(n_ctx)
        self.calibration = calibration_of(self.reader.identity)
        self._instruction = repeat_instruction(generator)
        self._text_of = generator.detokenize
        self._generator = generator
        self._plain_bytes = generator.info.kv_bytes_per_token

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.reader.close()
        self._shelf.close()
        self._store.close()
        self._keys.erase()
        self._folder.cleanup()

    def require(self, tiers: Sequence[TierName]) -> None:
        """Raises CartridgeIncompatible where the model has no calibration for one of these."""
        if self.calibration is None and any(tier != "T0" for tier in tiers):
            raise CartridgeIncompatible(
                "the model has no calibration, so there is no tier but T0",
                hint="measure that: --tiers T0; or make one: secondme models calibrate NAME --text PATH",
            )

    def build(self, document: Document, tier: TierName) -> Made:
        """Make the document's cartridge. What an earlier tier of it had to do as well is not done again, but its time
        counts. Raises Cancelled, and what building raises.
        """
        source = self._source(document)
        row = self._store.cartridge(source.id)
        order = Order(source, document.tokens, self._hash(source), row if row and row.tier == "T0" else None)
        head = self._head(document)
        bench = Bench(self.reader, head, self._shelf, self.calibration, self._instruction, self._text_of)
        if tier == "T0":
            for _ in build.read(order, bench, Clock(self._stop)):
                pass
        else:
            draft = self._drafted(order, bench, document)
            clock = Clock(self._stop)
            clock.prefill_s, clock.earlier_s = draft.prefill_s, draft.build_s
            build.compress(order, bench, tier, draft.weighed, clock)
        made = self._row(document)
        return Made(made.size_bytes, made.f16_bytes, made.prefill_s, made.build_s)

    def _drafted(self, order: Order, bench: Bench, document: Document) -> _Draft:
        if document.name not in self._drafts:
            while len(self._drafts) >= _N_DRAFTS:
                del self._drafts[next(iter(self._drafts))]
            clock = Clock(self._stop)
            for _ in build.read(order, bench, clock):
                pass
            weighed = _returned(build.weigh(order, bench, clock))
            self._drafts[document.name] = _Draft(weighed, clock.prefill_s, clock.build_s)
        return self._drafts[document.name]

    def open(self, documents: Sequence[Document], *, reader: KvReader | None = None) -> Opening:
        """Open their cartridges one behind the other; the reader then holds them.

        reader: of another runtime of the same model, in place of the one that built them.
        """
        target = reader or self.reader
        return min((self._opened(documents, target) for _ in range(_N_OPENINGS)), key=lambda opening: opening.open_s)

    def may_ask(self, n_tokens: int) -> bool:
        """Whether so many fit into the context that answers, which the settings may have made small."""
        return n_tokens < self._generator.info.n_ctx

    def asked(self, documents: Sequence[Document], tail: Sequence[int]) -> tuple[float, float]:
        """Seconds from the files to a model that can be asked, and from a question, `tail`, to its answer's beginning.

        Where the program answers: its generator takes the cells and reads the question behind them.
        """
        return min((self._asked(documents, tail) for _ in range(_N_OPENINGS)), key=sum)

    def _asked(self, documents: Sequence[Document], tail: Sequence[int]) -> tuple[float, float]:
        generator = self._generator
        known = [*documents[0].prefix, *(token for document in documents for token in document.tokens)]
        began = time.perf_counter()
        _, cells, _ = self._composed(documents, generator.kv_identity(), ragged=generator.takes_ragged)
        generator.load_cells(known, cells)
        loaded = time.perf_counter()
        for _ in generator.prefill([*known, *tail]):
            pass
        return loaded - began, time.perf_counter() - loaded

    def _opened(self, documents: Sequence[Document], reader: KvReader) -> Opening:
        identity, began = reader.identity, time.perf_counter()
        n_tokens, cells, decoding = self._composed(documents, identity, ragged=reader.takes_ragged)
        reader.place(n_tokens, cells)
        open_s = time.perf_counter() - began
        n_prefix = len(self._head(documents[0]))
        held, cache_bytes = _held_bytes(cells, n_prefix, identity), getattr(reader, "nbytes", 0)
        plain_bytes = n_tokens * self._plain_bytes if cache_bytes else 0
        return Opening(cells, n_tokens, held, open_s, decoding, cache_bytes, plain_bytes)

    def _composed(
        self, documents: Sequence[Document], identity: KvIdentity, *, ragged: bool
    ) -> tuple[int, AnyCells, float]:
        """Positions and cells of a context with `identity`, and processor seconds of reading, checking and decoding."""
        head, n_ctx, decoding = self._head(documents[0]), self.reader.n_ctx, 0.0
        parts = []
        for document in documents:
            row = self._row(document)
            expected = Expected(
                identity,
                row.source_hash.hex(),
                head.digest,
                hash_of_tokens(document.tokens),
                self.calibration.digest if self.calibration else None,
                n_ctx,
            )
            cpu = time.process_time()
            with self._shelf.open(row) as file:
                parts.append(load.decode(file, expected, self.calibration))
            decoding += time.process_time() - cpu
        n_tokens, cells = load.compose(load.Ground(head, identity, n_ctx, self.calibration, ragged=ragged), parts)
        return n_tokens, cells, decoding

    def _head(self, document: Document) -> Prefix:
        if self._prefix is None or self._prefix.tokens != document.prefix:
            self._prefix = prefix.read(self._store, self.reader, document.prefix)
        return self._prefix

    def _row(self, document: Document) -> StoredCartridge:
        row = self._store.cartridge(self._source(document).id)
        if row is None:
            raise KeyError(document.name)
        return row

    def _hash(self, source: StoredSource) -> bytes:
        found = self._store.document_hash(source.id)
        assert found is not None  # it was stored a moment ago, and nobody else knows of this store
        return found

    def _source(self, document: Document) -> StoredSource:
        found = self._store.source("default", document.name)
        if found is not None:
            return found
        size = len(document.text.encode())
        file = SourceFile(document.name, "default", "text/plain", "", document.name.encode(), FileStamp(size, 0, 0))
        chunk = Chunk(0, document.text, 0, size, 1, 1 + document.text.count("\n"), None, ())
        self._store.put_source(file, [chunk], np.ones((1, 1), np.float32))
        return self._source(document)


def _held_bytes(cells: AnyCells, n_prefix: int, identity: KvIdentity) -> int:
    """What cells behind the prefix take; numbers of 8 bits take 17/32 of those of 16, with their scales."""
    shape = identity.shape
    if isinstance(cells, RaggedCells):
        n_rows = cells.n_rows - n_prefix * shape.n_layers * shape.n_kv_heads
        held, in_8_bits = 2 * n_rows * (shape.k_dim + shape.v_dim), cells.bits == 8
    else:
        held, in_8_bits = (len(cells) - n_prefix) * shape.f16_bytes_per_token, identity.dtype == "q8_0"
    return held * 17 // 32 if in_8_bits else held


def _returned(work: Generator[object, None, Weighed]) -> Weighed:
    try:
        while True:
            next(work)
    except StopIteration as end:
        weighed: Weighed = end.value
        return weighed
