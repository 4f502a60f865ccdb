"""HTML to the text a reader sees: scripts, styles, menus and hidden parts are left out, headings and titles kept.

lxml parses what is broken too. No network, no external entities; elements are walked without recursion, so that a page
nested a million deep is a matter of time, not of stack.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.ingest import reasons
from secondme.ingest.parse.builder import TextBuilder
from secondme.ingest.parse.encoding import decode_text
from secondme.types import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_LEFT_OUT = frozenset(
    "script style noscript template nav iframe object embed applet canvas svg audio video head button select datalist "
    "dialog".split()
)
_PARAGRAPHS = frozenset("article blockquote dl figure ol p pre section table ul main".split())
_LINES = frozenset(
    "address aside body caption center dd details div dt fieldset figcaption footer form header hr legend li menu "
    "summary tbody tfoot thead tr".split()
)
_HEADINGS = {f"h{n}": n for n in range(1, 7)}
_DECLARED = re.compile(rb"<(?:meta[^>]{0,200}?charset|\?xml[^>]{0,100}?encoding)\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.I)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.I)


def parse_html(path: Path, data: bytes) -> Document:
    """Raises UnsupportedFormat if the content is binary, ParseFailed if it is nested too deep to be read whole."""
    declared = _DECLARED.search(data[:4096])
    markup = decode_text(data, declared[1].decode("ascii", "replace") if declared else None)
    out = TextBuilder()
    title = append_html(out, markup)
    return out.document("text/html", title or out.first_heading or path.name)


def append_html(out: TextBuilder, markup: str) -> str:
    """Add the visible text of a page to `out` and return its title, which may be empty. Raises ParseFailed."""
    root = _parsed(markup)
    if root is None:
        return ""
    title = next((str(e.xpath("string()")) for e in root.iter("title")), "")
    _Reader(out).read(root)
    return " ".join(title.split())


def _parsed(markup: str) -> _Element | None:
    from lxml import etree  # 20 ms to import

    # The text is decoded already: an encoding that the page declares must not be applied to it again.
    parser = etree.HTMLParser(
        encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True, recover=True
    )
    try:
        root: _Element | None = etree.fromstring(markup.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None  # nothing but comments, or nothing at all
    # What lies deeper than libxml2 goes (2,048) would be missing without a word.
    if any("depth" in entry.message for entry in parser.error_log):
        raise reasons.failed(reasons.TOO_DEEP)
    return root


class _Reader:
    """Walks a page; it owns the lists it is in."""

    def __init__(self, out: TextBuilder) -> None:
        self._out = out
        self._lists: list[int | None] = []  # the next number of an ordered list, None for bullets
        self._verbatim = 0
        self._bulleted = False  # a bullet waits for its text

    def read(self, root: _Element) -> None:
        from lxml import etree

        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "start":
                if tag in _LEFT_OUT or _hidden(element):
                    walk.skip_subtree()
                else:
                    self._open(tag, element)
                    self._text(element.text)
                continue
            if tag not in _LEFT_OUT and not _hidden(element):
                self._close(tag)
            self._text(element.tail)

    def _text(self, text: str | None) -> None:
        if text:
            self._bulleted = self._bulleted and not text.strip()
            if self._verbatim:
                self._out.verbatim(text)
            else:
                self._out.words(text)

    def _open(self, tag: str, element: _Element) -> None:
        out = self._out
        if tag in _HEADINGS:
            out.start_heading(_HEADINGS[tag])
        elif tag in _PARAGRAPHS:
            self._break(tag)
        elif tag in _LINES and (tag == "li" or not self._bulleted):
            out.line()
        if tag in ("ul", "ol", "menu"):
            self._lists.append(_number(element.get("start")) if tag == "ol" else None)
        elif tag == "li":
            self._bullet()
        elif tag in ("td", "th") and out.mid_line:
            out.words(" | ")
        elif tag in ("pre", "textarea"):
            self._verbatim += 1
        elif tag == "br":
            out.line()
        elif tag == "img":
            out.words(f" {element.get('alt', '')} ")

    def _close(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._out.end_heading()
        elif tag in _PARAGRAPHS:
            self._break(tag)
        elif tag in _LINES:
            self._out.line()
            self._bulleted = False
        if tag in ("ul", "ol", "menu") and self._lists:
            self._lists.pop()
        elif tag in ("pre", "textarea"):
            self._verbatim -= 1

    def _break(self, tag: str) -> None:
        """A list inside a list, or a paragraph inside an item, stays with it."""
        if self._bulleted:
            return
        if self._lists and tag in ("ul", "ol", "p"):
            self._out.line()
        else:
            self._out.paragraph()

    def _bullet(self) -> None:
        indent = "  " * (len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is not None:
            self._lists[-1] = number + 1
        self._out.verbatim(f"{indent}{'-' if number is None else f'{number}.'} ")
        self._bulleted = True


def _hidden(element: _Element) -> bool:
    # Text that no reader sees is a favourite place for instructions to a model.
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or _HIDDEN_STYLE.search(element.get("style", "")) is not None
    )


def _number(start: str | None) -> int:
    return int(start) if start and start.isascii() and start.isdigit() and len(start) < 9 else 1
