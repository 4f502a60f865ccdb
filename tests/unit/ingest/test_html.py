from __future__ import annotations

import time
from pathlib import Path

import pytest

from secondme.errors import ParseFailed
from secondme.ingest.parse.html import parse_html
from secondme.types import Document

PATH = Path("page.html")


def parsed(markup: str) -> Document:
    return parse_html(PATH, markup.encode())


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one</p><p>two <b>bo</b>ld</p>", "one\n\ntwo bold\n"),
        ("<p>a\n  b\t c</p>", "a b c\n"),
        ("a<br>b<br/>c", "a\nb\nc\n"),
        ("<p>&lt;&amp;&eacute;&#8364;&nbsp;x", "<&é€\xa0x\n"),
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "- a\n- b\n  - c\n"),
        ("<ul><li><p>a</p></li><li><div>b</div></li></ul>", "- a\n- b\n"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b\n"),
        ("<pre>  a\n\n   b</pre>c", "  a\n\n   b\n\nc\n"),
        ("<table><tr><th>a<th>b<tr><td>1<td>2</table>", "a | b\n1 | 2\n"),
        ("x<script>var a</script><style>p{}</style><nav>menu</nav><template>t</template>y", "xy\n"),
        ("<p hidden>a</p><p aria-hidden=true>b</p><p style='Display : none'>c</p>d", "d\n"),
        ("<p>a<!-- c --><?pi x?>b", "ab\n"),
        ("<img alt='A dog'> <img src=x>runs", "A dog runs\n"),
        ("<p>un<p>closed<div>tags", "un\n\nclosed\n\ntags\n"),
        ("<svg><text>a</text></svg><noscript>b</noscript>", ""),
        ("", ""),
        ("<!-- nothing -->", ""),
        ("<", "<\n"),
    ],
)
def test_visible_text(markup: str, text: str) -> None:
    assert parsed(markup).text == text


def test_headings_and_title() -> None:
    document = parsed("<title> My \n page </title><h1>Über <i>alles</i></h1><p>x</p><h3></h3><h2>Zwei</h2>")
    assert document.title == "My page"
    raw = document.text.encode()
    assert [(h.level, h.title, raw[h.byte_start :].decode().split("\n")[0]) for h in document.headings] == [
        (1, "Über alles", "Über alles"),
        (2, "Zwei", "Zwei"),
    ]
    assert parsed("<h2>First</h2>").title == "First"
    assert parsed("<p>x").title == "page.html"


def test_encodings() -> None:
    assert parse_html(PATH, "<meta charset=iso-8859-2><p>žluť".encode("iso-8859-2")).text == "žluť\n"
    assert parse_html(PATH, "<?xml version='1.0' encoding='utf-8'?><html><p>žluť".encode()).text == "žluť\n"
    assert parse_html(PATH, "<meta charset=iso-8859-1><p>žluť".encode()).text == "žluť\n"
    assert parse_html(PATH, "<p>žluť".encode("utf-16")).text == "žluť\n"


def test_no_external_entity_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret words")
    markup = f'<!DOCTYPE html [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><html><p>a&x;b</p></html>'
    assert "secret words" not in parsed(markup).text


def test_depth_is_bounded_and_said() -> None:
    assert parsed("<div>" * 1500 + "words").text == "words\n"
    started = time.monotonic()
    with pytest.raises(ParseFailed, match="expands"):
        parsed("<b>" * 1_000_000 + "words")
    assert time.monotonic() - started < 10


def test_long_pages_take_linear_time() -> None:
    started = time.monotonic()
    document = parsed("<p>word <b>bold</b></p>" * 20_000)
    assert document.text.count("word bold") == 20_000
    assert time.monotonic() - started < 10
