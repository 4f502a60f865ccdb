"""Chunks rejoin to their source, whatever the text, its headings and its pages."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from secondme.ingest.breaks import squeezed
from secondme.ingest.chunk import chunk_document, embedding_text
from secondme.runtime.echo import HashEmbedder
from secondme.types import Chunk, Document, Heading, PageStart

EMBEDDER = HashEmbedder()
count = EMBEDDER.count_tokens

WORDS = st.sampled_from(
    [
        "harbour", "tide", "a", "Ω", "e\u0301", "日本語の文章です。", "👩\u200d🚀", "\u0000", "x" * 300, "1,2;3",
        "end.", "end. ", "\n", "\n\n", "\r\n", "\t", " " * 40, "    indented\n", "# H\n", "\u2028", "\x1c", "fn(){a;b}",
        "\uffff", "\U0010ffff",
    ]
)  # fmt: skip
TEXTS = (
    st.lists(WORDS, max_size=120).map(" ".join) | st.lists(WORDS, max_size=200).map("".join) | st.text(max_size=3000)
)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    text = draw(TEXTS).encode("utf-8", "replace").decode()
    ends = st.integers(0, len(text))

    def starts() -> list[int]:
        return sorted(len(text[:i].encode()) for i in draw(st.sets(ends, max_size=8)))

    heads = tuple(Heading(s, draw(st.integers(1, 4)), f"Heading {i}") for i, s in enumerate(starts()))
    pages = tuple(PageStart(s, i + 1) for i, s in enumerate(starts()))
    kind = draw(st.sampled_from(["text/plain", "text/x-python", "application/pdf"]))
    return Document(text, kind, "Title", heads, pages if kind.endswith("pdf") else ())


@given(documents(), st.integers(4, 256))
@settings(deadline=None)
@example(Document("", "text/plain", ""), 200)
@example(Document(" " * 5000, "text/plain", ""), 20)
@example(Document(" " * 5000 + "x" + "\n" * 5000, "text/plain", ""), 20)
def test_chunks_tile_the_text(document: Document, max_tokens: int) -> None:
    chunks = chunk_document(document, count, max_tokens)
    assert "".join(c.text for c in chunks) == document.text
    raw = document.text.encode()
    at = 0
    for n, chunk in enumerate(chunks):
        assert (chunk.ordinal, chunk.byte_start) == (n, at)
        assert chunk.byte_end > chunk.byte_start
        assert raw[chunk.byte_start : chunk.byte_end].decode() == chunk.text
        assert chunk.line_start == raw[: chunk.byte_start].count(b"\n") + 1
        assert chunk.line_end == chunk.line_start + chunk.text.rstrip().count("\n")
        at = chunk.byte_end
    assert at == len(raw)


@given(documents(), st.integers(4, 256))
@settings(deadline=None)
def test_chunks_fit_and_none_is_blank(document: Document, max_tokens: int) -> None:
    chunks = chunk_document(document, count, max_tokens)
    blank = not document.text.strip()
    for chunk in chunks:
        assert blank or chunk.text.strip()
        assert count(squeezed(chunk.text)) <= max_tokens or len(chunk.text.strip()) == 1


@given(documents())
@settings(deadline=None)
def test_pages_and_headings_are_those_of_the_first_visible_character(document: Document) -> None:
    for chunk in chunk_document(document, count):
        first = chunk.byte_start + len(chunk.text[: len(chunk.text) - len(chunk.text.lstrip())].encode())
        if first == chunk.byte_end:  # a text of nothing but white space
            continue
        on = [p.page for p in document.pages if p.byte_start <= first]
        assert chunk.page == (on[-1] if on else None)
        inside = {p.byte_start for p in document.pages if first < p.byte_start < chunk.byte_end}
        rest = document.text.encode()
        # A page starts a chunk, unless nothing visible is on it.
        assert all(not rest[p : chunk.byte_end].decode().strip() for p in inside)
        titles = {h.title for h in document.headings if h.byte_start <= chunk.byte_end}
        assert set(chunk.heading_path) <= titles


@given(documents(), st.text(max_size=400), st.integers(3, 256))
@settings(deadline=None)
def test_what_is_embedded_fits(document: Document, title: str, n_ctx: int) -> None:
    for chunk in chunk_document(document, count, max(3, n_ctx * 4 // 5)):
        assert count(embedding_text(title, chunk, count, n_ctx)) <= n_ctx


def test_a_chunk_made_for_a_longer_context_is_cut_for_embedding_only() -> None:
    chunk = Chunk(0, "word " * 500, 0, 2500, 1, 1, None, ("Heading",))
    text = embedding_text("Title", chunk, count, 64)
    assert text.startswith("word word")
    assert 40 < count(text) <= 64
