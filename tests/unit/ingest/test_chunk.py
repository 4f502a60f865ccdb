from __future__ import annotations

import time
from pathlib import Path

import pytest

from secondme.ingest.breaks import best_break, squeezed
from secondme.ingest.chunk import MAX_CHARS, TARGET_TOKENS, chunk_document, chunk_tokens, embedding_text
from secondme.ingest.parse import parse
from secondme.runtime.echo import HashEmbedder
from secondme.types import Chunk, Document

count = HashEmbedder().count_tokens

SENTENCE = "The keeper of the harbour writes down the tide. "


def chunks(text: str, name: str = "a.md", max_tokens: int = TARGET_TOKENS) -> list[Chunk]:
    return chunk_document(parse(Path(name), text.encode()), count, max_tokens)


def test_room_is_left_for_title_and_headings() -> None:
    assert chunk_tokens(256) == 204
    assert chunk_tokens(512) == chunk_tokens(8192) == 204
    assert chunk_tokens(128) == 102


def test_a_short_document_is_one_chunk() -> None:
    (chunk,) = chunks("# Title\n\nA few words.\n")
    assert (chunk.line_start, chunk.line_end, chunk.heading_path) == (1, 3, ("Title",))


def test_sections_begin_chunks_and_headings_stay_with_their_text() -> None:
    text = "# Guide\n\n" + "".join(f"## Part {n}\n\n{SENTENCE * 15}\n\n" for n in range(4))
    found = chunks(text)
    assert [c.text.splitlines()[0] for c in found] == ["# Guide", "## Part 1", "## Part 2", "## Part 3"]
    assert [c.heading_path for c in found] == [("Guide", f"Part {n}") for n in range(4)]


def test_small_sections_are_joined_under_what_they_share() -> None:
    text = "# Guide\n\n" + "".join(f"## Part {n}\n\n{SENTENCE}\n\n" for n in range(4))
    (chunk,) = chunks(text)
    assert chunk.heading_path == ("Guide",)


def test_a_small_section_does_not_swallow_the_next_chapter() -> None:
    found = chunks(f"# One\n\n{SENTENCE * 25}\n\n## End\n\n{SENTENCE}\n\n# Two\n\n{SENTENCE * 3}\n")
    assert [c.heading_path for c in found] == [("One",), ("One",), ("One", "End"), ("Two",)]


def test_long_sections_are_cut_after_sentences() -> None:
    found = chunks("# A\n\n" + SENTENCE * 60)
    assert len(found) > 3
    assert all(c.text.rstrip().endswith(".") for c in found)
    sizes = [count(squeezed(c.text)) for c in found]
    assert min(sizes) > TARGET_TOKENS // 3  # no scrap at the end


def test_code_is_cut_between_lines() -> None:
    body = "".join(f"    value_{n} = compute(value_{n - 1}, factor={n})\n" for n in range(1, 120))
    found = chunks(f"def work():\n{body}", "a.py")
    assert len(found) > 3
    assert all(c.text.endswith("\n") for c in found)
    assert all(c.heading_path == ("work",) for c in found)
    assert found[1].text.startswith("    value")


def test_pages_begin_chunks() -> None:
    from tests.make_corpus import Page, pdf

    document = parse(Path("a.pdf"), pdf([Page([SENTENCE]), Page([]), Page([SENTENCE, SENTENCE])]))
    assert [c.page for c in chunk_document(document, count)] == [1, 3]


@pytest.mark.parametrize(
    "text",
    ["x" * 50_000, "日本語の長い文章" * 3000, "a=1;b=2;" * 8000, "\U0001f469\u200d\U0001f680" * 5000, "e\u0301" * 9000],
)
def test_text_without_lines_or_words_is_cut_all_the_same(text: str) -> None:
    found = chunks(text, "a.txt")
    assert "".join(c.text for c in found) == text
    assert all(count(c.text) <= TARGET_TOKENS for c in found)
    assert all(len(c.text) <= MAX_CHARS for c in found)
    assert not any(c.text[0] in "\u0301\u200d" for c in found)


def test_counting_is_rare_and_one_long_line_takes_linear_time() -> None:
    calls = 0

    def counted(text: str) -> int:
        nonlocal calls
        calls += 1
        assert len(text) < 4 * MAX_CHARS
        return len(text) // 4 + 2

    started = time.monotonic()
    found = chunk_document(Document("word " * 1_000_000, "text/plain", ""), counted)
    assert time.monotonic() - started < 10
    assert calls < 1.2 * len(found) + 5


def test_a_tokenizer_that_takes_any_word_for_one_token_does_not_blow_chunks_up() -> None:
    found = chunk_document(Document("x" * 100_000, "text/plain", ""), lambda text: 3)
    assert max(len(c.text) for c in found) <= MAX_CHARS


def test_a_break_prefers_paragraphs_then_sentences_then_words() -> None:
    text = "one two. Three four.\n\nfive six seven eight nine ten"
    assert text[: best_break(text, 0, 30, prose=True)] == "one two. Three four.\n\n"
    assert text[: best_break(text, 0, 15, prose=True)] == "one two. "
    assert text[22 : best_break(text, 22, 33, prose=True)] == "five six "


# What is embedded ----------------------------------------------------------------------------------------------


def chunk(text: str, *path: str) -> Chunk:
    return Chunk(0, text, 0, len(text), 1, 1, None, path)


def test_title_and_headings_come_first() -> None:
    assert embedding_text("Guide", chunk("body", "Part", "Detail"), count, 256) == "Guide > Part > Detail\nbody"
    assert embedding_text("", chunk("body"), count, 256) == "body"


def test_nothing_is_said_twice() -> None:
    assert embedding_text("Guide", chunk("# Guide\n\nbody", "Guide"), count, 256) == "# Guide\nbody"
    assert embedding_text("Guide", chunk("body", "Guide", "Part"), count, 256) == "Guide > Part\nbody"


def test_white_space_is_squeezed() -> None:
    assert embedding_text("", chunk("  a \n\n\n b\t\tc  "), count, 256) == "a\nb c"


def test_context_gives_way_to_the_text() -> None:
    body = "word " * 200
    text = embedding_text("A title of several words", chunk(body, "A heading", "The last one"), count, 207)
    assert text.startswith("The last one\nword")
    assert embedding_text("A title", chunk(body, "A heading of words"), count, 202) == body.strip()
