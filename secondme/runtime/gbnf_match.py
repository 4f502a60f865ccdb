"""Whether a text can go on under a grammar: a pushdown automaton that follows all readings at once.

A state is the set of stacks that the text so far may have left, each with a character on top; stacks share their
tails, as cells of a list do. What follows on a state and a character is found once and kept, so that trying thousands
of tokens costs a look-up a character.
"""

from __future__ import annotations

import codecs

import numpy as np
from numpy.typing import NDArray

from secondme.runtime.gbnf import LAST_CODE_POINT, Chars, Grammar

_EMPTY = 0
"""The stack on which nothing is left: the text is whole."""

_State = frozenset[int]
_SMALLEST = {2: 0x80, 3: 0x800, 4: 0x10000}
"""The first code point that takes so many bytes."""


class Matcher:
    """Reads pieces of a text as UTF-8; a piece may end within a character."""

    def __init__(self, grammar: Grammar) -> None:
        self._elements = grammar.elements
        self._rules = grammar.rules
        self._cells: list[tuple[int, int]] = [(-1, -1)]  # a stack: where its top element is, and the stack below
        self._numbers: dict[tuple[int, int], int] = {}
        self._known: dict[_State, dict[str, _State]] = {}
        starts = [self._pushed(start, _EMPTY) for start in grammar.rules[grammar.root]]
        self._state = self._opened(starts)
        self._rest = b""

    @property
    def may_end(self) -> bool:
        return _EMPTY in self._state and not self._rest

    def allows(self, piece: bytes) -> bool:
        """Whether the text may go on with `piece`."""
        return self._after(piece) is not None

    def accept(self, piece: bytes) -> None:
        """Go on with `piece`. Raises ValueError if it is not allowed."""
        found = self._after(piece)
        if found is None:
            raise ValueError("the grammar does not allow this")
        self._state, self._rest = found

    def first_bytes(self) -> NDArray[np.bool_]:
        """Which bytes a piece must begin with to have a chance, bool [256]."""
        able = np.zeros(256, np.bool_)
        if self._rest:
            able[0x80:0xC0] = True
            return able
        for chars in self._tops(self._state):
            for first, last in chars:
                if first < 128:
                    able[first : min(last, 127) + 1] = True
                if last >= 128:
                    able[_lead_byte(max(first, 128)) : _lead_byte(last) + 1] = True
        return able

    def _after(self, piece: bytes) -> tuple[_State, bytes] | None:
        data = self._rest + piece
        try:
            text, n_read = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError:
            return None
        state = self._state
        for char in text:
            state = self._step(state, char)
            if not state:
                return None
        rest = data[n_read:]
        return (state, rest) if not rest or self._may_hold(state, *_span(rest)) else None

    def _step(self, state: _State, char: str) -> _State:
        known = self._known.setdefault(state, {})
        if (found := known.get(char)) is None:
            code = ord(char)
            stacks = [
                self._pushed(at + 1, below)
                for at, below in map(self._cells.__getitem__, state - {_EMPTY})
                if _has(self._elements[at], code)
            ]
            found = known[char] = self._opened(stacks)
        return found

    def _may_hold(self, state: _State, first: int, last: int) -> bool:
        """Whether a character from `first` to `last` may come next."""
        return any(a <= last and first <= b for chars in self._tops(state) for a, b in chars)

    def _tops(self, state: _State) -> list[Chars]:
        tops = (self._elements[self._cells[stack][0]] for stack in state if stack != _EMPTY)
        return [top for top in tops if isinstance(top, tuple)]

    def _pushed(self, at: int, below: int) -> int:
        """The stack with the rest of an alternative on top; an alternative that is read to its end is not kept."""
        if self._elements[at] is None:
            return below
        cell = (at, below)
        if (number := self._numbers.get(cell)) is None:
            number = self._numbers[cell] = len(self._cells)
            self._cells.append(cell)
        return number

    def _opened(self, stacks: list[int]) -> _State:
        """These stacks with rules on top replaced by their alternatives, until characters are on top of all."""
        found: set[int] = set()
        seen: set[int] = set()
        while stacks:
            stack = stacks.pop()
            if stack in seen:
                continue
            seen.add(stack)
            at, below = self._cells[stack]
            rule = self._elements[at] if stack != _EMPTY else None
            if isinstance(rule, int):
                back = self._pushed(at + 1, below)
                stacks += [self._pushed(start, back) for start in self._rules[rule]]
            else:
                found.add(stack)
        return frozenset(found)


def _has(chars: object, code: int) -> bool:
    return isinstance(chars, tuple) and any(first <= code <= last for first, last in chars)


def _lead_byte(code: int) -> int:
    return chr(min(code, LAST_CODE_POINT)).encode("utf-8", "surrogatepass")[0]


def _span(rest: bytes) -> tuple[int, int]:
    """First and last of the code points whose UTF-8 begins with `rest`, which is a beginning of one."""
    n_bytes = 2 if rest[0] < 0xE0 else 3 if rest[0] < 0xF0 else 4
    n_missing = n_bytes - len(rest)
    value = rest[0] & (0x7F >> n_bytes)
    for byte in rest[1:]:
        value = value << 6 | byte & 0x3F
    first = value << 6 * n_missing
    last = first | (1 << 6 * n_missing) - 1
    return max(first, _SMALLEST[n_bytes]), min(last, LAST_CODE_POINT)
