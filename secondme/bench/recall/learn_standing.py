"""Learns from sets of updates which of the statements that answer a question holds now.

Two softmaxes, as in learn.py: over a question's statements, all that hold a value of the case, current or old, against
the rest; and over what was said before a statement, those with an earlier value of its case against all others and
against that it corrects nothing. Then log-odds that a statement belongs, of which the last holds (learn_last.py).

Each case is learned from three times: as it is; among turns of cases of other matters, since in real memories
statements of many things stand beside each other; and without its correction, every second one among others. What is
measured while features are chosen leaves out a fifth of the cases' names at a time, so that no wording of a matter is
learned from and measured as well.
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
from secondme.bench.recall.learn_last import last_of
from secondme.bench.recall.make_updates import DAY_S, FIRST_DAY
from secondme.bench.recall.together import matter, uncorrected
from secondme.bench.recall.updates import Case, asked_of, holds, opened, read, tell
from secondme.bench.rows import Row
from secondme.memory.store import Store
from secondme.recall.standing.order import holding, last_that_belongs, ordered
from secondme.recall.standing.recall import statements
from secondme.recall.standing.ties import Ties, ties
from secondme.recall.standing.told import Columns, Statements, answering
from secondme.recall.standing.weights import Weights, shipped, write
from secondme.recall.turns.weights import Linear
from secondme.runtime.base import FloatMatrix

Doubles = NDArray[np.float64]

STRENGTH = 3.0
STRENGTH_OF_LAST = 6.0
N_FOLDS = 5
N_BESIDE = 4
"""Cases of other matters whose turns are told beside one."""

_KEPT = 0.98
"""Share of the cases that something must be found for."""


@dataclass(frozen=True, eq=False)
class Example:
    """A case beside its question: `current` and `old` [n] tell which statements hold such values. `setting` is "" or
    tells that it stands beside others. `corrections` are pairs of places in `tied` [k, 2], the earlier first: which
    statement corrects which, of any case; `unclear` are places of which that is not known."""

    case: Case
    setting: str
    told: Statements
    first: Columns
    tied: Ties
    current: NDArray[np.bool_]
    old: NDArray[np.bool_]
    corrections: NDArray[np.int64]
    unclear: frozenset[int]


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
        (" uncorrected", [*beside_others(before[::2], cases), *before[1::2]]),
    )
    roles = roles_of(cases)
    for setting, made in settings:
        for n, case in enumerate(made):
            project = f"case {n}{setting}"
            tell(store, case, project, tools.embedder, seen)
            weighed, known = asked_of(case.question, store, tools.embedder, project)
            told = statements(weighed, store, known, None) if weighed is not None else None
            if told is not None:
                yield example(case, setting, told, roles)


def example(case: Case, setting: str, told: Statements, roles: Roles) -> Example:
    """`case` with what is known of it; `roles` as `roles_of` makes them."""
    current = np.array([_has(t.text, case.current) for t in told.turns])
    old = np.array([any(_has(t.text, o) for o in case.old) for t in told.turns]) & ~current
    tied = ties(told)
    played = [roles.get(told.turns[n].text, {}) for n in tied.places]
    pairs, unclear = [], set()
    for later, role in enumerate(played):
        found = [
            (earlier, later)
            for earlier in range(later)
            for name, rank in role.items()
            if 0 <= played[earlier].get(name, rank) < rank
        ]
        pairs += found
        if not found and any(rank > 0 for rank in role.values()):
            unclear.add(later)
    corrections = np.array(pairs, np.int64).reshape(-1, 2)
    return Example(case, setting, told, answering(told), tied, current, old, corrections, frozenset(unclear))


Roles = dict[str, dict[str, int]]
"""Of texts, for each case by its name: which of its values a text tells, counted from 0; -1 for one that was over."""


def roles_of(cases: Sequence[Case]) -> Roles:
    """Roles of the owner's turns in all cases."""
    found: Roles = {}
    for case in cases:
        values, last = (*case.old, case.current), -1
        for role, text, _ in case.turns:
            ranks = [n for n, value in enumerate(values) if _has(text, value)] if role == "user" else []
            if ranks:
                found.setdefault(text, {})[case.name] = max(ranks) if max(ranks) >= last else -1
                last = max(last, *ranks)
    return found


