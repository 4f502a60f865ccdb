"""`secondme import`: brings in an export of secondme, or what other programs exported."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import ProgressLine, add_key, credentials, has_terminal, read_key, say
from secondme.errors import NoKey, UsageError

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.exchange.importing import ImportDone, ImportEvent

_NAMES = {
    "secondme": "export of secondme",
    "chatgpt": "conversations of ChatGPT",
    "claude": "conversations of Claude",
    "markdown": "Markdown notes",
    "jsonl": "JSON lines",
    "mem0": "memories of mem0",
}


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "import",
        help="bring in an export of secondme, ChatGPT or Claude, Markdown notes, JSONL, or memories of mem0",
        description="Takes exports of secondme, sealed or plain; conversations.json of ChatGPT and Claude, in their "
        "zip or out of it; a folder of Markdown notes such as an Obsidian vault; JSON lines with a text in each; and "
        "lists of memories as mem0 gives them out, which wait for your approval: secondme memory review. "
        "All of it comes or nothing, and what is in memory already stays as it is.",
    )
    parser.add_argument("path", metavar="FILE|FOLDER", help="what to bring in")
    parser.add_argument(
        "--project", metavar="NAME", help="where items of other programs go (default: default); exports bring their own"
    )
    parser.add_argument("--again", action="store_true", help="bring back what was forgotten, too")
    parser.add_argument("--dry-run", action="store_true", help="show what would come, and change nothing")
    parser.add_argument(
        "--export-key-fd", type=int, metavar="N", help="read the export's passphrase from file descriptor N"
    )
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import DEFAULT_PROJECT, Assistant
    from secondme.config import load_config
    from secondme.crypto.erase import erase
    from secondme.exchange.importing import ImportRequest
    from secondme.exchange.recognize import recognize
    from secondme.paths import absolute

    found = recognize(absolute(Path(args.path)))
    if args.project is not None and found.form in ("secondme", "sealed"):
        raise UsageError("an export of secondme brings its own projects", hint="leave --project out")
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        passphrase = _passphrase(args.export_key_fd) if found.form == "sealed" else None
        project = args.project or DEFAULT_PROJECT
        request = ImportRequest(found, project, passphrase, again=args.again, dry_run=args.dry_run)
        done = _shown(assistant.import_(request))
        erase(passphrase)
        _report(done)
        if not args.dry_run:
            _embed(assistant)
    return 0


def _shown(events: Iterable[ImportEvent]) -> ImportDone:
    from secondme.exchange.importing import ImportDone, ImportLeftOut

    line = ProgressLine()
    done: ImportDone | None = None
    try:
        for event in events:
            match event:
                case ImportDone():
                    done = event
                case ImportLeftOut(path, reason):
                    line.clear()
                    say(f"skipped {path}: {reason}")
                case _:
                    line.show(f"{'storing' if event.verified else 'verifying'}: {event.n_items} items")
    finally:
        line.clear()
    assert done is not None
    return done


def _report(done: ImportDone) -> None:
    new = done.new
    print(f"{_NAMES[done.form]}{', as a dry run: nothing was changed' if done.dry_run else ''}")
    print(
        f"new    {new.n_files} files ({new.n_passages} passages), {new.n_conversations} conversations"
        f" ({new.n_turns} turns), {new.n_items} memories, {new.n_links} links"
    )
    print(f"known  {done.n_known} files, conversations and memories that are there already")
    if done.n_kept:
        print(f"kept   {done.n_kept} that are here in another version than in the import; they stay as they are")
    if done.n_forgotten:
        print(f"forgotten  {done.n_forgotten} files and memories that you forgot do not come back; --again brings them")
    if done.form == "mem0" and new.n_items:
        say("they wait for you: secondme memory review")
    if new.n_folders:
        say(
            f"{new.n_folders} followed folders came along: where one is on this machine, files that it does not hold"
            " are taken out of memory when it is next looked through; see: secondme memory folders"
        )
    if done.n_left_out:
        print(f"skipped {done.n_left_out} files")


def _embed(assistant: Assistant) -> None:
    """Give imported passages their vectors; until then words find them."""
    n_missing = assistant.store.n_unembedded()
    if not n_missing:
        return
    say(f"{n_missing} passages are found by their words now; finding them by meaning is being prepared (Ctrl-C: later)")
    line = ProgressLine()
    try:
        for event in assistant.embed_missing():
            line.show(f"[{event.n_done}/{event.n_total}] passages")
    except KeyboardInterrupt:
        line.clear()
        say(f"{assistant.store.n_unembedded()} passages are left: secondme memory reindex goes on from here")
    finally:
        line.clear()


def _passphrase(fd: int | None) -> str:
    import getpass

    if fd is not None:
        return read_key(fd)
    if not has_terminal():
        raise NoKey("there is no terminal to ask for the export's passphrase", hint="pass it with --export-key-fd N")
    return getpass.getpass("Passphrase of the export: ")
