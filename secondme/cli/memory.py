"""`secondme memory`: what is in memory, where it came from and what became of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from secondme.cli import history, repair
from secondme.cli.add import report
from secondme.cli.ids import Item, parse_item
from secondme.cli.output import add_common, credentials, say
from secondme.errors import UsageError
from secondme.sanitize import clean_line, clean_text

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import Chunk, StoredSource


def register(verbs: Any) -> None:
    parser = verbs.add_parser("memory", help="list, search and show what is in memory, and what became of it")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="files in memory, and those left out with the reason")
    listing.add_argument("--skipped", action="store_true", help="only the files that were left out")
    listing.add_argument("--json", action="store_true", help="print one JSON object a file")
    search = actions.add_parser("search", help="passages that bear on some words, without asking the model")
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("-k", type=int, default=8, metavar="N", help="how many (default: 8)")
    search.add_argument("--json", action="store_true", help="print one JSON object a passage")
    show = actions.add_parser("show", help="the stored text of a passage (its #number) or of a file")
    show.add_argument("what", metavar="ITEM", help="#12, s12 or a path")
    history.register(actions)
    folders = actions.add_parser("folders", help="folders that are followed")
    stats = actions.add_parser("stats", help="how much there is")
    reindex = actions.add_parser("reindex", help="embed everything again, after a change of the embedding model")
    repair.register(actions)
    for each in (listing, search, show, folders, stats, reindex):
        add_common(each)


def run(args: argparse.Namespace) -> int:
    if args.action == "repair":
        return repair.run(args)
    from secondme.assistant import Assistant
    from secondme.config import load_config

    actions: dict[str, Callable[[Assistant, argparse.Namespace], int]] = {
        "list": _list,
        "search": _search,
        "show": _show,
        "log": history.log,
        "why": history.why,
        "folders": _folders,
        "stats": _stats,
        "reindex": lambda assistant, _: report(assistant.reindex(), as_json=False),
    }
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        return actions[args.action](assistant, args)


def _list(assistant: Assistant, args: argparse.Namespace) -> int:
    sources = [s for s in assistant.sources(args.project) if s.skip_reason or not args.skipped]
    for source in sources:
        if args.json:
            row = {k: v for k, v in asdict(source).items() if k not in ("content_hash", "stamp")}
            print(json.dumps(row | {"sha256": source.content_hash.hex(), "size_bytes": source.stamp.size_bytes}))
        else:
            what = f"skipped: {source.skip_reason}" if source.skip_reason else f"{source.n_chunks} passages"
            print(f"{clean_line(source.path)}  {clean_line(what)}  s{source.id}")
    if not sources:
        say("memory holds no files yet" if not args.skipped else "no file was left out")
    return 0


def _search(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.cli.ask import citation_line

    found = assistant.recall(" ".join(args.words), k=args.k, project=args.project)
    for citation in found:
        print(json.dumps(asdict(citation)) if args.json else citation_line(citation))
    if not found:
        say("memory holds nothing about this")
    return 0


def _show(assistant: Assistant, args: argparse.Namespace) -> int:
    item = parse_item(args.what)
    if item.kind == "passage":
        chunk = assistant.store.chunk(item.id)
        if chunk is None:
            raise UsageError(
                f"there is no passage #{item.id}", hint="numbers stand behind citations and search results"
            )
        print(clean_line(f"{chunk.path}, {_place(chunk.chunk)}"))
        print(clean_text(chunk.chunk.text))
        return 0
    if item.kind not in ("source", "path"):
        raise UsageError(
            "only passages and files are shown here", hint="name a passage as #12, a file as s12 or its path"
        )
    for stored in assistant.store.source_chunks(_source(assistant, item, args.project).id):
        print(clean_text(stored.chunk.text), end="")
    print()
    return 0


def _place(chunk: Chunk) -> str:
    lines = f"lines {chunk.line_start}-{chunk.line_end}"
    return f"page {chunk.page}" if chunk.page is not None else lines


def _source(assistant: Assistant, item: Item, project: str) -> StoredSource:
    if item.kind == "path":
        found = assistant.store.source(project, item.path)
    else:
        found = next((s for s in assistant.sources() if s.id == item.id), None)
    if found is None:
        raise UsageError(f"{item.path or f's{item.id}'} is not in memory", hint="secondme memory list shows what is")
    return found


def _folders(assistant: Assistant, args: argparse.Namespace) -> int:
    for folder in assistant.folders(args.project):
        print(clean_line(folder.path))
    return 0


def _stats(assistant: Assistant, args: argparse.Namespace) -> int:
    stats = assistant.stats()
    print(f"files          {stats.n_sources}")
    print(f"left out       {stats.n_skipped}")
    print(f"passages       {stats.n_chunks}")
    print(f"conversations  {stats.n_conversations}")
    print(f"turns          {stats.n_turns}")
    print(f"on disk        {stats.size_bytes / 1e6:.1f} MB, encrypted")
    if stats.n_cartridges:
        print(f"cartridges     {stats.n_cartridges}, {stats.cartridge_bytes / 1e6:.1f} MB, sealed")
    return 0
