"""The MLX generator: one model, one cache of one sequence, with the same promises as llama.cpp's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from secondme.errors import ModelError
from secondme.runtime.base import Sampling
from secondme.runtime.context_generator import ContextGenerator
from secondme.runtime.kv import AnyCells, KvIdentity
from secondme.runtime.limits import check_room, check_tokens
from secondme.runtime.mlx_cells import placed
from secondme.runtime.mlx_context import MlxContext, sliced
from secondme.runtime.mlx_lib import build_identity, on_metal, on_worker
from secondme.runtime.mlx_model import MlxModel, MlxOptions
from secondme.runtime.mlx_reader import MlxReader, MlxReaders
from secondme.runtime.mlx_sampler import MlxSampler
from secondme.runtime.mlx_state import caches_from, payload_of
from secondme.runtime.room import Need, choose
from secondme.runtime.state import seal_state
from secondme.runtime.template import ChatTemplate

__all__ = ["MlxGenerator", "MlxOptions"]

# A block can be stopped between two layers; more tokens at once than this are no faster on a graphics processor.
_CPU_BATCH, _GPU_BATCH = 128, 512


class MlxGenerator(ContextGenerator):
    """A language model in an MLX folder. Raises ModelError, OutOfMemory or BackendUnavailable if it cannot be loaded.

    Its `_logits` are an array [1, n_vocab].
    """

    _model: MlxModel
    _context: MlxContext
    _readers: MlxReaders

    def __init__(self, path: Path, *, options: MlxOptions | None = None) -> None:
        options = options or MlxOptions()
        model = MlxModel(path, options)
        need = Need(model.n_ctx_train, model.kv_bytes_per_token, 0)
        try:
            n_ctx = choose(need, options.n_ctx)
        except ModelError:
            model.close()
            raise
        n_batch = min(options.n_batch or (_GPU_BATCH if on_metal() else _CPU_BATCH), n_ctx)
        super().__init__(model, MlxContext(model, n_ctx), MlxReaders(model), n_ctx, n_batch)

    @property
    def takes_ragged(self) -> bool:
        return True

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return self._model.tokenizer.tokenize(text, special=special)

    def detokenize(self, tokens: Sequence[int]) -> str:
        return self._model.tokenizer.detokenize(check_tokens(tokens, self._n_vocab))

    def _chat_template(self) -> ChatTemplate:
        return self._model.template()

    def _opening_token(self) -> int | None:
        tokenizer = self._model.tokenizer
        return tokenizer.special_token("bos") if tokenizer.adds_bos else None

    # State -------------------------------------------------------------------------------------------------------

    def save_state(self) -> bytes:
        with self._lock:
            self._check_open()
            self._settle()
            payload = on_worker(lambda: payload_of(self._context.caches))
            tokens, n_placed = list(self._cache), self._n_placed
        return seal_state(self._identity(), tokens, payload, n_placed=n_placed)

    def load_state(self, state: bytes) -> None:
        tokens, payload, n_placed = self._checked_state(state)
        caches = on_worker(lambda: caches_from(payload, self._context.new_caches(), self._model, len(tokens)))
        self._replace(tokens, n_placed, lambda: self._context.set_caches(caches, len(tokens)))

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        check_room(len(tokens), self._n_ctx)
        ids = check_tokens(tokens, self._n_vocab)
        put = placed(cells, self._readers.identity(), len(ids))
        self._replace(ids, len(ids), lambda: put(self._context))

    def kv_identity(self) -> KvIdentity:
        return self._readers.identity()

    def reader(self, n_ctx: int) -> MlxReader:
        return self._readers.open(n_ctx)

    def _identity(self) -> dict[str, str]:
        return {"model": self._model.fingerprint, "build": build_identity(), "cache": str(self._model.dtype)}

    def _piece(self, token: int) -> bytes:
        return self._model.tokenizer.piece(token)

    # Below here the lock is held ---------------------------------------------------------------------------------

    def _evaluate_block(self, tokens: list[int]) -> Any:
        return self._context.evaluate(tokens)

    def _sampler(self, sampling: Sampling) -> AbstractContextManager[MlxSampler]:
        return nullcontext(MlxSampler(sampling, self._cache, self._model.tokenizer))

    def _next_token(self, sampler: MlxSampler, *, is_last: bool) -> tuple[int, Any]:
        """The next token, and the logits behind it where the device computes them already.

        Greedy decoding has no need to see a token before the next one is begun; so the device never waits for us.
        """
        logits = self._logits
        if not sampler.greedy:
            return sampler.sample(on_worker(lambda: sliced(logits)[0])), None
        goes_on = not is_last and len(self._cache) + 1 < self._n_ctx and self._context.can_trim
        return self._context.greedy(logits, goes_on=goes_on)

    def _ends(self, token: int) -> bool:
        return token in self._model.tokenizer.end_tokens
