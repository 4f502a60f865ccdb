"""What the benchmark and its child process of another environment say to each other, in a folder of their own.

Only the standard library is used here; the vectors travel as plain float32 rows.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REQUEST = "request.json"
ANSWERS = "answers.json"
DEPTH = 100
"""Turns that a ranking names at most."""


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """peers: names of those to run. n_dims: of the vectors, one for each turn and question in their order."""

    peers: tuple[str, ...]
    n_dims: int
    conversations: tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """rankings: for each conversation and question, places of turns, best first. Seconds are of each write and search,
    without embedding."""

    peer: str
    rankings: list[list[list[int]]]
    write_s: list[float]
    search_s: list[float]


def write_request(folder: Path, request: Request, vectors: Sequence[bytes]) -> None:
    """`vectors`: for each conversation the float32 rows of its turns, then of its questions."""
    (folder / REQUEST).write_text(json.dumps(asdict(request)), "utf-8")
    for i, rows in enumerate(vectors):
        (folder / f"{i}.f32").write_bytes(rows)


def read_request(folder: Path) -> Request:
    table: dict[str, Any] = json.loads((folder / REQUEST).read_text("utf-8"))
    conversations = tuple(Conversation(tuple(c["turns"]), tuple(c["questions"])) for c in table["conversations"])
    return Request(tuple(table["peers"]), table["n_dims"], conversations)


def read_vectors(folder: Path, number: int, n_dims: int) -> list[list[float]]:
    """Of one conversation: a row for each turn, then for each question."""
    rows = array("f", (folder / f"{number}.f32").read_bytes())
    return [rows[at : at + n_dims].tolist() for at in range(0, len(rows), n_dims)]


def write_answers(folder: Path, answers: Sequence[Answer]) -> None:
    (folder / ANSWERS).write_text(json.dumps([asdict(answer) for answer in answers]), "utf-8")


def read_answers(folder: Path, request: Request) -> dict[str, Answer]:
    """By peer. Raises ValueError unless every peer of `request` ranked turns for every question."""
    try:
        found = {table["peer"]: Answer(**table) for table in json.loads((folder / ANSWERS).read_text("utf-8"))}
    except (OSError, TypeError, KeyError) as error:
        raise ValueError("the answers cannot be read") from error
    wanted = [len(conversation.questions) for conversation in request.conversations]
    if [*found] != [*request.peers] or any([*map(len, one.rankings)] != wanted for one in found.values()):
        raise ValueError("an answer is missing")
    return found
