"""Conversations as the model was trained to read them: its own chat template, and text that stays text.

A document that says `<|im_end|>` must not end the owner's turn. So names of control tokens inside contents are
replaced by marks before the template is rendered, and tokenized as plain text where the marks come out.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from secondme.errors import ModelError
from secondme.types import Message

if TYPE_CHECKING:
    from jinja2 import Template

    from secondme.runtime.llama_model import LlamaModel

_T = TypeVar("_T")
_HINT = "choose a model made for conversation (instruct or chat): secondme models list"


class Tokenize(Protocol):
    def __call__(self, text: str, *, special: bool) -> list[int]: ...


class ChatTemplate:
    """A compiled chat template. Raises ModelError if it cannot be compiled."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "", control_names: Iterable[str] = ()) -> None:
        from secondme.runtime.sandbox import ChatSandbox

        self._sandbox = ChatSandbox()
        self._bos, self._eos = bos, eos
        names = sorted({name for name in control_names if name}, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names))) if names else None
        self._template: Template = self._guarded(0, lambda: self._sandbox.from_string(source))

    def tokens(self, messages: Sequence[Message], tokenize: Tokenize) -> list[int]:
        """The conversation, open for the assistant's turn. Raises ModelError if the template cannot render it."""
        marked, mark, names = self._marked(messages)
        pieces = re.split(f"{mark}(\\d+){_MARK_END}", self.render(marked)) if names else [self.render(marked)]
        tokens: list[int] = []
        for i, piece in enumerate(pieces):
            tokens += tokenize(names[int(piece)], special=False) if i % 2 else tokenize(piece, special=True)
        return tokens

    def render(self, messages: Sequence[Message]) -> str:
        """The conversation as text. A model that knows no system role reads it at the head of the first question."""
        from secondme.runtime.sandbox import TemplateRefusal

        try:
            return self._render(messages)
        except ModelError as error:
            merged = _without_system(messages)
            if merged is None or not isinstance(error.__cause__, TemplateRefusal):
                raise
            return self._render(merged)

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        n_chars = sum(len(message.content) for message in messages)

        def render() -> str:
            # A thinking model would think for minutes on a CPU before the answer; models without the switch ignore it.
            return self._template.render(
                messages=turns,
                add_generation_prompt=True,
                bos_token=self._bos,
                eos_token=self._eos,
                tools=None,
                documents=None,
                enable_thinking=False,
            )

        return self._guarded(n_chars, render)

    def _guarded(self, n_chars: int, work: Callable[[], _T]) -> _T:
        from jinja2 import TemplateError

        from secondme.runtime.sandbox import TemplateAbuse, TemplateRefusal

        self._sandbox.start(n_chars)
        try:
            return work()
        except TemplateError as error:
            why = str(error) if isinstance(error, TemplateAbuse | TemplateRefusal) else type(error).__name__
            raise ModelError(f"the model's chat template fails: {why}", hint=_HINT) from error
        except _PYTHON_ERRORS as error:
            raise ModelError("the model's chat template fails", hint=_HINT) from error

    def _marked(self, messages: Sequence[Message]) -> tuple[list[Message], str, list[str]]:
        """(messages with marks in place of control names, how a mark begins, the names in order)."""
        mark, names = "\ue000" + secrets.token_hex(8) + "\ue001", list[str]()

        def note(match: re.Match[str]) -> str:
            names.append(match.group())
            return f"{mark}{len(names) - 1}{_MARK_END}"

        if self._names is None:
            return list(messages), mark, names
        return [Message(m.role, self._names.sub(note, m.content)) for m in messages], mark, names


_MARK_END = "\ue002"
# What a template's own code can raise; nothing else of the program runs inside it.
_PYTHON_ERRORS = (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


def template_of_model(model: LlamaModel) -> ChatTemplate:
    """The chat template in the model's metadata. Raises ModelError if there is none, as in base models."""
    source = model.header.metadata.get("tokenizer.chat_template")
    if not isinstance(source, str) or not source.strip():
        raise ModelError(f"{model.name} has no chat template", hint=_HINT)
    return ChatTemplate(
        source,
        bos=model.token_text(model.special_token("bos")),
        eos=model.token_text(model.special_token("eos")),
        control_names=model.vocabulary(control=True),
    )


def _without_system(messages: Sequence[Message]) -> list[Message] | None:
    """System texts put before the first user message; None if there is nothing to put or nowhere to put it."""
    system = [message.content for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    if not system or not rest or rest[0].role != "user":
        return None
    return [Message("user", "\n\n".join([*system, rest[0].content])), *rest[1:]]
