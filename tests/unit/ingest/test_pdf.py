from __future__ import annotations

import threading
from pathlib import Path

import pytest

from secondme.errors import ParseFailed
from secondme.ingest.parse.pdf import parse_pdf
from secondme.ingest.parse.pdf_layout import Line, Words, body_size, page_text
from tests.make_corpus import Page, pdf

PATH = Path("paper.pdf")


def lines(*rows: tuple[str, float], left: float = 72, right: float = 500, height: float = 12) -> list[Line]:
    """Lines with their base heights."""
    return [Line(text, left, right, base, height) for text, base in rows]


def joined(*rows: tuple[str, float]) -> str:
    placed = lines(*rows)
    return page_text(placed, Words(line.text for line in placed), body_size(placed)).text


def test_pages_have_numbers_and_offsets() -> None:
    document = parse_pdf(PATH, pdf([Page(["Über uns"]), Page([]), Page(["Third page"])], title="A title"))
    assert document.text == "Über uns\n\nThird page\n\n"
    assert [(p.byte_start, p.page) for p in document.pages] == [(0, 1), (11, 2), (11, 3)]
    assert document.title == "A title"


def test_the_title_is_the_name_if_the_file_has_none_worth_showing() -> None:
    assert parse_pdf(PATH, pdf([Page(["x"])], title="Microsoft Word - Document1")).title == "paper.pdf"
    assert parse_pdf(PATH, pdf([Page(["x"])])).title == "paper.pdf"


def test_bookmarks_become_headings_where_their_words_stand() -> None:
    pages = [Page(["Some words", "Chapter One", "more words"]), Page(["nothing like it"])]
    document = parse_pdf(PATH, pdf(pages, outline=[("chapter one", 0), ("Elsewhere", 1)]))
    found = [(h.title, document.text.encode()[h.byte_start :].decode().split("\n")[0]) for h in document.headings]
    assert found == [("chapter one", "Chapter One"), ("Elsewhere", "nothing like it")]


def test_files_that_cannot_be_read() -> None:
    with pytest.raises(ParseFailed, match="password"):
        parse_pdf(PATH, pdf([Page(["x"])], password="open sesame"))
    with pytest.raises(ParseFailed, match="scanned"):
        parse_pdf(PATH, pdf([Page([]), Page([])], image=True))
    with pytest.raises(ParseFailed, match="damaged"):
        parse_pdf(PATH, b"%PDF-1.7\nnothing")
    with pytest.raises(ParseFailed):
        parse_pdf(PATH, pdf([]))


def test_threads_take_turns() -> None:
    data = pdf([Page([f"Line {n} of the page" for n in range(40)])] * 10)
    expected = parse_pdf(PATH, data)
    results = []
    threads = [threading.Thread(target=lambda: results.append(parse_pdf(PATH, data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


LONG = "a line that is long enough to be full of words"


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(LONG, 700), ("and goes on", 686)], f"{LONG} and goes on\n\n"),
        ([(LONG, 700), ("next", 686), ("far", 640)], f"{LONG} next\n\nfar\n\n"),
        ([("short", 700), ("lines", 686)], "short\nlines\n\n"),
        ([(LONG, 700), ("• item", 686), ("2. item", 672)], f"{LONG}\n• item\n2. item\n\n"),
        ([(LONG, 100), ("next column", 700)], f"{LONG}\n\nnext column\n\n"),
        ([("  ", 700), ("", 680)], ""),
        ([], ""),
    ],
)
def test_lines_are_joined_with_care(rows: list[tuple[str, float]], text: str) -> None:
    assert joined(*rows) == text


def test_short_lines_beside_wide_ones_are_not_joined() -> None:
    rows = [Line(LONG, 72, 500, 700, 12), Line("A short verse of a poem or a song here", 72, 200, 686, 12)]
    rows.append(Line("and the next one", 72, 200, 672, 12))
    assert page_text(rows, Words(()), 12).text.endswith("here\nand the next one\n\n")


def test_outdented_lines_begin_something_new() -> None:
    rows = [
        Line(LONG, 100, 500, 700, 12),
        Line(LONG, 100, 500, 686, 12),
        Line("Outdented", 72, 200, 672, 12),
    ]
    assert page_text(rows, Words(()), 12).text == f"{LONG} {LONG}\nOutdented\n\n"


def test_broken_words_are_mended() -> None:
    words = Words(["the paragraph", "a well-known thing", "re-entry"])
    assert words.mend("para\ufffegraph") == "paragraph"
    assert words.mend("well\ufffeknown") == "well-known"
    assert words.mend("unseen\x02word") == "unseenword"
    assert words.mend("Jean\ufffePaul") == "Jean-Paul"
    assert words.mend("1914\ufffe1918") == "1914-1918"
    assert words.mend("soft\xadhyphen") == "softhyphen"
    assert words.mend("plain text") == "plain text"


def test_taller_lines_are_headings_and_their_parts_one() -> None:
    rows = [
        Line("A heading of", 72, 300, 740, 20),
        Line("two lines", 72, 200, 718, 20),
        Line(LONG, 72, 500, 690, 12),
        Line("and more", 72, 150, 676, 12),
        Line("42", 72, 90, 650, 20),
    ]
    page = page_text(rows, Words(()), body_size(rows))
    assert [(h.title, page.text[h.start :].split("\n")[0]) for h in page.headings] == [
        ("A heading of two lines", "A heading of")
    ]
