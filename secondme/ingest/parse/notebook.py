"""Jupyter notebooks: the text of their cells, in order, without outputs. Source: nbformat 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from secondme.ingest import reasons
from secondme.ingest.parse.encoding import decode_text
from secondme.ingest.parse.headings import FoundHeading, document
from secondme.ingest.parse.markdown import find_headings
from secondme.types import Document


def parse_notebook(path: Path, data: bytes) -> Document:
    """Raises ParseFailed if the file is not a notebook."""
    try:
        cells = json.loads(decode_text(data))["cells"]
        shown = [(str(cell["cell_type"]), _source(cell["source"])) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise reasons.failed(reasons.DAMAGED) from None
    parts: list[str] = []
    found: list[FoundHeading] = []
    length = 0
    for kind, source in shown:
        text = source.strip("\n") + "\n\n" if source.strip() else ""
        if kind == "markdown":
            found += [FoundHeading(length + h.start, h.level, h.title) for h in find_headings(text)]
        parts.append(text)
        length += len(text)
    title = next((h.title for h in found if h.level == 1), "") or path.name
    return document("".join(parts), "application/x-ipynb+json", title, found)


def _source(source: Any) -> str:
    text = source if isinstance(source, str) else "".join(source)
    # JSON may spell lone surrogates, which no UTF-8 can hold.
    return text.encode("utf-8", "replace").decode()
