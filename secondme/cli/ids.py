"""How items are named at the command line, the same for every verb.

#12  or  12     a passage, as citations and search results show it
s12             a file in memory
c3              a conversation
t45             a turn of a conversation
m7              a memory: something known, learned or told
anything else   a path
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secondme.errors import UsageError
from secondme.paths import absolute

Kind = Literal["passage", "source", "conversation", "turn", "item", "path"]

_KINDS: dict[str, Kind] = {"": "passage", "#": "passage", "s": "source", "c": "conversation", "t": "turn", "m": "item"}
_LETTERS = {"passage": "#", "source": "s", "conversation": "c", "turn": "t", "item": "m"}
_NUMBERED = re.compile(r"([#sctm]?)([0-9]+)")
_MAX_ID = (1 << 63) - 1  # SQLite's largest integer

HINT = "name a passage as #12, a file as s12 or by its path, a conversation as c3, a turn as t45, a memory as m7"


@dataclass(frozen=True, slots=True)
class Item:
    """What an argument names: `id` of a kind, or an absolute `path`."""

    kind: Kind
    id: int = 0
    path: str = ""

    @property
    def subject(self) -> str:
        """The item as the operation log writes it, `kind:id`; a path has no such name."""
        return f"{self.kind}:{self.id}"


def name_of(subject: str) -> str:
    """A subject of the operation log, `passage:12`, as it is named here: `#12`."""
    kind, _, number = subject.partition(":")
    return f"{_LETTERS[kind]}{number}" if kind in _LETTERS else subject


def parse_item(given: str) -> Item:
    """Read one argument. Raises UsageError for what can be neither an id nor a path.

    A file whose name looks like an id is named with its folder, as in `./12`.
    """
    numbered = _NUMBERED.fullmatch(given)
    if numbered is not None:
        number = int(numbered[2]) if len(numbered[2]) < 20 else 0
        if not 0 < number <= _MAX_ID:
            raise UsageError("there is no item of this number", hint=HINT)
        return Item(_KINDS[numbered[1]], number)
    if not given.strip() or "\0" in given:
        raise UsageError("an item's name is empty", hint=HINT)
    if given.startswith("#"):
        raise UsageError("a number is expected after #", hint=f"{HINT}; a file of such a name as ./#name")
    return Item("path", path=str(absolute(Path(given))))
