"""`secondme memory review`: what waits for the owner's word, one after the other."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from secondme.cli.memory_items import as_row, item_id, line
from secondme.cli.output import add_common, ask_line, say
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import MemoryItem


def register(actions: Any) -> None:
    review = actions.add_parser(
        "review",
        help="decide about what memory does not take over by itself",
        description="Shows claims that need your word, such as what a file says about you, or what contradicts "
        "something you said; and words that read like an instruction and were set aside. At a terminal it asks about "
        "each.",
    )
    review.add_argument("--approve", nargs="+", default=[], metavar="ID", help="it is so; of words set aside: harmless")
    review.add_argument("--reject", nargs="+", default=[], metavar="ID", help="it is not so: it is forgotten")
    review.add_argument("--json", action="store_true", help="print one JSON object for each, and do not ask")
    add_common(review)


def run(assistant: Assistant, args: argparse.Namespace) -> int:
    if args.approve or args.reject:
        for given in args.approve:
            assistant.memories.approve(item_id(given))
        for given in args.reject:
            assistant.memories.reject(item_id(given))
        say(f"approved: {len(args.approve)}, rejected: {len(args.reject)}")
        return 0
    waiting = assistant.memories.open(args.project)
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not args.json
    for item in waiting:
        if args.json:
            print(json.dumps(as_row(item)))
            continue
        _show(assistant, item)
        if asks and not _decide(assistant, item):
            break
    if not waiting:
        say("nothing waits for your word")
    elif not (asks or args.json):
        say("--approve ID and --reject ID decide")
    return 0


def _show(assistant: Assistant, item: MemoryItem) -> None:
    print(line(item))
    for reason in assistant.memories.why(item):
        print(clean_line(f'  {reason.where}: "{reason.quote}"', 400))
    for other in _against(assistant, item):
        print(clean_line(f"  against: {line(other)}"))


def _against(assistant: Assistant, item: MemoryItem) -> list[MemoryItem]:
    """What holds now in the place that the claim would take."""
    if not item.slot:
        return []
    return assistant.store.items(item.project, slot=item.slot, holding=True)


def _decide(assistant: Assistant, item: MemoryItem) -> bool:
    """Ask about one; False once the owner has had enough."""
    aside = item.state == "quarantined"
    question = "Harmless, to be read again? [y]es, [n]o" if aside else "Is it so? [y]es, [n]o"
    answer = ask_line(f"{question}, [s]kip, [q]uit:", hint="--approve ID and --reject ID decide").lower()
    if answer in ("y", "yes"):
        assistant.memories.approve(item.id)
    elif answer in ("n", "no"):
        assistant.memories.reject(item.id)
    return answer not in ("q", "quit")
