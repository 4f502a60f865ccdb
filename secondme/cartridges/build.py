"""From a document's tokens to its cartridge: read, keep exactly, weigh, select, code, and put in place.

The exact cartridge (T0) is written as soon as the document was read, so that it can be opened from then on; the smaller
one takes its place when it is done. While a long document is read, what was read is kept from time to time as a T0
cartridge that is not complete: a build that was stopped goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from secondme.cartridges import codec, exact
from secondme.cartridges.calibration import Calibration
from secondme.cartridges.events import BuildEvent, BuildProgress, CartridgeStored
from secondme.cartridges.files import Shelf
from secondme.cartridges.format import SectionData, token_section
from secondme.cartridges.manifest import Expected, Manifest, Tier, check_manifest, hash_of_tokens, model_key
from secondme.cartridges.prefix import Prefix
from secondme.cartridges.score import AttentionRecorder, TokenScores, emphasis, read_again, repetitions
from secondme.cartridges.select import gather, select
from secondme.cartridges.tiers import TIERS
from secondme.errors import Cancelled, CartridgeError, CartridgeIncompatible, CartridgeStale, IntegrityError, StoreError
from secondme.memory.cartridges import StoredCartridge
from secondme.runtime.kv import Cells, KvReader, QuantizedCells
from secondme.types import CancelCheck, StoredSource, never_cancelled

CHECKPOINT_S = 60.0
"""Reading that an interruption may cost."""
LEAST_KEPT = 256
"""Fewer tokens are sooner read again than kept."""
CHUNK_TOKENS = 1024
"""Of a document, at most so many are read again in one go."""
ROWS = "rows"
"""The kind of the sections of T1 to T3."""


@dataclass(frozen=True, slots=True)
class Order:
    """A source with its tokens; `document_hash` is the store's of their text, `row` the cartridge there is."""

    source: StoredSource
    tokens: tuple[int, ...]
    document_hash: bytes
    row: StoredCartridge | None


@dataclass(frozen=True, slots=True)
class Bench:
    """What builds: a reader whose cache is its own, the head that every document is read after, and the files.

    `calibration` is the model's, without which there is T0 alone. `instruction` are the tokens between a document and
    its repetition: the end of the system's turn, a user's that asks for it, the beginning of the answer. `text_of`
    gives tokens' text, by which names and numbers are known.
    """

    reader: KvReader
    prefix: Prefix
    shelf: Shelf
    calibration: Calibration | None = None
    instruction: tuple[int, ...] = ()
    text_of: Callable[[Sequence[int]], str] | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """While `paused()` nothing is computed; once `cancelled()` the work ends."""

    cancelled: CancelCheck = never_cancelled
    paused: CancelCheck = never_cancelled


@dataclass(frozen=True, slots=True)
class Weighed:
    """The cells of prefix and document, and how much each of the document's tokens is looked at."""

    cells: Cells
    scores: TokenScores


class Clock:
    """Seconds of reading the document, and of all that was done for it, with those of earlier runs; pauses left out."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._began = time.perf_counter()
        self.prefill_s = 0.0
        self.earlier_s = 0.0

    def cancelled(self) -> bool:
        return self._stop.cancelled()

    def paused(self) -> bool:
        """`Stop.paused`, timed."""
        now = time.perf_counter()
        if self._paused_at is not None:
            self._paused_s += now - self._paused_at
        is_paused = self._stop.paused()
        self._paused_at = now if is_paused else None
        return is_paused

    def now(self) -> float:
        """Seconds of work since the beginning."""
        return time.perf_counter() - self._began - self._paused_s

    @property
    def build_s(self) -> float:
        return self.earlier_s + self.now()


def build(order: Order, bench: Bench, tier: Tier, clock: Clock) -> Iterator[BuildEvent]:
    """Build one document's cartridge; it can be opened from the first complete CartridgeStored on.

    Raises Cancelled, with what was read kept; StoreFull, StoreError and ModelError, with the earlier cartridge left;
    CartridgeStale if the text was changed meanwhile; CartridgeIncompatible for a tier that the model cannot have.
    """
    if tier != "T0" and bench.calibration is None:
        raise CartridgeIncompatible(
            "the model has no calibration, which a small cartridge needs",
            hint="make one: secondme models calibrate NAME --text PATH",
        )
    yield from read(order, bench, clock)
    if tier != "T0":
        weighed = yield from weigh(order, bench, clock)
        yield BuildProgress(order.source.id, "writing", 0, len(order.tokens))
        yield compress(order, bench, tier, weighed, clock)


def read(order: Order, bench: Bench, clock: Clock) -> Iterator[BuildEvent]:
    """Bring the reader to prefix and document, and the document's T0 cartridge to the disk."""
    n_kept = _go_on(order, bench, clock)
    if n_kept == len(order.tokens):
        return
    n_read, kept_at, mark = n_kept, clock.now(), clock.now()
    events = bench.reader.read(order.tokens[n_kept:], cancelled=clock.cancelled, paused=clock.paused)
    try:
        for progress in events:
            n_read = n_kept + progress.n_done
            clock.prefill_s += clock.now() - mark
            yield BuildProgress(order.source.id, "reading", n_read, len(order.tokens))
            if n_read < len(order.tokens) and clock.now() - kept_at >= CHECKPOINT_S:
                yield _keep(order, bench, clock)
                kept_at = clock.now()
            mark = clock.now()
    except (Cancelled, GeneratorExit):
        with suppress(StoreError, CartridgeError):  # the disk is full, or the text went: then nothing is kept
            if n_read - n_kept >= LEAST_KEPT:
                _keep(order, bench, clock)
        raise
    yield _keep(order, bench, clock)


