"""What trust is worth where memories are ranked: one function for items, turns and passages alike."""

from __future__ import annotations

from secondme.types import Trust

_PRIOR = {Trust.OWNER: 0.0, Trust.CONVERSATION: -0.02, Trust.DOCUMENT: -0.2, Trust.IMPORTED: -0.25}
_RANK = {Trust.OWNER: 3, Trust.CONVERSATION: 2, Trust.DOCUMENT: 1, Trust.IMPORTED: 0}


def prior(trust: Trust) -> float:
    """What is added to a score of about 0 to 2, as cosine and coverage make it: 0 for the owner's own words.

    The step between what the owner said and what others wrote decides between two that bear on a question alike; it is
    too small to hide the only text that answers.
    """
    return _PRIOR[trust]


def rank(trust: Trust) -> int:
    """3 for the owner down to 0 for what was imported."""
    return _RANK[trust]


def higher(a: Trust, b: Trust) -> Trust:
    """The more trusted of two."""
    return a if _RANK[a] >= _RANK[b] else b


def is_own(trust: Trust) -> bool:
    """Whether it is the owner's word: typed as an item, or said in a conversation."""
    return _RANK[trust] >= _RANK[Trust.CONVERSATION]
