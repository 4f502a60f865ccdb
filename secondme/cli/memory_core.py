"""`secondme memory core`: the profile, a few named blocks that every prompt carries, as one text to edit."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_common, say
from secondme.errors import UsageError
from secondme.sanitize import clean_text

if TYPE_CHECKING:
    from secondme.assistant import Assistant

FIRST = "About me"
_HEADING = re.compile(r"^#[ \t]+(.*\S)[ \t]*$", re.M)


def register(actions: Any) -> None:
    core = actions.add_parser(
        "core",
        help="show or edit the profile that every answer begins with",
        description="The profile is a few short blocks of text, each under a heading, that the model always reads. "
        "Nobody but you writes it. `edit` opens it in $VISUAL or $EDITOR; the file is overwritten and removed "
        "afterwards, and nothing is changed if the editor fails.",
    )
    core.add_argument("what", nargs="?", choices=["show", "edit"], default="show")
    core.add_argument("--json", action="store_true", help="print the blocks as one JSON object")
    add_common(core)


def run(assistant: Assistant, args: argparse.Namespace) -> int:
    from secondme.cli.editor import edited

    before = assistant.memories.core(args.project)
    if args.what == "edit":
        blocks = parse(edited(as_text(before) or f"# {FIRST}\n\n"))
        if not assistant.memories.set_core(args.project, blocks):
            say("nothing was changed")
            return 0
        say("the profile is changed; secondme memory core shows it")
        before = assistant.memories.core(args.project)
    if args.json:
        print(json.dumps(before))
    elif args.what == "show" and before:
        print(clean_text(as_text(before)))
    elif not before:
        say("the profile is empty; secondme memory core edit begins it")
    return 0


def as_text(blocks: Mapping[str, str]) -> str:
    """The blocks under their headings."""
    return "\n\n".join(f"# {name}\n\n{text}" for name, text in blocks.items())


def parse(text: str) -> dict[str, str]:
    """Blocks by their headings; text before the first one is of the block FIRST, and empty blocks are left out.

    Raises UsageError for two of one name.
    """
    pieces = _HEADING.split(text)
    named = [(FIRST, pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    blocks: dict[str, str] = {}
    for name, body in ((name, body.strip()) for name, body in named):
        if body and name in blocks:
            raise UsageError("two blocks have the same heading, so nothing was changed", hint="join them under one")
        if body:
            blocks[name] = body
    return blocks
