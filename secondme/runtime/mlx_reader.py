"""The KvReader of MLX: a second cache over a model's weights, whose cells can be taken out and put in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.errors import Cancelled
from secondme.runtime.cells import quantized
from secondme.runtime.kv import AnyCells, CaptureSink, Cells, FloatRows, KvIdentity, QuantizedCells, RaggedCells
from secondme.runtime.limits import Moved, check_room, check_tokens, closed_error
from secondme.runtime.mlx_cells import cells_of, in_canonical_order, placed
from secondme.runtime.mlx_context import BlockStopped, MlxContext, sliced
from secondme.runtime.mlx_identity import identity_of
from secondme.runtime.mlx_lib import on_worker
from secondme.runtime.mlx_model import MlxModel
from secondme.runtime.room import Need, choose
from secondme.types import CancelCheck, PrefillProgress, never_cancelled

_BATCH = 128  # a block is what is lost when the owner asks something meanwhile
_LOGITS_BATCH = 64  # logits of a block are kept in memory: 0.6 MB a token for a large vocabulary
_PAUSE_POLL_S = 0.05


class MlxReader(Moved):
    """See KvReader. Its methods may be called from any thread; `close` ends a block under way in another one."""

    def __init__(
        self,
        model: MlxModel,
        n_ctx: int,
        identity: KvIdentity,
        *,
        on_close: Callable[[MlxReader], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._identity = identity
        self._on_close = on_close
        self._lock = threading.Lock()
        self._context = MlxContext(model, n_ctx)
        self._positions = np.empty(0, np.int32)  # of placed cells; those read since follow one by one
        self._n_placed = 0

    @property
    def identity(self) -> KvIdentity:
        return self._identity

    @property
    def takes_ragged(self) -> bool:
        return True

    @property
    def n_ctx(self) -> int:
        return self._context.n_ctx

    @property
    def n_tokens(self) -> int:
        return self._context.n_tokens

    @property
    def nbytes(self) -> int:
        """Bytes that the cache holds."""
        return self._context.nbytes

    def read(
        self,
        tokens: Sequence[int],
        *,
        capture: CaptureSink | None = None,
        cancelled: CancelCheck = never_cancelled,
        paused: CancelCheck = never_cancelled,
    ) -> Iterator[PrefillProgress]:
        self._check_open()
        ids = check_tokens(tokens, self._model.n_vocab)
        check_room(self.n_tokens + len(ids), self.n_ctx)
        return self._read(ids, capture, cancelled, paused)

    def _read(
        self, tokens: list[int], capture: CaptureSink | None, cancelled: CancelCheck, paused: CancelCheck
    ) -> Iterator[PrefillProgress]:
        with self._lock:
            epoch = self._next_epoch()
        n_done = 0
        yield PrefillProgress(0, len(tokens))
        while n_done < len(tokens):
            while paused() and not cancelled():
                self._check_open()
                time.sleep(_PAUSE_POLL_S)
            if cancelled():
                raise Cancelled("reading was stopped")
            part = tokens[n_done : n_done + _BATCH]
            try:
                with self._lock, self._context.watched(cancelled, paused):
                    self._check_epoch(epoch)
                    self._append(part, capture)
            except BlockStopped:
                self._check_open()
                continue  # stopped, or only paused: the head of the loop knows
            n_done += len(part)
            yield PrefillProgress(n_done, len(tokens))

    def rewind(self, n_tokens: int) -> None:
        with self._lock:
            self._check_open()
            if n_tokens >= self.n_tokens:
                return
            self._next_epoch()
            if n_tokens < self._n_placed:
                self._empty()
            else:
                self._context.trim(max(n_tokens, 0))

    def cells(self, start: int = 0) -> Cells:
        with self._lock:
            self._check_open()
            read = np.arange(self._n_placed, self.n_tokens, dtype=np.int32)
            positions = np.concatenate([self._positions, read])
            first = int(np.searchsorted(positions, start))
            return cells_of(self._context.rows(first), positions[first:], self._identity.rope)

    def quantized_cells(self, start: int = 0) -> QuantizedCells:
        return quantized(self.cells(start))

    def place(self, n_tokens: int, cells: AnyCells) -> None:
        check_room(n_tokens, self.n_ctx)
        put = placed(cells, self._identity, n_tokens)
        with self._lock:
            self._check_open()
            self._next_epoch()
            self._empty()
            put(self._context)
            self._n_placed = n_tokens
            self._positions = np.empty(0, np.int32) if isinstance(cells, RaggedCells) else cells.positions.copy()

    def logits(self, tokens: Sequence[int]) -> FloatRows:
        self._check_open()
        ids = check_tokens(tokens, self._model.n_vocab)
        check_room(self.n_tokens + len(ids), self.n_ctx)
        rows = np.empty((len(ids), self._model.n_vocab), np.float32)
        with self._lock:
            self._next_epoch()
            for start in range(0, len(ids), _LOGITS_BATCH):
                self._check_open()
                part = ids[start : start + _LOGITS_BATCH]
                found = self._context.evaluate(part, n_outputs=len(part))
                rows[start : start + len(part)] = on_worker(lambda found=found: sliced(found))  # type: ignore[misc]
        return rows

    def close(self) -> None:
        self._context.stop()  # a block under way in another thread ends after its layer
        with self._lock:
            self._context.close()
            self._positions, self._n_placed = np.empty(0, np.int32), 0
        self._on_close(self)

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _append(self, tokens: list[int], capture: CaptureSink | None) -> None:
        if capture is None:
            self._context.evaluate(tokens)
            return
        seen: list[tuple[Any, Any]] = []
        before = self.n_tokens
        self._context.evaluate(tokens, record=lambda queries, keys: seen.append((queries, keys)))
        try:
            n_layers = self._identity.shape.n_layers
            for layer in range(n_layers):
                pieces = seen[layer::n_layers]  # a block goes through the layers in one piece or two
                queries, keys = on_worker(lambda pieces=pieces: _joined(pieces))  # type: ignore[misc]
                capture(layer, *(in_canonical_order(side, self._identity.rope) for side in (queries, keys)))
        except BaseException:
            if not self._context.closed:
                self._context.trim(before)
            raise

    def _empty(self) -> None:
        self._context.empty()
        self._positions, self._n_placed = np.empty(0, np.int32), 0

    def _check_open(self) -> None:
        if self._context.closed:
            raise closed_error()


def _joined(pieces: Sequence[tuple[Any, Any]]) -> list[NDArray[np.float32]]:
    """Queries and keys of all pieces. On MLX's thread."""
    return [np.concatenate([_rows(piece[side]) for piece in pieces]) for side in (0, 1)]


