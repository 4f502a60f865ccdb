"""One llama.cpp context of one sequence: blocks that can be stopped inside, and its cache as bytes.

The generator and every reader own one each, over the same weights. Nothing here takes a lock but for the state of
`close`: who owns a context calls it from one thread at a time, except `stop` and `close`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secondme.crypto.erase import freed_is_cleared
from secondme.errors import ModelError
from secondme.runtime.context import BlockStopped
from secondme.runtime.limits import closed_error
from secondme.runtime.llama_blocks import NONE, Padding
from secondme.runtime.llama_lib import AbortFlag, library
from secondme.runtime.llama_model import LlamaModel
from secondme.runtime.threads import ThreadGovernor
from secondme.types import CancelCheck, never_cancelled

CellType = Literal["f16", "q8_0"]

_CANCEL_POLL_S = 0.02
_ABORTED = 2  # llama_decode: the abort callback said so


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """n_outputs: most tokens of a block whose logits are kept. eval_callback: ctypes callback of each graph node.

    padding: of blocks that nobody watches node by node. by_matrices: attend by matrix products, `n_by_matrices` tokens
    together (see llama_blocks), and hold values by column; else as llama.cpp chooses.
    """

    n_ctx: int
    n_batch: int
    kv_type: CellType = "f16"
    n_outputs: int = 1
    eval_callback: Any = None
    padding: Padding = NONE
    n_by_matrices: int = 0
    by_matrices: bool = False


class LlamaContext:
    """Raises OutOfMemory, and ModelError for a model that is no language model. To be closed before the model."""

    def __init__(self, model: LlamaModel, settings: ContextSettings, governor: ThreadGovernor) -> None:
        self.settings = settings
        self.closed = False
        self._model = model
        self._governor = governor
        self._abort = AbortFlag()
        self.handle: Any = None
        self._open()
        self._batch = library().llama_batch_init(settings.n_batch, 0, 1)

    def _open(self) -> None:
        lib = library()
        self.handle = self._model.new_context(self._params())
        self._memory = lib.llama_get_memory(self.handle)
        if not self._memory:  # an encoder: llama.cpp would read through the null pointer
            lib.llama_free(self.handle)
            self.handle = None
            raise ModelError(f"{self._model.name} is not a language model", hint="choose one: secondme models list")
        self._abort.attach(self.handle)

    def _params(self) -> Any:
        lib, settings = library(), self.settings
        params = lib.llama_context_default_params()
        params.n_ctx = settings.n_ctx
        params.n_batch = params.n_ubatch = settings.n_batch
        params.n_seq_max = 1
        params.n_outputs_max = params.n_outputs_max_per_seq = settings.n_outputs
        params.n_threads = params.n_threads_batch = self._governor.threads()
        params.type_k = params.type_v = lib.GGML_TYPE_Q8_0 if settings.kv_type == "q8_0" else lib.GGML_TYPE_F16
        if settings.eval_callback is not None:
            params.cb_eval = settings.eval_callback
        if settings.by_matrices:
            params.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
            params.n_ubatch = settings.n_by_matrices
        return params

    def beside(self, settings: ContextSettings) -> LlamaContext:
        """Another context over the same weights."""
        return LlamaContext(self._model, settings, self._governor)

    @property
    def n_positions(self) -> int:
        """One more than the highest position in the cache."""
        n: int = library().llama_memory_seq_pos_max(self._memory, 0) + 1
        return n

    def evaluate(self, tokens: Sequence[int], start: int, *, n_outputs: int = 1, padded: bool = True) -> None:
        """Read `tokens`, at most a block, at positions `start` and on; keep the logits of the last `n_outputs`.

        On any failure the cache is as before, or empty. Raises BlockStopped if it was stopped, and ModelError.
        """
        lib, batch, n = library(), self._batch, len(tokens)
        n_pads = self.settings.padding.of(n, start) if padded and not self.settings.by_matrices else 0
        if start + n + n_pads > self.settings.n_ctx or n + n_pads > self.settings.n_batch:
            n_pads = 0
        token, pos, n_seq_id, seq_id, logits = batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits
        for i in range(n + n_pads):
            token[i] = tokens[min(i, n - 1)]
            pos[i] = start + i
            n_seq_id[i] = 1
            seq_id[i][0] = 0
            logits[i] = n - n_outputs <= i < n
        batch.n_tokens = n + n_pads
        n_threads = self._governor.threads()
        lib.llama_set_n_threads(self.handle, n_threads, n_threads)
        code = lib.llama_decode(self.handle, batch)
        if code == 0:
            if n_pads:
                self.trim(start + n)
            return
        self.trim(start)
        if code == _ABORTED:
            raise closed_error() if self.closed else BlockStopped
        raise ModelError(f"llama.cpp failed to evaluate a block (code {code})", hint="load the model again")

    def logits(self, n: int) -> NDArray[np.float32]:
        """A copy of the logits of the last block's last `n` tokens, float32 [n, n_vocab]."""
        address = library().llama_get_logits(self.handle)
        return np.ctypeslib.as_array(address, shape=(n, self._model.n_vocab)).copy()

    def trim(self, n_kept: int) -> bool:
        """Drop positions `n_kept` and on; everything, and False, if the model cannot drop a part (recurrent ones)."""
        if library().llama_memory_seq_rm(self._memory, 0, n_kept, -1):
            return True
        self.clear()
        return False

    def empty(self) -> None:
        """Drop all positions; what the cells held stays in memory until it is overwritten."""
        library().llama_memory_clear(self._memory, False)

    def clear(self) -> None:
        """Drop all positions and overwrite all cells, which takes 10 ms for 100 MB."""
        library().llama_memory_clear(self._memory, True)

    def state(self) -> NDArray[np.uint8]:
        """The cache as llama.cpp writes it."""
        lib = library()
        size = lib.llama_state_seq_get_size(self.handle, 0)
        buffer = np.empty(size, np.uint8)
        if not size or lib.llama_state_seq_get_data(self.handle, _pointer(buffer), size, 0) != size:
            raise ModelError("llama.cpp did not give its cache out", hint="nothing is lost: the text is read again")
        return buffer

    def set_state(self, state: NDArray[np.uint8], n_tokens: int) -> None:
        """Replace the cache by bytes that are known to be good. On ModelError it is empty."""
        self.empty()
        read = library().llama_state_seq_set_data(self.handle, _pointer(state), len(state), 0)
        if read != len(state) or self.n_positions != n_tokens:
            self.clear()
            raise ModelError("the saved cache does not load", hint="nothing is lost: the text is read again")

    @contextmanager
    def watched(self, *checks: CancelCheck) -> Iterator[None]:
        """Stop the block under way when one of `checks` says so; polled beside it, because it holds this thread."""
        checks = tuple(check for check in checks if check is not never_cancelled)
        if not checks:
            yield
            return
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_CANCEL_POLL_S):
                if any(check() for check in checks):
                    self._abort.set()
                    return

        watcher = threading.Thread(target=watch, name="secondme-cancel", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            if not self.closed:
                self._abort.clear()

    def stop(self) -> None:
        """From any thread: the block under way ends now, and none begins."""
        self.closed = True
        self._abort.set()

    def forget(self) -> None:
        """A fresh context in place of this one, of which nothing is left. Raises as the constructor does."""
        self._free()
        self._open()

    def attend(self, *, by_matrices: bool) -> None:
        """Attend this way from now on. Where it is another way, all positions are dropped. Raises as `forget` does."""
        if by_matrices != self.settings.by_matrices:
            self.settings = replace(self.settings, by_matrices=by_matrices)
            self.forget()

    def close(self) -> None:
        """Final; may be repeated."""
        self.stop()
        if self._batch is not None:
            self._free()
            library().llama_batch_free(self._batch)
            self._batch = None

    def _free(self) -> None:
        if self.handle is None:
            return
        self.clear()
        for array in (self._batch.token, self._batch.pos):
            ctypes.memset(array, 0, self.settings.n_batch * ctypes.sizeof(ctypes.c_int32))
        # Its scratch buffers hold the last blocks' tokens and activations, and nothing clears them but its end.
        with freed_is_cleared():
            library().llama_free(self.handle)
        self.handle = None


def _pointer(array: NDArray[np.uint8]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
