"""Reads a grammar in GBNF, the notation of llama.cpp (its grammars/README.md), into tables for `gbnf_match.py`.

Everything that llama.cpp reads is read alike, and what it refuses is refused: a grammar then works in every runtime.
Left out are its references to whole tokens (`<[id]>`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Chars = tuple[tuple[int, int], ...]
"""A character of one of these ranges of code points, both ends included, ascending."""

Element = Chars | int | None
"""One character, or a rule by its number, or the end of an alternative."""

LAST_CODE_POINT = 0x10FFFF
_ANY: Chars = ((0, LAST_CODE_POINT),)
_MOST_REPEATS = 2000  # as in llama.cpp
_MOST_ELEMENTS = 200_000
_DEEPEST = 100
_PLAIN_ESCAPES = {"t": 9, "n": 10, "r": 13, "\\": 92, '"': 34, "[": 91, "]": 93}
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class Grammar:
    """elements: all alternatives one after the other, each ended by None. rules: where those of each rule begin."""

    elements: tuple[Element, ...]
    rules: tuple[tuple[int, ...], ...]
    root: int


def read_gbnf(text: str) -> Grammar:
    """Raises ValueError for what is no grammar, has no rule `root`, lacks a rule it names, or is left-recursive."""
    rules, root = _Reader(text).read()
    if _is_left_recursive(rules):
        raise ValueError("a rule begins with itself")
    elements: list[Element] = []
    starts = []
    for alternatives in rules:
        at = []
        for sequence in alternatives:
            at.append(len(elements))
            elements += [*sequence, None]
        starts.append(tuple(at))
    return Grammar(tuple(elements), tuple(starts), root)


_Sequence = list[Chars | int]


class _Reader:
    """A reader by recursive descent. A rule is a list of alternatives, each a list of elements."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._n_elements = 0
        self._numbers: dict[str, int] = {}
        self._rules: list[list[_Sequence] | None] = []

    def read(self) -> tuple[list[list[_Sequence]], int]:
        self._skip(newlines=True)
        while self._at < len(self._text):
            self._rule()
        rules = [rule for rule in self._rules if rule is not None]
        if len(rules) != len(self._rules) or "root" not in self._numbers:
            raise ValueError("a rule is missing")
        return rules, self._numbers["root"]

    def _rule(self) -> None:
        number = self._number(self._name())
        self._skip()
        if not self._text.startswith("::=", self._at):
            raise ValueError("::= is missing")
        self._at += 3
        self._skip(newlines=True)
        self._rules[number] = self._alternatives(nested=False)
        if self._at < len(self._text) and self._peek() not in "\r\n":
            raise ValueError("a rule goes on where it should end")
        self._skip(newlines=True)

    def _alternatives(self, *, nested: bool) -> list[_Sequence]:
        found = [self._sequence(nested)]
        while self._peek() == "|":
            self._at += 1
            self._skip(newlines=True)
            found.append(self._sequence(nested))
        return found

    def _sequence(self, nested: bool) -> _Sequence:
        sequence: _Sequence = []
        while (item := self._item(nested)) is not None:
            self._skip(newlines=nested)
            while (times := self._times()) is not None:
                item = self._repeated(item, *times)
                self._skip(newlines=nested)
            sequence += item
            self._n_elements += len(item)
            if self._n_elements > _MOST_ELEMENTS:
                raise ValueError("the grammar is too large")
        if self._peek() in ("*", "+", "?", "{"):
            raise ValueError("there is nothing to repeat")
        return sequence

    def _item(self, nested: bool) -> _Sequence | None:
        char = self._peek()
        if char == '"':
            return self._literal()
        if char == "[":
            return [self._class()]
        if char == "(":
            return [self._group(nested)]
        if char == ".":
            self._at += 1
            return [_ANY]
        return [self._number(self._name())] if _is_word(char) else None

    def _literal(self) -> _Sequence:
        self._at += 1
        found: _Sequence = []
        while self._peek() != '"':
            char = self._char()
            found.append(((char, char),))
        self._at += 1
        return found

    def _class(self) -> Chars:
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges = []
        while self._peek() != "]":
            first = last = self._char()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._char()
            ranges.append((first, last))
        self._at += 1
        if not ranges:
            raise ValueError("a class of characters is empty")
        return _without(ranges) if negated else tuple(sorted(r for r in ranges if r[0] <= r[1]))

    def _group(self, nested: bool) -> int:
        self._at += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("brackets are too deep")
        self._skip(newlines=True)
        number = self._add(self._alternatives(nested=True))
        if self._peek() != ")":
            raise ValueError("a bracket is not closed")
        self._at += 1
        self._depth -= 1
        return number

    def _times(self) -> tuple[int, int | None] | None:
        """(least, most or None) of a repetition that stands here."""
        char = self._peek()
        if char in ("*", "+", "?"):
            self._at += 1
            return int(char == "+"), 1 if char == "?" else None
        if char != "{":
            return None
        self._at += 1
        self._skip()
        least = self._int()
        most: int | None = least
        self._skip()
        if self._peek() == ",":
            self._at += 1
            self._skip()
            most = self._int() if self._peek().isdigit() else None
            self._skip()
        if self._peek() != "}" or max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
            raise ValueError("a number of repeats cannot be read")
        self._at += 1
        return least, most

    def _repeated(self, item: _Sequence, least: int, most: int | None) -> _Sequence:
        """Copies, then what may follow as a chain of rules, each of which is the item and the next, or nothing."""
        if len(item) * max(least, most or 1) > _MOST_ELEMENTS:
            raise ValueError("the grammar is too large")
        if most is None:
            number = self._add([])
            self._rules[number] = [[*item, number], []]
            return [*item * least, number]
        tail: _Sequence = []
        for _ in range(most - least):
            tail = [self._add([[*item, *tail], []])]
        return [*item * least, *tail]

    def _char(self) -> int:
        char = self._peek()
        self._at += 1
        if char == "":
            raise ValueError("the grammar ends in the midst of a rule")
        if char != "\\":
            return ord(char)
        escape = self._peek()
        self._at += 1
        if (n := _HEX_ESCAPES.get(escape)) is not None:
            digits = self._text[self._at : self._at + n]
            self._at += n
            if len(digits) < n or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
                raise ValueError("a code point is not written in hexadecimal digits")
            return int(digits, 16)
        if escape not in _PLAIN_ESCAPES:
            raise ValueError("an escape is unknown")
        return _PLAIN_ESCAPES[escape]

    def _name(self) -> str:
        return self._while(_is_word)

    def _int(self) -> int:
        return int(self._while(lambda char: char in "0123456789")[:9])

    def _while(self, fits: Callable[[str], bool]) -> str:
        start = self._at
        while (char := self._peek()) and fits(char):
            self._at += 1
        if self._at == start:
            raise ValueError("a name or a number is missing")
        return self._text[start : self._at]

    def _skip(self, *, newlines: bool = False) -> None:
        while (char := self._peek()) and (char in " \t#" or (newlines and char in "\r\n")):
            if char == "#":
                while self._peek() not in ("", "\r", "\n"):
                    self._at += 1
            else:
                self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._rules)
            self._rules.append(None)
        return self._numbers[name]

    def _add(self, rule: list[_Sequence]) -> int:
        self._n_elements += sum(len(sequence) for sequence in rule)
        if self._n_elements > _MOST_ELEMENTS:
            raise ValueError("the grammar is too large")
        self._rules.append(rule)
        return len(self._rules) - 1


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "-")


