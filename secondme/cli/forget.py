"""`secondme forget`: takes something out of memory with everything derived from it, after showing what that is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.ids import Item, name_of, parse_item
from secondme.cli.output import add_common, ask_line, credentials, say
from secondme.errors import UsageError
from secondme.paths import absolute
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.memory.forgetting import Forgetting, Target

MAX_SHOWN = 12
"""Items of a kind that are listed; of the others the number is told."""

CONFIRM = "look at what goes, and say --yes"


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "forget",
        help="take something out of memory with everything derived from it",
        description="Takes items out of memory, their words, vectors, links and citations, and the answers that rest "
        "on them. Shows what goes and asks first. What was forgotten does not come back by itself, neither from a "
        "followed folder nor when its file changes; `secondme add PATH` brings a forgotten file back, and "
        "`secondme add --again PATH` forgotten passages as well. Files on the disk are left alone.",
    )
    parser.add_argument(
        "items",
        nargs="*",
        metavar="ITEM",
        help="a passage as #12, a file as s12 or by its path, a conversation as c3, a turn as t45, a memory as m7",
    )
    parser.add_argument(
        "--source", action="append", default=[], metavar="PATH", help="a file, or a folder with all that is below it"
    )
    parser.add_argument("--query", nargs="+", metavar="WORD", help="choose among the passages that bear on these words")
    parser.add_argument("-k", type=int, default=8, metavar="N", help="how many passages --query finds (default: 8)")
    parser.add_argument(
        "--keep-answers", action="store_true", help="leave the text of answers, and take out their citations only"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask; with --query, forget every passage found")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import Assistant
    from secondme.config import load_config

    if not (args.items or args.source or args.query):
        raise UsageError("there is nothing named to forget", hint="name items, or use --source PATH or --query WORDS")
    named = [parse_item(item) for item in args.items]
    named += [Item("path", path=str(absolute(Path(path)))) for path in args.source]
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        if args.query:
            chosen = _chosen(assistant, args)
            if not chosen:
                return 0
            named += chosen
        return _forget(assistant, _target(named, args), yes=args.yes)


def _target(named: Sequence[Item], args: argparse.Namespace) -> Target:
    from secondme.memory.forgetting import Target

    def ids(kind: str) -> tuple[int, ...]:
        return tuple(dict.fromkeys(item.id for item in named if item.kind == kind))

    return Target(
        sources=ids("source"),
        passages=ids("passage"),
        conversations=ids("conversation"),
        turns=ids("turn"),
        items=ids("item"),
        paths=tuple(dict.fromkeys((args.project, item.path) for item in named if item.kind == "path")),
        keep_answers=args.keep_answers,
    )


def _forget(assistant: Assistant, target: Target, *, yes: bool) -> int:
    shown = assistant.forgetting(target)
    _require_found(assistant, target, shown)
    if not yes:
        for line in _lines(assistant, shown, target):
            print(line)
        if ask_line("Forget this? [y/N]", hint=CONFIRM).lower() not in ("y", "yes"):
            say("nothing was forgotten")
            return 0
    done = assistant.forget(target)
    print(f"forgotten: {_summary(done)}; nothing of it is left in the store")
    return 0


def _require_found(assistant: Assistant, target: Target, shown: Forgetting) -> None:
    """Raises UsageError for anything named that is not in memory: a typing error must not look like success."""
    missing = [name_of(subject) for subject in shown.missing]
    followed = {(f.project, f.path) for f in shown.folders}
    for project, path in target.paths:
        if (project, path) not in followed and not assistant.store.sources(project, path):
            missing.append(clean_line(path))
    if missing:
        raise UsageError(
            f"not in memory: {', '.join(missing)}",
            hint="secondme memory list and search show what is; nothing was done",
        )


def _chosen(assistant: Assistant, args: argparse.Namespace) -> list[Item]:
    """The passages that bear on --query, or those of them that the owner picks."""
    from secondme.cli.ask import citation_line

    found = assistant.recall(" ".join(args.query), k=args.k, project=args.project)
    if not found:
        say("memory holds nothing about this")
        return []
    items = {citation.n: Item("passage", citation.chunk_id) for citation in found}
    if args.yes:
        return list(items.values())
    for citation in found:
        print(citation_line(citation))
    answer = ask_line("Which of them? Numbers as in 1 3, all, or nothing:", hint=CONFIRM).lower()
    if answer == "all":
        return list(items.values())
    picked = [word.strip("[]#,") for word in answer.replace(",", " ").split()]
    unknown = [word for word in picked if not word.isdecimal() or int(word) not in items]
    if unknown:
        raise UsageError("that is none of the numbers shown", hint=f"they go from 1 to {len(items)}; nothing was done")
    if not picked:
        say("nothing was forgotten")
    return [items[int(word)] for word in picked]


# What is shown -----------------------------------------------------------------------------------------------


def _summary(shown: Forgetting) -> str:
    counts = (
        (len(shown.sources), "file", "files"),
        (len(shown.passages), "passage", "passages"),
        (len(shown.conversations), "conversation", "conversations"),
        (len(shown.turns), "turn", "turns"),
        (len(shown.items), "memory", "memories"),
        (len(shown.answers), "answer that rested on them", "answers that rested on them"),
        (len(shown.folders), "followed folder", "followed folders"),
    )
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _lines(assistant: Assistant, shown: Forgetting, target: Target) -> Iterator[str]:
    """What goes, kind by kind; text of the owner's only as its first words."""
    from secondme.cli.memory_items import line

    yield f"This would be forgotten: {_summary(shown)}"
    yield from _listed([f"file s{s.id} {clean_line(s.path)}, {s.n_chunks} passages" for s in shown.sources])
    whole = {s.id for s in shown.sources}
    chunks = [c for c in assistant.store.chunks(shown.passages) if c.source_id not in whole]
    copies = set(shown.copies)
    yield from _listed(
        [
            f'passage #{c.id}{" (a copy)" if c.id in copies else ""} of {clean_line(c.path)}: "{_start(c.chunk.text)}"'
            for c in chunks
        ]
    )
    yield from _listed([f'conversation c{c.id} "{clean_line(c.title, 60)}"' for c in shown.conversations])
    yield from _listed([line(item) for item in assistant.store.items_by_ids(shown.items)])
    gone = "their citations" if target.keep_answers else "their text and citations"
    if shown.answers:
        yield from _listed([f"{gone} of answers: {', '.join(f't{i}' for i in shown.answers[:MAX_SHOWN])}"])
    yield from _listed([f"no longer followed: {clean_line(f.path)}" for f in shown.folders])
    yield (
        f"  vectors {shown.n_vectors}, citations {shown.n_citations}, links {shown.n_links},"
        f" cartridges {shown.n_cartridges}"
    )


def _listed(lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:MAX_SHOWN]:
        yield f"  {line}"
    if len(lines) > MAX_SHOWN:
        yield f"  and {len(lines) - MAX_SHOWN} more"


def _start(text: str) -> str:
    words = " ".join(text.split())
    return clean_line(words[:60].rstrip() + ("…" if len(words) > 60 else ""))
