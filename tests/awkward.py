"""Texts that tokenizers stumble over, made by a seed: scripts, code, controls, runs, and names of control tokens."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable

_WORDS = "the house don't can't I'll we've THEY'RE it's O'Neill naïve straße œuvre Ünïcödé coöperate".split()
_SPACES = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000\x1c\x1d\x1e\x1f"
_JOINERS = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u061c\u180e\ufe0f\u20e3\u202e\u2066\u2069"
_NAMES = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<reponame>", "<|im_end|", "im_end|>", "<|<|im_end|>|>")
_BLOCKS = {
    "emoji": [(0x1F300, 0x1FAFF), (0x2600, 0x27BF), (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF)],
    "east": [(0x3041, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x3400, 0x4DBF), (0x20000, 0x2A6DF)],
    "right to left": [(0x590, 0x6FF), (0x700, 0x74F), (0xFB50, 0xFDFF), (0x10A00, 0x10A5F), (0x1E900, 0x1E95F)],
    "india": [(0x900, 0xDFF), (0xE00, 0xE7F), (0x1780, 0x17FF)],
    "marks": [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x20D0, 0x20FF)],
    "digits": [(0x30, 0x39), (0x660, 0x669), (0x966, 0x96F), (0x2160, 0x2188), (0xBD, 0xBF), (0x1D7CE, 0x1D7FF)],
    "signs": [(0x21, 0x2F), (0x3A, 0x40), (0x2010, 0x205E), (0x2190, 0x23FF), (0xFF00, 0xFFEF)],
    "controls": [(0, 0x1F), (0x7F, 0x9F)],
    "letters": [(0xC0, 0x24F), (0x370, 0x52F), (0x1E00, 0x1FFF), (0x1D400, 0x1D6A3), (0xA640, 0xA7FF)],
    "anything": [(0, 0x2FFFF), (0xE000, 0xF8FF), (0xE0000, 0xE01EF), (0x10FF00, 0x10FFFF)],
    "halves": [(0xD800, 0xDFFF)],
}
_CODE = (
    "def f(x: int) -> None:\n    return x**2  # {}\n\n",
    "for (let i = 0; i < 10; ++i) {\n\ta[i] += `${i}`;\r\n}\n",
    "SELECT * FROM t WHERE a>=1 AND b!='x''y';--\n",
    "\\frac{a_1}{b^2}\\, \\mathbb{R}^{n\\times m}",
    '<a href="x?y=1&z=%20">&nbsp;</a>\n\n\n',
    "0x1F 3.14159e-10 1_000_000 12:30:45 2026-11-21T20:05Z v1.2.3",
)


def awkward(rng: random.Random) -> str:
    """A text of up to some hundred characters, rarely of some thousand."""
    makers: list[Callable[[random.Random], str]] = [_of_block, _of_block, _words, _spaces, _code, _name, _joined, _run]
    weights = [8, 8, 6, 5, 3, 3, 3, 0.3]
    pieces = [rng.choices(makers, weights)[0](rng) for _ in range(rng.randint(1, 9))]
    text = rng.choice(("", " ", "")).join(pieces)
    return rng.choice((_as_is, _as_is, _composed, _taken_apart))(text)


def _as_is(text: str) -> str:
    return text


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _taken_apart(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def _of_block(rng: random.Random) -> str:
    ranges = _BLOCKS[rng.choice(tuple(_BLOCKS))]
    return "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 12)))


def _words(rng: random.Random) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randint(1, 6)))


def _spaces(rng: random.Random) -> str:
    return "".join(rng.choices(_SPACES, k=rng.randint(1, 6))) + rng.choice(("", "a", "1", ".", "語"))


def _code(rng: random.Random) -> str:
    return rng.choice(_CODE)


def _name(rng: random.Random) -> str:
    return rng.choice(_NAMES)


def _joined(rng: random.Random) -> str:
    return "".join(_of_block(rng)[:2] + rng.choice(_JOINERS) for _ in range(rng.randint(1, 5)))


def _run(rng: random.Random) -> str:
    return rng.choice(("a", " ", "é", "語", "9", "\n", "-", "🙂", "ab")) * rng.randint(400, 2500)
