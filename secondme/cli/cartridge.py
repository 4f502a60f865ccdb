"""`secondme cartridge`: what was read once for all: listed, built, verified, cleared away."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from secondme.cli.output import ProgressLine, add_backend, add_key, complain, credentials, say, settings
from secondme.errors import Cancelled, SecondMeError, UsageError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.cartridges.events import BuildEvent
    from secondme.memory.cartridges import StoredCartridge

MB = 1e6
TIERS = ("T0", "T1", "T2", "T3")


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "cartridge",
        help="list, build and verify what is kept of documents that were read",
        description="A cartridge is what the model makes of a document when it reads it, made smaller and sealed. "
        "A project opens with them at once, instead of reading again. They are derived from the documents: "
        "without them everything works, and takes longer.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("ls", help="all cartridges, with what they take on the disk")
    build = actions.add_parser("build", help="build those that are missing; what is done is kept when it is stopped")
    verify = actions.add_parser("verify", help="read and check every byte, and say what is wrong")
    collect = actions.add_parser("gc", help="clear away files and entries of which the other half is gone")
    for each in (listing, build, verify):
        each.add_argument("--project", metavar="NAME", help="of this project only")
    build.add_argument("--tier", choices=TIERS, help="how small (default: cartridge_tier of the settings)")
    build.add_argument("--again", action="store_true", help="build also what is there")
    for each in (listing, build, verify, collect):
        each.add_argument("--json", action="store_true", help="print JSON objects, one a line")
        add_key(each)
    add_backend(build)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import Assistant

    actions: dict[str, Callable[[Assistant, argparse.Namespace], int]] = {
        "ls": _list,
        "build": _build,
        "verify": _verify,
        "gc": _collect,
    }
    with Assistant(settings(args), credentials(args)) as assistant:
        assistant.unlock()
        name = getattr(args, "project", None)
        if name is not None and assistant.store.project_uid(name) is None:
            raise UsageError("there is no project of that name", hint="see: secondme project ls")
        return actions[args.action](assistant, args)


def _list(assistant: Assistant, args: argparse.Namespace) -> int:
    rows = assistant.cartridges(args.project)
    for row in rows:
        print(json.dumps(_row(row)) if args.json else _line(row))
    if not args.json and rows:
        size, f16 = sum(r.size_bytes for r in rows), sum(r.f16_bytes for r in rows)
        say(f"{len(rows)} cartridges, {size / MB:.2f} MB, {f16 / max(size, 1):.1f}x smaller than in the model's memory")
    return 0


def _row(row: StoredCartridge) -> dict[str, Any]:
    return {
        "project": row.project,
        "path": row.path,
        "source_id": row.source_id,
        "tier": row.tier,
        "complete": row.complete,
        "n_tokens": row.n_tokens,
        "size_bytes": row.size_bytes,
        "f16_bytes": row.f16_bytes,
        "disk_ratio": round(row.f16_bytes / max(row.size_bytes, 1), 2),
        "prefill_s": round(row.prefill_s, 3),
        "build_s": round(row.build_s, 3),
        "built_at": row.built_at,
    }


def _line(row: StoredCartridge) -> str:
    partly = "" if row.complete else ", its beginning only"
    ratio = row.f16_bytes / max(row.size_bytes, 1)
    return (
        f"{clean_line(row.project)}  {clean_line(row.path)}: {row.tier}, {row.n_tokens} tokens{partly}, "
        f"{row.size_bytes / MB:.2f} MB ({ratio:.1f}x smaller), built in {row.build_s:.1f} s"
    )


# Building ------------------------------------------------------------------------------------------------------


def _build(assistant: Assistant, args: argparse.Namespace) -> int:
    names = [args.project] if args.project is not None else [p.name for p in assistant.projects()]
    line = ProgressLine()
    n_skipped = 0
    try:
        for event in assistant.build_cartridges(names, tier=args.tier, again=args.again):
            n_skipped += _shown(event, line, as_json=args.json)
    except (KeyboardInterrupt, Cancelled):
        line.clear()
        say("stopped; what was done is kept, and the next build goes on from there")
        return 130
    finally:
        line.clear()
    return 1 if n_skipped else 0


def _shown(event: BuildEvent, line: ProgressLine, *, as_json: bool) -> int:
    """Show an event; 1 if a document was left out."""
    from dataclasses import asdict

    from secondme.cartridges.events import BuildProgress, BuildsDone, BuildSkipped, BuildStarted, CartridgeStored

    if as_json and not isinstance(event, BuildProgress):
        print(json.dumps({"event": type(event).__name__} | asdict(event)), flush=True)
        return int(isinstance(event, BuildSkipped))
    match event:
        case BuildStarted(path=path, n_done=n_done, n_total=n_total):
            line.show(f"{n_done + 1} of {n_total}: {path}")
        case BuildProgress(stage=stage, n_done=n_done, n_total=n_total):
            line.show(f"{stage}: {n_done}/{n_total} tokens")
        case CartridgeStored(path=path, complete=True):
            line.clear()
            ratio = event.f16_bytes / max(event.size_bytes, 1)
            print(f"{clean_line(path)}: {event.tier}, {event.n_tokens} tokens, {event.size_bytes / MB:.2f} MB", end="")
            print(f" ({ratio:.1f}x smaller) in {event.build_s:.1f} s", flush=True)
        case BuildSkipped(path=path, reason=reason):
            line.clear()
            say(f"left out: {path}: {reason}")
            return 1
        case BuildsDone(n_built=n_built):
            line.clear()
            say("nothing was to be built" if not n_built else f"{n_built} built in {event.elapsed_s:.1f} s")
    return 0


# Checking ------------------------------------------------------------------------------------------------------


def _verify(assistant: Assistant, args: argparse.Namespace) -> int:
    rows, code = assistant.cartridges(args.project), 0
    for row in rows:
        error = _checked(assistant, row)
        code = max(code, error.exit_code if error is not None else 0)
        if args.json:
            said = {"ok": error is None, "reason": error.message if error is not None else ""}
            print(json.dumps({"project": row.project, "path": row.path, "tier": row.tier} | said))
        elif error is None:
            print(f"ok: {clean_line(row.project)}  {clean_line(row.path)}")
        else:
            complain(error)
            say(f"  it is the one of {row.path}; `secondme cartridge build` makes it anew once it was found out")
    if not rows:
        say("there are no cartridges")
    return code


def _checked(assistant: Assistant, row: StoredCartridge) -> SecondMeError | None:
    try:
        assistant.verify_cartridge(row)
    except SecondMeError as error:
        return error
    return None


def _collect(assistant: Assistant, args: argparse.Namespace) -> int:
    found = assistant.collect_cartridges()
    if args.json:
        print(json.dumps({"n_files": found.n_files, "n_rows": found.n_rows}))
    else:
        print(f"cleared away: {found.n_files} files without an entry, {found.n_rows} entries without a file")
    return 0
