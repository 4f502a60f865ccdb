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
        marks = _Marks()
        return _pieces(self.render(self._marked(messages, marks)), marks, tokenize)

    def parts(self, messages: Sequence[Message], tokenize: Tokenize) -> tuple[list[int], list[int]]:
        """The same, before and after the end of the last system message's content, at which no white space is trimmed.

        Raises ModelError if there is none, or the template does not show it once.
        """
        marks = _Marks()
        marked = self._marked(messages, marks)
        last = max((i for i, message in enumerate(marked) if message.role == "system"), default=-1)
        if last < 0:
            raise ModelError("there is no system message to put documents into", hint="give it one")
        marked[last] = Message("system", marked[last].content + marks.cut)
        head, *tails = self.render(marked).split(marks.cut)
        if len(tails) != 1:
            raise ModelError("the model's chat template does not show the system message once", hint=_HINT)
        return _pieces(head, marks, tokenize), _pieces(tails[0], marks, tokenize)

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

    def _marked(self, messages: Sequence[Message], marks: _Marks) -> list[Message]:
        """The messages with marks in place of control names."""
        if self._names is None:
            return list(messages)
        return [Message(m.role, self._names.sub(marks.note, m.content)) for m in messages]


class _Marks:
    """What stands for control names in a rendered text, and where it is to be cut; nobody can guess it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._start = "\ue000" + secrets.token_hex(8) + "\ue001"
        self.cut = self._start + "cut" + _MARK_END
        self.pattern = re.compile(f"{self._start}(\\d+){_MARK_END}")

    def note(self, match: re.Match[str]) -> str:
        """The mark for a control name that was found."""
        self.names.append(match.group())
        return f"{self._start}{len(self.names) - 1}{_MARK_END}"


def _pieces(text: str, marks: _Marks, tokenize: Tokenize) -> list[int]:
    tokens: list[int] = []
    for i, piece in enumerate(marks.pattern.split(text)):
        tokens += tokenize(marks.names[int(piece)], special=False) if i % 2 else tokenize(piece, special=True)
    return tokens


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
