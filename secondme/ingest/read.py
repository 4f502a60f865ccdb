"""From a path to chunks: one file, read safely, parsed and cut. Every failure is an IngestError with its reason."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from secondme.errors import FileVanished, SecondMeError
from secondme.ingest import reasons
from secondme.ingest.chunk import CountTokens, chunk_document
from secondme.ingest.forgotten import Mask
from secondme.ingest.parse import ISOLATED, kind_of, parse_kind
from secondme.ingest.parse.isolate import ParseProcess
from secondme.ingest.walk import Found, stamp_of
from secondme.types import CancelCheck, Chunk, Document, FileStamp


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes, with the stamp it had before they were read."""

    data: bytes
    content_hash: bytes
    stamp: FileStamp


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A document without its text, which its chunks hold."""

    media_type: str
    title: str
    chunks: list[Chunk]
    wanted: frozenset[bytes] = frozenset()
    """Tombstones that stand for text of this file, which the owner asked for again."""


def read_file(found: Found, limit_bytes: int) -> Content:
    """Read a regular file. Raises FileVanished, and UnsupportedFormat or ParseFailed with the reason.

    A file that changes meanwhile is read once more. If it changes again, what was read is taken with the stamp from
    before, so that the next look sees a changed file.
    """
    try:
        content = _read_once(found, limit_bytes)
        if content.stamp != _stamp_now(found):
            content = _read_once(found, limit_bytes)
    except (FileNotFoundError, NotADirectoryError):
        raise FileVanished(reasons.VANISHED) from None
    except PermissionError:
        raise reasons.failed(reasons.NO_PERMISSION) from None
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        raise reasons.failed(reasons.NOT_READ.format(name)) from None
    return content


def _read_once(found: Found, limit_bytes: int) -> Content:
    # O_NONBLOCK: should a FIFO have taken the file's place, opening it must not wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if found.given else os.O_NOFOLLOW)
    with os.fdopen(os.open(found.path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise reasons.unsupported(reasons.NOT_REGULAR)
        if status.st_size > limit_bytes:
            raise reasons.unsupported(reasons.TOO_LARGE.format(limit_bytes // 1_000_000))
        data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:  # it grew meanwhile
            raise reasons.unsupported(reasons.TOO_LARGE.format(limit_bytes // 1_000_000))
    return Content(data, hashlib.sha256(data).digest(), stamp_of(status))


def _stamp_now(found: Found) -> FileStamp:
    return stamp_of(os.stat(found.path, follow_symlinks=found.given))  # noqa: PTH116  the path may not be text


@dataclass(frozen=True, slots=True)
class Cutting:
    """How files are parsed and cut."""

    process: ParseProcess
    count_tokens: CountTokens
    max_tokens: int
    max_text_mb: int
    cancelled: CancelCheck


def parse_file(path: Path, data: bytes, cutting: Cutting, mask: Mask | None = None) -> ParsedFile:
    """Parse and cut what `mask` leaves. Raises IngestError for whatever goes wrong with this file, and Cancelled."""
    try:
        document = whole = _document(path, data, cutting)
        if mask is not None:
            document = mask.document(whole)
        chunks = chunk_document(document, cutting.count_tokens, cutting.max_tokens)
        wanted = frozenset[bytes]()
        if mask is not None:
            wanted = mask.wanted(whole, chunks)
            kept = mask.chunks(chunks)
            if chunks and not kept:
                raise reasons.unsupported(reasons.FORGOTTEN_TEXT)
            chunks = kept
    except SecondMeError:
        raise
    except MemoryError:
        raise reasons.failed(reasons.CRASHED) from None
    except Exception as error:  # the per-file edge: one odd file must not end the rest
        raise reasons.failed(reasons.NOT_TAKEN.format(type(error).__name__)) from None
    return ParsedFile(document.media_type, document.title, chunks, wanted)


def _document(path: Path, data: bytes, cutting: Cutting) -> Document:
    limit_bytes = cutting.max_text_mb * 1_000_000
    kind = kind_of(path, data)
    if kind in ISOLATED:
        document = cutting.process.parse(kind, path, data, cancelled=cutting.cancelled)
    elif len(data) > 4 * limit_bytes:  # UTF-32 at worst
        raise reasons.unsupported(reasons.TOO_MUCH_TEXT.format(cutting.max_text_mb))
    else:
        document = parse_kind(kind, path, data)
    if len(document.text) > limit_bytes or len(document.text.encode()) > limit_bytes:
        raise reasons.unsupported(reasons.TOO_MUCH_TEXT.format(cutting.max_text_mb))
    return document
