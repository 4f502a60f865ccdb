"""How paths, places, counts and citations read on screen. Everything returned is safe for a terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from time import localtime, strftime, time

from textual.content import Content

from secondme.sanitize import clean_line
from secondme.types import Citation, ContextUsage, FileSkipped, IngestDone

DAY_S = 86_400.0


def short_path(path: str, limit: int = 0) -> str:
    """`path` with the home folder as `~`, on one line; `limit` > 0 cuts its middle out."""
    home = str(Path.home())
    inside = path == home or path.startswith(home + os.sep)
    return clean_line("~" + path[len(home) :] if inside else path, limit)


def file_name(path: str, limit: int = 48) -> str:
    return clean_line(Path(path).name or path, limit)


def place(citation: Citation) -> str:
    """Page or line, as one looks them up: `p. 3`, `:12`."""
    return f" p. {citation.page}" if citation.page is not None else f":{citation.quote_line}"


def cited_place(citation: Citation) -> str:
    """Where a citation is from: `trip.md:12`, `said by you on 3 May 2026`, `known since …`."""
    if citation.kind == "passage":
        return f"{file_name(citation.path)}{place(citation)}"
    return one_line(citation.title, 60)


def one_line(text: str, limit: int) -> str:
    """Running text on one line, cut at its end."""
    line = clean_line(" ".join(text.split()))
    return line if len(line) <= limit else line[: max(1, limit - 1)].rstrip() + "…"


def headings(citation: Citation, limit: int = 60) -> str:
    return one_line(" › ".join(citation.heading_path), limit)


def context(usage: ContextUsage) -> str:
    """The context meter: exact token counts."""
    return f"{usage.n_used:,}/{usage.n_context:,}"


def bar(n_done: int, n_total: int, width: int = 12) -> str:
    """A bar of `width` cells."""
    filled = round(width * min(1.0, n_done / n_total)) if n_total > 0 else 0
    return "━" * filled + "─" * (width - filled)


def count(n: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def size(n_bytes: int) -> str:
    """`12 KB`, `3.4 MB`."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1_000_000 else f"{max(1, round(n_bytes / 1000)):,} KB"


def seconds(s: float) -> str:
    """`0.4 s`, `34 s`, `2 min`."""
    if s < 10:
        return f"{s:.1f} s"
    return f"{s:.0f} s" if s < 120 else f"{s / 60:.0f} min"


def age(when: float, now: float | None = None) -> str:
    """A date short enough for a list; seconds since the epoch."""
    passed = (time() if now is None else now) - when
    if passed < DAY_S:
        return strftime("%H:%M", localtime(when))
    return strftime("%a" if passed < 7 * DAY_S else "%d %b %y", localtime(when))


def ingest_summary(done: IngestDone) -> str:
    """What adding files came to, in one line."""
    parts = [f"{count(done.n_stored, 'file')} added ({count(done.n_chunks, 'passage')})"]
    if done.n_unchanged:
        parts.append(f"{done.n_unchanged:,} unchanged")
    if done.n_removed:
        parts.append(f"{done.n_removed:,} removed")
    if done.n_skipped:
        parts.append(f"{done.n_skipped:,} skipped")
    return f"{', '.join(parts)} in {done.elapsed_s:.1f} s"


def skip_note(skip: FileSkipped | None, n_skipped: int) -> str:
    """Why a file was left out; empty if none was."""
    if skip is None:
        return ""
    more = " · /sources lists all" if n_skipped > 1 else ""
    return f"left out {file_name(skip.path)}: {one_line(skip.reason, 100)}{more}"


def keys(pairs: Iterable[tuple[str, str]]) -> Content:
    """A line of keys and what they do."""
    parts: list[tuple[str, str]] = []
    for key, what in pairs:
        parts += [(key, "bold"), (f" {what}   ", "dim")]
    return Content.assemble(*parts)
