"""The llama.cpp embedder: several texts in one batch, pooled by llama.cpp, normalised here."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secondme.crypto.erase import freed_is_cleared
from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import FloatMatrix
from secondme.runtime.convert import MAX_TOKENS_KEY, MAX_WORD_CHARS_KEY
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.limits import check_embeddable, closed_error
from secondme.runtime.llama_lib import library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions
from secondme.runtime.threads import ThreadGovernor
from secondme.runtime.wordpiece import WordPiece, WordPieceRules
from secondme.types import CancelCheck, never_cancelled

_BERT_UNKNOWN = 100  # where the metadata does not say, as in llama.cpp
_BATCH_TOKENS = 512  # measured on MiniLM: 256 and 1,024 are slower, for long texts and for short ones
_MAX_TEXTS = 64
_MOST_TOKENS = 2048  # models that read more get a bound that keeps a batch's attention in memory


class LlamaEmbedder:
    """An embedding model in a GGUF file. Raises ModelError if it does not pool its tokens into one vector."""

    def __init__(self, path: Path, *, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        lib = library()
        self._model = LlamaModel(read_gguf_header(path), options)
        self._governor = ThreadGovernor(options.threads)
        self._lock = threading.Lock()
        self._ctx: Any = None
        self._batch: Any = None
        try:
            self._n_ctx = self._longest_text()
            self._n_batch = max(_BATCH_TOKENS, self._n_ctx)
            self._ctx = self._model.new_context(self._context_params())
            self._batch = lib.llama_batch_init(self._n_batch, 0, 1)
            self._pooling = lib.llama_pooling_type(self._ctx)
            if self._pooling not in (
                lib.LLAMA_POOLING_TYPE_MEAN,
                lib.LLAMA_POOLING_TYPE_CLS,
                lib.LLAMA_POOLING_TYPE_LAST,
            ):
                raise ModelError(
                    f"{self._model.name} is not an embedding model", hint="choose one: secondme models list"
                )
            self._begin, self._end = self._model.affixes()
            self._wordpiece = self._own_tokenizer()
        except ModelError:
            self.close()
            raise
        self._n_dims: int = lib.llama_model_n_embd_out(self._model.handle)

    def _longest_text(self) -> int:
        made_for = self._model.header.metadata.get(MAX_TOKENS_KEY)
        limit = min(self._model.n_ctx_train, _MOST_TOKENS)
        return min(limit, made_for) if isinstance(made_for, int) and made_for > 2 else limit

    def _context_params(self) -> Any:
        params = library().llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = self._n_batch
        params.n_seq_max = _MAX_TEXTS
        params.kv_unified = True  # all texts of a batch share its token budget
        params.embeddings = True
        params.n_threads = params.n_threads_batch = self._governor.threads()
        return params

    def _own_tokenizer(self) -> WordPiece | None:
        lib, metadata = library(), self._model.header.metadata
        if lib.llama_vocab_type(self._model.vocab) != lib.LLAMA_VOCAB_TYPE_WPM:
            return None
        lowercase = bool(metadata.get("tokenizer.ggml.normalizer.lowercase", True))
        max_chars = metadata.get(MAX_WORD_CHARS_KEY, 100)
        rules = WordPieceRules(
            lowercase=lowercase,
            strip_accents=bool(metadata.get("tokenizer.ggml.normalizer.strip_accents", lowercase)),
            max_word_chars=max_chars if isinstance(max_chars, int) and max_chars > 0 else 100,
        )
        unknown = metadata.get("tokenizer.ggml.unknown_token_id", _BERT_UNKNOWN)
        if not isinstance(unknown, int):
            unknown = _BERT_UNKNOWN
        return WordPiece(self._model.vocabulary(control=False), unknown, rules)

    @property
    def fingerprint(self) -> str:
        return f"{self._model.fingerprint} pooling {self._pooling} tokens {self._n_ctx} version 1"

    @property
    def n_dims(self) -> int:
        return self._n_dims

    @property
    def n_ctx(self) -> int:
        return self._n_ctx

    def count_tokens(self, text: str) -> int:
        return len(self._tokens(text))

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        token_lists = [self._tokens(text) for text in texts]
        for tokens in token_lists:
            check_embeddable(len(tokens), self._n_ctx)
        vectors = np.empty((len(texts), self._n_dims), np.float32)
        for group in self._groups(token_lists):
            if cancelled():
                raise Cancelled("embedding was stopped")
            with self._lock:
                vectors[group] = self._evaluate([token_lists[i] for i in group])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and norms.all()):
            raise ModelError("the embedding model gave a vector without a direction", hint="verify the model file")
        vectors /= norms
        return vectors

    def forget(self) -> None:
        with self._lock:
            if self._wordpiece is not None:
                self._wordpiece.forget()
            if self._ctx is not None:
                ctypes.memset(self._batch.token, 0, self._n_batch * ctypes.sizeof(ctypes.c_int32))
                # Its scratch buffers hold the last batch's tokens, and nothing clears them but its end.
                with freed_is_cleared():
                    library().llama_free(self._ctx)
                self._ctx = None
                self._ctx = self._model.new_context(self._context_params())

    def close(self) -> None:
        with self._lock:
            if self._batch is not None:
                library().llama_batch_free(self._batch)
                self._batch = None
            if self._ctx is not None:
                library().llama_free(self._ctx)
                self._ctx = None
            self._model.close()

    def _tokens(self, text: str) -> list[int]:
        own = self._wordpiece
        tokens = own.tokenize(text) if own is not None else self._model.tokenize(text, special=False)
        return [*self._begin, *tokens, *self._end]

    def _groups(self, token_lists: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Indices of texts that share a batch: similar lengths together, longest first."""
        group: list[int] = []
        n_tokens = 0
        for i in sorted(range(len(token_lists)), key=lambda i: -len(token_lists[i])):
            size = len(token_lists[i])
            if group and (n_tokens + size > self._n_batch or len(group) == _MAX_TEXTS):
                yield group
                group, n_tokens = [], 0
            group.append(i)
            n_tokens += size
        if group:
            yield group

    def _evaluate(self, token_lists: Sequence[Sequence[int]]) -> FloatMatrix:
        """float32 [len(token_lists), n_dims], not normalised. The lock is held."""
        lib, batch, n = library(), self._batch, 0
        if self._ctx is None:
            raise closed_error()
        token, pos, n_seq_id, seq_id, logits = batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits
        for sequence, tokens in enumerate(token_lists):
            for position, value in enumerate(tokens):
                token[n] = value
                pos[n] = position
                n_seq_id[n] = 1
                seq_id[n][0] = sequence
                logits[n] = 1
                n += 1
        batch.n_tokens = n
        n_threads = self._governor.threads()
        lib.llama_set_n_threads(self._ctx, n_threads, n_threads)
        if memory := lib.llama_get_memory(self._ctx):  # encoders have none
            lib.llama_memory_clear(memory, False)
        code = lib.llama_decode(self._ctx, batch)
        if code != 0:
            raise ModelError(f"llama.cpp failed to embed a batch (code {code})", hint="load the model again")
        shape = (self._n_dims,)
        rows = [lib.llama_get_embeddings_seq(self._ctx, sequence) for sequence in range(len(token_lists))]
        return np.stack([np.ctypeslib.as_array(row, shape) for row in rows])
