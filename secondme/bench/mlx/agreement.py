"""Whether MLX says what llama.cpp says, from the same weights: next-token distributions, and greedy continuations.

llama.cpp rounds activations to 8 bits before it multiplies them with 4-bit weights on a CPU, and keeps its cache in 16
bits; MLX in float32 does neither. What is left of the distance when llama.cpp is given the same weights in float32 is
no rounding.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.rows import Row
from secondme.errors import UsageError
from secondme.runtime.base import DecodedText, Generator, Sampling
from secondme.types import Message

if TYPE_CHECKING:
    from secondme.bench.mlx import Options

_BLOCK = 250
_MOST_BYTES = 200_000
_ENDINGS = (".txt", ".md", ".rst", ".html")

PROMPTS = (
    "What is the capital of Portugal?",
    "Write two sentences about the sea.",
    "How do I boil an egg?",
    "Name five kinds of fruit.",
    "Why is the sky blue?",
    "Explain what a library is to a child.",
    "Give me a short recipe for pancakes.",
    "What is 17 plus 25?",
    "Translate 'good morning' into French.",
    "Who wrote Romeo and Juliet?",
    "What does a blacksmith do?",
    "List the months that have thirty days.",
    "How does a bicycle stay upright?",
    "Write a polite letter that declines an invitation.",
    "What is the difference between a frog and a toad?",
    "Describe a rainy afternoon in a city.",
    "Which planet is the largest?",
    "Tell me a short story about a lighthouse.",
    "How can I fall asleep sooner?",
    "What is a good name for a grey cat, and why?",
)


def rows(options: Options, text: str, say: Callable[[str], None]) -> Iterator[Row]:
    """`agreement/logits_kl`, `/top1` and `/greedy`, of the GGUF file of `options` and its folder.

    For a small model the same as `agreement/unrounded/..`: llama.cpp has the weights in float32, and rounds nothing.
    """
    from secondme.bench.mlx.expanded import write_expanded
    from secondme.bench.models import EXPANDED
    from secondme.runtime.mlx import MlxGenerator, MlxOptions
    from secondme.runtime.mlx_lib import on_metal

    assert options.gguf is not None
    say("loading the model for MLX")
    n_ctx = options.n_text + _BLOCK
    mlx = MlxGenerator(options.folder, options=MlxOptions(n_ctx=n_ctx, dense=not on_metal()))
    try:
        tokens = mlx.tokenize(text[: 12 * options.n_text])[: options.n_text]
        if len(tokens) < options.n_text:
            raise UsageError("there is too little text", hint="name a file or folder of public text: --texts PATH")
        setting = f"{options.gguf.stem} in llama.cpp and {'MLX' if on_metal() else EXPANDED}"
        pair = _Pair(mlx, tokens, options, say)
        yield from pair.rows("agreement", options.gguf, setting)
        if mlx.info.is_small:
            with tempfile.TemporaryDirectory(prefix="secondme-bench-") as folder:
                write_expanded(options.gguf, path := Path(folder) / "expanded.gguf")
                yield from pair.rows("agreement/unrounded", path, f"{setting}; those of llama.cpp, too")
    finally:
        mlx.close()


@dataclass(frozen=True, slots=True)
class _Pair:
    """MLX, to be compared with llama.cpp over `tokens`."""

    mlx: Generator
    tokens: Sequence[int]
    options: Options
    say: Callable[[str], None]

    def rows(self, case: str, path: Path, setting: str) -> Iterator[Row]:
        from secondme.runtime.llama import LlamaGenerator, LlamaOptions

        n, mlx, n_tokens = self.options.n_continued, self.mlx, len(self.tokens)
        llama = LlamaGenerator(path, options=LlamaOptions(n_ctx=self.options.n_text + _BLOCK))
        try:
            self.say(f"{case}: {n_tokens} tokens of text")
            kl, top1 = distances(llama, mlx, self.tokens)
            yield Row("runtime", f"{case}/logits_kl", kl, "nats", n_tokens, setting=setting)
            yield Row("runtime", f"{case}/top1", 100 * top1, "%", n_tokens, setting=setting)
            self.say(f"{case}: greedy continuations")
            asked = PROMPTS[: self.options.n_prompts]
            equal = sum(_continued(llama, prompt, n) == _continued(mlx, prompt, n) for prompt in asked)
            yield Row("runtime", f"{case}/greedy", equal, "prompts", len(asked), setting=setting)
        finally:
            llama.close()


def distances(reference: Generator, other: Generator, tokens: Sequence[int]) -> tuple[float, float]:
    """After each of `tokens`: mean KL(reference || other) in nats, and the share with the same likeliest token."""
    from secondme.bench.cartridges.metrics import kl_rows, log_probs

    kl = top1 = 0.0
    n_ctx = len(tokens) + 64
    one, two = reference.reader(n_ctx), other.reader(n_ctx)
    try:
        for start in range(0, len(tokens), _BLOCK):
            block = list(tokens[start : start + _BLOCK])
            a, b = (log_probs(reader.logits(block)) for reader in (one, two))
            kl += float(kl_rows(a, b).sum())
            top1 += int((a.argmax(-1) == b.argmax(-1)).sum())
    finally:
        for reader in (one, two):
            reader.close()
    return kl / len(tokens), top1 / len(tokens)


def _continued(generator: Generator, prompt: str, n: int) -> list[int]:
    for _ in generator.prefill(generator.chat_tokens([Message("user", prompt)])):
        pass
    return [e.token for e in generator.decode(Sampling(max_tokens=n)) if isinstance(e, DecodedText) and e.token >= 0]


def public_text(path: Path | None) -> str:
    """The text of a file, or of the files below a folder; for None of the documentation that comes with Python.

    Raises UsageError where it cannot be read.
    """
    if path is None:
        from pydoc_data.topics import topics

        return "\n\n".join(text for _, text in sorted(topics.items()))
    try:
        files = sorted(p for p in path.rglob("*") if p.suffix in _ENDINGS) if path.is_dir() else [path]
        found = ""
        for file in files:
            with file.open("rb") as opened:
                found += opened.read(_MOST_BYTES).decode("utf-8", "replace") + "\n\n"
            if len(found) > _MOST_BYTES:
                break
    except OSError as error:
        raise UsageError(f"cannot read {path}", hint="name a file or folder of public text: --texts PATH") from error
    return found
