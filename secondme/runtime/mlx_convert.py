"""Turns a GGUF file into an MLX model folder with the same weights, in seconds and once.

Llama, Qwen 2, Qwen 3 and SmolLM3, with weights that MLX can hold as they are: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1,
Q8_0, Q4_K, Q5_K and IQ4_NL to the bit, Q6_K nearly (`mlx_kquants.py`). Anything else is refused with its reason,
because packing it again would make it another model, or one of twice the size.
Formats: GGUF v3 (ggml `docs/gguf.md`), safetensors, config.json as mlx-lm writes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from secondme.durable import move_file, sync_folder
from secondme.errors import ModelError
from secondme.paths import models_dir
from secondme.runtime.gguf_header import GgufHeader, read_gguf_header
from secondme.runtime.mlx_folder import CONFIG, TOKENIZER, read_folder, read_json
from secondme.runtime.mlx_gguf import Plan, plan_of
from secondme.runtime.mlx_origin import FILE_NAME, Origin, origin_text, parse_origin
from secondme.runtime.mlx_shapes import check_shapes, quantization_of
from secondme.runtime.mlx_vocab import Vocabulary, read_vocabulary, token_id, tokenizer_config, tokenizer_json
from secondme.runtime.mlx_weights import write_weights
from secondme.runtime.safetensors_header import read_safetensors_header
from secondme.types import CancelCheck, never_cancelled

_WEIGHTS = "model.safetensors"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def converted(source: Path, sha256: str, *, cancelled: CancelCheck = never_cancelled) -> Path:
    """The MLX folder of the GGUF file `source`, whose hash is `sha256`; made now if there is none that is whole.

    Raises ModelError if the file cannot be converted or the disk is full, and Cancelled.
    """
    from secondme.runtime.installed import converted_folder
    from secondme.runtime.pull_lock import PullLock

    if not _SHA256.fullmatch(sha256):
        raise ModelError(f"the hash of {source.name} is not known", hint="fetch the model again: secondme models pull")
    dest = converted_folder(sha256)
    if _is_current(dest, sha256):
        return dest
    try:
        lock = PullLock(dest.with_name(f".{dest.name}.lock"))
        try:
            for _ in lock.acquire(cancelled):
                pass
            if not _is_current(dest, sha256):  # who held the lock may have made it
                _remove_leftovers(dest)
                convert_gguf(source, dest, sha256=sha256, cancelled=cancelled)
                _stamp(dest)
        finally:
            lock.release()
    except OSError as error:
        raise ModelError(
            f"{source.name} cannot be converted for MLX: {error.strerror or 'the disk fails'}",
            hint=f"make room in {models_dir()}, or run it through llama.cpp: --backend llama.cpp",
        ) from error
    return dest


def convert_gguf(source: Path, dest: Path, *, sha256: str, cancelled: CancelCheck = never_cancelled) -> None:
    """Write the folder `dest`, in one step and in place of what is there; one writer at a time.

    Raises ModelError for a file that MLX could not run as it is, Cancelled, and OSError.
    """
    header = read_gguf_header(source)
    plan, vocabulary = plan_of(header), read_vocabulary(header)
    if len(vocabulary.tokens) > plan.config["vocab_size"]:
        raise ModelError(
            f"{source.name} cannot be converted for MLX: its tokenizer does not match its weights",
            hint="fetch the model again, or choose another one",
        )
    dest.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=dest.parent, prefix=_prefix(dest)))
    try:
        _write(header, plan, vocabulary, new, cancelled)
        check_shapes(plan.config, read_safetensors_header(new / _WEIGHTS), quantization_of(plan.config, source), source)
        _put(new / FILE_NAME, origin_text(_origin(header, plan, sha256, _digests(new))).encode())
        sync_folder(new)
        if dest.exists():
            shutil.rmtree(dest)
        move_file(new, dest)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _stamp(dest: Path) -> None:
    """Remember the hashes of what was just written, so that the next load need not hash it."""
    from secondme.runtime.installed import record_digests

    files = parse_origin(read_json(dest, FILE_NAME), dest).files
    record_digests({dest / name: digest for name, digest in files.items()})


def _is_current(dest: Path, sha256: str) -> bool:
    """Whether the folder is whole and of this version."""
    if not (dest / FILE_NAME).is_file():
        return False
    try:
        origin = read_folder(dest).origin
    except ModelError:
        return False
    return origin is not None and origin.weights == sha256


def _prefix(dest: Path) -> str:
    return f".{dest.name}-"


def _remove_leftovers(dest: Path) -> None:
    """What writers left that were killed; whoever calls holds the lock."""
    for folder in dest.parent.glob(f"{_prefix(dest)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _write(header: GgufHeader, plan: Plan, vocabulary: Vocabulary, folder: Path, cancelled: CancelCheck) -> None:
    ids = {f"{role}_token_id": token_id(header, f"{role}_token_id", len(vocabulary.tokens)) for role in ("bos", "eos")}
    config = plan.config | {key: token for key, token in ids.items() if token is not None}
    files = {
        CONFIG: config,
        TOKENIZER: tokenizer_json(vocabulary),
        "tokenizer_config.json": tokenizer_config(header, vocabulary),
    }
    for name, table in files.items():
        _put(folder / name, json.dumps(table, ensure_ascii=False).encode())
    with (folder / _WEIGHTS).open("wb") as file:
        write_weights(header, plan, file, cancelled)
        file.flush()
        os.fsync(file.fileno())


def _put(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _origin(header: GgufHeader, plan: Plan, sha256: str, digests: dict[str, str]) -> Origin:
    from secondme.runtime.llama_identity import template_hash, tokenizer_hash

    return Origin(
        weights=sha256,
        tokenizer=tokenizer_hash(header),
        template=template_hash(header),
        rope_pairs=plan.rope_pairs,
        rope_factors=plan.rope_factors,
        files=digests,
    )
