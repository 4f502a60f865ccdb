"""Room in this machine's memory for weights and a context, asked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from secondme.errors import ModelError, OutOfMemory

DEFAULT_N_CTX = 8192
"""Context where none is asked for: its keys and values stay modest, 0.2 GB for a small model and 1 GB for one of 8B."""

_LEAST_N_CTX = 512
_N_CTX_STEP = 256  # llama.cpp pads to this, and MLX's caches grow by it
_WORK_BYTES = 192 * 1024 * 1024  # graph, logits and scratch buffers, generously


@dataclass(frozen=True, slots=True)
class Need:
    """What a model takes. trained: the context it was trained for, 0 if that is not known.

    weights_bytes: 0 where they are in memory already.
    """

    trained: int
    bytes_per_token: int
    weights_bytes: int


def choose(need: Need, asked: int, *, unbounded: bool = False) -> int:
    """The context length to use, in tokens; `unbounded` where another memory than the machine's holds it.

    An explicit wish is granted or refused, never lowered. Raises ModelError if the model was not trained for it and
    OutOfMemory if it does not fit.
    """
    trained = need.trained or DEFAULT_N_CTX
    if asked > trained:
        raise ModelError(
            f"a context of {asked} tokens is more than the {trained} the model was trained for",
            hint="set context_tokens to 0, or choose another model",
        )
    wanted = asked or min(trained, DEFAULT_N_CTX)
    if unbounded:
        return wanted
    per_token = max(need.bytes_per_token, 1)
    fits = (available_memory() - need.weights_bytes - _WORK_BYTES) // per_token
    if fits >= wanted:
        return wanted
    if asked or fits < min(_LEAST_N_CTX, wanted):
        needed = (need.weights_bytes + _WORK_BYTES + per_token * wanted) / 1e9
        what = "the model with a" if need.weights_bytes else "a further"
        raise OutOfMemory(
            f"{what} context of {wanted} tokens needs about {needed:.1f} GB, more memory than is free",
            hint="close other programs, set a smaller context_tokens, or choose a smaller model",
        )
    return fits // _N_CTX_STEP * _N_CTX_STEP or fits


def check_memory(size_bytes: int, name: str) -> None:
    """Raise OutOfMemory if weights of `size_bytes` cannot fit; swapping a model makes a machine unusable."""
    free = available_memory()
    if size_bytes + _WORK_BYTES > free:
        raise OutOfMemory(
            f"{name} takes {size_bytes / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free",
            hint="close other programs, or choose a smaller model: secondme models list",
        )


def available_memory() -> int:
    """Bytes this process can still use: of the machine, and of its container if that allows less."""
    free = psutil.virtual_memory().available
    try:
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return free
        used = int((group / "memory.current").read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # File pages are given back when memory is needed.
        return min(free, int(limit) - used + int(stat.get("file", 0)))
    except (OSError, ValueError):
        return free
