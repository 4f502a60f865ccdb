"""`secondme add`: brings files and folders into memory, once or for as long as `--watch` runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import LockAsked, ProgressLine, add_common, credentials, say
from secondme.sanitize import clean_line
from secondme.types import (
    EmbedProgress,
    FileProgress,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStarted,
    FileStored,
    IngestDone,
    IngestEvent,
    ScanProgress,
)

if TYPE_CHECKING:
    from secondme.assistant import Assistant


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "add",
        help="bring files and folders into memory",
        description="Reads text, Markdown, reStructuredText, source code, HTML, PDF and DOCX. Files that have not "
        "changed are not read again; files that are gone from a folder are removed from memory. What was forgotten "
        "stays away: a forgotten file or folder comes back when it is added by its own path, forgotten passages of a "
        "file only with --again.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file or a folder")
    parser.add_argument("--watch", action="store_true", help="stay and follow the folders until Ctrl-C")
    parser.add_argument("--rehash", action="store_true", help="read every file, even if its date and size are the same")
    parser.add_argument("--again", action="store_true", help="bring back what was forgotten of these files")
    parser.add_argument("--json", action="store_true", help="print one JSON object an event")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import Assistant
    from secondme.config import load_config

    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        paths = [Path(p).expanduser() for p in args.paths]
        events = assistant.ingest(paths, project=args.project, rehash=args.rehash, again=args.again)
        before = len(assistant.memories.open(args.project))
        code = report(events, as_json=args.json)
        if new := len(assistant.memories.open(args.project)) - before:
            say(f"{new} {'place waits' if new == 1 else 'places wait'} for your word: secondme memory review")
        if args.watch:
            _watch(assistant, args)
        return code


def _watch(assistant: Assistant, args: argparse.Namespace) -> None:
    say("following; Ctrl-C ends")
    try:
        report(assistant.watch(project=args.project), as_json=args.json, summary=False)
    except LockAsked:
        raise
    except KeyboardInterrupt:
        say("stopped following")


def report(events: Iterable[IngestEvent], *, as_json: bool, summary: bool = True) -> int:
    """Show events as they come. Exit code 65 if everything that was asked for was skipped."""
    line = ProgressLine()
    done: IngestDone | None = None
    try:
        for event in events:
            if as_json:
                print(json.dumps({"event": type(event).__name__, **asdict(event)}), flush=True)
            elif isinstance(event, FileSkipped):
                line.clear()
                hint = f" ({event.hint})" if event.hint else ""
                say(f"skipped {event.path}: {event.reason}{hint}")
            elif isinstance(event, IngestDone):
                pass
            elif not summary and isinstance(event, FileStored | FileRemoved | FileRenamed):
                line.clear()
                say(_progress(event))
            else:
                line.show(_progress(event))
            done = event if isinstance(event, IngestDone) else done
    finally:
        line.clear()
    if done is None:
        return 0
    if summary and not as_json:
        print(_summary(done))
    return 65 if done.n_skipped and not (done.n_stored or done.n_unchanged or done.n_removed) else 0


def _progress(event: IngestEvent) -> str:
    match event:
        case ScanProgress(n_files):
            return f"looking: {n_files} files"
        case FileStarted(path, n_done, n_total):
            return f"[{n_done + 1}/{n_total}] reading {path}"
        case FileProgress(path, done, total):
            return f"{clean_line(path)}: {done}/{total} passages"
        case EmbedProgress(n_done, n_total):
            return f"[{n_done}/{n_total}] imported passages"
        case FileStored(path, n_chunks, n_done, n_total):
            return f"[{n_done}/{n_total}] stored {path}: {n_chunks} passages"
        case FileRemoved(path):
            return f"removed {path}: it is gone from the disk"
        case FileRenamed(old, new):
            return f"renamed {old} to {new}"
        case _:
            return f"[{getattr(event, 'n_done', 0)}/{getattr(event, 'n_total', 0)}] unchanged"


def _summary(done: IngestDone) -> str:
    parts = [f"{done.n_stored} files stored ({done.n_chunks} passages)"]
    parts += [f"{n} {what}" for n, what in ((done.n_unchanged, "unchanged"), (done.n_skipped, "skipped"))]
    if done.n_removed:
        parts.append(f"{done.n_removed} removed")
    return f"{', '.join(parts)} in {done.elapsed_s:.1f} s"
