"""The options of `secondme bench recall`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secondme.bench.recall import Options

_FILES = (
    ("--locomo", "conversations of many sessions with questions, as in LoCoMo"),
    ("--cranfield", "documents, queries and judgements, as in Cranfield"),
    ("--updates", "what was said and corrected, with questions"),
    ("--poison", "attacks on memory, with harmless twins"),
    ("--learn", "learn weights from all of --locomo, or else of --updates, and write them to FILE"),
    ("--make-updates", "make such a set with --seed, and write it to FILE"),
    ("--make-poison", "make such a set with --seed, and write it to FILE"),
)


def register(group: Any) -> None:
    for name, meaning in _FILES:
        group.add_argument(name, type=Path, metavar="FILE", help=meaning)
    group.add_argument("--scale", type=int, default=0, metavar="N", help="time searches in a made-up store of N turns")
    group.add_argument("--limit", type=int, default=0, metavar="N", help="at most N questions of a collection")
    group.add_argument("--answers", action="store_true", help="let the model answer, of cartridges too")


def options(args: argparse.Namespace) -> Options:
    """Raises UsageError for what cannot be measured."""
    from secondme.bench.recall import Options, checked

    return checked(
        Options(
            locomo=args.locomo,
            cranfield=args.cranfield,
            xquad=args.xquad,
            updates=args.updates,
            poison=args.poison,
            learn=args.learn,
            make_updates=args.make_updates,
            make_poison=args.make_poison,
            scale=args.scale,
            limit=args.limit,
            answers=args.answers,
            peers=args.peers,
            seed=args.seed,
        )
    )