def _go_on(order: Order, bench: Bench, clock: Clock) -> int:
    """Put the prefix into the reader, and what an earlier build has read; returns how much of the document that is."""
    earlier = _earlier(order, bench)
    if earlier is None or order.row is None:
        bench.reader.place(len(bench.prefix), bench.prefix.cells)
        return 0
    clock.prefill_s, clock.earlier_s = order.row.prefill_s, order.row.build_s
    cells = exact.behind(bench.prefix.cells, earlier, bench.reader.identity)
    bench.reader.place(len(cells), cells)
    return len(earlier)


def _earlier(order: Order, bench: Bench) -> QuantizedCells | None:
    """The first tokens of the document as a T0 cartridge holds them, made by any runtime; None if none is right."""
    row = order.row
    if row is None or row.tier != "T0" or row.model_key != model_key(bench.reader.identity, bench.prefix.digest, ""):
        return None
    expected = Expected(bench.reader.identity, order.document_hash.hex(), bench.prefix.digest)
    try:
        with bench.shelf.open(row) as file:
            check_manifest(file.manifest, expected)
            same = tuple(file.tokens().tolist()) == order.tokens[: row.n_tokens]
            return exact.decode(file) if same and file.manifest.start == len(bench.prefix) else None
    except (CartridgeError, IntegrityError):
        return None


def _keep(order: Order, bench: Bench, clock: Clock) -> CartridgeStored:
    """Write what was read as a T0 cartridge."""
    cells = bench.reader.quantized_cells(len(bench.prefix))
    manifest = manifest_of(order, bench, "T0", exact.CODEC, len(cells))
    tokens = order.tokens[: len(cells)]
    return stored(order, bench, manifest, clock, [token_section(tokens), *exact.encode(cells)])


def weigh(order: Order, bench: Bench, clock: Clock) -> Generator[BuildEvent, None, Weighed]:
    """Have the reader, which holds the document, say it again; the reader is left as it was. Raises Cancelled."""
    cells = bench.reader.cells()
    recorder = AttentionRecorder(bench.reader.identity.shape, cells, start=len(bench.prefix))
    texts = repetitions(order.tokens, bench.instruction, chunk=CHUNK_TOKENS)
    for progress in read_again(bench.reader, recorder, texts, cancelled=clock.cancelled, paused=clock.paused):
        yield BuildProgress(order.source.id, "scoring", progress.n_done, progress.n_total)
    if clock.cancelled():
        raise Cancelled("building was stopped")
    return Weighed(cells, recorder.scores())


def compress(order: Order, bench: Bench, tier: Tier, weighed: Weighed, clock: Clock) -> CartridgeStored:
    """Make the document's cartridge smaller. Raises CartridgeIncompatible if the calibration is another model's."""
    calibration, shape = bench.calibration, bench.reader.identity.shape
    assert calibration is not None
    calibration.check_fits(bench.reader.identity)
    plan, n_prefix, cells = TIERS[tier], len(bench.prefix), weighed.cells
    pieces = [bench.text_of([token]) if bench.text_of else "" for token in order.tokens]
    scores = weighed.scores.weighed(emphasis(pieces))
    chosen = select(scores, max(1, round(plan.keep * scores.size)))
    document = Cells(cells.positions[n_prefix:], cells.k[:, n_prefix:], cells.v[:, n_prefix:])
    rows = gather(document, chosen, shape, bench.reader.identity.rope)
    coded = codec.encode(rows, chosen.scores, calibration, plan)
    sections = [SectionData(ROWS, layer, data) for layer, data in enumerate(coded)]
    manifest = manifest_of(order, bench, plan.name, codec.CODEC, len(order.tokens))
    return stored(order, bench, manifest, clock, [token_section(order.tokens), *sections])


def manifest_of(order: Order, bench: Bench, tier: Tier, codec_version: int, n_tokens: int) -> Manifest:
    """The manifest of a cartridge of the first `n_tokens` tokens, without sections."""
    return Manifest(
        identity=bench.reader.identity,
        source_hash=order.document_hash.hex(),
        prefix_hash=bench.prefix.digest,
        tokens_hash=hash_of_tokens(order.tokens[:n_tokens]),
        n_tokens=n_tokens,
        start=len(bench.prefix),
        tier=tier,
        codec=codec_version,
        calibration=bench.calibration.digest if tier != "T0" and bench.calibration is not None else "",
        complete=n_tokens == len(order.tokens),
    )


def stored(
    order: Order, bench: Bench, manifest: Manifest, clock: Clock, sections: Iterable[SectionData]
) -> CartridgeStored:
    """Put a cartridge in the place of the earlier one. Raises CartridgeStale if the text is another by now."""
    row = bench.shelf.put(order.source, manifest, sections, prefill_s=clock.prefill_s, build_s=clock.build_s)
    if row is None:
        raise CartridgeStale("the document was changed while it was read", hint="it is read again")
    return CartridgeStored(
        row.source_id, row.path, row.tier, row.complete, row.n_tokens, row.size_bytes, row.f16_bytes, row.build_s
    )
