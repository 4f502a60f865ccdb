"""What the benchmark and its child process of another environment say to each other, as JSON in a folder of their own.

Only the standard library is used, because the child has none of the program's packages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REQUEST = "request.json"
ANSWERS = "answers.jsonl"
KEPT_ALL = "any, keeping all"
"""Stands for every press at a tier that is large enough for the whole document."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`tail` follows the document in the prompt, and `gold` the tail."""

    tail: tuple[int, ...]
    gold: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One document as token ids. ratios: tier to how many times smaller than f16 the document's cells may become."""

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    questions: tuple[Asked, ...]
    ratios: dict[str, float]


@dataclass(frozen=True, slots=True)
class Request:
    """model: a GGUF file. presses: names of PRESSES."""

    model: str
    presses: tuple[str, ...]
    threads: int
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One document under one press at one tier's bytes. A press "" is the child's own full cache, the reference.

    ratio: f16 bytes over the bytes granted. kept: share of the document's (token, head) pairs that stay. For each
    question: kl, the sum over its gold tokens in nats; hits, whether every gold token is the likeliest one.
    """

    case: int
    press: str
    tier: str
    quantizer: str
    ratio: float
    kept: float
    kl: tuple[float, ...]
    hits: tuple[bool, ...]


def write_request(folder: Path, request: Request) -> None:
    (folder / REQUEST).write_text(json.dumps(asdict(request)), "utf-8")


def read_request(folder: Path) -> Request:
    table: dict[str, Any] = json.loads((folder / REQUEST).read_text("utf-8"))
    cases = tuple(
        Case(
            prefix=tuple(case["prefix"]),
            tokens=tuple(case["tokens"]),
            questions=tuple(Asked(tuple(q["tail"]), tuple(q["gold"])) for q in case["questions"]),
            ratios=dict(case["ratios"]),
        )
        for case in table["cases"]
    )
    return Request(table["model"], tuple(table["presses"]), table["threads"], cases)


def add_answer(folder: Path, answer: Answer) -> None:
    with (folder / ANSWERS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(answer)) + "\n")


def read_answers(folder: Path) -> Iterator[Answer]:
    """All that were written, in their order. Raises ValueError for a line that is no answer."""
    path = folder / ANSWERS
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            table = json.loads(line)
            yield Answer(**{**table, "kl": tuple(map(float, table["kl"])), "hits": tuple(map(bool, table["hits"]))})
        except (TypeError, KeyError, json.JSONDecodeError) as error:
            raise ValueError("a line is no answer") from error
