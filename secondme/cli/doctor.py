"""`secondme doctor`: one line a check, each with its remedy."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from secondme.sanitize import clean_line

_SIGNS = {"ok": "ok      ", "warning": "warning ", "failed": "FAILED  "}


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "doctor",
        help="check that everything works on this machine",
        description="Checks kernels, cipher, vector extension, models, keyring, disk and GPU. Opens no memory and "
        "asks for no key; `secondme memory check` verifies what is stored.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a check")


def run(args: argparse.Namespace) -> int:
    from secondme.config import load_config
    from secondme.doctor import examine

    failed = 0
    for check in examine(load_config()):
        failed += check.status == "failed"
        if args.json:
            print(json.dumps(asdict(check)), flush=True)
            continue
        print(f"{_SIGNS[check.status]}{check.name}: {clean_line(check.detail)}", flush=True)
        if check.remedy:
            print(f"        hint: {clean_line(check.remedy)}", flush=True)
    return 1 if failed else 0
