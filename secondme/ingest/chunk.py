"""Cuts a document into chunks for recall: they tile its text, keep to its structure, and fit the embedding model.

Sections begin where a page or a heading does; small ones are joined, large ones cut at the best place in reach: an
empty line, a sentence, a line, a word, and only then inside a word. The length in tokens is estimated from the text so
far and then counted once, so that long documents cost little more than one count a chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from secondme.ingest.breaks import best_break, blank_to, content_start, squeezed
from secondme.ingest.parse.offsets import char_positions
from secondme.types import Chunk, Document

CountTokens = Callable[[str], int]

TARGET_TOKENS = 204
"""Chunk size: four fifths of MiniLM's 256, the rest being for title and headings. Longer contexts do not raise it,
since one vector says less the more it stands for."""
MAX_CHARS = 2400
"""Longest chunk beside its white space: some tokenizers count a word of any length as one token."""
_SMALL_SHARE = 0.35
_ESTIMATE_MARGIN = 0.93
_SAMPLE_CHARS = 1000
_MAX_CONTEXT_CHARS = 160


def chunk_tokens(n_ctx: int) -> int:
    """Tokens that a chunk may have for an embedder that reads `n_ctx`, with room left for title and headings."""
    return max(8, min(TARGET_TOKENS, n_ctx * 4 // 5))


def chunk_document(document: Document, count_tokens: CountTokens, max_tokens: int = TARGET_TOKENS) -> list[Chunk]:
    """Chunks that, joined, are `document.text`; each of at most `max_tokens`, special tokens included.

    White space does not count: tokens are counted as `squeezed` leaves the text, which is how it is embedded.
    A chunk's page and headings are those of its first visible character, its last line that of the last one.
    """
    if not document.text:
        return []
    sections = _sections(document)
    cutter = _Cutter(document, count_tokens, max_tokens)
    return list(_placed(document, sections, cutter.pieces(sections)))


def embedding_text(title: str, chunk: Chunk, count_tokens: CountTokens, n_ctx: int) -> str:
    """What is embedded of a chunk: title and headings on a line of their own, as far as they fit, then the text.

    Never more than `n_ctx` tokens. Only a chunk made for a model with a longer context is cut; its text is stored and
    searched whole all the same.
    """
    body = squeezed(chunk.text)
    for context in _contexts(title, chunk.heading_path, body):
        text = f"{context}\n{body}" if context else body
        if count_tokens(text) <= n_ctx:
            return text
    while body and (n_tokens := count_tokens(body)) > n_ctx:
        body = body[: min(len(body) - 1, len(body) * n_ctx * 9 // (n_tokens * 10))]
    return body


def _contexts(title: str, heading_path: tuple[str, ...], body: str) -> Iterator[str]:
    """Lines to set before a text, the fullest first; what the text begins with anyway is not said twice."""
    opening = body[: MAX_CHARS // 4]
    names = [n for n in dict.fromkeys((squeezed(title), *heading_path)) if n and n not in opening]
    if names:
        yield " > ".join(n[:_MAX_CONTEXT_CHARS] for n in names)
        yield names[-1][:_MAX_CONTEXT_CHARS]
        yield names[-1][: _MAX_CONTEXT_CHARS // 4]
    yield ""


@dataclass(slots=True)
class _Section:
    """Characters [start, end) under one heading and on one page. `level` is 0 before the first heading."""

    start: int
    end: int
    level: int
    path: tuple[str, ...]
    new_page: bool
    bare: bool  # a heading with nothing below it


def _sections(document: Document) -> list[_Section]:
    text = document.text
    heads = char_positions(text, [h.byte_start for h in document.headings])
    pages = set(char_positions(text, [p.byte_start for p in document.pages]))
    heading_at: dict[int, tuple[int, tuple[str, ...]]] = {}
    stack: list[tuple[int, str]] = []
    for start, heading in zip(heads, document.headings, strict=True):
        stack = [(level, name) for level, name in stack if level < heading.level]
        stack.append((heading.level, heading.title))
        heading_at[start] = (heading.level, tuple(name for _, name in stack))
    starts = sorted({0, *heads, *pages} - {len(text)})
    sections: list[_Section] = []
    level, path, new_page = 0, tuple[str, ...](), False
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        level, path = heading_at.get(start, (level, path))
        new_page = new_page or start in pages
        bare = start in heading_at and "\n" not in text[start:end].strip()
        section = _Section(start, end, level, path, new_page, bare)
        # White space alone is no section: it goes to the one before it, or else to the one after it.
        if not sections or _is_blank(text, sections[-1]):
            section.start = 0
            sections = [section]
        elif _is_blank(text, section):
            sections[-1].end = end
            continue
        else:
            sections.append(section)
        new_page = False
    return sections


def _is_blank(text: str, section: _Section) -> bool:
    return content_start(text, section.start, section.end) == section.end


class _Cutter:
    """Cuts sections into pieces; it owns the running estimate of characters a token."""

    def __init__(self, document: Document, count_tokens: CountTokens, max_tokens: int) -> None:
        self._text = document.text
        self._prose = not document.media_type.startswith("text/x-") or document.media_type in _PROSE_TYPES
        self._count_tokens = count_tokens
        self._max = max_tokens
        self._chars_per_token = self._sampled()

    def _sampled(self) -> float:
        sample = squeezed(self._text[: 4 * _SAMPLE_CHARS])[:_SAMPLE_CHARS]
        return max(0.25, len(sample) / max(1, self._count_tokens(sample))) if len(sample) > 400 else 3.0

    def pieces(self, sections: Sequence[_Section]) -> Iterator[tuple[int, int]]:
        """Yield [start, end) of every chunk, in order, without gaps."""
        for start, end in self._joined(sections):
            at = start
            while at < end:
                cut = self._next_end(at, end)
                yield at, cut
                at = cut

    def _joined(self, sections: Sequence[_Section]) -> Iterator[tuple[int, int]]:
        """Runs of sections that are cut together: small ones with what follows, below their level or beside it."""
        run: list[_Section] = []
        for section in sections:
            if run and not self._belongs(run, section):
                yield run[0].start, run[-1].end
                run = []
            run.append(section)
        if run:
            yield run[0].start, run[-1].end

    def _belongs(self, run: list[_Section], section: _Section) -> bool:
        if section.new_page:
            return False
        if run[-1].bare and section.level >= run[-1].level:
            return True
        before, added = run[-1].end - run[0].start, section.end - section.start
        small = _SMALL_SHARE * self._room()
        fits = before + added <= self._room()
        return fits and min(before, added) < small and section.level >= run[0].level

    def _room(self) -> int:
        """Characters that probably fit into a chunk."""
        return max(1, min(MAX_CHARS, int(self._chars_per_token * self._max * _ESTIMATE_MARGIN)))

    def _next_end(self, start: int, end: int) -> int:
        text = self._text
        base = content_start(text, start, end)
        room = self._room()
        while True:
            cut = self._cut_within(base, end, room)
            n_tokens = self._count_tokens(squeezed(text[base:cut]))
            if n_tokens <= self._max or room == 1:
                break
            # `cut` may lie behind a run of white space, so it is `room` that has to shrink.
            room = max(1, min(room - 1, int((cut - base) * self._max / n_tokens * _ESTIMATE_MARGIN)))
        if n_tokens > 16:
            measured = min(cut - base, MAX_CHARS) / n_tokens
            self._chars_per_token = max(0.25, (self._chars_per_token + measured) / 2)
        return cut

    def _cut_within(self, base: int, end: int, room: int) -> int:
        left = end - base
        if left <= room or content_start(self._text, base + room, end) == end:
            return end
        # Two even halves rather than a full piece and a scrap.
        reach = room if left >= 2 * room else min(room, left * 6 // 10 + 1)
        return blank_to(self._text, best_break(self._text, base, base + reach, prose=self._prose), end)


_PROSE_TYPES = {"text/x-rst", "text/x-tex", "text/x-org", "text/x-asciidoc", "text/x-mediawiki", "text/x-subtitles"}


def _placed(document: Document, sections: list[_Section], pieces: Iterator[tuple[int, int]]) -> Iterator[Chunk]:
    """Pieces with their place in the document: bytes, lines, page, headings."""
    text = document.text
    page_chars = char_positions(text, [p.byte_start for p in document.pages])
    section_starts = [s.start for s in sections]
    byte_at, line = 0, 1
    for ordinal, (start, end) in enumerate(pieces):
        piece = text[start:end]
        n_bytes = len(piece.encode())
        first = content_start(text, start, end)
        page_index = bisect_right(page_chars, first if first < end else start) - 1
        yield Chunk(
            ordinal=ordinal,
            text=piece,
            byte_start=byte_at,
            byte_end=byte_at + n_bytes,
            line_start=line,
            line_end=line + piece.rstrip().count("\n"),
            page=document.pages[page_index].page if page_index >= 0 else None,
            heading_path=_path(sections, section_starts, first, end),
        )
        byte_at += n_bytes
        line += piece.count("\n")


def _path(sections: list[_Section], starts: list[int], first: int, end: int) -> tuple[str, ...]:
    """Headings that all sections between `first` and `end` share; those with nothing below them have no say."""
    low = max(0, bisect_right(starts, first) - 1)
    high = max(low + 1, bisect_right(starts, end - 1))
    held = [s.path for s in sections[low:high] if not s.bare] or [sections[low].path]
    shared = held[0]
    for path in held[1:]:
        n = next((i for i, (a, b) in enumerate(zip(shared, path, strict=False)) if a != b), min(len(shared), len(path)))
        shared = shared[:n]
    return shared