def _has(text: str, value: str) -> bool:
    """Whether `text` tells `value`, which may stand in the plural."""
    return holds(text, value) or holds(text, f"{value}s")


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
    columns, places, telling = _last(example, scores, weights.correcting)
    last = last_that_belongs(np.where(telling, weights.holding.scores(columns), -np.inf).astype(np.float32))
    return bool(example.current[places[int(np.argmax(last))]])


def _last(
    example: Example, scores: NDArray[np.float32], correcting: Linear
) -> tuple[Columns, NDArray[np.int64], NDArray[np.bool_]]:
    """Columns of the last pass, of which statements, and which of these tell something."""
    places = ordered(example.told, scores)
    corrected = example.tied.corrected(correcting)
    columns = holding(example.told, places, scores, example.tied, corrected)
    return columns, places, example.told.telling[places]


def fitted(examples: Collection[Example]) -> Weights:
    """Weights from `examples`."""
    like = shipped()
    first = _fitted(like.answering.names, [(e.first, e.current | e.old) for e in examples])
    correcting = _correcting(like.correcting.names, examples)
    pairs, best = [], []
    for e in examples:
        scores = first.scores(e.first)
        columns, places, telling = _last(e, scores, correcting)
        kept = {name: values[telling] for name, values in columns.items()}
        pairs.append((kept, e.current[places][telling]))
        best.append(float(scores.max()))
    least = float(np.quantile(best, 1 - _KEPT))
    return Weights(first, correcting, _holding(like.holding.names, pairs), least, "")


def _correcting(names: Sequence[str], examples: Collection[Example]) -> Linear:
    """A row of zeros stands for that nothing is corrected, and so means are zeros as well."""
    groups = [group for e in examples for group in _groups(names, e)]
    every = np.concatenate([rows for rows, _ in groups])
    deviation = np.maximum(every.std(axis=0), LEAST_DEVIATION)
    weights = listwise([rows / deviation for rows, _ in groups], [target for _, target in groups], STRENGTH)
    return _linear(names, weights, np.zeros(len(names)), deviation)


def _groups(names: Sequence[str], e: Example) -> Iterator[tuple[Doubles, NDArray[np.bool_]]]:
    """For each statement that tells something: what was said before it, and which of that it corrects."""
    table = np.stack([e.tied.columns[name] for name in names], axis=2).astype(np.float64)
    for later in range(1, len(e.told)):
        if later in e.unclear or not e.told.telling[e.tied.places[later]]:
            continue
        target = np.zeros(later + 1, np.bool_)
        target[1 + e.corrections[e.corrections[:, 1] == later, 0]] = True
        target[0] = not target.any()
        yield np.concatenate([np.zeros((1, len(names))), table[:later, later]]), target


Pairs = Sequence[tuple[Columns, NDArray[np.bool_]]]


def _fitted(names: Sequence[str], pairs: Pairs) -> Linear:
    rows, targets, mean, deviation = _standardised(names, pairs)
    return _linear(names, listwise(rows, targets, STRENGTH), mean, deviation)


def _holding(names: Sequence[str], pairs: Pairs) -> Linear:
    rows, targets, mean, deviation = _standardised(names, pairs)
    weights = last_of(rows, targets, STRENGTH_OF_LAST)
    return _linear(names, weights[:-1], mean, deviation, float(weights[-1]))


def _standardised(
    names: Sequence[str], pairs: Pairs
) -> tuple[list[Doubles], list[NDArray[np.bool_]], Doubles, Doubles]:
    """Rows of the pairs that can be learned from, their targets, and means and deviations of all rows."""
    used = [(np.stack([c[n] for n in names], axis=1).astype(np.float64), t) for c, t in pairs if t.any() and len(t) > 1]
    every = np.concatenate([rows for rows, _ in used])
    mean, deviation = every.mean(axis=0), np.maximum(every.std(axis=0), LEAST_DEVIATION)
    return [(rows - mean) / deviation for rows, _ in used], [target for _, target in used], mean, deviation


def _linear(names: Sequence[str], weights: Doubles, mean: Doubles, deviation: Doubles, bias: float = 0.0) -> Linear:
    return Linear(tuple(names), weights.astype(np.float32), mean.astype(np.float32), deviation.astype(np.float32), bias)
