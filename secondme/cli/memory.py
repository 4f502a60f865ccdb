"""`secondme memory`: what is known and what is in memory, where it came from and what became of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from secondme.cli import history, memory_core, memory_items, memory_review, repair
from secondme.cli.add import report
from secondme.cli.ids import Item, parse_item
from secondme.cli.output import add_common, credentials, say
from secondme.errors import UsageError
from secondme.sanitize import clean_line, clean_text

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import Chunk, StoredSource


def register(verbs: Any) -> None:
    parser = verbs.add_parser("memory", help="what is known, what is in memory, and what became of it")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="what is known, and the files in memory",
        description="Lists what is known as it is now, then the files, and those left out with the reason.",
    )
    listing.add_argument("--known", action="store_true", help="only what is known")
    listing.add_argument("--past", action="store_true", help="also what was known to be so and is no longer")
    listing.add_argument("--faded", action="store_true", help="also what has faded and was archived")
    listing.add_argument("--files", action="store_true", help="only files")
    listing.add_argument("--skipped", action="store_true", help="only the files that were left out")
    listing.add_argument("--json", action="store_true", help="print one JSON object a memory or file")
    search = actions.add_parser(
        "search", help="what is known, was said or stands in files about some words, without asking the model"
    )
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("-k", type=int, default=8, metavar="N", help="how many (default: 8)")
    search.add_argument("--files", action="store_true", help="only passages of files")
    search.add_argument("--json", action="store_true", help="print one JSON object for each")
    show = actions.add_parser("show", help="one memory, passage, turn or file as it is stored")
    show.add_argument("what", metavar="ITEM", help="m7, #12, t45, s12 or a path")
    show.add_argument("--reveal", action="store_true", help="show the value of a secret")
    show.add_argument("--json", action="store_true", help="print a memory as one JSON object")
    memory_items.register(actions)
    memory_review.register(actions)
    memory_core.register(actions)
    history.register(actions)
    folders = actions.add_parser("folders", help="folders that are followed")
    stats = actions.add_parser("stats", help="how much there is")
    reindex = actions.add_parser("reindex", help="embed everything again, after a change of the embedding model")
    reflect = actions.add_parser(
        "reflect",
        help="embed what was said and tidy what is known",
        description="Does at once what the terminal app does while nobody waits: embeds what is new, makes one of two "
        "alike, links and groups, and puts away what fades. Stopping it keeps what was done.",
    )
    repair.register(actions)
    for each in (listing, search, show, folders, stats, reindex, reflect):
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
        "add": memory_items.add,
        "edit": memory_items.edit,
        "rm": memory_items.rm,
        "undo": memory_items.undo,
        "history": memory_items.history,
        "review": memory_review.run,
        "core": memory_core.run,
        "log": history.log,
        "why": history.why,
        "folders": _folders,
        "stats": _stats,
        "reflect": _reflect,
        "reindex": lambda assistant, _: report(assistant.reindex(), as_json=False),
    }
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        return actions[args.action](assistant, args)


def _list(assistant: Assistant, args: argparse.Namespace) -> int:
    files = args.files or args.skipped
    n_known = 0 if files else _list_known(assistant, args)
    sources = [] if args.known else [s for s in assistant.sources(args.project) if s.skip_reason or not args.skipped]
    for source in sources:
        if args.json:
            row = {k: v for k, v in asdict(source).items() if k not in ("content_hash", "stamp")}
            row |= {"type": "file", "sha256": source.content_hash.hex(), "size_bytes": source.stamp.size_bytes}
            print(json.dumps(row))
        else:
            what = f"skipped: {source.skip_reason}" if source.skip_reason else f"{source.n_chunks} passages"
            print(f"{clean_line(source.path)}  {clean_line(what)}  s{source.id}")
    if not (sources or n_known):
        say("no file was left out" if args.skipped else f"memory holds {'no files' if files else 'nothing'} yet")
    return 0


def _list_known(assistant: Assistant, args: argparse.Namespace) -> int:
    """Returns how many there are."""
    from secondme.assistant.memories import Filter

    n = 0
    for item in assistant.memories.each(args.project, Filter(past=args.past, faded=args.faded)):
        n += 1
        print(json.dumps(memory_items.as_row(item)) if args.json else memory_items.line(item))
    waiting = len(assistant.memories.open(args.project))
    if waiting:
        say(f"{waiting} more {'waits' if waiting == 1 else 'wait'} for your word: secondme memory review")
    return n


def _search(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.assistant import Wanted
    from secondme.cli.ask import citation_line

    words = " ".join(args.words)
    if args.files:
        found = assistant.recall(words, k=args.k, project=args.project)
    else:
        found = assistant.search(words, Wanted(args.k, args.project))
    for citation in found:
        print(json.dumps(asdict(citation)) if args.json else citation_line(citation))
    if not found:
        say("memory holds nothing about this")
    return 0


def _show(assistant: Assistant, args: argparse.Namespace) -> int:
    item = parse_item(args.what)
    if item.kind == "item":
        known = assistant.memories.one(item.id)
        if args.json:
            print(json.dumps(memory_items.as_row(known, reveal=args.reveal)))
            return 0
        return memory_items.show(assistant, known, reveal=args.reveal)
    if args.json:
        raise UsageError("only a memory is shown as JSON", hint="name it as m7")
    if item.kind == "turn":
        return _show_turn(assistant, item.id)
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
            "a conversation is not shown here",
            hint="name a memory as m7, a passage as #12, a turn as t45, a file as s12",
        )
    for stored in assistant.store.source_chunks(_source(assistant, item, args.project).id):
        print(clean_text(stored.chunk.text), end="")
    print()
    return 0


def _show_turn(assistant: Assistant, turn_id: int) -> int:
    turn = assistant.turn(turn_id)
    if turn is None:
        raise UsageError(f"there is no turn t{turn_id}", hint="numbers stand behind citations and search results")
    who = turn.speaker or ("you" if turn.role == "user" else "secondme")
    print(clean_line(f"{who}, {history.at_time(turn.created_at)}, conversation c{turn.conversation_id}"))
    print(clean_text(turn.text))
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


def _reflect(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.reflect.consolidate import Consolidated

    for event in assistant.reflect():
        if isinstance(event, Consolidated):
            done = {"embedded": event.n_embedded, "merged": event.n_merged, "topics": event.n_topics}
            done |= {"linked": event.n_linked, "archived": event.n_faded}
            print(", ".join(f"{n} {what}" for what, n in done.items()))
    return 0


def _stats(assistant: Assistant, args: argparse.Namespace) -> int:
    stats = assistant.stats()
    print(f"files          {stats.n_sources}")
    print(f"left out       {stats.n_skipped}")
    print(f"passages       {stats.n_chunks}")
    print(f"conversations  {stats.n_conversations}")
    print(f"turns          {stats.n_turns}")
    print(f"known          {sum(1 for _ in assistant.memories.each(args.project))}")
    print(f"on disk        {stats.size_bytes / 1e6:.1f} MB, encrypted")
    if stats.n_cartridges:
        print(f"cartridges     {stats.n_cartridges}, {stats.cartridge_bytes / 1e6:.1f} MB, sealed")
    return 0
