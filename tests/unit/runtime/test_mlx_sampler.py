"""The sampler for MLX beside llama.cpp's chain: the same settings must leave the same tokens."""

from __future__ import annotations

import ctypes
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.errors import ModelError
from secondme.runtime.base import Sampling
from secondme.runtime.gbnf import read_gbnf
from secondme.runtime.gbnf_match import Matcher
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.llama_lib import library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions
from secondme.runtime.mlx_sampler import MlxSampler
from secondme.runtime.sampler import Sampler

HOME = 'root ::= "{\\"home\\": \\"" ("Bonn" | "Ulm") "\\"}"'
JSON = r"""
# A small JSON, spread over lines
root   ::= object
object ::= "{" space ( pair ("," space
           pair)* )? "}" space
pair   ::= string ":" space value
value  ::= object | string | number | ("true" | "false" | "null") space
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" space
number ::= "-"? ([0-9] | [1-9] [0-9]{0,15}) ("." [0-9]+)? space
space  ::= | " " | "\n" [ \t]{0,20}
"""
CLAIMS = r"""
root ::= "[]" | "[" claim ("," claim){0,3} "]"
claim ::= "{\"who\":\"" word "\",\"value\":\"" word "\"}"
word ::= [^"\\\n{}]{1,48}
"""
UMLAUTS = 'root ::= [ä-ü\\u4e00-\\u9fff]+ "." .{2,} "\\U0001F642"?'
REPEATED = "root ::= ([a-c]? [d]*)* [e]{2} ([f] | [g]{0,2} [f])*"
GRAMMARS = [HOME, JSON, CLAIMS, UMLAUTS, REPEATED]
BROKEN = [
    "root ::= (",
    "root ::= undefined",
    "other ::= [a]",
    "root ::= root [a] | [b]",
    "root ::= *",
    "root ::= [a]{2001}",
    'root ::= "\\q"',
    'root ::= "\\u12g4"',
    'root ::= "open',
    "root ::= [a",
    "root = [a]",
    "root ::= [a] ) [b]",
    'root ::= "a" ; "b"',
    "root ::= under_scored",
    "root ::= [a]? root | [b]? root [c]",
]
UNREAD_HERE = ["root ::= [a]{3,2}", "root ::= " + "(" * 2000, "root ::= []", "root ::= [a]{2000}{2000}{2000}"]
"""Where llama.cpp hangs, overflows, fills memory or reads nothing into it."""


class Vocabulary:
    """A loaded GGUF model's tokens, as the sampler asks for them."""

    def __init__(self, model: LlamaModel) -> None:
        self.n_vocab = model.n_vocab
        self.piece = model.piece
        self.handle = model.vocab
        self.control = frozenset(model.vocabulary(control=True).values())
        self.end_tokens = frozenset(t for t in self.control if library().llama_vocab_is_eog(model.vocab, t))


class Few:
    """Sixteen tokens without an end, for what needs no text."""

    n_vocab = 16
    end_tokens: frozenset[int] = frozenset()

    def piece(self, token: int) -> bytes:
        return b"%x" % token


@pytest.fixture(scope="module")
def vocabulary(smollm2_path: Path) -> Iterator[Vocabulary]:
    model = LlamaModel(read_gguf_header(smollm2_path), LlamaOptions())
    yield Vocabulary(model)
    model.close()


