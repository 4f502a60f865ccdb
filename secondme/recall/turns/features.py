"""What a turn is weighed by for a question: named columns, so that the fusion stays a readable dot product.

Kept is what paid when conversations were left out one at a time (`secondme bench recall --locomo FILE --learn OUT`):
above all late interaction, the day the question is about, what stands around a turn, and whether the turn before it
asked for it.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.meaning import meaning_features
from secondme.recall.turns.pool import Pool, standardised
from secondme.recall.turns.said import said_features
from secondme.recall.turns.words import Counted, word_features

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

_KINDS = {
    "would": re.compile(r"\b(?:would|might|could|likely|may)\b"),
    "perfect": re.compile(r"\b(?:has|have)\b"),
    "plural": re.compile(r"^(?:what|which)(?: \w+){0,3}? \w+s\b"),
    "feel": re.compile(r"\b(?:feel|think|say|describe)\b"),
    "like": re.compile(r"\b(?:favou?rite|like|enjoy|hobb|interest)"),
    "plan": re.compile(r"\b(?:plan|going to|will|next|future|want|goal|hope)"),
    "long": re.compile(r"\bhow long\b"),
    "why": re.compile(r"^(?:why|how does|how did)\b"),
}
# Which kind of question looks for which look, and where its words count for more or less.
_LOOKED_FOR = {
    "when": ("dates", "time", "future", "from_start", "length", "z.close_conversation", "z.tokens", "speaker"),
    "how many": ("number", "speaker", "z.tokens"),
    "who": ("names", "z.close_conversation"),
    "where": ("place", "names"),
    "why": ("reason", "feeling", "length", "z.close_conversation", "z.coverage"),
    "which": ("names", "title"),
    "what": ("title",),
    "would": ("liking", "first_person", "feeling", "speaker", "z.close_conversation", "z.tokens"),
    "perfect": ("names", "speaker", "z.close_conversation", "z.tokens"),
    "plural": ("commas", "title", "names", "speaker", "z.topic_cosine"),
    "both": ("first_person", "z.topic_cosine", "z.tokens"),
    "dated": ("from_start", "z.topic_cosine", "z.tokens"),
    "short": ("z.bm25_near", "z.tokens", "z.topic_cosine"),
    "feel": ("feeling",),
    "like": ("liking",),
    "plan": ("future",),
    "long": ("duration",),
}
_SHIFTED = {
    "z.tokens": (-2, -1, 1, 2),
    "z.topic_cosine": (-2, -1, 1, 2),
    "z.close": (-2, -1, 1, 2),
    "z.topic_close": (-2, -1, 1, 2),
    "z.bm25": (-2, -1, 1, 2),
    "asks": (-1, 1),
    "length": (-1, 1),
    "reacts": (-1, 1),
    "shares": (-1, 1),
}


def kinds(asked: Asked) -> dict[str, bool]:
    """Which kinds of question this one is; it may be several."""
    low = asked.text.lower()
    found = {name: bool(pattern.search(low)) for name, pattern in _KINDS.items()}
    kind = asked.form.kind
    found["when"] = kind in ("when", "how long")
    found["why"] |= kind == "why"
    for name in ("how many", "who", "where"):
        found[name] = kind == name
    found["which"] = low.startswith("which")
    found["what"] = low.startswith("what")
    found["both"] = "both" in low or len(asked.names) == 2
    found["dated"] = asked.span is not None
    found["short"] = len(asked.stems) <= 3
    return found


@np.errstate(invalid="ignore")  # some matrix products of BLAS raise the flag for lanes that are no part of them
def features(asked: Asked, pool: Pool, counted: Counted) -> Columns:
    """float32 columns [n] by name."""
    columns = word_features(asked, pool, counted)
    columns |= meaning_features(asked, pool, columns["coverage"]) | said_features(asked, pool, counted)
    columns |= {
        f"{name}{offset:+d}": pool.shifted(columns[name], offset, _least(name, columns))
        for name, offsets in _SHIFTED.items()
        for offset in offsets
    }
    columns |= _told_after_asked(columns, pool)
    first = standardised(
        columns["z.bm25_near"] + 0.7 * columns["z.topic_cosine"] + 0.5 * columns["z.tokens"] + 0.6 * columns["speaker"]
    )
    columns["plain_fusion"] = first
    columns["conversation"] = standardised(_best_of_conversation(first, pool))
    for kind, holds in kinds(asked).items():
        for name in _LOOKED_FOR.get(kind, ()):
            columns[f"{kind}: {name}"] = columns[name] * np.float32(holds)
    return columns


def _least(name: str, columns: Columns) -> float:
    """What stands beyond a conversation's ends."""
    return float(columns[name].min()) if name.startswith("z.") else 0.0


def _told_after_asked(columns: Columns, pool: Pool) -> Columns:
    """An answer stands after the turn that asked for it, which speaks of the same."""
    asks = columns["asks-1"]
    return {
        "asked_before": asks * columns["z.tokens-1"],
        "asked_before: coverage": asks * pool.shifted(columns["z.coverage"], -1),
        "speaker: z.tokens": columns["speaker"] * columns["z.tokens"],
        "length: z.tokens": (columns["length"] - columns["length"].mean()) * columns["z.tokens"],
        "length: z.coverage": (columns["length"] - columns["length"].mean()) * columns["z.coverage"],
        "ends_asking: z.tokens": columns["ends_asking"] * columns["z.tokens"],
    }


def _best_of_conversation(values: Floats, pool: Pool, k: int = 3) -> Floats:
    """Mean of the `k` highest values of each turn's conversation [n]."""
    ends = np.append(pool.starts[1:], len(pool))
    sizes = ends - pool.starts
    ascending = values[np.lexsort((values, pool.of))]
    total = np.zeros(len(ends), np.float32)
    for place in range(k, 0, -1):
        held = sizes >= place
        total[held] += ascending[ends[held] - place]
    return np.asarray(total / np.minimum(sizes, k).astype(np.float32), np.float32)[pool.of]
