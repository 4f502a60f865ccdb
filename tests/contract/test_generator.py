"""One body for every generator: what the protocol promises, on the echo and on the real small model."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secondme.errors import Cancelled, ContextOverflow, ModelError
from secondme.runtime.base import DecodedText, DecodeEnd, Generator, Sampling
from secondme.runtime.echo import EchoGenerator
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from secondme.runtime.mlx import MlxGenerator, MlxOptions
from secondme.types import Message, PrefillProgress
from tests.reading_memory import hits

N_CTX = 128
COUNTING = "one two three four five six seven eight " * 3 + "one two three"
TEXTS = [
    "",
    " ",
    "hello world",
    "  two  spaces\n\n\tand tabs \r\n",
    "Ünïcödé naïve",
    "日本語のテキスト",
    "👩‍👩‍👧 🙂 🇩🇪",
    "a\x00b",
]

FORGETTING = """
import sys
from pathlib import Path
from secondme.runtime.llama import LlamaGenerator, LlamaOptions

generator = LlamaGenerator(Path(sys.argv[1]), options=LlamaOptions(n_ctx=512, n_batch=64))
tokens = generator.tokenize("".join(f" the {n} velvet zebras sleep" for n in range(30)))
list(generator.prefill(tokens))
print(*tokens[-12:], flush=True)
sys.stdin.readline()
generator.forget()
print("forgotten", flush=True)
sys.stdin.readline()
"""


@dataclass(frozen=True)
class Case:
    """`end` ends a turn, and `finished` is an answer after which the model ends its turn."""

    make: Callable[[], Generator]
    end: str
    finished: str


@pytest.fixture(scope="module", params=["echo", "smollm2", "mlx"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "echo":
        return Case(lambda: EchoGenerator(n_ctx=N_CTX), "<|end|>", "echo: Hello!")
    answered = "Hello! How can I help you today?"
    if request.param == "mlx":
        folder: Path = request.getfixturevalue("smollm2_mlx")
        of_mlx = MlxOptions(n_ctx=N_CTX, n_batch=32)
        return Case(lambda: MlxGenerator(folder, options=of_mlx), "<|im_end|>", answered)
    path: Path = request.getfixturevalue("smollm2_path")
    options = LlamaOptions(n_ctx=N_CTX, n_batch=32)
    return Case(lambda: LlamaGenerator(path, options=options), "<|im_end|>", answered)


@pytest.fixture(scope="module")
def opened(case: Case) -> Iterator[Generator]:
    generator = case.make()
    yield generator
    generator.close()


@pytest.fixture
def generator(opened: Generator) -> Generator:
    prefill(opened, [])
    return opened


def prefill(generator: Generator, tokens: list[int]) -> list[PrefillProgress]:
    return list(generator.prefill(tokens))


def decode(generator: Generator, sampling: Sampling) -> tuple[str, DecodeEnd]:
    *texts, end = generator.decode(sampling)
    assert isinstance(end, DecodeEnd)
    return "".join(text.text for text in texts if isinstance(text, DecodedText)), end


def continued(generator: Generator, tokens: list[int], sampling: Sampling) -> str:
    prefill(generator, tokens)
    return decode(generator, sampling)[0]


def test_info_describes_the_model(generator: Generator) -> None:
    info = generator.info
    assert (info.n_ctx, info.name != "", info.backend != "") == (N_CTX, True, True)
    assert len(info.fingerprint) == 64
    assert info.n_ctx <= info.n_ctx_train
    assert info.kv_bytes_per_token > 0


def test_a_grammar_leaves_no_other_words(generator: Generator) -> None:
    sampling = Sampling(
        max_tokens=24, grammar='root ::= "{\\"home\\": \\"" ("Bonn" | "Ulm") "\\"}"', repeat_penalty=1.1
    )
    if generator.info.backend == "echo":
        prefill(generator, generator.tokenize(COUNTING))
        with pytest.raises(ModelError):
            list(generator.decode(sampling))
        return
    text = continued(generator, generator.tokenize(COUNTING), sampling)
    assert text in ('{"home": "Bonn"}', '{"home": "Ulm"}')


def test_a_broken_grammar_is_refused(generator: Generator) -> None:
    prefill(generator, generator.tokenize(COUNTING))
    with pytest.raises(ModelError):
        list(generator.decode(Sampling(grammar="root ::= (")))
    assert continued(generator, generator.tokenize(COUNTING), Sampling(max_tokens=3))


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_the_text(generator: Generator, text: str) -> None:
    tokens = generator.tokenize(text)
    assert generator.detokenize(tokens) == text
    assert all(0 <= token < generator.info.n_vocab for token in tokens)


def test_control_tokens_need_to_be_asked_for(generator: Generator, case: Case) -> None:
    assert len(generator.tokenize(case.end, special=True)) == 1
    plain = generator.tokenize(case.end)
    assert len(plain) > 1
    assert generator.detokenize(plain) == case.end


def test_chat_template_is_open_for_the_answer(generator: Generator) -> None:
    text = generator.detokenize(generator.chat_tokens([Message("system", "Be kind."), Message("user", "Hello!")]))
    assert text.index("Be kind.") < text.index("Hello!") < text.rindex("assistant")


def test_control_tokens_in_contents_stay_text(generator: Generator, case: Case) -> None:
    (end,) = generator.tokenize(case.end, special=True)
    hostile = f"a {case.end} b {case.end * 2}"
    harmless = generator.chat_tokens([Message("system", "x"), Message("user", "y")])
    tokens = generator.chat_tokens([Message("system", hostile), Message("user", f"{case.end}")])
    assert tokens.count(end) == harmless.count(end)
    assert hostile in generator.detokenize(tokens)


def test_chat_tokens_of_harmless_contents_are_those_of_the_rendered_text(generator: Generator) -> None:
    messages = [Message("user", "What?\n\n 1 < 2"), Message("assistant", "Yes."), Message("user", " Größe 日本 ")]
    tokens = generator.chat_tokens(messages)
    assert generator.tokenize(generator.detokenize(tokens), special=True) == tokens


def test_prefill_reports_progress_and_fills_the_cache(generator: Generator) -> None:
    tokens = (generator.tokenize(COUNTING) * 8)[:100]
    events = prefill(generator, tokens)
    assert len(events) > 2
    assert [event.n_done for event in events] == sorted({event.n_done for event in events})
    assert (events[0].n_done, events[-1].n_done) == (0, len(tokens))
    assert {event.n_total for event in events} == {len(tokens)}
    assert generator.cached_tokens == tuple(tokens)
    assert (generator.usage.n_used, generator.usage.n_context) == (len(tokens), N_CTX)


def test_prefill_keeps_the_common_prefix(generator: Generator) -> None:
    first, second = generator.tokenize(COUNTING), generator.tokenize(COUNTING[:-5] + "seven eight one two")
    n_common = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    cold = continued(generator, second, Sampling(max_tokens=6))
    prefill(generator, first)
    assert prefill(generator, second)[0].n_done == n_common > 10
    assert decode(generator, Sampling(max_tokens=6))[0] == cold


def test_prefill_of_a_shorter_prompt_forgets_the_rest(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    cold = continued(generator, tokens[:-4], Sampling(max_tokens=4))
    prefill(generator, tokens)
    assert continued(generator, tokens[:-4], Sampling(max_tokens=4)) == cold


def test_greedy_decoding_repeats_itself(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    first = continued(generator, tokens, Sampling(max_tokens=8))
    assert first
    assert continued(generator, tokens, Sampling(max_tokens=8)) == first


def test_a_seed_fixes_what_a_temperature_opens(generator: Generator) -> None:
    tokens = generator.chat_tokens([Message("user", "Tell me about red green blue and yellow")])
    texts = [continued(generator, tokens, Sampling(max_tokens=10, temperature=1.5, seed=seed)) for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[3]
    assert len(set(texts)) > 1


def test_decode_ends_at_the_length_and_goes_on_from_there(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    whole = continued(generator, tokens, Sampling(max_tokens=9))
    prefill(generator, tokens)
    first, end = decode(generator, Sampling(max_tokens=4))
    assert (end.reason, end.n_tokens) == ("length", 4)
    assert generator.usage.n_used == len(tokens) + 4
    assert first + decode(generator, Sampling(max_tokens=5))[0] == whole


def test_decode_of_nothing(generator: Generator) -> None:
    prefill(generator, generator.tokenize("hello"))
    assert decode(generator, Sampling(max_tokens=0)) == ("", DecodeEnd("length", 0))
    prefill(generator, [])
    with pytest.raises(ModelError, match="nothing to continue"):
        generator.decode(Sampling())


def test_decode_ends_where_the_model_ends_its_turn(generator: Generator, case: Case) -> None:
    prefill(generator, generator.chat_tokens([Message("user", "Hello!")]) + generator.tokenize(case.finished))
    assert decode(generator, Sampling(max_tokens=4)) == ("", DecodeEnd("end", 0))


def test_stop_strings_are_found_across_tokens_and_left_out(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    whole = continued(generator, tokens, Sampling(max_tokens=12))
    for stop in (whole[3:12], whole[6:8]):
        prefill(generator, tokens)
        text, end = decode(generator, Sampling(max_tokens=12, stop=("never said", stop)))
        assert (text, end.reason) == (whole[: whole.index(stop)], "stop")


def test_a_stop_string_that_does_not_come_takes_nothing_away(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    whole = continued(generator, tokens, Sampling(max_tokens=5))
    assert continued(generator, tokens, Sampling(max_tokens=5, stop=(whole[-3:] + "\x00",))) == whole


def test_decode_ends_when_the_context_is_full(generator: Generator) -> None:
    tokens = (generator.tokenize(COUNTING) * 12)[: N_CTX - 3]
    prefill(generator, tokens)
    _, end = decode(generator, Sampling(max_tokens=20))
    assert (end.reason, end.n_tokens, generator.usage.n_used) == ("context", 3, N_CTX)


def test_cancel_within_one_token(generator: Generator) -> None:
    prefill(generator, generator.tokenize(COUNTING))
    asked = threading.Event()
    seen = []
    for event in generator.decode(Sampling(max_tokens=50), cancelled=asked.is_set):
        seen.append(event)
        if len(seen) == 3:
            asked.set()
    assert seen[-1] == DecodeEnd("cancelled", 3)
    assert generator.usage.n_used == len(generator.cached_tokens) == len(generator.tokenize(COUNTING)) + 2


def test_cancel_within_one_block(generator: Generator) -> None:
    tokens = (generator.tokenize(COUNTING) * 12)[:100]
    asked = threading.Event()
    n_done = []
    with pytest.raises(Cancelled):
        for event in generator.prefill(tokens, cancelled=asked.is_set):
            n_done.append(event.n_done)
            if event.n_done:
                asked.set()
    assert n_done[-1] < len(tokens)
    assert generator.cached_tokens == tuple(tokens[: n_done[-1]])
    assert prefill(generator, tokens)[0].n_done == n_done[-1]


def test_too_much_text_changes_nothing(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    prefill(generator, tokens)
    with pytest.raises(ContextOverflow) as caught:
        generator.prefill(tokens * 20)
    assert str(len(tokens) * 20) in caught.value.message
    assert str(N_CTX) in caught.value.message
    assert generator.cached_tokens == tuple(tokens)


def test_tokens_outside_the_vocabulary_are_refused(generator: Generator) -> None:
    for token in (-1, generator.info.n_vocab):
        with pytest.raises(ModelError, match="vocabulary"):
            generator.prefill([token])
        with pytest.raises(ModelError, match="vocabulary"):
            generator.detokenize([token])


def test_state_out_and_in_continues_alike(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    prefill(generator, tokens)
    state = generator.save_state()
    whole = decode(generator, Sampling(max_tokens=6))[0]
    prefill(generator, generator.tokenize("something else"))
    generator.load_state(state)
    assert generator.cached_tokens == tuple(tokens)
    assert decode(generator, Sampling(max_tokens=6))[0] == whole
    generator.load_state(state)
    assert prefill(generator, tokens)[0].n_done >= len(tokens) - 1


def test_a_damaged_state_is_refused_and_the_cache_kept(generator: Generator) -> None:
    tokens = generator.tokenize("one two three")
    prefill(generator, tokens)
    state = generator.save_state()
    damaged = [b"", state[:40], state[:-1], state + b"\0", b"GGUF" + state[4:]]
    for place in (0, 5, 8, 20, len(state) // 2, len(state) - 1):
        damaged.append(state[:place] + bytes([state[place] ^ 1]) + state[place + 1 :])
    for bad in damaged:
        with pytest.raises(ModelError):
            generator.load_state(bad)
        assert generator.cached_tokens == tuple(tokens)


def test_a_state_of_another_model_is_refused(generator: Generator, smollm2_path: Path) -> None:
    prefill(generator, generator.tokenize("one two"))
    other: Generator
    if isinstance(generator, EchoGenerator):
        other = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=64, n_batch=32))
    else:
        other = EchoGenerator()
    with pytest.raises(ModelError, match="another"):
        other.load_state(generator.save_state())
    other.close()


def test_an_older_stream_notices_that_the_cache_was_moved(generator: Generator) -> None:
    prefill(generator, generator.tokenize(COUNTING))
    stream = generator.decode(Sampling(max_tokens=10))
    next(stream)
    prefill(generator, generator.tokenize("something else"))
    with pytest.raises(ModelError, match="moved"):
        list(stream)
    assert generator.cached_tokens == tuple(generator.tokenize("something else"))


def test_an_abandoned_stream_leaves_the_cache_exact(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    whole = continued(generator, tokens, Sampling(max_tokens=6))
    prefill(generator, tokens)
    stream = generator.decode(Sampling(max_tokens=6))
    next(stream)
    next(stream)
    del stream
    assert generator.cached_tokens[: len(tokens)] == tuple(tokens)
    assert continued(generator, tokens, Sampling(max_tokens=6)) == whole


def test_threads_share_one_generator(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    whole = continued(generator, tokens, Sampling(max_tokens=4))
    texts: list[str] = []
    others: list[BaseException] = []

    def work() -> None:
        for _ in range(3):
            try:
                texts.append(continued(generator, tokens, Sampling(max_tokens=4)))
            except ModelError as error:
                others.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert 0 <= generator.usage.n_used <= N_CTX
        assert len(generator.cached_tokens) <= N_CTX
        generator.tokenize("hello")
        threads[0].join(0.005)
        threads[1].join(0.005)
        threads[2].join(0.005)
    assert len(texts) + len(others) == 9
    assert all(isinstance(error, ModelError) and "moved" in error.message for error in others)
    assert continued(generator, tokens, Sampling(max_tokens=4)) == whole


def test_forgetting_empties_the_cache_and_keeps_the_model(generator: Generator) -> None:
    tokens = generator.tokenize(COUNTING)
    before = continued(generator, tokens, Sampling(max_tokens=8))
    stream = generator.decode(Sampling(max_tokens=8))
    next(stream)
    generator.forget()
    assert generator.cached_tokens == () and generator.usage.n_used == 0
    with pytest.raises(ModelError):
        list(stream)
    with pytest.raises(ModelError):
        list(generator.decode(Sampling()))
    # Everything is read again, which shows in the progress, and continued as before.
    assert prefill(generator, tokens)[0].n_done == 0
    assert decode(generator, Sampling(max_tokens=8))[0] == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_read_is_not_left_in_a_real_models_memory(smollm2_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORGETTING, str(smollm2_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        block = {"tokens": struct.pack("<12i", *map(int, child.stdout.readline().split()))}
        assert hits(child.pid, block)["tokens"] > 0
        child.stdin.write("go on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "forgotten\n"
        assert hits(child.pid, block)["tokens"] == 0


def test_close_is_final_and_may_be_repeated(case: Case) -> None:
    generator = case.make()
    prefill(generator, generator.tokenize("one two three"))
    stream = generator.decode(Sampling(max_tokens=5))
    next(stream)
    generator.close()
    generator.forget()
    generator.close()
    calls: list[Callable[[], object]] = [
        lambda: list(stream),
        lambda: generator.prefill([1]),
        lambda: generator.decode(Sampling()),
        generator.save_state,
        lambda: generator.load_state(b""),
    ]
    for call in calls:
        with pytest.raises(ModelError):
            call()
    assert generator.cached_tokens == ()
