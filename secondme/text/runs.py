"""Long runs of white space and rulings, cut out of what rules read.

Nobody says anything in them, and searching for sentences inside one takes time by the square of its length.
"""

from __future__ import annotations

import re

_KEPT = 16
_RUN = re.compile(r"[\s>*_#/|\"'“”‘’(.\-]{48,}")
_BLANK = "\ufffc"


def without_runs(text: str) -> str:
    """`text` of the same length, with only the ends of each run; what is between them is one character repeated."""
    return _RUN.sub(lambda run: run[0][:_KEPT] + _BLANK * (len(run[0]) - 2 * _KEPT) + run[0][-_KEPT:], text)
