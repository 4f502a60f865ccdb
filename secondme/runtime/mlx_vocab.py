"""The tokenizer of a GGUF file as a `tokenizer.json`: byte-level BPE, split into words as llama.cpp splits them.

GGUF names the way of splitting only (`tokenizer.ggml.pre`), so what each name means is written down here; a name that
is not here is refused, because a wrong split gives other tokens without an error.
Formats: GGUF (ggml `docs/gguf.md`), `tokenizer.json` of the tokenizers library.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

from secondme.errors import ModelError
from secondme.runtime.gguf_header import GgufHeader

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"(?:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_REST}"
_QWEN2 = rf"(?:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_REST}"


@dataclass(frozen=True, slots=True)
class _Splitting:
    """patterns: each cuts the pieces of the one before. whole_words: a word that is a token is not merged up to.

    adds_bos: unless the file says otherwise.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    adds_bos: bool = False


_SPLITTINGS = {
    "smollm": _Splitting((r"\p{N}", _GPT2)),
    "gpt-2": _Splitting((_GPT2,)),
    "qwen2": _Splitting((_QWEN2,)),
    "deepseek-r1-qwen": _Splitting((_QWEN2,)),
    "llama-bpe": _Splitting((_LLAMA3,), whole_words=True, adds_bos=True),
    "smaug-bpe": _Splitting((_LLAMA3,)),
}

END_NAMES = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> </s> <|eom_id|> <EOT> <|end_of_text|> <eos>"
    " <end_of_utterance> <｜end▁of▁sentence｜>"
    " <|fim_pad|> <fim-pad> <fim_pad> <PAD>"
    " <|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame> <|file_sep|>".split()
)
"""Tokens that end a turn wherever a vocabulary has them, as llama.cpp holds it."""

_MARK_NAMES = frozenset(
    "<|fim_prefix|> <fim-prefix> <fim_prefix> <PRE> <|fim_suffix|> <fim-suffix> <fim_suffix> <SUF>"
    " <|fim_middle|> <fim-middle> <fim_middle> <MID>".split()
)
"""Tokens that llama.cpp takes for control tokens though a file may call them words."""

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_STRING, _INT32, _ARRAY = 8, 5, 9
_HINT = "run this model through llama.cpp: --backend llama.cpp"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a GGUF file says of its tokens. kinds: their types by ggml's numbers; merges: two texts with a space."""

    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    splitting: _Splitting


def read_vocabulary(header: GgufHeader) -> Vocabulary:
    """The vocabulary of the file. Raises ModelError for a kind of tokenizer that is not known here, and OSError."""
    model, pre = (str(header.metadata.get(f"tokenizer.ggml.{key}", "")) for key in ("model", "pre"))
    if model != "gpt2" or pre not in _SPLITTINGS:
        known = ", ".join(sorted(_SPLITTINGS))
        raise ModelError(
            f"{header.path.name} cannot be converted for MLX: its tokenizer is none of {known}", hint=_HINT
        )
    tokens = _texts(header, "tokenizer.ggml.tokens")
    merges = _texts(header, "tokenizer.ggml.merges")
    kinds = _numbers(header, "tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    if not tokens or len(kinds) != len(tokens) or not all(tokens):
        raise _unfit(header)
    known_texts = set(tokens)
    for merge in merges:
        left, _, right = merge.partition(" ")
        if not (left in known_texts and right in known_texts and left + right in known_texts):
            raise _unfit(header)
    kinds = [_CONTROL if text in END_NAMES | _MARK_NAMES else kind for text, kind in zip(tokens, kinds, strict=True)]
    return Vocabulary(tokens, kinds, merges, _SPLITTINGS[pre])


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of `tokenizer.json`."""
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    steps: list[dict[str, Any]] = [*map(_split, vocabulary.splitting.patterns), to_bytes]
    texts = set(vocabulary.tokens)
    if missing := [char for char in byte_values() if char not in texts]:
        # The library leaves out bytes that are no tokens, and would merge what stood around them.
        steps.append(_split("|".join(map(re.escape, missing))))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": to_bytes,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.splitting.whole_words,
            "vocab": {text: i for i, text in enumerate(vocabulary.tokens)},
            "merges": [merge.split(" ", 1) for merge in vocabulary.merges],
        },
    }


def byte_values() -> dict[str, int]:
    """GPT-2's table: visible characters of Latin-1 stand for themselves, the other bytes for U+0100 and on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


def tokenizer_config(header: GgufHeader, vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of `tokenizer_config.json`: roles of tokens and the chat template."""
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named: dict[str, Any] = {}
    for role, key in roles.items():
        token = token_id(header, f"{key}_token_id", len(vocabulary.tokens))
        if token is not None:
            named[f"{role}_token"] = vocabulary.tokens[token]
    adds_bos = header.metadata.get("tokenizer.ggml.add_bos_token", vocabulary.splitting.adds_bos)
    template = header.metadata.get("tokenizer.chat_template")
    return named | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(adds_bos),
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": header.number("context_length"),
        **({"chat_template": template} if isinstance(template, str) else {}),
    }


def token_id(header: GgufHeader, key: str, n_tokens: int) -> int | None:
    """The id at `tokenizer.ggml.KEY`, or None where the file names none of its `n_tokens` tokens."""
    value = header.metadata.get(f"tokenizer.ggml.{key}")
    return value if isinstance(value, int) and 0 <= value < n_tokens else None


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _added_tokens(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": i, "content": text, **flags, "special": kind != _USER_DEFINED}
        for i, (text, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]


def _span(header: GgufHeader, key: str, element_kind: int) -> bytes:
    """The elements of a list in the file, after its types and its length."""
    for name, start, end in header.tokenizer_spans:
        if name != key:
            continue
        with header.path.open("rb") as file:
            file.seek(start)
            raw = file.read(end - start)
        if len(raw) < 16 or struct.unpack_from("<II", raw) != (_ARRAY, element_kind):
            raise _unfit(header)
        return raw[16:]
    return b""


def _texts(header: GgufHeader, key: str) -> list[str]:
    raw, at, found = _span(header, key, _STRING), 0, list[str]()
    try:
        while at < len(raw):
            end = at + 8 + int(struct.unpack_from("<Q", raw, at)[0])
            found.append(raw[at + 8 : end].decode())
            at = end
    except (UnicodeDecodeError, struct.error) as error:
        raise _unfit(header) from error
    return found


def _numbers(header: GgufHeader, key: str) -> list[int]:
    raw = _span(header, key, _INT32)
    return list(struct.unpack(f"<{len(raw) // 4}i", raw[: len(raw) // 4 * 4]))


def _unfit(header: GgufHeader) -> ModelError:
    return ModelError(f"{header.path.name} cannot be converted for MLX: its vocabulary is damaged", hint=_HINT)
