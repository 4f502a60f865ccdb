"""Marks are earned, and the text around them is untouched."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from secondme.chat.cite import CitationMarker, citation
from secondme.recall.excerpt import Asked, excerpts
from secondme.runtime.echo import HashEmbedder
from secondme.text.terms import stem
from secondme.types import Chunk, Hit, StoredChunk, Trust


def hit(text: str, *, n: int = 1, page: int | None = None, start: int = 0, line: int = 1) -> Hit:
    end = start + len(text.encode())
    chunk = Chunk(0, text, start, end, line, line + text.count("\n"), page, ("Heading",))
    return Hit(
        StoredChunk(n, n, f"/notes/{n}.md", "default", f"{n}", "text/markdown", Trust.DOCUMENT, chunk), 1, 1, 1, 1
    )


HITS = (
    hit("The lamp of the lighthouse was lit in 1886 by Reed.", n=1),
    hit("Bread needs flour, water, salt and twelve hours of rest.", n=2),
)


def marked(text: str, size: int = 3) -> str:
    marker = CitationMarker([h.chunk.chunk.text for h in HITS])
    pieces = [marker.feed(text[i : i + size]) for i in range(0, len(text), size)]
    return "".join(pieces) + marker.finish()


def test_supported_sentences_are_marked() -> None:
    given_text = "The lamp was lit in 1886. Bread needs salt and rest."
    assert marked(given_text) == "The lamp was lit in 1886. [1] Bread needs salt and rest. [2]"


def test_a_wrong_number_earns_no_mark() -> None:
    assert marked("The lamp was lit in 1999.") == "The lamp was lit in 1999."


def test_invention_earns_no_mark() -> None:
    assert marked("Dolphins sing at midnight. I do not know.") == "Dolphins sing at midnight. I do not know."


def test_the_models_own_marks_are_dropped() -> None:
    assert marked("The lamp was lit in 1886 [7]. Dolphins sing [2].") == "The lamp was lit in 1886. [1] Dolphins sing."


def test_lines_are_sentences_too() -> None:
    assert marked("- lamp lit in 1886\n- bread, salt, flour") == "- lamp lit in 1886 [1]\n- bread, salt, flour [2]"


def test_ordinary_brackets_stay() -> None:
    text = "See [the log] and a[i] of 3.5 mm."
    assert marked(text) == text


@given(st.text(alphabet="ab1 .[],;!?\n\"'", max_size=120), st.integers(min_value=1, max_value=7))
def test_pieces_do_not_matter_and_nothing_else_changes(text: str, size: int) -> None:
    whole = marked(text, max(1, len(text)))
    assert marked(text, size) == whole
    plain = re.sub(r" \[[12]\]", "", whole)
    assert re.sub(r"\s|\[[\d,;\s]*\]", "", plain) == re.sub(r"\s|\[[\d,;\s]*\]", "", text)


def test_a_citation_resolves_to_bytes_and_lines() -> None:
    text = "Größe zählt.\nDie Lampe brennt seit 1886.\nEnde."
    embedder = HashEmbedder()
    asked = Asked({stem("lampe"): 1.0}, embedder.embed(["Lampe"])[0])
    (excerpt,) = excerpts([hit(text, start=100, line=40, page=7)], asked, embedder, n_embedded=1)
    assert excerpt.text == text
    found = citation(3, excerpt, marked=True)
    data = b"x" * 100 + text.encode()
    assert found.quote == "Die Lampe brennt seit 1886."
    assert data[found.quote_start : found.quote_end].decode() == found.quote
    assert (found.quote_line, found.page, found.n, found.marked) == (41, 7, 3, True)


def test_a_heading_is_quoted_only_where_nothing_else_stands() -> None:
    embedder = HashEmbedder()
    asked = Asked({stem("heading"): 1.0}, embedder.embed(["Heading"])[0])
    quotes = [
        excerpts([hit(text)], asked, embedder, n_embedded=1)[0].quote.text
        for text in (
            "## Heading\n\nIt says what the lamp is for.",
            "Of lamps.\n\n### Another heading\n\nIt says what it is for.",
            "## Heading",
        )
    ]
    assert quotes == ["It says what the lamp is for.", "Of lamps.", "## Heading"]
