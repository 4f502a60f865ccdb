"""What the generator and the embedder share: a checked, loaded model file and its vocabulary."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secondme.errors import ModelError, OutOfMemory
from secondme.runtime.base import ModelInfo
from secondme.runtime.gguf_header import GgufHeader
from secondme.runtime.limits import check_tokens, closed_error
from secondme.runtime.llama_lib import forget_errors, last_error, library
from secondme.runtime.room import Need, check_memory, choose

_LONG_RUN = re.compile(r"\S{1000}|\s{1000}")  # a thread's stack may have 512 kB
_HASH_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """How to load a model.

    n_ctx: context length; 0 means what the model was trained for, at most DEFAULT_N_CTX, within memory.
    threads: 0 means as many as cores are free.
    gpu_layers: layers kept on the GPU if the build has one; -1 means all.
    n_batch: tokens evaluated in one block, between two progress events; 0 means what suits the device.
    name: shown to the owner; empty means the file's name.
    fingerprint: the file's sha256 (hex) where it is known already; otherwise it is computed when first asked for.
    kv_type: element type of keys and values in the cache; q8_0 takes half the memory, and on a CPU 2-3x the time.
    """

    n_ctx: int = 0
    threads: int = 0
    gpu_layers: int = -1
    n_batch: int = 0
    name: str = ""
    fingerprint: str = ""
    kv_type: Literal["f16", "q8_0"] = "f16"


class _LazyInfo(ModelInfo):
    """A ModelInfo whose fingerprint is computed when it is read: a file of 5 GB takes seconds to hash."""

    __slots__ = ("_model",)
    _model: LlamaModel

    def __init__(self, model: LlamaModel, n_ctx: int) -> None:
        values: dict[str, object] = {
            "_model": model,
            "name": model.name,
            "backend": "llama.cpp",
            "n_ctx": n_ctx,
            "n_ctx_train": model.n_ctx_train,
            "n_vocab": model.n_vocab,
            "kv_bytes_per_token": model.header.kv_bytes_per_token,
            "n_params": model.n_params,
            "device": "gpu" if model.on_gpu else "cpu",
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)  # the dataclass is frozen, as it should be for everyone else

    @property
    def fingerprint(self) -> str:
        return self._model.fingerprint


class LlamaModel:
    """A loaded model file and its vocabulary. Raises ModelError for anything that cannot be loaded."""

    def __init__(self, header: GgufHeader, options: LlamaOptions) -> None:
        self.path = path = header.path
        self.header = header
        self.name = options.name or path.stem
        self._fingerprint = options.fingerprint
        self._vocab_lock = threading.Lock()  # apart from the cache's, so that counting tokens never waits for a block
        lib = library()
        self.on_gpu = uses_gpu(options)
        if not self.on_gpu:
            check_memory(self.header.size_bytes, self.name)
        params = lib.llama_model_default_params()
        params.n_gpu_layers = options.gpu_layers if self.on_gpu else 0
        forget_errors()
        self.handle = lib.llama_model_load_from_file(str(path).encode(), params)
        if not self.handle:
            raise ModelError(f"llama.cpp cannot load {path}: {last_error()}", hint="choose another model file")
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.n_vocab: int = lib.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self.handle)
        self.n_params: int = lib.llama_model_n_params(self.handle)
        self._splits_by_regex = lib.llama_vocab_type(self.vocab) == lib.LLAMA_VOCAB_TYPE_BPE
        self._pieces: dict[int, bytes] = {}

    def info(self, n_ctx: int) -> ModelInfo:
        """Cheap to ask for: the fingerprint is computed when it is read."""
        return _LazyInfo(self, n_ctx)

    @property
    def fingerprint(self) -> str:
        """The file's sha256 (hex); computed once if it was not given."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            try:
                with self.path.open("rb") as file:
                    while block := file.read(_HASH_BLOCK):
                        digest.update(block)
            except OSError as error:
                raise ModelError(f"{self.path} cannot be read", hint="check that the file is still there") from error
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of `text` and no others; names of control tokens in it become tokens only with `special`."""
        tokens: list[int] = []
        for piece in split_runs(text) if self._splits_by_regex else [text]:
            tokens += self._tokenize(piece, add_special=False, special=special)
        return tokens

    def affixes(self) -> tuple[list[int], list[int]]:
        """The tokens that the model wants before and after every text."""
        both = self._tokenize("", add_special=True, special=False)
        bos = self.special_token("bos")
        n_before = 1 if both and both[0] == bos else 0
        return both[:n_before], both[n_before:]

    def _tokenize(self, text: str, *, add_special: bool, special: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")
        with self._vocab_lock:
            self._check_open()
            # More tokens than bytes are possible only by a few added ones.
            buffer = (ctypes.c_int32 * (len(raw) + 16))()
            n = library().llama_tokenize(self.vocab, raw, len(raw), buffer, len(buffer), add_special, special)
        if n < 0:
            raise ModelError("the text cannot be turned into tokens", hint="shorten it")
        tokens: list[int] = buffer[:n]
        ctypes.memset(buffer, 0, ctypes.sizeof(buffer))  # what was read must not stay behind (see Generator.forget)
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, control tokens by name."""
        ids = (ctypes.c_int32 * len(tokens))(*check_tokens(tokens, self.n_vocab))
        size = 16 * len(tokens) + 64
        with self._vocab_lock:
            self._check_open()
            while True:
                buffer = ctypes.create_string_buffer(size)
                n = library().llama_detokenize(self.vocab, ids, len(ids), buffer, size, False, True)
                if n >= 0:
                    return buffer.raw[:n].decode("utf-8", "replace")
                size = -n

    def piece(self, token: int) -> bytes:
        """The bytes one token stands for; control tokens stand for none."""
        found = self._pieces.get(token)
        if found is None:
            with self._vocab_lock:
                self._check_open()
                buffer = ctypes.create_string_buffer(512)
                n = library().llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
            found = self._pieces[token] = buffer.raw[: max(n, 0)]
        return found

    def vocabulary(self, *, control: bool) -> dict[str, int]:
        """Ids by text, of the control tokens or of all others."""
        lib = library()
        mask = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        found: dict[str, int] = {}
        with self._vocab_lock:
            self._check_open()
            for token in range(self.n_vocab):
                if bool(lib.llama_vocab_get_attr(self.vocab, token) & mask) == control:
                    found[(lib.llama_vocab_get_text(self.vocab, token) or b"").decode("utf-8", "replace")] = token
        return found

    def token_text(self, token: int | None) -> str:
        """How the vocabulary writes a token; for control tokens their name. Nothing for None."""
        if token is None:
            return ""
        with self._vocab_lock:
            self._check_open()
            return (library().llama_vocab_get_text(self.vocab, token) or b"").decode("utf-8", "replace")

    def special_token(self, role: Literal["bos", "eos"]) -> int | None:
        """The id of a token with a role, or None if the vocabulary has none."""
        lib = library()
        ask = lib.llama_vocab_bos if role == "bos" else lib.llama_vocab_eos
        with self._vocab_lock:
            self._check_open()
            token: int = ask(self.vocab)
        return token if token >= 0 else None

    def new_context(self, params: Any) -> Any:
        """A llama_context, to be freed by the caller before the model. Raises OutOfMemory."""
        forget_errors()
        ctx = library().llama_init_from_model(self.handle, params)
        if not ctx:
            raise OutOfMemory(
                f"no context of {params.n_ctx} tokens can be made for {self.name}: {last_error()}",
                hint="set a smaller context_tokens, or choose a smaller model",
            )
        return ctx

    def close(self) -> None:
        with self._vocab_lock:
            if self.handle:
                library().llama_model_free(self.handle)
                self.handle = None

    def _check_open(self) -> None:
        if not self.handle:
            raise closed_error()


def split_runs(text: str) -> list[str]:
    """`text` cut so that no run of spaces or of other characters is longer than llama.cpp survives.

    It splits text for byte-pair vocabularies by std::regex, which recurses once a character: with several of them
    (DeepSeek, Falcon, GPT-NeoX) 30,000 letters in a row overflow a stack of 8 MB and end the process.
    """
    borders = [0, *(match.end() for match in _LONG_RUN.finditer(text))]
    pieces = [text[start:end] for start, end in itertools.pairwise([*borders, len(text)])]
    return [piece for piece in pieces if piece] or [""]


def uses_gpu(options: LlamaOptions) -> bool:
    """Whether layers go to a GPU: the build has one, and the owner did not say no."""
    return bool(library().llama_supports_gpu_offload()) and options.gpu_layers != 0


def choose_n_ctx(header: GgufHeader, asked: int, *, on_gpu: bool, loaded: bool = False) -> int:
    """The context length to use, in tokens. `loaded`: whether the weights are in memory already; raises as `choose`."""
    need = Need(
        trained=header.number("context_length"),
        bytes_per_token=header.kv_bytes_per_token,
        weights_bytes=0 if loaded else header.size_bytes,
    )
    return choose(need, asked, unbounded=on_gpu)
