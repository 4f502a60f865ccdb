"""The llama.cpp embedder: several texts in one batch, pooled by llama.cpp, normalised here.

A context gives either pooled vectors or those of every token, so that tokens have a second one over the same weights,
made when the first are asked for; what it gives is pooled here, in the same way.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secondme.crypto.erase import freed_is_cleared
from secondme.errors import Cancelled, ModelError
from secondme.runtime.base import FloatMatrix, TokenVectors
from secondme.runtime.convert import MAX_TOKENS_KEY, MAX_WORD_CHARS_KEY
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.limits import check_embeddable, closed_error
from secondme.runtime.llama_lib import library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions
from secondme.runtime.threads import ThreadGovernor
from secondme.runtime.wordpiece import WORD_START, WordPiece, WordPieceRules
from secondme.types import CancelCheck, never_cancelled

_BERT_UNKNOWN = 100  # where the metadata does not say, as in llama.cpp
_BATCH_TOKENS = 512  # measured on MiniLM: 256 and 1,024 are slower, for long texts and for short ones
_MAX_TEXTS = 64
_MOST_TOKENS = 2048  # models that read more get a bound that keeps a batch's attention in memory
_WORD_STARTS = (WORD_START, "\u0120")  # how vocabularies of word pieces and of byte pairs mark that a word begins


class LlamaEmbedder:
    """An embedding model in a GGUF file. Raises ModelError if it does not pool its tokens into one vector."""

    def __init__(self, path: Path, *, options: LlamaOptions | None = None) -> None:
        options = options or LlamaOptions()
        lib = library()
        self._model = LlamaModel(read_gguf_header(path), options)
        self._governor = ThreadGovernor(options.threads)
        self._lock = threading.Lock()
        self._ctx: Any = None
        self._token_ctx: Any = None
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
        unknown = metadata.get("tokenizer.ggml.unknown_token_id")
        self._unknown = unknown if isinstance(unknown, int) else _BERT_UNKNOWN
        if lib.llama_vocab_type(self._model.vocab) != lib.LLAMA_VOCAB_TYPE_WPM:
            return None
        lowercase = bool(metadata.get("tokenizer.ggml.normalizer.lowercase", True))
        max_chars = metadata.get(MAX_WORD_CHARS_KEY, 100)
        rules = WordPieceRules(
            lowercase=lowercase,
            strip_accents=bool(metadata.get("tokenizer.ggml.normalizer.strip_accents", lowercase)),
            max_word_chars=max_chars if isinstance(max_chars, int) and max_chars > 0 else 100,
        )
        return WordPiece(self._model.vocabulary(control=False), self._unknown, rules)

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
        return _unit(vectors)

    def embed_tokens(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> list[TokenVectors]:
        token_lists = [self._cut(self._tokens(text)) for text in texts]
        found: dict[int, TokenVectors] = {}
        for group in self._groups(token_lists):
            if cancelled():
                raise Cancelled("embedding was stopped")
            with self._lock:
                vectors = self._evaluate_tokens([token_lists[i] for i in group])
            for i in group:
                found[i] = self._by_token(token_lists[i], vectors[: len(token_lists[i])])
                vectors = vectors[len(token_lists[i]) :]
        return [found[i] for i in range(len(texts))]

    def forget(self) -> None:
        with self._lock:
            if self._wordpiece is not None:
                self._wordpiece.forget()
            if self._ctx is not None:
                ctypes.memset(self._batch.token, 0, self._n_batch * ctypes.sizeof(ctypes.c_int32))
                # Scratch buffers hold the last batch's tokens, and nothing clears them but their context's end.
                with freed_is_cleared():
                    self._free_contexts()
                self._ctx = self._model.new_context(self._context_params())

    def close(self) -> None:
        with self._lock:
            if self._batch is not None:
                library().llama_batch_free(self._batch)
                self._batch = None
            self._free_contexts()
            self._model.close()

    def _free_contexts(self) -> None:
        for ctx in (self._ctx, self._token_ctx):
            if ctx is not None:
                library().llama_free(ctx)
        self._ctx = self._token_ctx = None

    def _tokens(self, text: str) -> list[int]:
        own = self._wordpiece
        tokens = own.tokenize(text) if own is not None else self._model.tokenize(text, special=False)
        return [*self._begin, *tokens, *self._end]

    def _cut(self, tokens: list[int]) -> list[int]:
        n_end = len(self._end)
        return tokens if len(tokens) <= self._n_ctx else tokens[: self._n_ctx - n_end] + self._end

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
        self._decode(self._ctx, token_lists)
        rows = [library().llama_get_embeddings_seq(self._ctx, sequence) for sequence in range(len(token_lists))]
        return np.stack([np.ctypeslib.as_array(row, (self._n_dims,)) for row in rows])

    def _evaluate_tokens(self, token_lists: Sequence[Sequence[int]]) -> FloatMatrix:
        """float32 [all tokens, n_dims], not normalised, special tokens among them. The lock is held."""
        lib = library()
        if self._token_ctx is None and self._ctx is not None:
            params = self._context_params()
            params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE
            self._token_ctx = self._model.new_context(params)
        self._decode(self._token_ctx, token_lists)
        shape = (sum(map(len, token_lists)), self._n_dims)
        return np.ctypeslib.as_array(lib.llama_get_embeddings(self._token_ctx), shape).copy()

    def _by_token(self, tokens: list[int], vectors: FloatMatrix) -> TokenVectors:
        lib = library()
        if self._pooling == lib.LLAMA_POOLING_TYPE_MEAN:
            pooled = vectors.mean(axis=0)
        else:
            pooled = vectors[0 if self._pooling == lib.LLAMA_POOLING_TYPE_CLS else -1]
        own = slice(len(self._begin), len(tokens) - len(self._end))
        ids = tokens[own]
        return TokenVectors(np.array(ids, np.int32), self._words(ids), _unit(vectors[own]), _unit(pooled[None])[0])

    def _words(self, tokens: Sequence[int]) -> tuple[str, ...]:
        """The word of every token: pieces up to the next one that begins a word are of one word."""
        words: list[str] = []
        first = 0
        for i, token in enumerate(tokens):
            text = self._model.token_text(token)
            begins = not words or text.startswith(_WORD_STARTS) or token == self._unknown
            first = i if begins else first
            word = text.lstrip("".join(_WORD_STARTS)) if begins else words[first] + text
            words[first:] = [word] * (i + 1 - first)
        return tuple(words)

    def _decode(self, ctx: Any, token_lists: Sequence[Sequence[int]]) -> None:
        """Evaluate a batch of texts in `ctx`. The lock is held."""
        lib, batch, n = library(), self._batch, 0
        if ctx is None:
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
        lib.llama_set_n_threads(ctx, n_threads, n_threads)
        if memory := lib.llama_get_memory(ctx):  # encoders have none
            lib.llama_memory_clear(memory, False)
        code = lib.llama_decode(ctx, batch)
        if code != 0:
            raise ModelError(f"llama.cpp failed to embed a batch (code {code})", hint="load the model again")


def _unit(rows: FloatMatrix) -> FloatMatrix:
    """`rows` [n, d] with length 1."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(norms).all() and norms.all()):
        raise ModelError("the embedding model gave a vector without a direction", hint="verify the model file")
    unit: FloatMatrix = rows / norms
    return unit
