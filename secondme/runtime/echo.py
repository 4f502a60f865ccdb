"""A generator and an embedder without weights, for tests and for trying the program before a model is there.

They are real implementations of the protocols, not mocks: tokens, context limit, cache, template and state behave as
with llama.cpp, and every answer follows from the cached tokens alone.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from secondme.errors import Cancelled, CartridgeIncompatible, ModelError
from secondme.runtime.base import DecodedText, DecodeEnd, FloatMatrix, ModelInfo, Sampling, TokenVectors
from secondme.runtime.kv import AnyCells, KvIdentity, KvReader
from secondme.runtime.limits import check_embeddable, check_room, check_tokens, closed_error, nothing_cached_error
from secondme.runtime.sequence import CachedSequence
from secondme.runtime.state import open_state, seal_state
from secondme.runtime.stream import common_prefix
from secondme.types import CancelCheck, Message, never_cancelled

_BLOCK = 64
_CONTROLS = ("<|start|>", "<|end|>")
# A token is one to three bytes: numbered by length, then by value, then the control tokens.
_FIRST_OF_LENGTH = {1: 0, 2: 256, 3: 256 + 65536}
_START = 256 + 65536 + 16777216
_END = _START + 1
_N_VOCAB = _END + 1
_PIECES = re.compile(rb" [^ \n]{0,2}|[^ \n]{1,3}|\n")
_HASH_N_CTX = 256
_HASH_TOKENS = re.compile(r"\w{1,6}|[^\w\s]")
_HASH_WORDS = re.compile(r"\w+|[^\w\s]")
_CONTROL_SPLIT = re.compile("(" + "|".join(re.escape(name) for name in _CONTROLS) + ")")


class EchoGenerator(CachedSequence):
    """Answers `echo:` and the last line of the last user message, and marks `[1]` if the prompt has that mark.

    With a temperature the words are rotated by the seed. A cache that no chat template made is continued for ever
    with its own tokens.
    """

    def __init__(self, n_ctx: int = 4096) -> None:
        super().__init__(n_ctx, _N_VOCAB)
        self._closed = False

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(
            name="echo",
            fingerprint=hashlib.sha256(b"secondme echo 1").hexdigest(),
            backend="echo",
            n_ctx=self._n_ctx,
            n_ctx_train=self._n_ctx,
            n_vocab=_N_VOCAB,
            kv_bytes_per_token=4,
            n_params=0,
            device="cpu",
        )

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        if not special:
            return [_token(piece) for piece in _PIECES.findall(text.encode("utf-8", "replace"))]
        tokens: list[int] = []
        for part in _CONTROL_SPLIT.split(text):
            tokens += [_START + _CONTROLS.index(part)] if part in _CONTROLS else self.tokenize(part)
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        return b"".join(map(_piece, check_tokens(tokens, _N_VOCAB))).decode("utf-8", "replace")

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        tokens: list[int] = []
        for message in messages:
            tokens += [_START, *self.tokenize(f"{message.role}\n{message.content}"), _END]
        return [*tokens, _START, *self.tokenize("assistant\n")]

    def chat_parts(self, messages: Sequence[Message]) -> tuple[list[int], list[int]]:
        last = max((i for i, message in enumerate(messages) if message.role == "system"), default=-1)
        if last < 0:
            raise ModelError("there is no system message to put documents into", hint="give it one")
        n_head = len(self.chat_tokens(messages[: last + 1])) - len(self.chat_tokens([])) - 1
        tokens = self.chat_tokens(messages)
        return tokens[:n_head], tokens[n_head:]

    def decode(
        self, sampling: Sampling, *, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[DecodedText | DecodeEnd]:
        if sampling.grammar is not None:
            raise ModelError("the echo follows no grammar", hint="load a model")
        return super().decode(sampling, cancelled=cancelled)

    def save_state(self) -> bytes:
        with self._lock:
            self._check_open()
            return seal_state(self._identity(), self._cache, b"")

    def load_state(self, state: bytes) -> None:
        with self._lock:
            self._check_open()
            tokens, payload, _ = open_state(self._identity(), state)
            if len(payload):
                raise ModelError("the saved cache is damaged", hint="nothing is lost: the text is read again")
            check_room(len(tokens), self._n_ctx)
            self._cache = check_tokens(tokens, _N_VOCAB)
            self._next_epoch()

    def kv_identity(self) -> KvIdentity:
        raise _no_cells_error()

    def reader(self, n_ctx: int) -> KvReader:
        raise _no_cells_error()

    @property
    def takes_ragged(self) -> bool:
        return False

    def load_cells(self, tokens: Sequence[int], cells: AnyCells) -> None:
        raise _no_cells_error()

    def forget(self) -> None:
        with self._lock:
            self._cache = []
            self._next_epoch()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._cache = []

    def _check_open(self) -> None:
        if self._closed:
            raise closed_error()

    def _identity(self) -> dict[str, str]:
        return {"model": self.info.fingerprint, "build": "echo 1"}

    def _check_continuable(self) -> None:
        if not self._cache:
            raise nothing_cached_error()

    def _piece(self, token: int) -> bytes:
        return _piece(token)

    def _keep(self, tokens: list[int]) -> None:
        del self._cache[common_prefix(self._cache, tokens) :]

    def _read_block(self, tokens: list[int]) -> None:
        n_done = len(self._cache)
        self._cache += tokens[n_done : n_done + _BLOCK]

    def _ensure_logits(self) -> None:
        self._check_continuable()

    def _sampler(self, sampling: Sampling) -> AbstractContextManager[Sampling]:
        return nullcontext(sampling)

    def _next_token(self, sampler: Sampling, *, is_last: bool) -> tuple[int, None]:
        return self._echoed(sampler), None

    def _ends(self, token: int) -> bool:
        return token == _END

    def _append(self, token: int, ahead: None) -> None:
        self._cache.append(token)

    def _echoed(self, sampling: Sampling) -> int:
        if _START not in self._cache:
            shift = sampling.seed if sampling.temperature > 0 else 0
            return self._cache[(len(self._cache) // 2 + shift) % len(self._cache)]
        last_start = len(self._cache) - 1 - self._cache[::-1].index(_START)
        n_role = len(self.tokenize("assistant\n"))
        reply = self._cache[last_start + 1 + n_role :]
        answer = self.tokenize(self._answer(self._cache[:last_start], sampling))
        return answer[len(reply)] if answer[: len(reply)] == reply and len(reply) < len(answer) else _END

    def _answer(self, prompt: Sequence[int], sampling: Sampling) -> str:
        text = self.detokenize(prompt)
        turns = text.split(_CONTROLS[0])
        last_user = next((turn for turn in reversed(turns) if turn.startswith("user\n")), "user\n")
        lines = [line.strip() for line in last_user.removeprefix("user\n").removesuffix(_CONTROLS[1]).splitlines()]
        words = next((line for line in reversed(lines) if line), "nothing").split()
        if sampling.temperature > 0:
            turn = sampling.seed % len(words)
            words = words[turn:] + words[:turn]
        return "echo: " + " ".join(words) + (" [1]" if "[1]" in text else "")


class HashEmbedder:
    """Hashed words and character trigrams: texts that share words and stems lie close, others are nearly orthogonal."""

    def __init__(self, n_dims: int = 384) -> None:
        self._n_dims = n_dims
        self._closed = False

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"secondme hash embedder 1 {self._n_dims}".encode()).hexdigest()

    @property
    def n_dims(self) -> int:
        return self._n_dims

    @property
    def n_ctx(self) -> int:
        return _HASH_N_CTX

    def count_tokens(self, text: str) -> int:
        return 2 + sum(1 for _ in _HASH_TOKENS.finditer(text))

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        if self._closed:
            raise closed_error()
        for text in texts:
            check_embeddable(self.count_tokens(text), self.n_ctx)
        vectors = np.zeros((len(texts), self._n_dims), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            if cancelled():
                raise Cancelled("embedding was stopped")
            self._add_features(row, text.lower())
        return vectors

    def embed_tokens(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> list[TokenVectors]:
        """Pieces of one word have the vector of the word."""
        cut = [self._cut(text) for text in texts]
        pooled = self.embed(cut, cancelled=cancelled)
        return [self._by_token(text, row) for text, row in zip(cut, pooled, strict=True)]

    def forget(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self._closed = True

    def _cut(self, text: str) -> str:
        ends = [match.end() for match in islice(_HASH_TOKENS.finditer(text), self.n_ctx - 1)]
        return text[: ends[-2]] if len(ends) > self.n_ctx - 2 else text

    def _by_token(self, text: str, pooled: NDArray[np.float32]) -> TokenVectors:
        words = [word for word in _HASH_WORDS.findall(text.lower()) for _ in _HASH_TOKENS.finditer(word)]
        vectors = np.zeros((len(words), self._n_dims), np.float32)
        for row, word in zip(vectors, words, strict=True):
            self._add_features(row, word)
        ids = [zlib.crc32(word.encode("utf-8", "replace")) >> 1 for word in words]
        return TokenVectors(np.array(ids, np.int32), tuple(words), vectors, pooled)

    def _add_features(self, row: FloatMatrix, text: str) -> None:
        words = re.findall(r"\w+", text)
        for word in dict.fromkeys(words):
            self._add(row, word, 1.0)
            padded = f"<{word}>"
            grams = [padded[i : i + 3] for i in range(len(padded) - 2)]
            for gram in grams:
                self._add(row, "#" + gram, 1 / math.sqrt(len(grams)))
        if not words:
            self._add(row, text.strip(), 1.0)
        norm = float(np.linalg.norm(row))
        if norm == 0.0:  # features of opposite sign in the same place
            row[0] = norm = 1.0
        row /= norm

    def _add(self, row: FloatMatrix, feature: str, weight: float) -> None:
        code = zlib.crc32(feature.encode("utf-8", "replace"))
        row[(code >> 1) % self._n_dims] += weight if code & 1 else -weight


def _no_cells_error() -> CartridgeIncompatible:
    return CartridgeIncompatible("the echo has no keys and values", hint="its documents are read as text instead")


def _token(piece: bytes) -> int:
    return _FIRST_OF_LENGTH[len(piece)] + int.from_bytes(piece, "big")


def _piece(token: int) -> bytes:
    if token >= _START:
        return _CONTROLS[token - _START].encode()
    size = 3 if token >= _FIRST_OF_LENGTH[3] else 2 if token >= _FIRST_OF_LENGTH[2] else 1
    return (token - _FIRST_OF_LENGTH[size]).to_bytes(size, "big")
