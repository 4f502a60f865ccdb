"""DOCX to text: paragraphs, headings by style or outline level, lists, tables, footnotes.

Read from the container itself, within bounds, because a document object model of the whole file would unpack whatever a
hostile one holds. Deleted and hidden text is left out, inserted text is kept: what a reader of the final text sees.
Source: ECMA-376 part 1, sections 17.3, 17.4, 17.7 and 17.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.ingest import reasons
from secondme.ingest.parse.archive import open_archive, part
from secondme.ingest.parse.builder import TextBuilder
from secondme.ingest.parse.xmltree import parse_xml
from secondme.types import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = b"http://purl.oclc.org/ooxml/wordprocessingml/main"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_LEFT_OUT = frozenset(
    [
        _FALLBACK,
        *(_W + name for name in "pPr rPr sectPr tblPr tblGrid trPr tcPr del moveFrom instrText delText".split()),
    ]
)
_HEADING_NAME = re.compile(r"heading ([1-9])\Z", re.I)
_MAX_BASED_ON = 20


@dataclass(frozen=True, slots=True)
class _Style:
    name: str = ""
    based_on: str = ""
    level: int | None = None
    listed: bool = False


def parse_docx(path: Path, data: bytes) -> Document:
    """Raises ParseFailed if the file is damaged, encrypted, or expands to more than can be read safely."""
    with open_archive(data) as archive:
        body = part(archive, "word/document.xml")
        styles = part(archive, "word/styles.xml")
        notes = part(archive, "word/footnotes.xml")
        core = part(archive, "docProps/core.xml")
    if body is None:
        raise reasons.failed(reasons.DAMAGED)
    out = TextBuilder()
    reader = _Reader(out, _styles(styles))
    reader.read(parse_xml(_transitional(body)))
    if notes is not None:
        out.paragraph()
        reader.read(parse_xml(_transitional(notes)))
    title = next((e.text or "" for e in parse_xml(core).iter(_TITLE)), "") if core else ""
    return out.document(MEDIA_TYPE, title.strip() or reader.title or out.first_heading or path.name)


def _transitional(xml: bytes) -> bytes:
    """The strict variant of the format differs in its namespace alone, as far as text goes."""
    return xml.replace(_STRICT, _W[1:-1].encode()) if _STRICT in xml[:4096] else xml


def _styles(xml: bytes | None) -> dict[str, _Style]:
    if xml is None:
        return {}
    styles: dict[str, _Style] = {}
    for element in parse_xml(_transitional(xml)).iter(_W + "style"):
        name = _value(element, "name") or ""
        outline = _value(element, "pPr", "outlineLvl")
        heading = _HEADING_NAME.match(name)
        level = int(heading[1]) if heading else _outline_level(outline)
        listed = element.find(f"{_W}pPr/{_W}numPr") is not None
        styles[element.get(_W + "styleId", "")] = _Style(name, _value(element, "basedOn") or "", level, listed)
    return styles


def _value(element: _Element, *path: str) -> str | None:
    found = element.find("/".join(_W + name for name in path))
    return found.get(_W + "val") if found is not None else None


def _outline_level(value: str | None) -> int | None:
    """Outline levels count from 0; 9 is running text."""
    return int(value) + 1 if value and value in "012345678" and len(value) == 1 else None


class _Reader:
    """Walks the body; it owns how deep in table cells it is and which paragraph is a heading."""

    def __init__(self, out: TextBuilder, styles: dict[str, _Style]) -> None:
        self._out = out
        self._styles = styles
        self._cells = 0
        self._in_heading = False
        self.title = ""
        """Text of the first paragraph in the style `Title`."""

    def read(self, root: _Element) -> None:
        from lxml import etree

        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "end":
                self._close(tag)
            elif tag in _LEFT_OUT or (tag == _W + "r" and _vanished(element)):
                walk.skip_subtree()
            elif isinstance(tag, str) and tag.startswith(_W):
                self._open(tag[len(_W) :], element)

    def _open(self, tag: str, element: _Element) -> None:
        out = self._out
        if tag == "t":
            out.words(element.text or "")
        elif tag == "p":
            self._start_paragraph(element)
        elif tag in ("tab", "ptab"):
            out.words(" ")
        elif tag in ("br", "cr"):
            out.line()
        elif tag == "noBreakHyphen":
            out.words("-")
        elif tag == "tbl" and not self._cells:
            out.paragraph()
        elif tag == "tc":
            if out.mid_line:
                out.words(" | ")
            self._cells += 1

    def _close(self, tag: object) -> None:
        out = self._out
        if tag == _W + "p":
            if self._in_heading:
                out.end_heading()
                self._in_heading = False
            elif self._cells:
                out.words(" ")
            else:
                out.line()
        elif tag == _W + "tc":
            self._cells -= 1
        elif tag == _W + "tr" and not self._cells:
            out.line()
        elif tag == _W + "tbl" and not self._cells:
            out.paragraph()

    def _start_paragraph(self, element: _Element) -> None:
        if self._cells or self._in_heading:
            return
        style = _value(element, "pPr", "pStyle") or ""
        level = _outline_level(_value(element, "pPr", "outlineLvl")) or self._level(style)
        if level is not None:
            self._in_heading = True
            self._out.start_heading(level)
        elif (indent := self._list_level(element, style)) is not None:
            self._out.line()
            self._out.verbatim("  " * indent + "- ")
        else:
            self._out.paragraph()
        if not self.title and self._styles.get(style, _Style()).name.lower() == "title":
            self.title = " ".join("".join(t.text or "" for t in element.iter(_W + "t")).split())

    def _level(self, style: str) -> int | None:
        for _ in range(_MAX_BASED_ON):
            known = self._styles.get(style)
            if known is None or known.level is not None:
                return known.level if known else None
            style = known.based_on
        return None

    def _list_level(self, element: _Element, style: str) -> int | None:
        number = _value(element, "pPr", "numPr", "numId")
        if number is None and not self._styles.get(style, _Style()).listed:
            return None
        depth = _value(element, "pPr", "numPr", "ilvl") or "0"
        return None if number == "0" else int(depth) if depth in "012345678" else 0


def _vanished(run: _Element) -> bool:
    hidden = run.find(f"{_W}rPr/{_W}vanish")
    return hidden is not None and hidden.get(_W + "val", "1") not in ("0", "false", "off")
