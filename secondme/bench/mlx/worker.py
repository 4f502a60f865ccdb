"""The process of mlx-lm's own environment: loads a folder once, then times a run for each line that comes in.

    python -c "...; main([folder, "float32" | "stored"])"      a JSON object a line, both ways

A request is {"tokens": [...], "n_decode": n}; an answer {"began": s, "said": [s, ...]}, moments of one clock. The first
line says {"ready": version}. Only the standard library and mlx-lm are used, and no network.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}


def main(arguments: Sequence[str]) -> int:
    os.environ.update(_QUIET)
    folder, numbers = arguments
    model, tokenizer = _load(folder, as_float32=numbers == "float32")
    from importlib.metadata import version

    _answer({"ready": version("mlx-lm")})
    for line in sys.stdin:
        request = json.loads(line)
        began, said = _run(model, tokenizer, request["tokens"], request["n_decode"])
        _answer({"began": began, "said": said})
    return 0


def _load(folder: str, *, as_float32: bool) -> Any:
    """As mlx-lm loads it; a CPU computes in 16 bits forty times as slowly, so there it gets our numbers."""
    import mlx.core as mx
    import mlx_lm

    model, tokenizer, *_ = mlx_lm.load(folder)
    if as_float32:
        model.set_dtype(mx.float32)
        mx.eval(model.parameters())
    return model, tokenizer


def _run(model: Any, tokenizer: Any, tokens: list[int], n_decode: int) -> tuple[float, list[float]]:
    import mlx_lm

    began = time.perf_counter()
    said: list[float] = []
    for response in mlx_lm.stream_generate(model, tokenizer, tokens, max_tokens=n_decode):
        # Its last response repeats the token before it, to say why it ends.
        if response.finish_reason is None or len(said) + 1 == n_decode:
            said.append(time.perf_counter())
    return began, said


def _answer(table: dict[str, Any]) -> None:
    print(json.dumps(table), flush=True)
