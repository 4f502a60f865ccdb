"""Tells by its content what a file or folder to import is."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secondme.crypto import age
from secondme.errors import ParseFailed, UnsupportedFormat, UsageError
from secondme.exchange import chatgpt, claude, lines, memories, tarball, vault
from secondme.exchange.content import MANIFEST
from secondme.exchange.incoming import MAX_JSON_BYTES, Json, load_json, open_to_read, read_bounded

Form = Literal["secondme", "sealed", "chatgpt", "claude", "markdown", "jsonl", "mem0"]

_CONVERSATIONS = re.compile(r"(?:[^/]+/)?conversations(?:-\d{1,6})?\.json\Z")
_MAX_MEMBERS = 200_000
_ARMORED = b"-----BEGIN AGE ENCRYPTED FILE-----"
_FORMATS = "exports of secondme, ChatGPT, Claude and mem0, folders of Markdown, and JSONL with a text in each line"


@dataclass(frozen=True, slots=True)
class Recognized:
    """`data` is what was read already: the conversations or memories of another program."""

    form: Form
    path: Path
    data: Json = None


def recognize(path: Path) -> Recognized:
    """Raises UsageError if there is nothing to read, UnsupportedFormat or ParseFailed if it is none of the formats."""
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise UsageError(f"there is no file {path}", hint="check its name")
    if not path.is_file():
        raise UsageError(f"{path} is neither a file nor a folder", hint=f"secondme import takes {_FORMATS}")
    with open_to_read(path) as file:
        head = file.read(4096)
    if head.startswith(age.MAGIC):
        return Recognized("sealed", path)
    if head.startswith(_ARMORED):
        raise UnsupportedFormat(
            "the file is in the age format as text", hint="turn it into a binary one with the age program first"
        )
    if head.startswith(MANIFEST.encode() + b"\0") and len(head) >= tarball.BLOCK:
        return Recognized("secondme", path)
    if head.startswith(b"PK\x03\x04"):
        return _conversations(path, _zipped(path))
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"[":
        return _conversations(path, [load_json(read_bounded(path, MAX_JSON_BYTES))])
    return _jsonl(path)


def _folder(path: Path) -> Recognized:
    unpacked = sorted(p for p in path.glob("conversations*.json") if _CONVERSATIONS.match(p.name))
    if unpacked:
        return _conversations(path, [load_json(read_bounded(p, MAX_JSON_BYTES)) for p in unpacked])
    if not vault.is_vault(path):
        raise UsageError(
            f"there is neither Markdown nor conversations.json in {path}",
            hint="to bring in a folder of other files, use: secondme add",
        )
    return Recognized("markdown", path)


def _jsonl(path: Path) -> Recognized:
    with open_to_read(path) as file:
        first = b"\n"
        while first and not first.strip():
            first = file.readline(lines.MAX_LINE)
    if lines.recognizes(first):
        return Recognized("jsonl", path)
    if first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        data = load_json(read_bounded(path, MAX_JSON_BYTES))
        if memories.recognizes(data):
            return Recognized("mem0", path, data)
    raise UnsupportedFormat(f"{path} is nothing that can be imported", hint=f"secondme import takes {_FORMATS}")


def _conversations(path: Path, files: list[Json]) -> Recognized:
    data = [item for part in files if isinstance(part, list) for item in part]
    if chatgpt.recognizes(data):
        return Recognized("chatgpt", path, data)
    if claude.recognizes(data):
        return Recognized("claude", path, data)
    if memories.recognizes(data):
        return Recognized("mem0", path, data)
    raise UnsupportedFormat(f"{path} holds no conversations", hint=f"secondme import takes {_FORMATS}")


def _zipped(path: Path) -> list[Json]:
    """The conversations in an archive; nothing is unpacked to the disk, and no more than the limit to memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = sorted({i.filename: i for i in archive.infolist()[:_MAX_MEMBERS]}.items())
            wanted = [info for name, info in found if _CONVERSATIONS.match(name)]
            read: list[Json] = []
            n_bytes = 0
            for info in wanted:
                with archive.open(info) as member:
                    data = member.read(MAX_JSON_BYTES - n_bytes + 1)
                n_bytes += len(data)
                if n_bytes > MAX_JSON_BYTES:
                    raise ParseFailed(
                        f"the conversations are larger than {MAX_JSON_BYTES // 1_000_000} MB",
                        hint="unpack the archive, and import its parts",
                    )
                read.append(load_json(data))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError):
        raise ParseFailed("the archive is damaged or encrypted", hint="download it again, or unpack it first") from None
    return read
