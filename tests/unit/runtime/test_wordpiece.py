"""BERT's tokenizer by its rules; agreement with the original on real texts is tested with the embedders."""

from __future__ import annotations

import pytest

from secondme.runtime.wordpiece import WORD_START, WordPiece, WordPieceRules

PIECES = ["un", "##aff", "##able", "cafe", "Cafe", "caf", "##é", "a", "##a", "!", "世", "界", "ᄒ", "##ᅡ", "##ᆫ", "σας"]
IDS = {WORD_START + p if not p.startswith("##") else p[2:]: i for i, p in enumerate(PIECES)}
UNKNOWN = 99


def words(text: str, rules: WordPieceRules | None = None) -> list[str]:
    tokens = WordPiece(IDS, UNKNOWN, rules or WordPieceRules()).tokenize(text)
    return ["?" if token == UNKNOWN else PIECES[token] for token in tokens]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\u3000", []),
        ("unaffable", ["un", "##aff", "##able"]),
        ("unaffablx", ["?"]),
        ("Café CAFÉ cafe\u0301", ["cafe"] * 3),
        ("a!a!!", ["a", "!", "a", "!", "!"]),
        ("a世界a", ["a", "世", "界", "a"]),
        ("한", ["ᄒ", "##ᅡ", "##ᆫ"]),
        ("a\u200ba\x00a\ufffda", ["a", "##a", "##a", "##a"]),
        ("a\u2028a", ["a", "a"]),
        ("[CLS]", ["?", "?", "?"]),
    ],
)
def test_uncased(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_cased_models_keep_case_and_accents() -> None:
    rules = WordPieceRules(lowercase=False, strip_accents=False)
    assert words("Cafe café", rules) == ["Cafe", "caf", "##é"]


def test_long_words_are_unknown_and_still_counted() -> None:
    assert words("a" * 100) == ["a", *["##a"] * 99]
    assert [len(words("a" * n)) for n in (101, 199, 200, 100_000)] == [1, 1, 2, 1000]


def test_a_sigma_at_the_end_of_a_word_is_no_other_letter() -> None:
    rules = WordPieceRules()
    assert WordPiece({WORD_START + "σασ": 1}, UNKNOWN, rules).tokenize("ΣΑΣ") == [1]


def test_the_cache_of_words_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondme.runtime.wordpiece._CACHED_WORDS", 3)
    tokenizer = WordPiece(IDS, UNKNOWN, WordPieceRules())
    for _ in range(3):
        assert tokenizer.tokenize("a un cafe caf unaffable a") == [7, 0, 3, 5, 0, 1, 2, 7]
    assert len(tokenizer._words) <= 3
