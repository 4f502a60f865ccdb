"""Which of the statements that answer a question holds now: the last that belongs to the matter.

No statement is told from the others by its attribute. Each belongs to what is asked about or does not, by itself: as
it answers, or corrects what does (ties.py), with signs of a change or of looking back. What was said last of another
matter takes no place here, and a plain fact holds as long as nothing that belongs was said later.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondme.recall.standing.ties import Ties, novelty, signs
from secondme.recall.standing.told import Columns, Floats, Statements
from secondme.recall.succession import REACH

N_ORDERED = 16
"""Statements, those that answer best, that are compared with each other."""

_FAR = -4.0
"""Below this, in what an answer scores beside the best, it does not matter how badly a statement answers."""
_LEAST = 0.001
"""How sure it is at the most that a statement has what is asked for, or has it not."""
_LITTLE = 0.01
"""What logarithms of likelihoods begin at."""


def ordered(told: Statements, scores: Floats) -> NDArray[np.int64]:
    """Places of those to compare, by time: the best by `scores` [n], and what points back at one of the best."""
    best = set(np.argsort(-scores, kind="stable")[:N_ORDERED].tolist())
    pointing = {
        n
        for n, tells in enumerate(told.tells)
        if n not in best and any(m in best for m in range(max(0, n - REACH), n)) and tells.points_back
    }
    return np.array(sorted(best | pointing, key=lambda n: (told.turns[n].created_at, told.turns[n].id)))


def holding(told: Statements, places: NDArray[np.int64], scores: Floats, tied: Ties, corrected: Floats) -> Columns:
    """Columns [m] by name for the m statements at `places`, which are in the order of time; `scores` [n] as before.

    `corrected` [n, n] is what `tied` makes of all statements.
    """
    relative = scores - scores[told.telling].max()
    likely = np.minimum(np.exp(relative), 1)
    where = {int(place): n for n, place in enumerate(tied.places)}
    of = np.array([where[int(n)] for n in places])
    columns = _of_corrections(likely[tied.places], corrected, of) | _of_ties(tied, of, likely[places])
    _, stale = novelty(told, [told.tells[n] for n in tied.places])
    said = signs([told.tells[n] for n in places])
    columns |= {name: said[name] for name in ("own", "back", "changes", "recent")}
    columns["linked_change"] = columns.pop("links") * np.maximum(said["changes"], said["became"])
    columns |= {"stale": stale[of], "answers": scores[places], "answers_near": np.maximum(relative[places], _FAR)}
    return {name: np.asarray(values, np.float32) for name, values in columns.items()}


def last_that_belongs(odds: Floats) -> Floats:
    """The logarithm of how likely each of m statements, by time, is the last that belongs to the matter [m].

    `odds` [m] are the log-odds that it belongs; of -inf it never does.
    """
    out = -np.logaddexp(0, odds)
    later = np.cumsum(out[::-1])[::-1] - out
    return np.asarray(later - np.logaddexp(0, -odds), np.float32)


def passed_on(likely: Floats, corrected: Floats) -> Floats:
    """How likely each statement has what is asked for [n], by answering or by correcting what has, by time."""
    found = likely.copy()
    for n in range(1, len(found)):
        found[n] = max(found[n], float(corrected[:n, n] @ found[:n]))
    return found


def _of_corrections(likely: Floats, corrected: Floats, of: NDArray[np.int64]) -> Columns:
    """Whether each has what is asked for (log-odds); what it corrects: something that answers, or something else."""
    has = np.clip(passed_on(likely, corrected), _LEAST, 1 - _LEAST)
    columns = {
        "has": np.log(has / (1 - has)),
        "corrects": np.log((corrected * likely[:, None]).sum(axis=0) + _LITTLE),
        "corrects_else": (corrected * (1 - likely)[:, None]).sum(axis=0),
    }
    return {name: values[of] for name, values in columns.items()}


def _of_ties(tied: Ties, of: NDArray[np.int64], likely: Floats) -> Columns:
    """How each is tied to what answers and was said before."""
    ties = {name: tied.columns[name][np.ix_(of, of)] for name in ("links", "near", "again", "points")}
    return {name: (values * likely[:, None]).max(axis=0) for name, values in ties.items()}
