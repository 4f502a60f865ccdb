"""`secondme doctor`: one line a check, each with its remedy."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_backend, add_key, credentials, settings
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.types import Check

_SIGNS = {"ok": "ok      ", "warning": "warning ", "failed": "FAILED  "}


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "doctor",
        help="check that everything works on this machine",
        description="Checks kernels, cipher, vector extension, models, keyring, disk and GPU, without opening memory "
        "and without a key. With --read-data it also reads everything that is stored and holds it to its log.",
    )
    parser.add_argument(
        "--read-data",
        action="store_true",
        help="verify every record, passage, word, vector and cartridge; needs the key",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a check")
    add_key(parser)
    add_backend(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.doctor import examine

    failed = 0
    for check in chain(examine(settings(args)), _read_data(args) if args.read_data else ()):
        failed += check.status == "failed"
        if args.json:
            print(json.dumps(asdict(check)), flush=True)
            continue
        print(f"{_SIGNS[check.status]}{check.name}: {clean_line(check.detail)}", flush=True)
        if check.remedy:
            print(f"        hint: {clean_line(check.remedy)}", flush=True)
    return 1 if failed else 0


def _read_data(args: argparse.Namespace) -> Iterator[Check]:
    from secondme.repair import read_data

    given = credentials(args)
    yield from read_data(given.passphrase, given.ask)
