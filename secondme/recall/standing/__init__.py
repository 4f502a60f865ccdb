"""What holds now of what the owner said, where no rule read it: of statements that answer a question the current one.

cues.py    signs in a statement's words        told.py    the statements, and how well each answers
ties.py    which of them corrects which        order.py   which of them holds now
weights.py the learned dot products, a file    recall.py  the whole of it
"""

from secondme.recall.standing.recall import Standing, standing
from secondme.recall.standing.told import asks_the_same
from secondme.recall.standing.told import tells_something as tells

__all__ = ["Standing", "asks_the_same", "standing", "tells"]
