"""Learns from sets of updates which of the statements that answer a question holds now.

Two softmaxes over a question's statements, as in learn.py: all that hold a value of the case, current or old, against
the rest; then those that hold the current value against all others. Each case is learned from three times: as it is,
and among turns of cases of other matters, since in real memories statements of many things stand beside each other,
there with its correction and without it. What is measured while features are chosen leaves out a fifth of the cases'
names at a time, so that no wording of a matter is learned from and measured as well.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secondme.bench.recall import Options, Tools
from secondme.bench.recall.learn import LEAST_DEVIATION, listwise
from secondme.bench.recall.make_updates import DAY_S, FIRST_DAY
from secondme.bench.recall.together import matter, uncorrected
from secondme.bench.recall.updates import Case, asked_of, holds, opened, read, tell
from secondme.bench.rows import Row
from secondme.memory.store import Store
from secondme.recall.standing.order import holding, ordered
from secondme.recall.standing.recall import statements
from secondme.recall.standing.told import Columns, Statements, answering
from secondme.recall.standing.weights import Weights, shipped, write
from secondme.recall.turns.weights import Linear
from secondme.runtime.base import FloatMatrix

Doubles = NDArray[np.float64]

STRENGTH = 3.0
N_FOLDS = 5
N_BESIDE = 4
"""Cases of other matters whose turns are told beside one."""

_KEPT = 0.98
"""Share of the cases that something must be found for."""


@dataclass(frozen=True, eq=False)
class Example:
    """A case beside its question: `current` and `old` [n] tell which statements hold such values. `setting` is "" or
    tells that it stands beside others."""

    case: Case
    setting: str
    told: Statements
    first: Columns
    current: NDArray[np.bool_]
    old: NDArray[np.bool_]


def rows(path: Path, tools: Tools) -> Iterator[Row]:
    """Write weights learned from the set at `path` to where `--learn` says; rows of what they find when left out."""
    out = tools.options.learn
    assert out is not None
    with opened(tools) as store:
        examples = list(_examples(path, store, tools))
    tools.say(f"learning from {len(examples)} cases")
    for name, found in left_out(examples).items():
        yield Row(
            "recall", f"updates/left_out{name}", 100 * sum(found) / len(found), "%", len(found), setting=path.name
        )
    write(replace(fitted(examples), command=_command(path, out, tools.options)), out)
    tools.say(f"wrote {out}")


def _command(path: Path, out: Path, options: Options) -> str:
    """What makes the same weights again, the set included where it was made."""
    made = f" --make-updates {path.name} --seed {options.seed}" if options.make_updates == path else ""
    return f"secondme bench recall{made} --updates {path.name} --learn {out.name}"


def _examples(path: Path, store: Store, tools: Tools) -> Iterator[Example]:
    cases = read(path)[0]
    seen: dict[str, tuple[FloatMatrix, bytes]] = {}
    before = [one for case in cases if (one := uncorrected(case)) is not None]
    settings = (
        ("", cases),
        (" beside others", beside_others(cases, cases)),
        (" uncorrected", beside_others(before, cases)),
    )
    for setting, made in settings:
        for n, case in enumerate(made):
            project = f"case {n}{setting}"
            tell(store, case, project, tools.embedder, seen)
            weighed, known = asked_of(case.question, store, tools.embedder, project)
            told = statements(weighed, store, known, None) if weighed is not None else None
            if told is not None:
                yield _example(case, setting, told)


def _example(case: Case, setting: str, told: Statements) -> Example:
    current = np.array([holds(t.text, case.current) for t in told.turns])
    old = np.array([any(holds(t.text, o) for o in case.old) for t in told.turns]) & ~current
    return Example(case, setting, told, answering(told), current, old)


def beside_others(cases: Sequence[Case], others: Sequence[Case], seed: int = 1) -> list[Case]:
    """Each case with turns of some of `others` strewn among its own, without those that hold its values."""
    chance = random.Random(seed)
    found = []
    for case in cases:
        matters = sorted({m for c in others if (m := matter(c)).split()[0] != case.name.split()[0]})
        picked = chance.sample(matters, min(len(matters), N_BESIDE))
        beside = [chance.choice([c for c in others if matter(c) == m]) for m in picked]
        values = (case.current, *case.old)
        placed = [(n / len(case.turns), turn) for n, turn in enumerate(case.turns)]
        for other in beside:
            start = chance.random() * 0.4 - 0.2
            placed += [
                (start + n / len(other.turns), turn)
                for n, turn in enumerate(other.turns)
                if not any(holds(turn[1], v) for v in values)
            ]
        placed.sort(key=lambda pair: pair[0])
        turns = tuple((role, text, FIRST_DAY + n * DAY_S) for n, (_, (role, text, _)) in enumerate(placed))
        found.append(replace(case, turns=turns))
    return found


def left_out(examples: Sequence[Example]) -> dict[str, list[bool]]:
    """Whether the current value comes first, by setting, with weights that never saw a case of the same matter."""
    matters = sorted({matter(e.case) for e in examples})
    random.Random(1).shuffle(matters)
    fold = {matter: n % N_FOLDS for n, matter in enumerate(matters)}
    tally: dict[str, list[bool]] = {}
    for n in range(N_FOLDS):
        weights = fitted([e for e in examples if fold[matter(e.case)] != n])
        for example in examples:
            if fold[matter(example.case)] == n:
                tally.setdefault(example.setting, []).append(is_first(example, weights))
    return tally


def is_first(example: Example, weights: Weights) -> bool:
    """Whether the statement that `weights` put first holds the current value."""
    scores = weights.answering.scores(example.first)
    places = ordered(example.told, scores)
    second = weights.holding.scores(holding(example.told, places, scores))
    return bool(example.current[places[int(np.argmax(second))]])


def fitted(examples: Collection[Example]) -> Weights:
    """Weights from `examples`."""
    like = shipped()
    first = _fitted(like.answering.names, [(e.first, e.current | e.old) for e in examples])
    pairs, best = [], []
    for e in examples:
        scores = first.scores(e.first)
        places = ordered(e.told, scores)
        pairs.append((holding(e.told, places, scores), e.current[places]))
        best.append(float(scores.max()))
    least = float(np.quantile(best, 1 - _KEPT))
    return Weights(first, _fitted(like.holding.names, pairs), least, "")


def _fitted(names: Sequence[str], pairs: Sequence[tuple[Columns, NDArray[np.bool_]]]) -> Linear:
    rows = [(np.stack([c[n] for n in names], axis=1).astype(np.float64), t) for c, t in pairs if t.any() and len(t) > 1]
    every = np.concatenate([r for r, _ in rows])
    mean, deviation = every.mean(axis=0), np.maximum(every.std(axis=0), LEAST_DEVIATION)
    weights = listwise([(r - mean) / deviation for r, _ in rows], [t for _, t in rows], STRENGTH)
    return Linear(tuple(names), weights.astype(np.float32), mean.astype(np.float32), deviation.astype(np.float32))
