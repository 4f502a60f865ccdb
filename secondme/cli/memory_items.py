"""`secondme memory add`, `edit`, `rm`, `undo`, `history`: what is known, and the owner's word on it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secondme.cli.ids import Item, name_of, parse_item
from secondme.cli.output import add_common, ask_line, has_terminal, say
from secondme.errors import UsageError
from secondme.sanitize import clean_line, clean_text

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import ItemKind, MemoryItem

KINDS: dict[str, ItemKind] = {"fact": "semantic", "event": "episodic", "how-to": "procedural"}
NAMES = {"semantic": "fact", "episodic": "event", "procedural": "how-to", "core": "profile", "vault": "secret"}
HIDDEN = "********"
NEEDS_YES = "look at what goes, and say --yes"


def register(actions: Any) -> None:
    add = actions.add_parser(
        "add",
        help="tell memory something",
        description="Remembers a sentence as the owner's word: what it says of one thing takes the place of what was "
        "so before, which stays in its history. Without TEXT it is read from a pipe or, at a terminal, from an editor.",
    )
    add.add_argument("text", nargs="*", metavar="TEXT")
    add.add_argument("--kind", choices=list(KINDS), help="what it is; it is then kept as it stands")
    add.add_argument("--since", metavar="WHEN", help="since when it is so: 2026-11-20, or 30m, 12h, 7d, 2w ago")
    add.add_argument(
        "--secret", metavar="NAME", help="keep a secret by this name; it is asked for, or read from a pipe, not shown"
    )
    edit = actions.add_parser(
        "edit",
        help="correct something known",
        description="Puts your wording in the place of a memory's; the earlier one stays in its history. Without TEXT "
        "an editor is opened ($VISUAL or $EDITOR), and the file is overwritten and removed afterwards.",
    )
    edit.add_argument("item", metavar="ID", help="a memory as m7")
    edit.add_argument("text", nargs="*", metavar="TEXT")
    rm = actions.add_parser(
        "rm",
        help="forget something known",
        description="Takes memories out with everything derived from them. What they replaced holds again.",
    )
    rm.add_argument("items", nargs="+", metavar="ID", help="a memory as m7")
    undo = actions.add_parser(
        "undo",
        help="forget what was learned from something, and keep that",
        description="Takes out a memory, or all that was learned from a turn, a conversation, a passage or a file; "
        "these stay themselves. What was replaced holds again.",
    )
    undo.add_argument("item", metavar="ID|SOURCE", help="m7, t45, c3, #12, s12 or a path")
    history = actions.add_parser("history", help="what was known in its place, before and after")
    history.add_argument("item", metavar="ID", help="a memory as m7")
    for each in (add, edit, history):
        each.add_argument("--json", action="store_true", help="print one JSON object a memory")
    for each in (rm, undo):
        each.add_argument("--yes", action="store_true", help="do not ask")
        each.add_argument("--json", action="store_true", help="print what went as one JSON object")
    for each in (add, edit, rm, undo, history):
        add_common(each)


# Telling -------------------------------------------------------------------------------------------------------


def add(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.cli.history import since

    if args.secret is not None:
        return _add_secret(assistant, args)
    kind = KINDS[args.kind] if args.kind else None
    at = since(args.since) if args.since else None
    learned = assistant.memories.add(_text(args.text), project=args.project, kind=kind, at=at)
    for item in (*learned.items, *learned.closed):
        _print(item, as_json=args.json, lead="no longer: " if item in learned.closed else "remembered: ")
    return 0


def _add_secret(assistant: Assistant, args: argparse.Namespace) -> int:
    if args.text:
        raise UsageError("a secret is not given on the command line", hint="it is asked for, or read from a pipe")
    item = assistant.memories.add_secret(args.secret, _secret(), project=args.project)
    _print(item, as_json=args.json, lead="kept as a secret: ")
    return 0


def _secret() -> str:
    import getpass

    if not sys.stdin.isatty():
        return _piped()
    return getpass.getpass("The secret (it is not shown): ")


def _text(given: Sequence[str], before: str = "") -> str:
    """What the owner says: on the command line, through a pipe, or in an editor."""
    from secondme.cli.editor import edited

    if given and list(given) != ["-"]:
        return " ".join(given)
    return _piped() if given or not sys.stdin.isatty() else edited(before)


def _piped() -> str:
    from secondme.assistant.memories import MAX_TEXT

    data = sys.stdin.buffer.read(MAX_TEXT * 4 + 1)
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError("what was piped in is not UTF-8", hint="encode it as UTF-8") from None


def edit(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.cli.editor import edited

    old = assistant.memories.one(item_id(args.item))
    before = old.value if old.kind == "vault" else old.text
    if old.kind == "vault" and args.text:
        raise UsageError("a secret is not given on the command line", hint="leave it out, and an editor opens")
    text = " ".join(args.text) if args.text else edited(before)
    if text == before:
        say("nothing was changed")
        return 0
    _print(assistant.memories.edit(old.id, text), as_json=args.json, lead="remembered: ")
    return 0


def history(assistant: Assistant, args: argparse.Namespace) -> int:
    for item in assistant.memories.history(item_id(args.item)):
        _print(item, as_json=args.json)
    return 0


# Taking out ----------------------------------------------------------------------------------------------------


def rm(assistant: Assistant, args: argparse.Namespace) -> int:
    items = [assistant.memories.one(item_id(given)) for given in dict.fromkeys(args.items)]
    return _take_out(assistant, items, args, lambda: assistant.memories.forget([i.id for i in items]).items)


def undo(assistant: Assistant, args: argparse.Namespace) -> int:
    named = parse_item(args.item)
    if named.kind == "item":
        item = assistant.memories.one(named.id)
        return _take_out(assistant, [item], args, lambda: assistant.memories.forget([item.id]).items)
    kind, ref_id = _origin(assistant, named, args.project)
    items = assistant.store.items_from(kind, ref_id)
    if not items:
        raise UsageError(
            f"nothing was learned from {name_of(f'{kind}:{ref_id}')}", hint="secondme memory list shows what is known"
        )
    return _take_out(assistant, items, args, lambda: assistant.memories.undo(kind, ref_id).items)


def _origin(assistant: Assistant, named: Item, project: str) -> tuple[Any, int]:
    if named.kind != "path":
        return named.kind, named.id
    source = assistant.store.source(project, named.path)
    if source is None:
        raise UsageError(f"{named.path} is not in memory", hint="secondme memory list shows what is")
    return "source", source.id


def _take_out(assistant: Assistant, items: Sequence[MemoryItem], args: argparse.Namespace, go: Any) -> int:
    if not args.yes:
        for item in items:
            print(line(item))
        if ask_line("Forget this? [y/N]", hint=NEEDS_YES).lower() not in ("y", "yes"):
            say("nothing was forgotten")
            return 0
    gone = go()
    if args.json:
        print(json.dumps({"forgotten": [f"m{i}" for i in gone]}))
    else:
        kept = f"; {len(items) - len(gone)} stay, for they were said elsewhere too" if len(items) > len(gone) else ""
        print(f"forgotten: {len(gone)} {'memory' if len(gone) == 1 else 'memories'}{kept}")
    return 0


# Showing -------------------------------------------------------------------------------------------------------


def item_id(given: str) -> int:
    """The number of a memory. Raises UsageError for the name of anything else."""
    named = parse_item(given)
    if named.kind != "item":
        raise UsageError("a memory is named as m7", hint="secondme memory list shows them with their names")
    return named.id


def line(item: MemoryItem) -> str:
    """`m7  fact  You live in Oslo.  since 3 May 2026`, on one line and safe for a terminal; secrets are not shown."""
    text = f"{item.attribute or item.text}: {HIDDEN}" if item.kind == "vault" else " ".join(item.text.split())
    notes = [when(item)] + ([item.state] if item.state != "active" else [])
    name = f"{item.attribute}: " if item.kind == "core" else ""
    return clean_line(f"m{item.id}  {NAMES.get(item.kind, item.kind)}  {name}{text}  {', '.join(notes)}")


def when(item: MemoryItem) -> str:
    """Since when it holds, and until when."""
    from secondme.recall.pieces import day

    since = f"since {day(item.valid_from)}"
    return since if item.valid_to is None else f"{day(item.valid_from)} to {day(item.valid_to)}"


def _print(item: MemoryItem, *, as_json: bool, lead: str = "") -> None:
    print(json.dumps(as_row(item)) if as_json else lead + line(item))


def as_row(item: MemoryItem, *, reveal: bool = False) -> Mapping[str, Any]:
    """An item for `--json`; the value of a secret only if it is to be revealed."""
    is_secret = item.kind == "vault" and not reveal
    return {
        "type": "memory",
        "id": f"m{item.id}",
        "kind": NAMES.get(item.kind, item.kind),
        "text": item.attribute if is_secret else item.text,
        "project": item.project,
        "subject": item.subject,
        "attribute": item.attribute,
        "value": None if is_secret else item.value,
        "state": item.state,
        "trust": item.trust.value,
        "made_by": item.made_by,
        "valid_from": item.valid_from,
        "valid_to": item.valid_to,
        "created_at": item.created_at,
        "n_uses": item.n_uses,
        "sources": [f"{'t' if s.kind == 'turn' else '#'}{s.ref_id}" for s in item.spans],
    }


def show(assistant: Assistant, item: MemoryItem, *, reveal: bool) -> int:
    """All that is kept of an item; the value of a secret if it was asked for, or the owner says so."""
    if item.kind == "vault":
        if not (reveal or _may_reveal(item)):
            print(line(item))
            say("--reveal shows it")
            return 0
        print(clean_text(item.value or item.text))
        return 0
    print(line(item))
    for reason in assistant.memories.why(item):
        print(clean_line(f'  {reason.where}: "{reason.quote}" ({name_of(f"{reason.kind}:{reason.ref_id}")})'))
    return 0


def _may_reveal(item: MemoryItem) -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty() and has_terminal()):
        return False
    return ask_line(f"Show the secret {clean_line(item.attribute)} here? [y/N]", hint="").lower() in ("y", "yes")
