"""Text that may be shown, whatever the tokens' borders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondme.runtime.stream import TextStream, common_prefix


def stream(pieces: Sequence[bytes], stop: Sequence[str] = ()) -> tuple[list[str], str, bool]:
    text_stream = TextStream(stop)
    texts = [text_stream.feed(piece) for piece in pieces]
    return texts, text_stream.flush(), text_stream.stopped


def test_a_character_waits_for_its_last_byte() -> None:
    raw = "a🙂é".encode()
    texts, held, _ = stream([raw[i : i + 1] for i in range(len(raw))])
    assert (texts, held) == (["a", "", "", "", "🙂", "", "é"], "")


def test_bytes_that_are_no_text_are_replaced_and_a_cut_character_is_left_out() -> None:
    assert stream([b"a\xff", b"b\xf0\x9f"]) == (["a\ufffd", "b"], "", False)


@pytest.mark.parametrize(
    ("pieces", "stop", "expected"),
    [
        ([b"ab", b"cd", b"ef"], ["cd"], "ab"),
        ([b"ab", b"cd", b"ef"], ["bcde"], "a"),
        ([b"ab", b"cdef"], ["bc", "ab"], ""),
        ([b"aa", b"ab"], ["aab"], "a"),
        ([b"x", b"\n", b"\nUser", b":"], ["\nUser:"], "x\n"),
    ],
)
def test_a_stop_string_ends_the_text(pieces: list[bytes], stop: list[str], expected: str) -> None:
    texts, held, stopped = stream(pieces, stop)
    assert ("".join(texts), held, stopped) == (expected, "", True)


def test_what_only_began_like_a_stop_string_comes_out() -> None:
    assert stream([b"ab", b"c", b"x"], ["bcd"]) == (["a", "", "bcx"], "", False)
    assert stream([b"ab", b"c"], ["bcd"]) == (["a", ""], "bc", False)


@given(st.text(), st.lists(st.text(min_size=1, max_size=4), max_size=3), st.lists(st.integers(0, 40), max_size=8))
def test_borders_never_matter(text: str, stop: list[str], cuts: list[int]) -> None:
    raw = text.encode("utf-8", "replace")
    text = raw.decode()
    borders = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    texts, held, stopped = stream([raw[a:b] for a, b in itertools.pairwise(borders)], stop)
    ends = [text.index(s) for s in stop if s in text]
    if stopped:
        shown = "".join(texts)
        assert any(text.startswith(shown + s) for s in stop)
        assert len(shown) >= min(ends)
    else:
        assert not ends
        assert "".join(texts) + held == text


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_common_prefix(left: list[int], right: list[int]) -> None:
    n = common_prefix(left, right)
    assert left[:n] == right[:n]
    assert n in (len(left), len(right)) or left[n] != right[n]