def _without(ranges: list[tuple[int, int]]) -> Chars:
    """All code points but these."""
    left, at = [], 0
    for first, last in sorted(ranges):
        if first > at:
            left.append((at, first - 1))
        at = max(at, last + 1)
    if at <= LAST_CODE_POINT:
        left.append((at, LAST_CODE_POINT))
    return tuple(left)


def _is_left_recursive(rules: list[list[_Sequence]]) -> bool:
    """Whether a rule can come back to itself before any character is read."""
    empty = _may_be_empty(rules)
    begins = [
        set().union(*(_begins(number, sequence, empty) for sequence in alternatives))
        for number, alternatives in enumerate(rules)
    ]
    left = set(range(len(rules)))
    while done := [rule for rule in left if not begins[rule] & left]:
        left.difference_update(done)
    return bool(left)


def _begins(number: int, sequence: _Sequence, empty: set[int]) -> set[int]:
    """The rules with which this alternative of rule `number` may begin.

    Without the rule itself at the end, as in repeating what may be empty: that leaves nothing on the stack, and ends.
    """
    found: set[int] = set()
    for i, element in enumerate(sequence):
        if isinstance(element, int) and not (element == number and 0 < i == len(sequence) - 1):
            found.add(element)
        if element not in empty:
            break
    return found


def _may_be_empty(rules: list[list[_Sequence]]) -> set[int]:
    empty: set[int] = set()
    while True:
        more = {
            i
            for i, alternatives in enumerate(rules)
            if i not in empty and any(all(e in empty for e in sequence) for sequence in alternatives)
        }
        if not more:
            return empty
        empty |= more
