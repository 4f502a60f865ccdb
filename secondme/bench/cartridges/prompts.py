"""How a document and a question stand in a prompt: prefix + document + tail, as the program itself lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Tokenizer(Protocol):
    """What a Generator knows of text."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]: ...

    def detokenize(self, tokens: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True)
class Format:
    """`head` and `tail` may name control tokens. `lead` is what an answer begins with, `ends` what ends it."""

    head: str
    tail: str
    lead: str
    ends: tuple[str, ...] = ("\n", "<|im_end|>", "<|endoftext|>")


_HEAD = (
    "<|im_start|>system\nYou answer questions about the documents with a short phrase copied from them.\n\n"
    "Documents:\n\n"
)
_ASK = "\n\nAnswer with the exact words from the text.\nQuestion: What is the capital of France?\nAnswer: Paris\n"
_SAY = "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"

FORMATS = {
    "cloze": Format(_HEAD, _ASK + "Question: {question}\nAnswer:", " "),
    "plain": Format("Text:\n\n", _ASK + "Question: {question}\nAnswer:", " "),
    "chat": Format(_HEAD, _SAY.format("Question: {question}"), ""),
    "shots": Format(_HEAD, _SAY.format("What is the capital of France?") + "Paris" + _SAY.format("{question}"), ""),
}
