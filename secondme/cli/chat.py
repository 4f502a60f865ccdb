"""`secondme chat`: the terminal app."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from secondme.cli.output import add_backend, add_common, settings
from secondme.errors import UsageError


def register(verbs: Any) -> None:
    parser = verbs.add_parser("chat", help="open the terminal app")
    add_common(parser)
    add_backend(parser)
    parser.set_defaults(go_on=False)


def run(args: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the chat needs a terminal", hint='use: secondme ask "question"')
    from secondme.cli.output import read_key
    from secondme.tui.app import run as run_app

    passphrase = read_key(args.key_fd) if args.key_fd is not None else None
    return run_app(settings(args), project=args.project, passphrase=passphrase, go_on=args.go_on)
