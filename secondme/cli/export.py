"""`secondme export`: all of memory in one file, sealed for a passphrase unless the owner wants it plain."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import ProgressLine, add_key, credentials, has_terminal, read_key, say
from secondme.errors import NoKey, UsageError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.exchange.export import ExportDone, ExportEvent


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "export",
        help="write all of memory into one file, sealed for a passphrase",
        description="Writes files, passages, conversations and links of all projects as JSON lines with their schemas, "
        "and as Markdown for reading, in one tar. It is sealed for a passphrase in the age format: "
        "`age --decrypt FILE | tar x` opens it, and so does `secondme import FILE`.",
    )
    parser.add_argument("file", metavar="FILE", help="the file to write, such as memory.age")
    parser.add_argument("--plain", action="store_true", help="do not seal it: whoever has the file can read everything")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    parser.add_argument(
        "--export-key-fd", type=int, metavar="N", help="read the export's passphrase from file descriptor N"
    )
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import Assistant
    from secondme.config import load_config
    from secondme.crypto.erase import erase
    from secondme.exchange.export import ExportOptions, check_target
    from secondme.paths import absolute

    if args.plain and args.export_key_fd is not None:
        raise UsageError("--plain and --export-key-fd exclude each other", hint="leave one of them out")
    path = absolute(Path(args.file))
    check_target(path, replace=args.force)
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        passphrase = None if args.plain else _passphrase(args.export_key_fd)
        if args.plain:
            say("warning: the file will not be encrypted: whoever can read it can read all of your memory")
        done = _shown(assistant.export(path, ExportOptions(passphrase, replace=args.force)))
        erase(passphrase)
    counts = done.counts
    files = f"{counts['sources']} files ({counts['memories']} passages)"
    talks = f"{counts['conversations']} conversations ({counts['turns']} turns)"
    how = "not encrypted" if args.plain else "sealed for its passphrase"
    learned = f"{counts['items']} memories"
    print(f"exported {files}, {talks} and {learned} to {clean_line(done.path)}: {done.size_bytes / 1e6:.2f} MB, {how}")
    return 0


def _shown(events: Iterable[ExportEvent]) -> ExportDone:
    from secondme.exchange.export import ExportDone

    line = ProgressLine()
    done: ExportDone | None = None
    try:
        for event in events:
            if isinstance(event, ExportDone):
                done = event
            elif event.n_total:
                line.show(f"writing: {100 * event.n_done // event.n_total}%")
            else:
                line.show(f"reading: {event.n_done / 1e6:.0f} MB")
    finally:
        line.clear()
    assert done is not None
    return done


def _passphrase(fd: int | None) -> str:
    """The export's own passphrase, asked for twice."""
    import getpass

    if fd is not None:
        return read_key(fd)
    if not has_terminal():
        raise NoKey(
            "there is no terminal to ask for the export's passphrase", hint="pass it with --export-key-fd N, or --plain"
        )
    say("The export needs a passphrase of its own, or the same; nobody can open it without.")
    while True:
        first = getpass.getpass("Passphrase of the export: ")
        if first and first == getpass.getpass("Again: "):
            return first
        say("They differ, or are empty; once more.")
