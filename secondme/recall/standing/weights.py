"""What each feature weighs, as a file: why one statement holds and another does not can be read and worked out by hand.

`secondme bench recall --updates FILE --learn OUT` makes it; `command` says how the shipped one was made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from secondme.recall.turns.weights import Linear, joined, linear

FORMAT = 2
PASSES = ("answering", "correcting", "holding")
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "standing-1.json"


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Three passes: how well a statement answers, which earlier one it corrects, and which of all holds now.

    least: what the best must reach in the first pass, so that anything was said about the question at all.
    """

    answering: Linear
    correcting: Linear
    holding: Linear
    least: float
    command: str

    def as_json(self) -> Mapping[str, object]:
        passes = {name: getattr(self, name).as_json() for name in PASSES}
        return {"format": FORMAT, "command": self.command, **passes, "least": self.least}


def read(path: Path) -> Weights:
    """The weights in a file. Raises ValueError for one of another format."""
    data = json.loads(path.read_text("utf-8"))
    if data.get("format") != FORMAT:
        raise ValueError("the weights are of another format")
    answering, correcting, holding = (linear(data[name]) for name in PASSES)
    return Weights(answering, correcting, holding, float(data["least"]), data["command"])


def write(weights: Weights, path: Path) -> None:
    """One feature a line."""
    path.write_text(joined(json.dumps(weights.as_json(), indent=1)) + "\n", "utf-8")


@cache
def shipped() -> Weights:
    """The weights that come with the program."""
    return read(SHIPPED)
