"""The tokenizer of an MLX folder: text to tokens and back, as llama.cpp does it for the same vocabulary.

`tokenizer.json` is read by the tokenizers library; what a token's bytes are is worked out here, because a stream of
tokens may end inside a character and the library only gives text.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from secondme.errors import BackendUnavailable, ModelError
from secondme.runtime.limits import check_tokens
from secondme.runtime.llama_model import split_runs
from secondme.runtime.mlx_folder import TOKENIZER, MlxFolder, inside, read_bytes, read_json
from secondme.runtime.mlx_vocab import END_NAMES, byte_values

_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
_WORD_START = "\u2581"
_MAX_BYTES = 128 << 20
_MAX_TEMPLATE_BYTES = 1 << 20
_LEAST_SHARE = 0.9  # weights are filled up to a round number of tokens, by a few hundredths
_HINT = "fetch the model again, or choose another one: secondme models list"


class MlxTokenizer:
    """A vocabulary, its rules and the chat template. Thread-safe. Raises ModelError if it does not fit the weights."""

    def __init__(self, folder: MlxFolder) -> None:
        self._lock = threading.Lock()
        self._path = inside(folder.path, TOKENIZER)
        self._settings = _optional(folder, "tokenizer_config.json")
        self._tokenizer, is_byte_level = _load(self._path, folder)
        self._bytes = byte_values() if is_byte_level else None
        self.n_vocab = int(folder.config["vocab_size"])
        self._texts = _texts(self._tokenizer, self.n_vocab, folder)
        self._ids = {text: token for token, text in self._texts.items()}
        self._added = self._tokenizer.get_added_tokens_decoder()
        self._control = {
            token for token, added in self._added.items() if added.special or self._texts.get(token) in END_NAMES
        }
        self._pieces: dict[int, bytes] = {}
        self.end_tokens = self._end_tokens(folder)
        self.chat_template = self._chat_template(folder)
        self.adds_bos = bool(self._settings.get("add_bos_token", self._bos_is_added()))

    @property
    def json_text(self) -> str:
        """The content of `tokenizer.json`, read again. Raises ModelError if it is gone."""
        return _read_text(self._path)

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Token ids of `text` and no others; names of control tokens in it become tokens only with `special`.

        Lone surrogates count as question marks. Long runs are cut as for llama.cpp, so that the tokens are the same.
        """
        text = text.encode("utf-8", "replace").decode()
        tokens: list[int] = []
        with self._lock:
            self._tokenizer.encode_special_tokens = not special
            for piece in split_runs(text) if self._bytes else [text]:
                tokens += self._encode(piece)
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`, control tokens by name; bytes that are no UTF-8 become U+FFFD."""
        ids = check_tokens(tokens, self.n_vocab)
        return b"".join(self._named_piece(token) for token in ids).decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """The bytes one token stands for; control tokens stand for none."""
        return b"" if token in self._control else self._named_piece(token)

    def vocabulary(self, *, control: bool) -> dict[str, int]:
        """Ids by text, of the control tokens or of all others."""
        return {text: token for text, token in self._ids.items() if (token in self._control) == control}

    def token_text(self, token: int | None) -> str:
        """How the vocabulary writes a token; for control tokens their name. Nothing for None."""
        return "" if token is None else self._texts.get(token, "")

    def special_token(self, role: Literal["bos", "eos"]) -> int | None:
        """The id of a token with a role, or None if the vocabulary has none."""
        value = self._settings.get(f"{role}_token")
        if isinstance(value, dict):  # as transformers writes a token with its flags
            value = value.get("content")
        return self._ids.get(value) if isinstance(value, str) else None

    def _encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        except Exception:  # noqa: BLE001  the library raises bare Exception; its text may quote ours
            raise ModelError("the text cannot be turned into tokens", hint=_HINT) from None
        return ids

    def _named_piece(self, token: int) -> bytes:
        found = self._pieces.get(token)
        if found is None:
            found = self._pieces[token] = self._spell(token)
        return found

    def _spell(self, token: int) -> bytes:
        text = self._texts.get(token, "")
        if token in self._added:
            return text.encode()
        if self._bytes is not None:
            return b"".join(bytes((self._bytes[char],)) if char in self._bytes else char.encode() for char in text)
        match = _BYTE_NAME.fullmatch(text)
        return bytes((int(match[1], 16),)) if match else text.replace(_WORD_START, " ").encode()

    def _end_tokens(self, folder: MlxFolder) -> frozenset[int]:
        found = {token for token in self._control if self._texts[token] in END_NAMES}
        for table in (folder.config, _optional(folder, "generation_config.json")):
            value = table.get("eos_token_id")
            ids = value if isinstance(value, list) else [value]
            found |= {token for token in ids if isinstance(token, int) and token in self._texts}
        eos = self.special_token("eos")
        return frozenset(found if eos is None else found | {eos})

    def _chat_template(self, folder: MlxFolder) -> str:
        """Of tokenizer_config.json, or of the file beside it; "" if there is none, as in base models."""
        value = self._settings.get("chat_template")
        if isinstance(value, list):  # several by name
            named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
            value = named.get("default")
        path = inside(folder.path, "chat_template.jinja")
        if value is None and path.is_file():
            return read_bytes(path, _MAX_TEMPLATE_BYTES).decode("utf-8", "replace")
        return value if isinstance(value, str) else ""

    def _bos_is_added(self) -> bool:
        bos = self.special_token("bos")
        return bos is not None and self._tokenizer.encode("", add_special_tokens=True).ids[:1] == [bos]


def _load(path: Path, folder: MlxFolder) -> tuple[Any, bool]:
    """The library's tokenizer, and whether the texts of tokens stand for bytes."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise BackendUnavailable(
            "the tokenizers package is not installed", hint="install it: make chat BACKEND=mlx"
        ) from error
    text = _read_text(path)
    try:
        source = json.loads(text)
        kind = source["model"].get("type", "BPE")
        is_byte_level = _is_byte_level(source)
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception
        raise _damaged(folder, "it cannot be read") from error
    if kind not in ("BPE", "Unigram"):
        raise _damaged(folder, "it is of a kind that this program does not know")
    return tokenizer, is_byte_level


def _read_text(path: Path) -> str:
    try:
        return read_bytes(path, _MAX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError as error:
        raise ModelError(f"there is no {path}", hint=_HINT) from error


def _texts(tokenizer: Any, n_vocab: int, folder: MlxFolder) -> dict[int, str]:
    texts = {token: text for text, token in tokenizer.get_vocab(with_added_tokens=True).items()}
    if not texts or max(texts) >= n_vocab:
        raise _damaged(folder, "it does not match the weights: they have fewer tokens")
    if len(texts) < _LEAST_SHARE * n_vocab:
        raise _damaged(folder, "it does not match the weights: they have many more tokens")
    return texts


def _is_byte_level(source: Mapping[str, Any]) -> bool:
    """Whether the texts of tokens stand for bytes, one character for each (GPT-2's table)."""
    decoder = source.get("decoder") or {}
    steps = decoder.get("decoders") or [decoder]
    return any(isinstance(step, dict) and step.get("type") == "ByteLevel" for step in steps)


def _optional(folder: MlxFolder, name: str) -> dict[str, Any]:
    return read_json(folder.path, name) if (folder.path / name).exists() else {}


def _damaged(folder: MlxFolder, why: str) -> ModelError:
    return ModelError(f"{folder.path} has a tokenizer that cannot be used: {why}", hint=_HINT)
