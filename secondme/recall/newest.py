"""Of statements about one matter the newest first, where no slot tells that one took the other's place.

What rules cannot read ("we ended up with the blue one after all") still lies beside what it corrects: both bear on the
question, and they share words or meaning with each other. Of two such neighbours the later goes first, unless it bears
clearly less on the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from secondme.runtime.base import FloatMatrix
from secondme.text.terms import content_stems

MARGIN = 0.4
"""How much less, of the best one's score, the newer statement may bear on the question."""

CHANGE_MARGIN = 0.8
"""The same where the newer one says that something changed: it need not name it again."""

_CHANGE = re.compile(
    r"\b(?:now|actually|instead|after all|again|turn(?:s|ed) out|on second thoughts?|change[ds]?|switch(?:ed)?|moved"
    r"|new|no longer"
    r"|any ?more|correction|update|scrap|rather|these days|nowadays|as of|from (?:now|today)|cancel+ed|dropped"
    r"|end(?:s|ed) up"
    r"|went with|going with|replaced?|swapped|raised|increased|lowered|reduced|slipped|retired|traded|bought|sold"
    r"|joined|broke up|divorced|promoted|postponed|rescheduled|decided|not .{1,30} but|took over|takes over"
    r"|since then|sorry"
    r"|was wrong|mistake|later|finally|became|has become|renamed|upgraded|left|quit|gave up|stopped|started"
    r"|found out|transferred|relocated|put me on|rebooked)\b|^no\b[,.!]|^it (?:was|is) .{2,40} (?:that|who)\b",
    re.I,
)

ALIKE_WORDS = 0.2
ALIKE_MEANING = 0.5


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said at Unix time `at`, its relevance to the question (higher is better), and maybe its unit vector."""

    text: str
    at: float
    score: float
    vector: FloatMatrix | None = None


def newest_first(statements: Sequence[Statement], *, margin: float = MARGIN) -> list[int]:
    """Places of `statements` in their new order; they come best first, and what is about another matter stays."""
    if not statements:
        return []
    best = max(s.score for s in statements)
    floors = [best - (CHANGE_MARGIN if _CHANGE.search(s.text) else margin) * abs(best) for s in statements]
    stemmed = [content_stems(s.text) for s in statements]
    order = list(range(len(statements)))
    for place in range(len(order)):
        group = [
            n
            for n in order[place:]
            if statements[n].score >= floors[n] and _alike(statements, stemmed, order[place], n)
        ]
        newest = max(group, key=lambda n: (statements[n].at, statements[n].score), default=order[place])
        if newest != order[place]:
            order.remove(newest)
            order.insert(place, newest)
    return order


def _alike(statements: Sequence[Statement], stemmed: Sequence[frozenset[str]], a: int, b: int) -> bool:
    if a == b:
        return True
    one, other = statements[a].vector, statements[b].vector
    if one is not None and other is not None and float(one @ other) >= ALIKE_MEANING:
        return True
    shared = len(stemmed[a] & stemmed[b])
    return shared > 0 and shared >= ALIKE_WORDS * min(len(stemmed[a]), len(stemmed[b]))
