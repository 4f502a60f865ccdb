"""Plain JSONL: one object a line with `text`, and maybe `id`, `title`, `created_at` and `tags`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from secondme.errors import ParseFailed
from secondme.exchange.incoming import MAX_TEXT, Json, derived_uid, load_json, open_to_read, origin, to_seconds
from secondme.exchange.texts import Note
from secondme.types import Document, FileStamp

FORM = "jsonl"
MAX_LINE = 64 * 1024 * 1024


def recognizes(first_line: bytes) -> bool:
    """Whether a file that begins like this is one of ours."""
    try:
        return _text(load_json(first_line)) is not None
    except ParseFailed:
        return False


def notes(path: Path) -> Iterator[Note]:
    """The texts in order. Raises ParseFailed with the line's number for a line that is not one."""
    with open_to_read(path) as file:
        for n, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), start=1):
            if len(line) > MAX_LINE:
                raise ParseFailed(f"line {n} is too long", hint="split the text")
            if line.strip():
                yield _note(line, n)


def _note(line: bytes, n: int) -> Note:
    try:
        value = load_json(line)
    except ParseFailed:
        value = None
    text = _text(value)
    if text is None or len(text) > MAX_TEXT:
        raise ParseFailed(
            f"line {n} is not an object with a text, or the text is too long", hint='each line needs "text"'
        )
    # Half characters cannot be embedded; no text means anything by them.
    text = text.encode("utf-8", "replace").decode()
    digest = hashlib.sha256(text.encode()).digest()
    given, title = value.get("id"), value.get("title")
    original_id = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else digest.hex()
    created = to_seconds(value.get("created_at"))
    return Note(
        uid=derived_uid(FORM, "source", original_id),
        # No place on the disk, so that no folder that is followed ever takes it for a file that is gone.
        path=f"import:{FORM}/{original_id}",
        document=Document(text, "text/plain", _title(title)),
        content_hash=digest,
        stamp=FileStamp(len(text.encode()), round((created or 0) * 1e9), 0),
        origin=origin(FORM, original_id, created_at=created, tags=_tags(value.get("tags"))),
    )


def _text(value: Json) -> str | None:
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) and text.strip() else None


def _title(title: Json) -> str:
    return " ".join(title.split())[:300].encode("utf-8", "replace").decode() if isinstance(title, str) else ""


def _tags(tags: Json) -> list[str] | None:
    found = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return found or None
