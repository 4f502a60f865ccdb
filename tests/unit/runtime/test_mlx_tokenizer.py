"""Text to tokens under MLX is text to tokens under llama.cpp, for the same vocabulary."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secondme.errors import ModelError
from secondme.runtime.gguf_header import read_gguf_header
from secondme.runtime.llama_lib import library
from secondme.runtime.llama_model import LlamaModel, LlamaOptions
from secondme.runtime.mlx_folder import read_folder
from secondme.runtime.mlx_tokenizer import MlxTokenizer
from secondme.runtime.template import template_of_model
from tests.awkward import awkward
from tests.fault.soak import n
from tests.tiny_mlx import CONTROL, TEMPLATE, TinyMlx, gguf_of, write_tiny_mlx

PRES = ("smollm", "gpt-2", "qwen2", "deepseek-r1-qwen", "llama-bpe", "smaug-bpe")


def load(path: Path) -> MlxTokenizer:
    return MlxTokenizer(read_folder(path))


@pytest.fixture(scope="module")
def ours(smollm2_mlx: Path) -> MlxTokenizer:
    return load(smollm2_mlx)


@pytest.fixture(scope="module")
def theirs(smollm2_path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(read_gguf_header(smollm2_path), LlamaOptions())
    yield model
    model.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_mlx(tmp_path_factory.mktemp("tokenizer") / "tiny", TinyMlx(n_layers=1))


def differences(ours: MlxTokenizer, theirs: LlamaModel, n_texts: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    texts = [awkward(rng) for _ in range(n_texts)]
    return [
        text
        for i, text in enumerate(texts)
        if ours.tokenize(text, special=i % 2 == 0) != theirs.tokenize(text, special=i % 2 == 0)
    ]


def test_the_same_tokens_as_llama_cpp(ours: MlxTokenizer, theirs: LlamaModel) -> None:
    assert differences(ours, theirs, n(2000, 10_000), seed=1) == []


@pytest.mark.parametrize("pre", PRES)
def test_every_way_of_splitting_is_llama_cpps(pre: str, tmp_path: Path) -> None:
    folder = write_tiny_mlx(tmp_path / pre, TinyMlx(n_layers=1, pre=pre))
    model = LlamaModel(read_gguf_header(gguf_of(folder)), LlamaOptions())
    try:
        assert differences(load(folder), model, n(200, 10_000), seed=2) == []
    finally:
        model.close()


def test_the_same_vocabulary_as_llama_cpp(ours: MlxTokenizer, theirs: LlamaModel) -> None:
    lib = library()
    ends = {token for token in range(theirs.n_vocab) if lib.llama_vocab_is_eog(theirs.vocab, token)}
    assert ours.n_vocab == theirs.n_vocab
    assert ours.end_tokens == ends
    assert ours.chat_template == theirs.header.metadata["tokenizer.chat_template"]
    assert (ours.special_token("bos"), ours.special_token("eos")) == (
        theirs.special_token("bos"),
        theirs.special_token("eos"),
    )
    for control in (False, True):
        assert ours.vocabulary(control=control) == theirs.vocabulary(control=control)
    for token in range(0, ours.n_vocab, 7):
        assert ours.piece(token) == theirs.piece(token)
        assert ours.token_text(token) == theirs.token_text(token)
    assert ours.token_text(None) == ""
    assert not ours.adds_bos and theirs.affixes() == ([], [])


def test_any_tokens_become_the_same_text(ours: MlxTokenizer, theirs: LlamaModel) -> None:
    rng = random.Random(3)
    for _ in range(300):
        tokens = [rng.randrange(ours.n_vocab) for _ in range(rng.randint(0, 12))]
        assert ours.detokenize(tokens) == theirs.detokenize(tokens)


def test_halves_of_characters_are_shown_as_such(ours: MlxTokenizer, theirs: LlamaModel) -> None:
    one_byte = [token for token in range(ours.n_vocab) if len(ours.piece(token)) == 1]
    rng = random.Random(4)
    for _ in range(300):
        tokens = rng.choices(one_byte, k=rng.randint(1, 6))
        assert ours.detokenize(tokens) == theirs.detokenize(tokens)
        assert b"".join(map(ours.piece, tokens)).decode("utf-8", "replace") == ours.detokenize(tokens)


def test_control_tokens_have_a_name_and_no_bytes(ours: MlxTokenizer) -> None:
    end = ours.tokenize("<|im_end|>", special=True)
    assert len(end) == 1
    assert ours.piece(end[0]) == b""
    assert ours.detokenize(end) == ours.token_text(end[0]) == "<|im_end|>"
    plain = ours.tokenize("<|im_end|>", special=False)
    assert not set(plain) & set(ours.vocabulary(control=True).values())
    assert ours.detokenize(plain) == "<|im_end|>"


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "\x01\x02\x1b[31m", "\x7f\x80\x9f", "\u0000\ud83d", "\udfff" * 3])
def test_controls_and_lone_surrogates(ours: MlxTokenizer, theirs: LlamaModel, text: str) -> None:
    tokens = ours.tokenize(text, special=False)
    assert tokens == theirs.tokenize(text, special=False)
    assert ours.detokenize(tokens) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("run", ["a", " ", "語", "\n", "ab", "9", " a"])
def test_long_runs_are_cut_as_for_llama_cpp(ours: MlxTokenizer, theirs: LlamaModel, run: str) -> None:
    for length in (999, 1000, 1001, 3500):
        text = "Start: " + run * length + " end <|im_end|>"
        assert ours.tokenize(text, special=True) == theirs.tokenize(text, special=True)


def test_tokens_outside_the_vocabulary_are_refused(tiny: Path) -> None:
    tokenizer = load(tiny)
    for token in (-1, tokenizer.n_vocab):
        with pytest.raises(ModelError, match="vocabulary"):
            tokenizer.detokenize([token])


def test_the_chat_reads_the_same(tiny: Path) -> None:
    tokenizer = load(tiny)
    model = LlamaModel(read_gguf_header(gguf_of(tiny)), LlamaOptions())
    try:
        assert tokenizer.chat_template == TEMPLATE
        template_of_model(model)
        assert tokenizer.vocabulary(control=True) == model.vocabulary(control=True)
        assert set(tokenizer.vocabulary(control=True)) == set(CONTROL)
    finally:
        model.close()


def changed(tiny: Path, tmp_path: Path, **files: object) -> Path:
    """A copy without its origin, with files replaced by JSON values; None removes one."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny, copy)
    (copy / "secondme.json").unlink()
    for name, value in files.items():
        path = copy / f"{name}.json"
        if value is None:
            path.unlink()
        else:
            path.write_text(json.dumps(value))
    return copy


