"""Names, numbers, quoted titles, addresses and identifiers in a text, by their looks alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from secondme.text.offsets import byte_offsets
from secondme.text.terms import QUESTION_WORDS, fold

EntityKind = Literal["name", "number", "title", "address", "code"]


@dataclass(frozen=True, slots=True)
class Entity:
    """Something told by its looks, at bytes [`byte_start`, `byte_end`) of the text.

    name: a capitalised run, without a possessive. number: with its sign, unit of money or per cent. title: what stands
    in quotation marks, without them. address: of mail or web. code: an identifier such as `snake_case` or `A380`.
    """

    kind: EntityKind
    text: str
    byte_start: int
    byte_end: int


_CAPITAL = r"(?:[A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĘĚĞĢĪİĶŁŃŇŌŐŒŘŚŠŞŢŤŪŮŰŹŻŽΑ-ΩА-Я])"
_NAME_WORD = rf"(?:{_CAPITAL}(?:\w|[-'’](?!s\b)(?=\w)|&(?=\w))*)(?:\.(?=\s?{_CAPITAL}\.?\s?{_CAPITAL}))?"
_LINK = r"(?:of|the|de|la|le|du|van|von|der|den|di|da|del|y|&)"
_FORMS = re.compile(
    r"(?P<address>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+|https?://[^\s<>\"')\]]+|www\.[\w-]+\.[^\s<>\"')\]]+)"
    r"|(?P<title>[\"“«]([^\"“”«»\n]{2,80})[\"”»]|(?<!\w)['‘]([A-Z][^'‘’\n]{2,60})['’](?!\w))"
    r"|(?P<code>`[^`\n]{1,80}`|\b[^\W_]+(?:_+[^\W_]+)+\b|\b[a-z]+[A-Z]\w*\b|\b\w+\(\)|(?<!\w)(?:~?/[\w.-]+){2,}/?"
    r"|(?<![\w-])(?=[\w-]{0,40}?\d)(?=[\w-]{0,40}?[A-Z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\b|\bv?\d+\.\d+\.\d+\b)"
    r"|(?P<number>[-+]?[$€£]?\d+(?:[.,]\d+)*(?:%|\b))"
    rf"|(?P<name>\b{_NAME_WORD}(?:\s+(?:{_LINK}\s+){{0,2}}{_NAME_WORD})*)"
)
_SENTENCE_START = re.compile(r"(?:^|[.!?:;…\n\"“(\[]|[-*•]\s)\s*$")
_POSSESSIVE = re.compile(r"['’]s?$")
_NO_NAMES = QUESTION_WORDS | frozenset(
    """i im ive id ill ok okay hey hi hello wow yeah yes yep no nope thanks thank congrats sure great good nice cool
    awesome well oh ah hmm haha lol bye sorry please mr mrs ms dr monday tuesday wednesday thursday friday saturday
    sunday january february march april may june july august september october november december today yesterday
    tomorrow tonight last next also although because since before after during while maybe perhaps actually recently
    hopefully sometimes""".split()
)
# Words that open a sentence so often that a capital there says nothing, even before another capital.
_OPENERS = _NO_NAMES | frozenset(
    "according did does has have is was are were would could can will should might".split()
)


def entities(text: str, known: Collection[str] = ()) -> list[Entity]:
    """What `text` names, in order and without overlap; titles, addresses and code are not searched for names.

    A capital at a sentence's start says little: such a word is a name only if the text capitalises it elsewhere too,
    if it is one of `known`, or if another capital follows it.
    """
    found = list(_FORMS.finditer(text))
    inner = {fold(w) for m in found if m.lastgroup == "name" for w in _inner_words(text, m)}
    sure = inner | {fold(k) for k in known}
    to_bytes = byte_offsets(text)
    return [
        Entity(kind, text[start:end], to_bytes(start), to_bytes(end))
        for m in found
        for kind, start, end in _taken(text, m, sure)
    ]


def names(text: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """The names of `text` as it writes them, each once; with those of `known` that it writes in lower case."""
    found = [e.text for e in entities(text, known) if e.kind == "name"]
    low = fold(text)
    have = {fold(name) for name in found}
    found += [k for k in known if fold(k) not in have and re.search(rf"\b{re.escape(fold(k))}\b", low)]
    return tuple(dict.fromkeys(found))


def _inner_words(text: str, match: re.Match[str]) -> list[str]:
    """Words of a capitalised run whose capital is not owed to the start of a sentence."""
    words = match[0].split()
    return words[1:] if _opens_sentence(text, match.start()) else words


def _opens_sentence(text: str, start: int) -> bool:
    return _SENTENCE_START.search(text, max(0, start - 8), start) is not None


def _taken(text: str, match: re.Match[str], sure: Collection[str]) -> Iterator[tuple[EntityKind, int, int]]:
    start, end = match.span()
    if match["name"]:
        yield from _name(text, start, end, sure)
    elif match["title"]:
        yield "title", start + 1, end - 1
    elif match["code"]:
        quoted = match[0].startswith("`")
        yield "code", start + quoted, end - quoted
    elif match["address"]:
        yield "address", start, start + len(match[0].rstrip(".,;:!?"))
    else:
        yield "number", start, end


def _name(text: str, start: int, end: int, sure: Collection[str]) -> Iterator[tuple[EntityKind, int, int]]:
    """A capitalised run without the words at its ends that are no names."""
    words = [(m.start(), m.end()) for m in re.compile(r"\S+").finditer(text, start, end)]
    opens = _opens_sentence(text, start)
    while words and _plain(text, words[0], _OPENERS if opens else _NO_NAMES, sure):
        words.pop(0)
        opens = False
    while words and _plain(text, words[-1], _NO_NAMES, sure):
        words.pop()
    if not words or (opens and len(words) == 1 and fold(_bare(text, words[0])) not in sure):
        return
    yield "name", words[0][0], words[0][0] + len(_POSSESSIVE.sub("", text[words[0][0] : words[-1][1]]))


def _plain(text: str, word: tuple[int, int], plain: Collection[str], sure: Collection[str]) -> bool:
    bare = fold(_bare(text, word)).replace("'", "").replace("’", "")
    return bare in plain and (bare not in sure or bare in QUESTION_WORDS or bare in _NO_NAMES)


def _bare(text: str, word: tuple[int, int]) -> str:
    return _POSSESSIVE.sub("", text[word[0] : word[1]]).strip(".")
