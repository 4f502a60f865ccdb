"""What the readers of other programs' exports share: stable uids, times in all their spellings, bounded JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from secondme.errors import ParseFailed, UsageError
from secondme.memory.item_transfer import Origin
from secondme.memory.portable import UID_BYTES, PortableConversation, PortableTurn
from secondme.types import Role

MAX_JSON_BYTES = 512 * 1024 * 1024
"""Largest file of conversations; it is read whole."""
MAX_TEXT = 8_000_000
"""Longest text of one item, in characters, as for files that are added."""

MAX_TITLE = 300

Json = Any


def derived_uid(form: str, kind: str, original_id: str) -> bytes:
    """The uid of an item from elsewhere: the same at every import, and nobody else's."""
    parts = ("secondme import", form, kind, original_id)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()[:UID_BYTES]


def origin(form: str, original_id: str, **more: str | float | list[str] | None) -> Origin:
    """Provenance of an item; what is None is left out."""
    return {"from": form, "id": original_id, **{name: value for name, value in more.items() if value is not None}}


def to_seconds(value: Json) -> float | None:
    """Seconds since 1970 from a number or an ISO 8601 string (without a zone, UTC); None for anything else."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
            value = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value < 2**36 else None


def title_of(value: Json) -> str:
    """A conversation's title on one line, or a word in its place."""
    return " ".join(value.split())[:MAX_TITLE] if isinstance(value, str) and value.strip() else "Conversation"


def load_json(data: bytes) -> Json:
    """Raises ParseFailed for what is not JSON, or nested without end."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ParseFailed("the file is not valid JSON", hint="export it again") from None


@dataclass(frozen=True, slots=True)
class Said:
    """A turn as another program has it."""

    id: str
    role: Role
    text: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation as another program has it."""

    id: str
    title: str
    created_at: float | None
    updated_at: float | None
    said: tuple[Said, ...]


def portable(talk: Talk, form: str, project: str, now: float) -> Iterator[PortableConversation | PortableTurn]:
    """The conversation and its turns as they are stored; `now` stands for times that are missing."""
    uid = derived_uid(form, "conversation", talk.id)
    times = [at for at in (talk.created_at, talk.updated_at, *(s.at for s in talk.said)) if at is not None]
    created = talk.created_at if talk.created_at is not None else min(times, default=now)
    yield PortableConversation(
        uid, project, talk.title, created, max(times, default=now), len(talk.said), origin(form, talk.id)
    )
    for said in talk.said:
        turn_uid = derived_uid(form, "turn", f"{talk.id}\0{said.id}")
        at = said.at if said.at is not None else created
        yield PortableTurn(turn_uid, uid, said.role, said.text[:MAX_TEXT], at, (), origin(form, said.id))


def open_to_read(path: Path) -> BinaryIO:
    """Open a file. Raises UsageError if that cannot be."""
    try:
        return path.open("rb")
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        raise UsageError(f"{path} cannot be read ({name})", hint="check its name and its permissions") from None


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """A file's bytes. Raises ParseFailed if there are more than the limit."""
    with open_to_read(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ParseFailed(f"{path} is larger than {limit_bytes // 1_000_000} MB", hint="split it, and import the parts")
    return data
