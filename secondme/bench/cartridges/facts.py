"""Invented facts to plant in documents: whoever answers them has read them, and an exact string is right or wrong.

People, places and institutions are made of syllables, so that no model knows them. Every seed gives other facts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_ONSETS = ("B", "Br", "C", "D", "Dr", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "St", "T", "Tr", "V", "W")
_MIDDLES = ("al", "an", "ar", "el", "en", "er", "il", "in", "ol", "or", "ul", "un")
_PLACE_ENDS = ("bridge", "bury", "dale", "field", "ford", "ham", "mere", "mouth", "stead", "ton", "wick", "worth")
_NAME_ENDS = ("beck", "dorf", "ano", "ersen", "gard", "holt", "ini", "kova", "man", "quist", "sky", "vik")
_FIRST = (
    "Agnes",
    "Albin",
    "Clara",
    "Edmund",
    "Flora",
    "Gustav",
    "Helga",
    "Ivor",
    "Judith",
    "Konrad",
    "Lydia",
    "Magnus",
)
_MORE_FIRST = ("Nadia", "Oswald", "Petra", "Ralph", "Sonja", "Tobias", "Ursula", "Victor", "Wanda", "Yvonne")
_MONTHS = ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November")
_LETTERS = "BCDFGHJKLMNPRSTVWXZ"


@dataclass(frozen=True, slots=True)
class Fact:
    """`sentence` is planted, `question` asks for `answer`, which follows `lead` in the sentence."""

    kind: str
    sentence: str
    question: str
    lead: str
    answer: str


@dataclass(frozen=True, slots=True)
class _Template:
    """`{a}` is the answer; `{p}` a place and `{n}` a person that no other fact has."""

    kind: str
    sentence: str
    question: str


_TEMPLATES = (
    _Template("name", "The lighthouse at {p} was designed by {a}.", "Who designed the lighthouse at {p}?"),
    _Template("name", "The mayor of {p} at that time was {a}.", "Who was the mayor of {p} at that time?"),
    _Template("name", "The {p} Museum was founded by {a}.", "Who founded the {p} Museum?"),
    _Template("name", "The oldest map of {p} was drawn by {a}.", "Who drew the oldest map of {p}?"),
    _Template(
        "number", "The library of {p} holds {a} manuscripts.", "How many manuscripts does the library of {p} hold?"
    ),
    _Template("number", "The stairs of {p} Abbey have {a} steps.", "How many steps do the stairs of {p} Abbey have?"),
    _Template(
        "number", "The stone bridge at {p} cost {a} crowns.", "How many crowns did the stone bridge at {p} cost?"
    ),
    _Template("number", "The orchestra of {p} gave {a} concerts.", "How many concerts did the orchestra of {p} give?"),
    _Template("date", "The railway to {p} was opened on {a}.", "On what date was the railway to {p} opened?"),
    _Template("date", "The treaty of {p} was signed on {a}.", "On what date was the treaty of {p} signed?"),
    _Template("date", "The painter {n} was born on {a}.", "On what date was the painter {n} born?"),
    _Template("date", "The great fire of {p} broke out on {a}.", "On what date did the great fire of {p} break out?"),
    _Template(
        "code", "The archive number of the {p} letters is {a}.", "What is the archive number of the {p} letters?"
    ),
    _Template(
        "code", "The call sign of the {p} radio station is {a}.", "What is the call sign of the {p} radio station?"
    ),
    _Template("code", "The serial number of the {p} engine is {a}.", "What is the serial number of the {p} engine?"),
    _Template("code", "The locker key of {n} is marked {a}.", "How is the locker key of {n} marked?"),
)


def facts(n: int, *, seed: str, avoid: str = "") -> list[Fact]:
    """`n` facts, as many of each kind as of any other. No place, person or answer is in two of them or in `avoid`."""
    rng = random.Random(f"secondme facts {seed}")
    used = _Used(avoid)
    made: list[Fact] = []
    while len(made) < n:
        batch = list(_TEMPLATES)
        rng.shuffle(batch)
        made += [_fact(template, rng, used) for template in _even(batch)]
    return made[:n]


def _even(templates: Sequence[_Template]) -> list[_Template]:
    """The kinds in turn, so that any first few hold them all."""
    kinds = dict.fromkeys(t.kind for t in templates)
    queues = [[t for t in templates if t.kind == kind] for kind in kinds]
    return [queue[i] for i in range(max(map(len, queues))) for queue in queues if i < len(queue)]


@dataclass(frozen=True, slots=True)
class _Used:
    text: str
    words: set[str] = field(default_factory=set)


def _fact(template: _Template, rng: random.Random, used: _Used) -> Fact:
    words = {"p": _new(_place, rng, used), "n": _new(_person, rng, used), "a": _new(_ANSWERS[template.kind], rng, used)}
    sentence, question = template.sentence.format(**words), template.question.format(**words)
    return Fact(template.kind, sentence, question, sentence[: sentence.index(" " + words["a"])], words["a"])


def _new(make: Callable[[random.Random], str], rng: random.Random, used: _Used) -> str:
    while (word := make(rng)) in used.words or word in used.text:
        pass
    used.words.add(word)
    return word


def _stem(rng: random.Random) -> str:
    return rng.choice(_ONSETS) + rng.choice(_MIDDLES)


def _place(rng: random.Random) -> str:
    return _stem(rng) + rng.choice(_PLACE_ENDS)


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST + _MORE_FIRST)} {_stem(rng)}{rng.choice(_NAME_ENDS)}"


def _number(rng: random.Random) -> str:
    return f"{rng.randrange(101, 9990):,}"


def _date(rng: random.Random) -> str:
    return f"{rng.randrange(1, 29)} {rng.choice(_MONTHS)} {rng.randrange(1610, 1990)}"


def _code(rng: random.Random) -> str:
    return f"{rng.choice(_LETTERS)}{rng.choice(_LETTERS)}-{rng.randrange(100, 9999)}"


_ANSWERS: dict[str, Callable[[random.Random], str]] = {
    "name": _person,
    "number": _number,
    "date": _date,
    "code": _code,
}

# After a word of four small letters or more a full stop ends a sentence and no abbreviation.
_BOUNDARY = re.compile(r"(?<=[a-z]{4}[.!?])\s+(?=[A-Z\"])")


def n_gaps(text: str) -> int:
    """Places between sentences."""
    return sum(1 for _ in _BOUNDARY.finditer(text))


def plant(text: str, planted: Sequence[Fact], *, seed: str) -> str:
    """`text` with the facts' sentences between its own, spread evenly and in a random order.

    Raises ValueError if the text has fewer ends of sentences than there are facts.
    """
    rng = random.Random(f"secondme plant {seed}")
    places = [m.start() for m in _BOUNDARY.finditer(text)]
    if len(places) < len(planted):
        raise ValueError("the text has too few sentences")
    order = list(planted)
    rng.shuffle(order)
    share = len(places) / max(1, len(order))
    chosen = [places[int(i * share + rng.random() * max(0.0, share - 1))] for i in range(len(order))]
    pieces, at = list[str](), 0
    for place, fact in zip(chosen, order, strict=True):
        pieces += [text[at:place], " ", fact.sentence]
        at = place
    return "".join([*pieces, text[at:]])
