"""`secondme project`: making, opening, listing and removing projects, and what each opens with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_backend, add_key, credentials, say
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import OpenedDocument, ProjectStatus

MB = 1e6


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "project",
        help="make, open, list and remove projects",
        description="A project has files and conversations of its own. When it opens, its documents lie before the "
        "model already: read once, and kept as cartridges (`secondme cartridge`).",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make an empty project; `secondme add --project NAME` fills it")
    open_ = actions.add_parser("open", help="open the terminal app in a project, with its last conversation")
    listing = actions.add_parser("ls", help="all projects, the one used last first")
    status = actions.add_parser("status", help="what a project opens with, and what is still to be prepared")
    remove = actions.add_parser("rm", help="destroy a project: its key, its files and conversations in memory")
    for each in (new, open_, remove):
        each.add_argument("name", metavar="NAME")
    status.add_argument("name", metavar="NAME", nargs="?", default="default", help="(default: default)")
    for each in (listing, status):
        each.add_argument("--json", action="store_true", help="print one JSON object a project")
    remove.add_argument("--yes", action="store_true", help="do not ask for the word `wipe`")
    remove.add_argument("--report", metavar="FILE", help="where the report goes (default: a new file in this folder)")
    for each in (new, open_, listing, status, remove):
        add_key(each)
    add_backend(open_)


def run(args: argparse.Namespace) -> int:
    if args.action == "open":
        from secondme.cli import chat

        return chat.run(argparse.Namespace(project=args.name, key_fd=args.key_fd, backend=args.backend, go_on=True))
    if args.action == "rm":
        from secondme.cli import wipe

        return wipe.wipe_named_project(
            argparse.Namespace(project=args.name, key_fd=args.key_fd, yes=args.yes, report=args.report)
        )
    from secondme.assistant import Assistant
    from secondme.config import load_config

    actions: dict[str, Callable[[Assistant, argparse.Namespace], int]] = {"new": _new, "ls": _list, "status": _status}
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        return actions[args.action](assistant, args)


def _new(assistant: Assistant, args: argparse.Namespace) -> int:
    name = assistant.new_project(args.name)
    print(f"made: {clean_line(name)}")
    return 0


def _list(assistant: Assistant, args: argparse.Namespace) -> int:
    cartridges: dict[str, list[int]] = {}
    for row in assistant.cartridges():
        cartridges.setdefault(row.project, []).append(row.size_bytes)
    for project in assistant.projects():
        sizes = cartridges.get(project.name, [])
        if args.json:
            print(json.dumps(asdict(project) | {"n_cartridges": len(sizes), "cartridge_bytes": sum(sizes)}))
            continue
        used = f"{datetime.fromtimestamp(project.used_at):%Y-%m-%d %H:%M}" if project.used_at else "never used"
        held = f"{_n(project.n_sources, 'file')}, {_n(project.n_conversations, 'conversation')}"
        print(f"{clean_line(project.name)}  {held}, {_n(len(sizes), 'cartridge')} ({sum(sizes) / MB:.1f} MB)  {used}")
    return 0


def _status(assistant: Assistant, args: argparse.Namespace) -> int:
    status = assistant.project_status(args.name)
    if args.json:
        print(json.dumps(asdict(status) | _figures(status)))
        return 0
    figures = _figures(status)
    print(f"{clean_line(status.name)}: {_n(len(status.documents) + status.n_unread, 'document')}", end=", ")
    print(_n(status.n_conversations, "conversation"))
    for document in status.documents:
        print(f"  {_line(document)}")
    if status.n_unread:
        print(f"  {_n(status.n_unread, 'more document')}: found by search, there is no room for more before the model")
    if figures["cartridge_bytes"]:
        ratio = f"{figures['disk_ratio']}x smaller than in the model's memory"
        print(f"cartridges: {_n(figures['n_cartridges'], 'file')}, {figures['cartridge_bytes'] / MB:.2f} MB, {ratio}")
    if status.why_not:
        print(f"no cartridges: {clean_line(status.why_not)}")
    elif status.n_pending:
        print(f"{_n(status.n_pending, 'document')} to be prepared as {status.tier}")
        say(f"hint: the terminal app does it while nobody waits, or: secondme cartridge build --project {status.name}")
    return 0


def _figures(status: ProjectStatus) -> dict[str, Any]:
    held = [d for d in status.documents if d.size_bytes]
    size_bytes = sum(d.size_bytes for d in held)
    return {
        "n_tokens": sum(d.n_tokens for d in status.documents),
        "n_cartridges": len(held),
        "cartridge_bytes": size_bytes,
        "disk_ratio": round(sum(d.f16_bytes for d in held) / size_bytes, 2) if size_bytes else None,
    }


def _line(document: OpenedDocument) -> str:
    """One document: how it is opened, how long it is, and what its cartridge takes."""
    ways = {"cartridge": f"cartridge {document.tier}", "text": "read as text", "recall": "found by search"}
    said = [f"{ways[document.opened_as]}, {document.n_tokens} tokens"]
    if document.size_bytes:
        said.append(f"{document.size_bytes / MB:.2f} MB")
    if document.why:
        said.append(document.why)
    return f"{clean_line(document.path)}: {', '.join(said)}"


def _n(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
