"""Recall for conversations: the turns that bear on a question, out of any number of them.

asked.py   the question taken apart and embedded     pool.py     candidates from the indexes, with those around them
words.py meaning.py said.py features.py   what each turn is weighed by
second.py  what the first pass teaches the second    weights.py  the learned dot products, a file anyone can read
gate.py    whether anything bears on it at all       recall.py   the whole of it
"""

from secondme.recall.turns.recall import TurnHit, TurnRecall, recall_turns

__all__ = ["TurnHit", "TurnRecall", "recall_turns"]