def _rows(array: Any) -> NDArray[np.float32]:
    """[1, n_heads, n, dim] as [n, n_heads, dim]. On MLX's thread."""
    return np.ascontiguousarray(sliced(array[0].swapaxes(0, 1)))


class MlxReaders:
    """The readers of one model, which must all be closed before it. Thread-safe; opening one waits for no block."""

    def __init__(self, model: MlxModel, n_ctx: int) -> None:
        self._model = model
        self._n_ctx = n_ctx
        self._lock = threading.Lock()
        self._open: set[MlxReader] = set()
        self._closed = False
        self._identity: KvIdentity | None = None

    def identity(self) -> KvIdentity:
        """What cells of this model mean; tried once. Raises CartridgeIncompatible."""
        if self._identity is None:
            self._identity = identity_of(self._model)
        return self._identity

    def open(self, n_ctx: int) -> MlxReader:
        """See Generator.reader."""
        identity = self.identity()
        with self._lock:
            if self._closed:
                raise closed_error()
            room = choose(Need(self._model.n_ctx_train, self._model.kv_bytes_per_token, 0), n_ctx)
            reader = MlxReader(self._model, room, identity, on_close=self._open.discard)
            self._open.add(reader)
            return reader

    def close_all(self) -> None:
        with self._lock:
            for reader in list(self._open):
                reader.close()

    def close(self) -> None:
        """Close all, and open no more."""
        self._closed = True
        self.close_all()
