"""`secondme bench runtime --backend mlx`: its speed beside mlx-lm's own loop, and how far it agrees with llama.cpp.

peer.py       starts mlx-lm in an environment of its own, and asks it for one run at a time
worker.py     that process
agreement.py  both runtimes over the same text and prompts, from the same 4-bit weights
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from secondme.bench.rows import Row
from secondme.errors import UsageError
from secondme.runtime.base import DecodedText, Generator, Sampling

Timed = tuple[float, float]
"""Tokens per second: of the prompt until the first token of the answer is known, and of the tokens after that."""


@dataclass(frozen=True, slots=True)
class Options:
    """folder: the model for MLX. gguf: the file it was made from, None for a folder from elsewhere: then there is no
    agreement to measure. texts: a file or folder of public text, None for Python's documentation. peers: whether mlx-lm
    is run as well. n: runs. n_text: tokens of text. n_prompts, n_continued: greedy continuations, and their length.
    """

    folder: Path
    gguf: Path | None
    texts: Path | None = None
    peers: bool = False
    n: int = 5
    n_prompt: int = 512
    n_decode: int = 128
    n_text: int = 2000
    n_prompts: int = 20
    n_continued: int = 32


def quick(options: Options) -> Options:
    """The same with few and small runs: shows that it works, proves nothing."""
    return replace(options, n=1, n_prompt=32, n_decode=8, n_text=64, n_prompts=2, n_continued=4)


def run(options: Options, say: Callable[[str], None]) -> Iterator[Row]:
    """Speed, then agreement. Raises UsageError where there is no such environment, or too little text."""
    from secondme.bench.mlx import agreement, peer

    python = peer.python() if options.peers else None
    text = agreement.public_text(options.texts)
    yield from _speed(options, python, say)
    if options.gguf is not None:
        yield from agreement.rows(options, text, say)


def _speed(options: Options, python: Path | None, say: Callable[[str], None]) -> Iterator[Row]:
    from secondme.bench.mlx.peer import Peer
    from secondme.runtime.mlx import MlxGenerator, MlxOptions
    from secondme.runtime.mlx_lib import on_metal

    n_ctx = options.n_prompt + options.n_decode + 64
    generator = MlxGenerator(options.folder, options=MlxOptions(n_ctx=n_ctx))
    setting = f"{options.folder.name}, {'metal' if on_metal() else 'cpu, float32'}"
    child = None
    try:
        tokens = prompt(generator, options.n_prompt)
        child = Peer(python, options.folder, as_float32=not on_metal()) if python else None
        ours: list[Timed] = []
        theirs: list[Timed] = []
        for i in range(options.n):
            say(f"run {i + 1} of {options.n}")
            ours.append(measure(generator, tokens, options.n_decode))
            if child:
                theirs.append(child.measure(tokens, options.n_decode))
    finally:
        if child:
            child.close()
        generator.close()
    for i, case in enumerate(("prefill", "decode")):
        yield _row(f"{case}_over_mlx_lm", [t[i] for t in ours], [t[i] for t in theirs], setting)


def _row(case: str, ours: Sequence[float], theirs: Sequence[float], setting: str) -> Row:
    """Medians; the ratio is that of the runs one after the other, so that the machine's moods meet both."""
    value = median(ours)
    if not theirs:
        return Row("runtime", case, value, "tokens/s", len(ours), setting=setting)
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row("runtime", case, value, "tokens/s", len(ours), "mlx-lm", median(theirs), ratio, setting)


def prompt(generator: Generator, n: int) -> list[int]:
    """`n` tokens of a text that goes on for ever."""
    from secondme.bench.runtime import TEXT

    tokens = generator.tokenize(TEXT)
    return (tokens * (n // len(tokens) + 1))[:n]


def measure(generator: Generator, tokens: list[int], n_decode: int) -> Timed:
    """One run from an empty cache, greedily. Raises UsageError for a model that has nothing to say."""
    for _ in generator.prefill([]):
        pass
    began = time.perf_counter()
    for _ in generator.prefill(tokens):
        pass
    events = generator.decode(Sampling(max_tokens=n_decode))
    said = [time.perf_counter() for event in events if isinstance(event, DecodedText) and event.token >= 0]
    return timed(began, said, len(tokens))


def timed(began: float, said: Sequence[float], n_prompt: int) -> Timed:
    """From the moments at which tokens came."""
    if len(said) < 2:
        raise UsageError("the model ends its answer at once", hint="measure with another model")
    return n_prompt / (said[0] - began), (len(said) - 1) / (said[-1] - said[0])
