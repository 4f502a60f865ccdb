"""What fits into this machine's memory: weights, the cache of keys and values, and what the runtime needs beside."""

from __future__ import annotations

from dataclasses import dataclass

from secondme.runtime.manifest import Manifest

OVERHEAD_BYTES = 400 << 20
"""The program itself (budget 250 MB), its encoder (50 MB) and the runtime's compute buffers (100 MB), an estimate."""
SPARE_FRACTION = 0.1
"""Share of the available memory that is left to everything else."""
MIN_CONTEXT = 2048
"""Less than this leaves no room for passages and an answer."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How much of a model fits. `n_ctx` tokens of context, 0 if not even the weights; None where the size is unknown.

    `needs_bytes` is for the context given, or for the smallest useful one if that does not fit.
    """

    n_ctx: int | None
    needs_bytes: int | None

    @property
    def is_useful(self) -> bool:
        return self.n_ctx is not None and self.n_ctx > 0


def fit(manifest: Manifest, available_bytes: int) -> Fit:
    """How much context fits beside the weights into `available_bytes`, at most what the model was trained for."""
    size = manifest.size_bytes
    if size is None:
        return Fit(None, None)
    fixed = size + OVERHEAD_BYTES
    smallest = min(MIN_CONTEXT, manifest.context_length)
    room = int(available_bytes * (1 - SPARE_FRACTION)) - fixed
    per_token = manifest.kv_bytes_per_token
    n_ctx = manifest.context_length if per_token == 0 else min(manifest.context_length, max(0, room) // per_token)
    if room < smallest * per_token or room < 0:
        return Fit(0, fixed + smallest * per_token)
    return Fit(n_ctx, fixed + n_ctx * per_token)


def available_bytes() -> int:
    """Memory that can be had without swapping, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)
