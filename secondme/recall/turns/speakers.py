"""Who of those that take part in conversations a question names."""

from __future__ import annotations

import re

from secondme.memory.store import Store
from secondme.text.terms import QUESTION_WORDS, content_terms, fold

_CAPITALISED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_N_LOOKED_AT = 40


def speakers_named(question: str, store: Store, project: str | None) -> tuple[str, ...]:
    """Names of speakers as the store holds them, among those who speak near where its words are spoken."""
    if not any(w[0].isupper() and fold(w) not in QUESTION_WORDS for w in _CAPITALISED.findall(question)):
        return ()
    hits = store.search_turns_any(content_terms(question), _N_LOOKED_AT, project)
    return tuple(sorted(store.speakers_around([i for i, _ in hits], 1) - {""}))
