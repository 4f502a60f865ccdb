"""The process that parses hostile formats: reads files from standard input, writes documents to standard output.

A request is a line of JSON (`kind`, `name`, `size_bytes`, `limit_s`) and the file's bytes; a reply is a line of JSON.
The kernel ends the process when a file takes too long or too much memory, whatever a parser is busy with, and the end
of its input ends it when the parent is gone. It leaves no core file, which would hold the text.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from secondme.errors import IngestError, UnsupportedFormat
from secondme.ingest import reasons
from secondme.ingest.parse import parse_kind
from secondme.types import Document

MEMORY_LIMIT_BYTES = 2 * 2**30


def main() -> None:
    """Serve until the input ends."""
    replies = os.fdopen(os.dup(1), "wb")
    # What a C library prints must not end up among the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_LIMIT_BYTES)
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        data = sys.stdin.buffer.read(request["size_bytes"])
        if len(data) < request["size_bytes"]:
            return
        signal.setitimer(signal.ITIMER_REAL, request["limit_s"])
        reply = _parsed(request["kind"], Path(os.fsdecode(request["name"].encode("latin-1"))), data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _write(replies, reply)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or value <= hard:
        resource.setrlimit(kind, (value, hard))


def _parsed(kind: str, path: Path, data: bytes) -> dict[str, Any]:
    try:
        return {"document": _packed(parse_kind(kind, path, data))}
    except IngestError as error:
        return {"reason": error.message, "unsupported": isinstance(error, UnsupportedFormat)}
    except (MemoryError, RecursionError):
        return {"reason": reasons.CRASHED, "unsupported": False}
    except Exception:  # an edge: whatever a parser raises on hostile input means the file is damaged
        return {"reason": reasons.DAMAGED, "unsupported": False}


def _packed(document: Document) -> dict[str, Any]:
    return asdict(document)


def _write(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()