def applied(chain: object, logits: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray, int]:
    """(ids, logits, probabilities, which is chosen) that a sampler of llama.cpp leaves of `logits`."""
    lib = library()
    data = (lib.llama_token_data * len(logits))()
    rows = np.frombuffer(data, [("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    rows["id"], rows["logit"] = np.arange(len(logits)), logits
    array = lib.llama_token_data_array(data, len(data), -1, False)
    lib.llama_sampler_apply(chain, ctypes.byref(array))
    left = rows[: array.size]
    return left["id"].tolist(), left["logit"], left["p"], array.selected


def of_llama(sampling: Sampling, history: list[int], logits: np.ndarray, handle: object = None) -> dict[int, float]:
    sampler = Sampler(sampling, history, len(logits), handle)
    ids, _, probabilities, selected = applied(sampler._chain, logits)
    sampler.close()
    if sampling.temperature <= 0:
        return {ids[selected]: 1.0}
    return dict(zip(ids, probabilities.tolist(), strict=True))


def random_logits(seed: int, n: int = 2000) -> np.ndarray:
    made: np.ndarray = np.random.default_rng(seed).normal(0, 3, n).astype(np.float32)
    return made


class Numbers(Few):
    n_vocab = 2000


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(repeat_penalty=1.3),
        Sampling(temperature=0.8),
        Sampling(temperature=1.5, repeat_penalty=1.1),
        Sampling(temperature=1.0, top_k=0, top_p=0.5, min_p=0.0),
        Sampling(temperature=0.7, top_k=0, top_p=1.0, min_p=0.1),
        Sampling(temperature=2.0, top_k=5000, top_p=0.99, min_p=0.001, repeat_penalty=0.9),
        Sampling(temperature=0.3, top_k=1, top_p=0.0, min_p=1.0),
    ],
)
def test_settings_leave_the_tokens_that_llama_leaves(sampling: Sampling) -> None:
    for seed in range(20):
        logits = random_logits(seed)
        history = np.random.default_rng(seed).integers(0, 2000, 100).tolist()
        history.append(int(logits.argmax()))
        expected = of_llama(sampling, history, logits)
        ids, probabilities = MlxSampler(sampling, history, Numbers()).candidates(logits)
        assert set(ids.tolist()) == set(expected)
        assert np.allclose(probabilities, [expected[i] for i in ids.tolist()], atol=1e-5)


def test_the_penalty_counts_the_last_64_tokens_and_what_is_said() -> None:
    logits = np.zeros(16, np.float32)
    logits[[3, 5]] = 2.0, 1.9
    sampling = Sampling(repeat_penalty=1.5)
    assert MlxSampler(sampling, [3] + [0] * 63, Few()).sample(logits) == 5
    sampler = MlxSampler(sampling, [3] + [0] * 64, Few())
    assert [sampler.sample(logits) for _ in range(3)] == [3, 5, 3]


def test_what_was_drawn_follows_the_probabilities() -> None:
    logits = random_logits(7, 16) * np.float32(0.3)
    sampler = MlxSampler(Sampling(temperature=1.2, top_k=12, seed=5), [], Few())
    ids, probabilities = sampler.candidates(logits)
    n = 20_000
    drawn = np.bincount([sampler.sample(logits) for _ in range(n)], minlength=16)
    assert drawn.sum() == drawn[ids].sum()
    expected = n * probabilities
    # The chi-square's mean is its degrees of freedom, its variance twice as much; the seed is fixed.
    chi_square = ((drawn[ids] - expected) ** 2 / expected).sum()
    assert chi_square < len(ids) - 1 + 4 * np.sqrt(2 * (len(ids) - 1))


def test_a_seed_repeats_itself() -> None:
    def drawn(seed: int) -> list[int]:
        sampler = MlxSampler(Sampling(temperature=2.0, seed=seed), [], Few())
        return [sampler.sample(random_logits(i, 16)) for i in range(40)]

    assert drawn(3) == drawn(3) != drawn(4)
    assert drawn(-1) == drawn(-1)


def test_only_plain_argmax_is_left_to_the_device() -> None:
    assert MlxSampler(Sampling(), [], Few()).greedy
    assert MlxSampler(Sampling(grammar=""), [], Few()).greedy
    for other in (Sampling(temperature=0.1), Sampling(repeat_penalty=1.1), Sampling(grammar="root ::= [0-9]+")):
        assert not MlxSampler(other, [], Few()).greedy


def test_logits_without_tokens_are_never_drawn() -> None:
    logits = np.zeros(24, np.float32)
    logits[20] = 9.0
    assert MlxSampler(Sampling(repeat_penalty=1.1), [], Few()).sample(logits) < 16


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_grammar_allows_what_llama_allows(grammar: str, vocabulary: Vocabulary) -> None:
    """Along random texts: of all tokens at each step, those and no others. Control tokens are never text here."""
    rng, zeros = random.Random(grammar), np.zeros(vocabulary.n_vocab, np.float32)
    everything = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, grammar=grammar)
    ours = MlxSampler(everything, [], vocabulary)
    lib = library()
    theirs = lib.llama_sampler_init_grammar(vocabulary.handle, grammar.encode(), b"root")
    try:
        for _ in range(9):
            ids, logits, _, _ = applied(theirs, zeros)
            never = vocabulary.control - vocabulary.end_tokens
            expected = {i for i, logit in zip(ids, logits.tolist(), strict=True) if logit == 0} - never
            unlike = [vocabulary.piece(t) for t in expected ^ set(ours.candidates(zeros)[0].tolist())]
            assert not unlike[:20]
            if not (words := sorted(expected - vocabulary.end_tokens)):
                break
            short = [word for word in words if len(vocabulary.piece(word)) < 3]
            token = rng.choice(short if short and rng.random() < 0.5 else words)
            ours._accept(token)
            lib.llama_sampler_accept(theirs, token)
    finally:
        lib.llama_sampler_free(theirs)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_grammar_chooses_as_llama_does(temperature: float, vocabulary: Vocabulary) -> None:
    logits = random_logits(11, vocabulary.n_vocab)
    sampling = Sampling(temperature=temperature, grammar=JSON, repeat_penalty=1.2)
    expected = of_llama(sampling, [], logits, vocabulary.handle)
    ids, probabilities = MlxSampler(sampling, [], vocabulary).candidates(logits)
    assert set(ids.tolist()) == set(expected)
    assert np.allclose(probabilities, [expected[i] for i in ids.tolist()], atol=1e-5)


