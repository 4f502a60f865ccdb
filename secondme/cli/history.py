"""`secondme memory log` and `secondme memory why`: what was done to memory, and where an item came from."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from secondme.cli import memory_items
from secondme.cli.ids import Item, name_of, parse_item
from secondme.cli.output import add_common, say
from secondme.errors import UsageError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.memory.audit import Provenance
    from secondme.memory.oplog import Op
    from secondme.types import MemoryItem, StoredChunk, StoredSource

_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"(\d{1,6})([mhdw])")
_DONE = {
    "created": "memory was made",
    "upgraded": "brought to this version's format",
    "rolled-back": "set back to an earlier state",
    "repaired": "repaired",
    "rekeyed": "encrypted with a new key",
    "put": "stored",
    "skipped": "left out",
    "touched": "seen unchanged",
    "moved": "its file was moved or renamed",
    "removed": "gone from the disk, and taken out",
    "embedder-set": "embedding model chosen",
    "reindexed": "embedded again",
    "folder-added": "a folder is followed",
    "folder-removed": "a folder is no longer followed",
    "conversation-new": "begun",
    "conversation-renamed": "renamed",
    "conversation-removed": "deleted",
    "turn-added": "said",
    "turn-redacted": "an answer lost what was forgotten",
    "source-redacted": "lost passages that were forgotten",
    "shown": "shown",
    "used": "used in an answer",
    "forgotten": "forgotten",
    "lifted": "brought back by the owner",
    "exported": "exported",
    "imported": "imported",
    "project-new": "a project was begun",
    "project-removed": "a project was wiped",
    "item-added": "known",
    "item-closed": "no longer so",
    "item-changed": "changed",
    "item-respanned": "one of the places where it was said went",
    "item-removed": "forgotten",
    "item-rated": "found helpful or not",
    "items-linked": "linked to others",
    "cartridge-built": "read once for all: a cartridge was made of it",
    "cartridge-dropped": "its cartridge was taken out",
}


def register(actions: Any) -> None:
    """Add both to the actions of `secondme memory`."""
    log = actions.add_parser(
        "log",
        help="what was done to memory, step by step",
        description="Prints the operation log: ids, counts and hashes, never content. Each step is chained to the one "
        "before it, so that none can be changed or left out unnoticed.",
    )
    log.add_argument("item", nargs="?", metavar="ITEM", help="only what touched m7, #12, s12, c3, t45 or a path")
    log.add_argument("--since", metavar="WHEN", help="only from a date on (2026-11-20), or the last 30m, 12h, 7d, 2w")
    log.add_argument("--json", action="store_true", help="print one JSON object a step")
    add_common(log)
    why = actions.add_parser(
        "why",
        help="where an item came from, and what became of it",
        description="Tells from which bytes of which file an item arose, when, and by which rule or model; when it was "
        "shown or used in an answer, changed, exported or forgotten.",
    )
    why.add_argument("item", metavar="ITEM", help="m7, #12, s12, c3, t45 or a path")
    why.add_argument("--json", action="store_true", help="print one JSON object")
    add_common(why)


def log(assistant: Assistant, args: argparse.Namespace) -> int:
    subject = _numbered(assistant, parse_item(args.item), args.project).subject if args.item else None
    after = since(args.since) if args.since else 0.0
    n = 0
    for op in assistant.store.each_step(subject):
        if op.at >= after:
            print(json.dumps(_as_json(op)) if args.json else _line(op))
            n += 1
    if not n:
        say("the log holds no such step")
    return 0


def why(assistant: Assistant, args: argparse.Namespace) -> int:
    item = _numbered(assistant, parse_item(args.item), args.project)
    found = assistant.store.provenance(item.kind, item.id)
    if not found.there and not found.steps:
        raise UsageError(
            f"{name_of(found.subject)} was never in memory", hint="secondme memory list and log show what was"
        )
    known = assistant.store.item(item.id) if item.kind == "item" else None
    if args.json:
        print(json.dumps(_provenance_json(found) | (_known_json(assistant, known) if known else {})))
        return 0
    for line in _told(found):
        print(line)
        if known is not None and line.startswith(name_of(found.subject)):
            for reason in _known(assistant, known):
                print(clean_line(reason))
    return 0


def _known(assistant: Assistant, item: MemoryItem) -> Iterator[str]:
    """What it says, where it was said, and who made an item of it."""
    from secondme.recall.reasons import maker

    yield f"  says     {memory_items.line(item)}"
    for reason in assistant.memories.why(item):
        yield f'  from     {reason.where}: "{reason.quote}" ({name_of(f"{reason.kind}:{reason.ref_id}")})'
    yield f"  made     {maker(item)}, trust: {item.trust}"
    if item.n_uses:
        yield f"  used     {item.n_uses} times, last {at_time(item.used_at)}"


def _known_json(assistant: Assistant, item: MemoryItem) -> dict[str, Any]:
    why = [{"from": f"{r.kind}:{r.ref_id}", "where": r.where, "quote": r.quote} for r in assistant.memories.why(item)]
    return {"memory": memory_items.as_row(item), "said": why, "made_by": item.made_by, "trust": item.trust.value}


def _numbered(assistant: Assistant, item: Item, project: str) -> Item:
    """The item by its number; a path is looked up."""
    if item.kind != "path":
        return item
    source = assistant.store.source(project, item.path)
    if source is None:
        raise UsageError(
            f"{item.path} is not in memory", hint="what was forgotten is named by its number: secondme memory log"
        )
    return Item("source", source.id)


def since(given: str) -> float:
    """Seconds since 1970 of a date or of a time ago."""
    ago = _AGO.fullmatch(given)
    if ago is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(given).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            "--since needs a date or a time ago", hint="as in 2026-11-20, 2026-11-20T08:00, 12h, 7d"
        ) from None


# One step ----------------------------------------------------------------------------------------------------


def _line(op: Op) -> str:
    names = " ".join(name_of(s) for s in op.subjects[:6])
    more = f" and {len(op.subjects) - 6} more" if len(op.subjects) > 6 else ""
    return clean_line(f"{op.seq:>6}  {at_time(op.at)}  {op.kind:<20} {names}{more}{_detail(op)}")


def _detail(op: Op) -> str:
    said = [f"{name} {value}" for name, value in sorted(op.detail.items()) if value not in (None, "")]
    by = f" by {op.actor}" if op.actor != "owner" else ""
    return by + (f": {', '.join(said)}" if said else "")


def at_time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _as_json(op: Op) -> Mapping[str, Any]:
    return {
        "seq": op.seq,
        "at": op.at,
        "kind": op.kind,
        "actor": op.actor,
        "subjects": list(op.subjects),
        "digest": op.digest.hex() if op.digest else None,
        "detail": op.detail,
        "hash": op.hash.hex(),
    }


# An item's story ---------------------------------------------------------------------------------------------


def _told(found: Provenance) -> Iterator[str]:
    yield clean_line(_headline(found))
    if found.passage is not None:
        yield f"  from     {_place(found.passage)}"
    if found.source is not None and found.there:
        yield from _of_file(found.source)
    if found.origin:
        yield clean_line("  origin   " + ", ".join(f"{k} {v}" for k, v in sorted(found.origin.items())))
    if found.passage is not None:
        yield "  rule     cut from its file by length and structure, unchanged in wording"
    if found.embedder is not None:
        yield clean_line(f"  model    {found.embedder}, for its vector")
    for op in found.steps:
        if op.kind != "items-used":  # the answer that used it has a step of its own
            yield clean_line(f"  {at_time(op.at)}  {_what(op, found.subject)} (step {op.seq})")


def _headline(found: Provenance) -> str:
    name = name_of(found.subject)
    if not found.there:
        forgotten = any(op.kind == "forgotten" for op in found.steps)
        return f"{name} is no longer in memory{': it was forgotten' if forgotten else ''}; ids and hashes are left"
    if found.passage is not None:
        return (
            f"{name} is passage {found.passage.chunk.ordinal + 1} of {found.passage.path} (s{found.passage.source_id})"
        )
    if found.source is not None:
        return f"{name} is {found.source.path}"
    kind = found.subject.partition(":")[0]
    return f"{name} is a {'memory' if kind == 'item' else kind}"


def _place(passage: StoredChunk) -> str:
    chunk = passage.chunk
    page = f", page {chunk.page}" if chunk.page is not None else ""
    lines = f"lines {chunk.line_start}-{chunk.line_end}"
    return f"bytes {chunk.byte_start} to {chunk.byte_end} of its text, {lines}{page}"


def _of_file(source: StoredSource) -> Iterator[str]:
    yield f"  file     sha256 {source.content_hash.hex()}, {source.stamp.size_bytes} bytes"
    yield clean_line(
        f"  read     {at_time(source.ingested_at)} as {source.media_type or 'nothing'}, trust: {source.trust}"
    )
    if source.skip_reason is not None:
        yield clean_line(f"  skipped  {source.skip_reason}")


def _what(op: Op, subject: str) -> str:
    """What a step did to one item."""
    if op.kind in ("shown", "used"):
        turn = next((s for s in op.subjects if s.startswith("turn:")), None)
        marks = op.detail.get("marked_items" if subject.startswith("item:") else "marked", "")
        marked = subject.startswith("turn:") or subject.partition(":")[2] in str(marks).split()
        how = "cited in an answer" if marked else "read for an answer"
        told = "shown in a search" if op.detail.get("by") == "search" else how
        return f"{told}, {name_of(turn)}" if turn and turn != subject else told
    told = _DONE.get(op.kind, op.kind) + (f" by {op.actor}" if op.actor != "owner" else "")
    if op.detail.get("sha256"):
        told += f" from bytes of sha256 {op.detail['sha256']}"
    return f"{told}, embedded by {op.detail['embedder']}" if op.detail.get("embedder") else told


def _provenance_json(found: Provenance) -> dict[str, Any]:
    source, passage = found.source, found.passage
    return {
        "item": found.subject,
        "in_memory": found.there,
        "path": source.path if source else None,
        "project": source.project if source else None,
        "sha256": source.content_hash.hex() if source else None,
        "media_type": source.media_type if source else None,
        "trust": source.trust.value if source else None,
        "bytes": [passage.chunk.byte_start, passage.chunk.byte_end] if passage else None,
        "lines": [passage.chunk.line_start, passage.chunk.line_end] if passage else None,
        "page": passage.chunk.page if passage else None,
        "origin": found.origin,
        "embedder": found.embedder,
        "steps": [_as_json(op) for op in found.steps],
    }
