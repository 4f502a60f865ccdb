"""`secondme memory repair`: shows what is damaged, what can be mended and what is lost; then asks, and does it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_key, ask_line, credentials, say
from secondme.errors import Cancelled
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from pathlib import Path

    from secondme.memory.salvage import BitRot, Salvage
    from secondme.repair import Memory

WORD = "yes"


def register(actions: Any) -> None:
    parser = actions.add_parser(
        "repair",
        help="mend a damaged store, after showing what is damaged and what is lost",
        description="Reads everything that is stored, shows what is damaged, what can be mended and what is lost, and "
        "changes nothing before you agree. A store that has to be written anew is kept beside its successor.",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.repair import unlocked

    given = credentials(args)
    with unlocked(given.passphrase, given.ask) as memory:
        if memory is None:
            print("there is no memory yet")
            return 0
        way = "bits"
        while way == "bits":
            way = _repair(memory, ask=not args.yes)
    return 0


def _repair(memory: Memory, *, ask: bool) -> str:
    """Carry out one plan; return its way. Once bits are set right there may be more to do."""
    with memory.examined() as salvage:
        way = salvage.plan.way
        if way == "nothing":
            print("all that is stored is as it should be")
            return way
        _show(salvage)
        if ask:
            _agree()
        kept = salvage.repair()
    _report(kept)
    return way


def _show(salvage: Salvage | BitRot) -> None:
    from secondme.repair import to_add_again

    plan = salvage.plan
    for title, lines in (("Damaged", plan.wrong), ("Mended by the repair", plan.mended), ("Lost", plan.lost)):
        if lines:
            print(f"{title}:")
            for line in lines:
                print(f"  {clean_line(line)}")
    if not plan.lost:
        print("Nothing is lost.")
    for folder, n in to_add_again(salvage).items():
        what = "file" if n == 1 else "files"
        print(f"{n} {what} in {clean_line(folder)} can be added again from the disk: secondme add {clean_line(folder)}")


def _agree() -> None:
    hint = "run it in a terminal, or with --yes"
    if ask_line(f"Type `{WORD}` to repair the store now:", hint=hint) != WORD:
        raise Cancelled("nothing was changed", hint=f"type `{WORD}` to go on")


def _report(kept: Path | None) -> None:
    from secondme.memory.salvage import log_of

    print("the store is repaired")
    if kept is not None:
        also = f", with its log {log_of(kept).name}" if log_of(kept).exists() else ""
        say(f"the damaged store is kept as {kept}{also}, under the same key; delete it once you miss nothing")
    say("`secondme doctor --read-data` verifies everything again")