def test_a_grammar_is_followed_to_its_end(vocabulary: Vocabulary) -> None:
    claim = r'\{"who":"[^"\\\n{}]{1,48}","value":"[^"\\\n{}]{1,48}"\}'
    for seed in range(3):
        sampler = MlxSampler(Sampling(temperature=3.0, seed=seed, grammar=CLAIMS), [], vocabulary)
        text = b""
        for step in range(200):
            token = sampler.sample(random_logits(step + 1000 * seed, vocabulary.n_vocab))
            if token in vocabulary.end_tokens:
                break
            text += vocabulary.piece(token)
        assert re.fullmatch(rf"\[\]|\[{claim}(,{claim}){{0,3}}\]", text.decode())


def test_a_mask_costs_little_beside_a_token(vocabulary: Vocabulary) -> None:
    sampler = MlxSampler(Sampling(grammar=CLAIMS), [], vocabulary)
    sampler.sample(random_logits(0, vocabulary.n_vocab))
    times = []
    for step in range(40):
        logits = random_logits(step, vocabulary.n_vocab)
        started = time.thread_time()
        if sampler.sample(logits) in vocabulary.end_tokens:
            break
        times.append(time.thread_time() - started)
    assert np.median(times) < 0.05


@pytest.mark.parametrize("grammar", BROKEN)
def test_what_llama_refuses_is_refused(grammar: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(ModelError):
        Sampler(Sampling(grammar=grammar), [], vocabulary.n_vocab, vocabulary.handle)
    with pytest.raises(ModelError, match="the grammar cannot be read"):
        MlxSampler(Sampling(grammar=grammar), [], vocabulary)


@pytest.mark.parametrize("grammar", UNREAD_HERE)
def test_what_cannot_be_meant_is_refused(grammar: str) -> None:
    with pytest.raises(ModelError, match="the grammar cannot be read"):
        MlxSampler(Sampling(grammar=grammar), [], Few())


@given(text=st.text(alphabet='ab-:=|()[]{}*+?.,19"^\\xu# \n', max_size=60), whole=st.booleans())
def test_any_text_is_a_grammar_or_is_refused(text: str, whole: bool) -> None:
    try:
        matcher = Matcher(read_gbnf(text if whole else f"root ::= {text}"))
    except ValueError:
        return
    for piece in (b"a", b"ab-", b"\xff"):
        if matcher.allows(piece):
            assert matcher.first_bytes()[piece[0]]


@pytest.mark.parametrize("grammar", ["root ::= ([a]?)* [b]", "root ::= ([a]* [c]?)+ [b]", "root ::= (([a]?)*)* [b]"])
def test_what_may_be_empty_may_be_repeated(grammar: str) -> None:
    matcher = Matcher(read_gbnf(grammar))
    for text, fits in ((b"b", True), (b"aaab", True), (b"c", "c" in grammar), (b"ba", False)):
        assert matcher.allows(text) == fits


def test_characters_that_no_token_writes_are_told_of() -> None:
    with pytest.raises(ModelError, match="allows no token"):
        MlxSampler(Sampling(grammar='root ::= "ß"'), [], Few()).sample(np.zeros(16, np.float32))


@pytest.mark.parametrize("char", ["a", "ß", "日", "🙂", "\x7f", "\u0800", "\U0010ffff"])
def test_a_character_may_come_byte_by_byte(char: str) -> None:
    data = char.encode()
    for class_, fits in ((f"[{char}]", True), (f"[^{char}]", False)):
        matcher = Matcher(read_gbnf(f"root ::= {class_}"))
        for byte in data[:-1]:
            assert matcher.allows(bytes([byte])) and matcher.first_bytes()[byte]
            matcher.accept(bytes([byte]))
            assert not matcher.may_end
        assert matcher.allows(data[-1:]) == fits
    matcher = Matcher(read_gbnf(f"root ::= [{char}]"))
    assert not matcher.allows(b"\xff") and not matcher.allows(b"\xc0\x80") and not matcher.allows(data + b"x")
    with pytest.raises(ValueError):
        matcher.accept(b"\x80")
