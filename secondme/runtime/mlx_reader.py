"""The KvReader of MLX: a second cache over a model's weights, whose cells can be taken out and put in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.cells import quantized
from secondme.runtime.context_reader import ContextReader, ContextReaders
from secondme.runtime.kv import AnyCells, CaptureSink, Cells, FloatRows, KvIdentity, QuantizedCells, RaggedCells
from secondme.runtime.limits import check_room
from secondme.runtime.mlx_cells import cells_of, in_canonical_order, placed
from secondme.runtime.mlx_context import MlxContext, sliced
from secondme.runtime.mlx_identity import identity_of
from secondme.runtime.mlx_lib import on_worker
from secondme.runtime.mlx_model import MlxModel
from secondme.runtime.room import Need, choose

_BATCH = 128  # a block is what is lost when the owner asks something meanwhile


class MlxReader(ContextReader):
    """See KvReader and ContextReader."""

    _context: MlxContext

    def __init__(
        self,
        model: MlxModel,
        n_ctx: int,
        identity: KvIdentity,
        *,
        on_close: Callable[[ContextReader], None] = lambda _: None,
    ) -> None:
        super().__init__(model, MlxContext(model, n_ctx), n_ctx, on_close)
        self._identity = identity
        self._positions = np.empty(0, np.int32)  # of placed cells; those read since follow one by one

    @property
    def takes_ragged(self) -> bool:
        return True

    @property
    def nbytes(self) -> int:
        """Bytes that the cache holds."""
        return self._context.nbytes

    def cells(self, start: int = 0) -> Cells:
        with self._lock:
            self._check_open()
            read = np.arange(self._n_placed, self._n_tokens, dtype=np.int32)
            positions = np.concatenate([self._positions, read])
            first = int(np.searchsorted(positions, start))
            return cells_of(self._context.rows(first), positions[first:], self._identity.rope)

    def quantized_cells(self, start: int = 0) -> QuantizedCells:
        return quantized(self.cells(start))

    def place(self, n_tokens: int, cells: AnyCells) -> None:
        check_room(n_tokens, self.n_ctx)
        put = placed(cells, self._identity, n_tokens)

        def work() -> None:
            put(self._context)
            self._positions = np.empty(0, np.int32) if isinstance(cells, RaggedCells) else cells.positions.copy()

        self._replace(n_tokens, work)

    def _block_size(self, n_left: int, *, captured: bool) -> int:
        return _BATCH

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _evaluate(self, tokens: list[int], capture: CaptureSink | None) -> None:
        if capture is None:
            self._context.evaluate(tokens, n_outputs=0)
            return
        seen: list[tuple[Any, Any]] = []
        self._context.evaluate(tokens, n_outputs=0, record=lambda *sides: seen.append(sides))
        for layer, sides in enumerate(seen):
            queries, keys = on_worker(lambda sides=sides: [_rows(side) for side in sides])  # type: ignore[misc]
            capture(layer, *(in_canonical_order(side, self._identity.rope) for side in (queries, keys)))

    def _logits_of(self, tokens: list[int]) -> FloatRows:
        found = self._context.evaluate(tokens, n_outputs=len(tokens))
        return on_worker(lambda: sliced(found))

    def _empty(self) -> None:
        super()._empty()
        self._positions = np.empty(0, np.int32)


def _rows(array: Any) -> NDArray[np.float32]:
    """[1, n_heads, n, dim] as [n, n_heads, dim]. On MLX's thread."""
    return np.ascontiguousarray(sliced(array[0].swapaxes(0, 1)))


class MlxReaders(ContextReaders[MlxReader]):
    """See ContextReaders."""

    def __init__(self, model: MlxModel) -> None:
        super().__init__()
        self._model = model
        self._identity: KvIdentity | None = None

    def identity(self) -> KvIdentity:
        """What cells of this model mean; tried once. Raises CartridgeIncompatible."""
        if self._identity is None:
            self._identity = identity_of(self._model)
        return self._identity

    def open(self, n_ctx: int) -> MlxReader:
        self.identity()  # before the lock is held
        return super().open(n_ctx)

    def _made(self, n_ctx: int) -> MlxReader:
        room = choose(Need(self._model.n_ctx_train, self._model.kv_bytes_per_token, 0), n_ctx)
        return MlxReader(self._model, room, self.identity(), on_close=self._readers.discard)