def table(tiny: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((tiny / f"{name}.json").read_text())
    return found


def test_ends_are_gathered_from_all_that_name_them(tiny: Path, tmp_path: Path) -> None:
    config = table(tiny, "config") | {"eos_token_id": [2, 100]}
    copy = changed(tiny, tmp_path, config=config, generation_config={"eos_token_id": 101})
    assert load(copy).end_tokens == {0, 2, 100, 101}
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [True, 1 << 70, "x", None, [1], {}]}))
    assert load(copy).end_tokens == {0, 2, 100, 1}  # JSON's true is 1, as in Python


def test_a_template_may_lie_beside_or_have_a_name(tiny: Path, tmp_path: Path) -> None:
    settings = table(tiny, "tokenizer_config")
    del settings["chat_template"]
    copy = changed(tiny, tmp_path, tokenizer_config=settings)
    assert load(copy).chat_template == ""
    (copy / "chat_template.jinja").write_text("beside")
    assert load(copy).chat_template == "beside"
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    (copy / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": named}))
    assert load(copy).chat_template == "d"


@pytest.mark.parametrize("change", ["more", "half"])
def test_a_tokenizer_that_does_not_match_is_refused(tiny: Path, tmp_path: Path, change: str) -> None:
    tokenizer = table(tiny, "tokenizer")
    model = tokenizer["model"]
    assert isinstance(model, dict)
    if change == "more":
        model["vocab"] |= {"one more": 5000}
    else:
        n_kept = len(model["vocab"]) // 2
        kept = {text: token for text, token in model["vocab"].items() if token < n_kept}
        tokenizer |= {"added_tokens": [], "model": model | {"vocab": kept, "merges": []}}
    with pytest.raises(ModelError, match="does not match") as caught:
        load(changed(tiny, tmp_path, tokenizer=tokenizer))
    assert caught.value.hint


@pytest.mark.parametrize("value", [{}, [], 3, {"model": {"type": "WordPiece", "vocab": {}}}, {"model": "BPE"}])
def test_other_kinds_of_tokenizers_are_refused(tiny: Path, tmp_path: Path, value: object) -> None:
    with pytest.raises(ModelError, match="tokenizer"):
        load(changed(tiny, tmp_path, tokenizer=value))


def test_a_sentencepiece_vocabulary_with_byte_tokens(tiny: Path, tmp_path: Path) -> None:
    vocab = (
        {"<unk>": 0, "</s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)} | {"▁": 258, "h": 259, "▁h": 260}
    )
    replace_space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    tokenizer = table(tiny, "tokenizer") | {
        "added_tokens": [],
        "normalizer": replace_space,
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}]},
        "model": {"type": "BPE", "vocab": vocab, "merges": [["▁", "h"]], "byte_fallback": True, "unk_token": "<unk>"},
    }
    found = load(changed(tiny, tmp_path, tokenizer=tokenizer))
    tokens = found.tokenize("h ho é", special=False)
    assert tokens[:2] == [259, 260]
    assert found.detokenize(tokens) == "h ho é"
    assert found.piece(260) == b" h" and found.piece(2 + 0xC3) == b"\xc3"


def test_what_a_tiny_model_needs(tmp_path: Path) -> None:
    folder = write_tiny_mlx(tmp_path / "big", replace(TinyMlx(), kind="Q4_1", embedding="Q8_0"))
    assert sum(file.stat().st_size for file in folder.iterdir()) < 400_000
