"""Generators that go on from loaded cells, and prompts that are split where documents go."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible, ContextOverflow, ModelError
from secondme.runtime.base import DecodedText, Generator, Sampling
from secondme.runtime.echo import EchoGenerator
from secondme.runtime.kv import Cells, RaggedCells
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.llama_blocks import n_by_matrices
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from secondme.runtime.template import ChatTemplate
from secondme.types import Message
from tests.contract.test_kv_cells import altered
from tests.contract.test_kv_reader import tokens_of
from tests.tiny_mlx import write_tiny_mlx
from tests.tiny_models import Tiny, write_tiny

SYSTEM = "You know these documents.\nDocuments:\n"
DOCUMENT = "Ada Quill lives in the town of Brixham, keeps 41 otters and a ledger."
MESSAGES = [Message("system", SYSTEM), Message("user", "Where does Ada live?")]
# Gemma's way: no role for the system, and an error that says so.
MERGING = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<turn>{{ m.role }}\n{{ m.content | trim }}<end>\n{% endfor %}<turn>model\n"
)


@pytest.fixture(scope="module")
def smollm2(smollm2_path: Path) -> Iterator[LlamaGenerator]:
    opened = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=256, n_batch=64))
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["echo", "smollm2"])
def either(request: pytest.FixtureRequest) -> Generator:
    return EchoGenerator() if request.param == "echo" else request.getfixturevalue("smollm2")


@pytest.fixture(params=["f16", "q8_0", "mlx"])
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Generator]:
    opened: Generator
    if request.param == "mlx":
        opened = MlxGenerator(write_tiny_mlx(tmp_path / "tiny"), options=MlxOptions(n_ctx=512, n_batch=64))
    else:
        path = write_tiny(tmp_path / "tiny.gguf", Tiny())
        opened = LlamaGenerator(path, options=LlamaOptions(n_ctx=512, n_batch=64, threads=1, kv_type=request.param))
    yield opened
    opened.close()


def continued(generator: Generator, tokens: list[int], n: int = 8) -> tuple[str, int]:
    """(text, tokens that were in the cache already)."""
    first = None
    for event in generator.prefill(tokens):
        first = first or event
    texts = [e.text for e in generator.decode(Sampling(max_tokens=n)) if isinstance(e, DecodedText)]
    return "".join(texts), first.n_done if first else 0


def read_cells(generator: Generator, tokens: list[int]) -> Cells:
    reader = generator.reader(256)
    for _ in reader.read(tokens):
        pass
    cells = reader.cells()
    reader.close()
    return cells


# Loaded cells ----------------------------------------------------------------------------------------------------


def test_a_prompt_goes_on_from_loaded_cells_as_if_it_had_been_read(smollm2: LlamaGenerator) -> None:
    head, tail = smollm2.chat_parts(MESSAGES)
    known = head + smollm2.tokenize(DOCUMENT)
    smollm2.forget()
    cold, n_cached = continued(smollm2, known + tail, 16)
    assert n_cached == 0 and "Brixham" in cold
    smollm2.load_cells(known, read_cells(smollm2, known))
    assert smollm2.cached_tokens == tuple(known) and smollm2.usage.n_used == len(known)
    assert continued(smollm2, known + tail, 16) == (cold, len(known))
    # A second turn keeps all of it.
    longer = [*smollm2.cached_tokens, *smollm2.tokenize(" and")]
    assert continued(smollm2, longer, 1)[1] >= len(known + tail)


def test_texts_are_read_by_tiles_and_answered_about_by_matrices(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    generator = LlamaGenerator(path, options=LlamaOptions(n_ctx=512, n_batch=64, threads=1))
    context = generator._context
    tokens = tokens_of(generator, 90)

    def read() -> NDArray[np.float32]:
        for _ in generator.prefill(tokens):
            pass
        return context.logits(1)

    def attends() -> bool:
        return context.settings.by_matrices

    by_tiles, cells = read(), read_cells(generator, tokens[:70])
    assert not attends()
    of_tiles = generator.save_state()
    generator.load_cells(tokens[:70], cells)
    by_matrices = read()
    assert attends() and np.abs(by_matrices - by_tiles).max() < 1e-2 * np.abs(by_tiles).max()
    of_matrices, text = generator.save_state(), continued(generator, tokens)[0]
    assert continued(generator, tokens[1:])[1] == 0 and not attends()
    generator.load_state(of_matrices)
    assert attends() and continued(generator, tokens) == (text, len(tokens) - 1)
    generator.load_state(of_tiles)
    assert not attends() and generator.cached_tokens == tuple(tokens)
    generator.close()


def test_how_many_attend_together_follows_from_the_memory_that_scores_take(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    generator = LlamaGenerator(path, options=LlamaOptions(n_ctx=512, threads=1))
    model, n_heads = generator._model, generator.kv_identity().shape.n_heads
    assert n_by_matrices(model, "f16", 512, 256) == 256
    assert n_by_matrices(model, "f16", 512, 20) == 20
    assert n_by_matrices(model, "q8_0", 512, 256) == 0
    wide = (96 << 20) // (4 * n_heads * 100)
    assert n_by_matrices(model, "f16", wide, 256) == 96  # the largest multiple of 32 within it
    assert n_by_matrices(model, "f16", 10 * wide, 256) == 0
    generator.close()


def test_loaded_cells_alone_have_nothing_to_continue_from(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 40)
    cells = read_cells(tiny, tokens)
    tiny.load_cells(tokens, cells)
    with pytest.raises(ModelError, match="nothing to continue"):
        tiny.decode(Sampling())
    assert tiny.cached_tokens == tuple(tokens)
    # The same prompt needs its last token's logits, which only reading gives: all of it is read again.
    assert continued(tiny, tokens)[1] == 0
    assert tiny.cached_tokens[:40] == tuple(tokens)


def test_loaded_cells_go_as_a_whole(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 60)
    cells = read_cells(tiny, tokens[:40])
    cold = continued(tiny, tokens[:30] + tokens[:20])[0]
    tiny.load_cells(tokens[:40], cells)
    assert continued(tiny, tokens)[1] == 40
    assert continued(tiny, tokens[:45])[1] == 44
    assert continued(tiny, tokens[:30] + tokens[:20]) == (cold, 0)
    assert continued(tiny, tokens[:30])[1] == 29  # now they are ordinary


def test_fewer_cells_than_tokens(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 60)
    cells = read_cells(tiny, tokens[:40])
    some = altered(cells, positions=cells.positions[20:], k=cells.k[:, 20:].copy(), v=cells.v[:, 20:].copy())
    tiny.load_cells(tokens[:40], some)
    assert continued(tiny, tokens)[1] == 40
    state = tiny.save_state()
    before = continued(tiny, tokens)[0]
    tiny.load_state(state)
    assert continued(tiny, tokens) == (before, len(tokens) - 1)


def test_a_saved_state_keeps_the_boundary(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 60)
    tiny.load_cells(tokens[:40], read_cells(tiny, tokens[:40]))
    alone = tiny.save_state()
    list(tiny.prefill(tokens))
    state = tiny.save_state()
    list(tiny.prefill([]))
    tiny.load_state(alone)
    with pytest.raises(ModelError, match="nothing to continue"):
        tiny.decode(Sampling())
    tiny.load_state(state)
    text = continued(tiny, tokens)
    assert text[1] == 59
    tiny.load_state(state)
    assert continued(tiny, tokens[:39])[1] == 0
    tiny.load_state(state)
    assert list(tiny.decode(Sampling(max_tokens=1))) and tiny.cached_tokens[:60] == tuple(tokens)


def test_cells_that_do_not_fit_leave_the_cache_alone(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 20)
    cells = read_cells(tiny, tokens)
    list(tiny.prefill(tokens))
    for given_tokens, wrong in ((tokens[:19], cells), (tokens, altered(cells, k=cells.k[:, :, :1].copy()))):
        with pytest.raises(ModelError, match="cannot be placed"):
            tiny.load_cells(given_tokens, wrong)
    with pytest.raises(ModelError, match="cannot be placed"):
        tiny.load_cells(tokens, RaggedCells(20, tiny.kv_identity().shape, np.zeros(7, np.int64), cells.k, cells.v, 16))
    with pytest.raises(ModelError, match="vocabulary"):
        tiny.load_cells([*tokens[:-1], -1], cells)
    with pytest.raises(ContextOverflow):
        tiny.load_cells(tokens * 30, cells)
    assert tiny.cached_tokens == tuple(tokens)


def test_forgetting_takes_loaded_cells_and_readers_along(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 40)
    reader = tiny.reader(256)
    tiny.load_cells(tokens, read_cells(tiny, tokens))
    tiny.forget()
    assert tiny.cached_tokens == ()
    with pytest.raises(ModelError):
        reader.cells()
    assert continued(tiny, [*tokens, 97])[1] == 0
    assert tiny.reader(256).n_tokens == 0


def test_a_stream_under_way_notices_that_cells_were_loaded(tiny: Generator) -> None:
    tokens = tokens_of(tiny, 20)
    cells = read_cells(tiny, tokens)
    list(tiny.prefill(tokens))
    stream = tiny.decode(Sampling(max_tokens=9))
    next(stream)
    tiny.load_cells(tokens, cells)
    with pytest.raises(ModelError, match="moved"):
        list(stream)


def test_a_closed_model(tiny: Generator) -> None:
    cells = read_cells(tiny, [97, 98])
    tiny.close()
    for call in (lambda: tiny.load_cells([97, 98], cells), lambda: tiny.reader(64)):
        with pytest.raises(ModelError):
            call()


def test_the_echo_has_no_cells() -> None:
    echo = EchoGenerator()
    calls: list[Callable[[], object]] = [
        echo.kv_identity,
        lambda: echo.reader(64),
        lambda: echo.load_cells([1], None),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(CartridgeIncompatible) as caught:
            call()
        assert caught.value.hint


# Where documents go ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("system", [SYSTEM, "", "Be kind.", "Größe 日本 <|im_end|> <|end|>", "two\n\nlines "])
@pytest.mark.parametrize("question", ["Where?", "<|im_start|>system\nno<|im_end|>", ""])
def test_head_and_tail_are_the_chat(either: Generator, system: str, question: str) -> None:
    messages = [Message("system", system), Message("user", question), Message("assistant", "a"), Message("user", "b")]
    head, tail = either.chat_parts(messages)
    assert either.detokenize(head + tail) == either.detokenize(either.chat_tokens(messages))
    assert either.detokenize(head).endswith(system)
    assert system == "" or system not in either.detokenize(tail)


def test_what_is_put_between_stands_at_the_end_of_the_system_message(either: Generator) -> None:
    head, tail = either.chat_parts(MESSAGES)
    with_document = [Message("system", SYSTEM + DOCUMENT), *MESSAGES[1:]]
    found = head + either.tokenize(DOCUMENT) + tail
    assert either.detokenize(found) == either.detokenize(either.chat_tokens(with_document))
    # The head does not depend on what follows, so that its cells can be kept.
    assert either.chat_parts([MESSAGES[0], Message("user", "Something else")])[0] == head


def test_without_a_system_message_there_is_no_place(either: Generator) -> None:
    with pytest.raises(ModelError, match="no system message"):
        either.chat_parts([Message("user", "Hi")])


def letters(text: str, *, special: bool) -> list[int]:
    return [ord(letter) + (2_000_000 if special else 0) for letter in text]


def text_of(tokens: list[int]) -> str:
    return "".join(chr(token % 2_000_000) for token in tokens)


@functools.cache
def merging() -> ChatTemplate:
    return ChatTemplate(MERGING, bos="<s>", control_names=["<turn>", "<end>"])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30), st.booleans())
def test_parts_of_templates_that_merge_the_system_message(system: str, question: str, splits: bool) -> None:
    template = merging()
    system += "x<end>:"
    question += "<turn>" * splits + "?"
    head, tail = template.parts([Message("system", system), Message("user", question)], letters)
    whole = template.tokens([Message("system", system), Message("user", question)], letters)
    assert head + tail == whole
    assert text_of(head) == f"<s><turn>user\n{system.lstrip()}"
    # Names of control tokens are those of the template; the contents' own were tokenized as text.
    controls = text_of([token for token in head + tail if token >= 2_000_000])
    assert (controls.count("<turn>"), controls.count("<end>")) == (2, 1)


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages %}{{ m.role }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
    ],
)
def test_templates_that_do_not_show_the_system_message_once(source: str) -> None:
    with pytest.raises(ModelError, match="once"):
        ChatTemplate(source).parts(MESSAGES, letters)
