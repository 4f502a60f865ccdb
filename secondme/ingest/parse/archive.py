"""Reads parts of ZIP containers within bounds: what a part claims to be and what it expands to are two things."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from secondme.ingest import reasons

MAX_PART_BYTES = 64_000_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, IndexError)


@contextmanager
def open_archive(data: bytes) -> Iterator[zipfile.ZipFile]:
    """The container. Raises ParseFailed, also from within, if it turns out to be damaged or encrypted."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            yield archive
    except _DAMAGE:
        raise reasons.failed(reasons.DAMAGED) from None
    except RuntimeError:  # what zipfile raises for an encrypted part
        raise reasons.failed(reasons.NEEDS_PASSWORD) from None


def part(archive: zipfile.ZipFile, name: str, limit: int = MAX_PART_BYTES) -> bytes | None:
    """One part; None if there is none of that name. Raises ParseFailed if it is larger than `limit` bytes."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        return None
    with archive.open(info) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise reasons.failed(reasons.TOO_DEEP)
    return data
