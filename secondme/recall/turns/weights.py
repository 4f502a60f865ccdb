"""The learned fusion as a file: what each feature weighs, so that anyone can read why a turn stands where it does.

`secondme bench recall --locomo FILE --learn OUT` makes it; `command` says how the shipped one was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FORMAT = 1
SHIPPED = Path(__file__).resolve().parent.parent / "weights" / "turns-1.json"


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A dot product of standardised features: sum of weight * (value - mean) / deviation, plus `bias`."""

    names: tuple[str, ...]
    weights: Floats
    means: Floats
    deviations: Floats
    bias: float = 0.0

    def scores(self, columns: Mapping[str, Floats]) -> Floats:
        """float32 [n] of columns [n] by name."""
        matrix = np.stack([columns[name] for name in self.names], axis=1)
        return np.asarray(((matrix - self.means) / self.deviations) @ self.weights + self.bias, np.float32)

    def as_json(self) -> dict[str, Any]:
        rows = zip(self.names, self.weights, self.means, self.deviations, strict=True)
        features = [[name, *(_rounded(x) for x in numbers)] for name, *numbers in rows]
        return {"columns": ["name", "weight", "mean", "deviation"], "features": features, "bias": self.bias}


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Two passes and a gate. held_out: the same, learned without the conversations that the key is the digest of."""

    first: Linear
    second: Linear
    gate: Linear
    command: str
    held_out: Mapping[str, Weights] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        passes = {"first": self.first.as_json(), "second": self.second.as_json(), "gate": self.gate.as_json()}
        held_out = {
            key: {name: [_rounded(x) for x in (*part.weights, part.bias)] for name, part in one.parts.items()}
            for key, one in self.held_out.items()
        }
        return {"format": FORMAT, "command": self.command, **passes, "held_out": held_out}

    @property
    def parts(self) -> dict[str, Linear]:
        return {"first": self.first, "second": self.second, "gate": self.gate}


def read(path: Path) -> Weights:
    """The weights in a file. Raises ValueError for one of another format."""
    data = json.loads(path.read_text("utf-8"))
    if data.get("format") != FORMAT:
        raise ValueError("the weights are of another format")
    parts = {name: linear(data[name]) for name in ("first", "second", "gate")}
    held_out = {
        key: _weights({name: _with_weights(parts[name], numbers) for name, numbers in one.items()})
        for key, one in data["held_out"].items()
    }
    return _weights(parts, data["command"], held_out)


def write(weights: Weights, path: Path) -> None:
    """One feature a line."""
    text = json.dumps(weights.as_json(), indent=1)
    path.write_text(joined(text) + "\n", "utf-8")


@cache
def shipped() -> Weights:
    """The weights that come with the program."""
    return read(SHIPPED)


def _weights(parts: Mapping[str, Linear], command: str = "", held_out: Mapping[str, Weights] | None = None) -> Weights:
    return Weights(parts["first"], parts["second"], parts["gate"], command, held_out or {})


def _rounded(value: float) -> float:
    return float(f"{round(float(value), 7):.5g}")


def joined(text: str) -> str:
    """JSON with every innermost list on a line of its own."""
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text)


def linear(data: Mapping[str, Any]) -> Linear:
    """A dot product as `as_json` wrote it."""
    rows: Sequence[Sequence[Any]] = data["features"]
    numbers = np.array([row[1:] for row in rows], np.float32).reshape(len(rows), 3).T
    weights, means, deviations = numbers
    return Linear(tuple(row[0] for row in rows), weights, means, deviations, float(data["bias"]))


def _with_weights(linear: Linear, numbers: Sequence[float]) -> Linear:
    weights = np.array(numbers[:-1], np.float32)
    return Linear(linear.names, weights, linear.means, linear.deviations, float(numbers[-1]))
