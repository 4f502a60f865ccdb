"""Answers to questions about memory itself, straight from it: no model is asked, so nothing is invented.

A rule recognises what is known of somebody, why something is believed, what was so before, and secrets asked for by
name. Everything else is for `turn.py`.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from secondme.chat.cite import cited
from secondme.memory.store import Store
from secondme.recall.evidence import coverage
from secondme.recall.gather import CORE, Evidence
from secondme.recall.masking import SECRETS, masks
from secondme.recall.pieces import Piece, day, of_item, of_turn
from secondme.recall.reasons import maker, reasons
from secondme.text.attributes import asked_for
from secondme.text.terms import content_terms, stem, stems
from secondme.types import OWNER, Citation, ItemKind, Learned, MemoryItem, Trust, Turn

KNOWN: tuple[ItemKind, ...] = ("semantic", "episodic", "procedural")
"""Kinds of what can be told; secrets and lessons are not."""

MAX_TOLD = 20
"""More than so many lines nobody reads; `secondme memory list` shows all."""

MAX_SAID = 300
"""Characters of a turn that are told again."""

ENOUGH = 0.6
"""Weight of the attribute asked for plus share of the words that an item must have to be meant."""

NOTHING_KNOWN = "Memory holds nothing about this yet."
NOTHING_BEHIND = "That does not rest on anything in memory."
KEPT_APART = "This is kept as a secret, which only you are shown: "

_LEAD = r"^\W*(?:(?:so|and|but|please|ok|okay|hey|now|then|well)\W+)*(?:(?:can|could|would) you (?:please )?tell me )?"
_ABOUT = re.compile(
    _LEAD + r"(?:what (?:all |else |exactly )*(?:do|did|have) you (?:already |actually )?(?:know|remember|learn|learned"
    r"|learnt|remembered|got|memori[sz]ed)(?: of| about| on)(?: what)? (?P<a>.+?)"
    r"|(?:tell|show) me (?:everything|all|what) (?:that )?you (?:know|remember|have)(?: of| about| on) (?P<b>.+?)"
    r"|what do you (?:know|remember)(?: so far)?|(?:do you know )?who am i|what you (?:know|remember)(?: about me)?"
    r"|what (?:is|'s) in your memory(?: about me)?)\W*$",
    re.I,
)
_WHY = re.compile(
    _LEAD + r"(?:why (?:do|would|did) you (?:think|believe|say|know|assume|claim)|how (?:do|did|would|can) you know"
    r"|how come you (?:think|know|say|believe)|what makes you (?:think|say|believe)|says who"
    r"|(?:where|from where) (?:do|did) you (?:have|get|know|learn) (?P<from>.+?) from|who told you)\b(?P<what>.*)$",
    re.I,
)
_BEFORE = re.compile(
    _LEAD + r"(?:(?:what|where|who|which|how)\b.*?\b(?:did|do) (?:i|we) (?:use|used) to\b|did i (?:use|used) to\b"
    r"|(?:what|where|who|which)\b.*?\bused to be\b|(?:what|who|where|which)\b.*?\b(?:is|was|were|'s) my (?:old|former"
    r"|previous|last|earlier|ex)\b|(?:what|who|where|which)\b.*?\b(?:was|were|did|had)\b.*\b(?:before|previously|formerly"
    r"|earlier|in the past)\b)",
    re.I,
)
_ME = frozenset({"me", "i", "myself", "us", "my life", "me so far", "me already", "who i am", "me now"})
_POINTING = frozenset({"", "so", "that", "this", "it", "which", "such a thing", "these things", "that so", "this so"})
_MEMORY_WORDS = frozenset(
    map(
        stem,
        "use used think say like live work previous previously former formerly old last earlier before past".split(),
    )
)
_STATEMENT_STARTS = re.compile(
    r"^\W*(?:who|what|when|where|why|how|which|whose|whom|is|are|was|were|am|do|does|did|can|could|will|would|should|shall"
    r"|has|have|had|may|might|tell|show|list|explain|describe|summari[sz]e|give|find|write|compare|translate)\b",
    re.I,
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to memory; `last` is the answer before it, which "why do you think so" is about."""

    text: str
    project: str | None
    last: Turn | None = None
    now: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An answer without a model; `found` is False where there is nothing. `secrets` may be shown to the owner."""

    text: str
    citations: tuple[Citation, ...] = ()
    found: bool = True
    secrets: tuple[MemoryItem, ...] = ()


def tell(asked: Asked, store: Store) -> Told | None:
    """The answer, where the question is one about memory itself; None for every other."""
    text = " ".join(asked.text.split())
    if named := secrets_named(text, store, asked.project):
        return Told(KEPT_APART + ", ".join(i.attribute for i in named) + ".", secrets=named)
    if match := _ABOUT.match(text):
        return _about((match["a"] or match["b"] or "me").strip(" ?.!").lower(), asked, store)
    if match := _WHY.match(text):
        return _why((match["from"] or match["what"] or "").strip(" ?.!,").lower(), asked, store)
    return _before(text, asked, store) if _BEFORE.match(text) else None


def is_statement(text: str) -> bool:
    """Whether every sentence of `text` tells something and none asks."""
    sentences = [s for s in _SENTENCE.findall(text) if s.strip(" .!?")]
    return bool(sentences) and not any("?" in s or _STATEMENT_STARTS.match(s) for s in sentences)


def acknowledge(learned: Learned) -> str:
    """What is said to a turn that only told something."""
    lines = [f"Remembered: {item.text}" for item in learned.items if item.kind != "vault"]
    lines += [f"Kept as a secret: {item.attribute or 'it'}." for item in learned.items if item.kind == "vault"]
    lines += [f"Known already: {item.text}" for item in learned.confirmed if item.kind != "vault"]
    lines += [f"Kept as a secret already: {item.attribute}." for item in learned.confirmed if item.kind == "vault"]
    lines += [f"No longer so: {item.text}" for item in learned.closed if item.kind != "vault"]
    waiting = [item for item in learned.pending if item.kind != "vault"]
    lines += [f"For you to decide (secondme memory review): {item.text}" for item in waiting]
    return "\n\n".join(lines)


# In the second person --------------------------------------------------------------------------------------------

_PERSONS = {
    "i am": "you are", "i'm": "you're", "i was": "you were", "i've": "you've", "i'll": "you'll", "i'd": "you'd",
    "i": "you", "my": "your", "mine": "yours", "me": "you", "myself": "yourself",
}  # fmt: skip
_PERSON = re.compile(r"\b(?:i (?:am|was)|i['’](?:m|ve|ll|d)|i|my|mine|me|myself)\b(?!['’]?\w)", re.I)


def to_owner(item: MemoryItem) -> str:
    """An item's text as one says it to the owner: "You live in Oslo." What others wrote stays as they wrote it."""
    if item.trust not in (Trust.OWNER, Trust.CONVERSATION):
        return item.text
    said = _PERSON.sub(lambda m: _PERSONS[m.group().lower().replace("’", "'")], item.text)
    return said[:1].upper() + said[1:]


def fact(evidence: Evidence) -> tuple[Piece, ...]:
    """What is known that answers by itself: the best of it, with all that says the same of others, as several pets."""
    items = [p for p in evidence.items if isinstance(p.source, MemoryItem)]
    if evidence.depth > 1 or not items:
        return ()
    best = max(items, key=lambda p: p.score).source
    assert isinstance(best, MemoryItem)
    return tuple(
        p
        for p in items
        if p.source is best
        or (isinstance(p.source, MemoryItem) and best.attribute and _claim(p.source) == _claim(best) and p.source.holds)
    )


def _claim(item: MemoryItem) -> tuple[str, str]:
    return item.subject, item.attribute


# Secrets -------------------------------------------------------------------------------------------------------


def secrets_named(text: str, store: Store, project: str | None) -> tuple[MemoryItem, ...]:
    """The secrets that hold and whose whole name stands in the question."""
    asked = set(stems(text))
    found = store.items(project, kinds=SECRETS, holding=True)
    return tuple(i for i in found if (name := set(stems(i.attribute))) and name <= asked)


# What is known, and why ----------------------------------------------------------------------------------------


def _about(whom: str, asked: Asked, store: Store) -> Told:
    items = store.items(asked.project, kinds=KNOWN, holding=True)
    core = store.items(asked.project, kinds=CORE, holding=True)
    if whom in _ME:
        mine = [*core, *(i for i in items if i.subject in (OWNER, ""))]
    else:
        weights = {stem(t): 1.0 for t in content_terms(whom)}
        mine = [i for i in items if coverage(f"{i.subject} {i.attribute} {i.text}", weights) >= 1.0]
    if not mine:
        return Told(NOTHING_KNOWN, found=False)
    return _listed(mine, asked, to_owner)


def _why(what: str, asked: Asked, store: Store) -> Told:
    is_pointing = what in _POINTING
    said = _said(asked.last, store) if is_pointing else []
    items = _pointed_at(asked.last, store) if is_pointing else _meant(what, asked, store, holding=None)
    if not items and not said:
        return Told(NOTHING_BEHIND, found=False)
    hidden = masks(store, asked.project)

    def line(item: MemoryItem) -> str:
        places = [f'{r.where}: "{r.quote}"' for r in reasons(item, store, hidden)]
        return f"{to_owner(item)} {'; '.join(places) or f'{maker(item).capitalize()} on {day(item.created_at)}'}."

    now = time.time() if asked.now is None else asked.now
    turns = [of_turn(turn, 1.0, hidden) for turn in said]
    pieces = [*turns, *(of_item(item, 1.0, now) for item in items[:3])]
    return _numbered(pieces, [*map(_as_said, turns), *map(line, items[:3])], asked)


def _as_said(piece: Piece) -> str:
    text = textwrap.shorten(piece.text, MAX_SAID, placeholder=" …")
    who = f"You said on {day(piece.at)}" if piece.is_owners_turn else f"It was {piece.where}"
    return f'{who}: "{text}".'


def _said(last: Turn | None, store: Store) -> list[Turn]:
    """The turns that the last answer quotes and that taught nothing: they speak for themselves."""
    marked = [c.turn_id for c in last.citations if c.kind == "turn" and c.marked] if last is not None else []
    return store.turns_by_ids([n for n in marked if not any(i.kind in KNOWN for i in store.items_from("turn", n))])


def _pointed_at(last: Turn | None, store: Store) -> list[MemoryItem]:
    """The items that the last answer rests on: those marked in it, else all that it read."""
    if last is None:
        return []
    cites = [c for c in last.citations if c.kind == "item" and c.marked] or [
        c for c in last.citations if c.kind == "item" and not any(c.marked for c in last.citations)
    ]
    found = [store.item(c.item_id) for c in cites]
    items = [i for i in found if i is not None and i.kind != "vault"]
    for citation in last.citations:
        if citation.kind == "turn" and citation.marked:
            items += [i for i in store.items_from("turn", citation.turn_id) if i.kind in KNOWN and i not in items]
    return items


def _before(text: str, asked: Asked, store: Store) -> Told | None:
    """What was so and is no longer; None if nothing of the kind ever was: then it is a question like any other."""
    past = _meant(text, asked, store, holding=False)
    if not past:
        return None

    def line(item: MemoryItem) -> str:
        until = f" (until {day(item.valid_to)})" if item.valid_to is not None else ""
        return f"{to_owner(item).rstrip('.')}{until}."

    return _listed(sorted(past[:5], key=lambda i: -(i.valid_to or 0.0)), asked, line)


def _meant(text: str, asked: Asked, store: Store, *, holding: bool | None) -> list[MemoryItem]:
    """The items that the words mean, best first: of the attribute they ask for, or with all of their words."""
    wanted = asked_for(re.sub(r"\buse to\b", "used to", text, flags=re.I))
    weights = {s: 1.0 for t in content_terms(text) if (s := stem(t)) not in _MEMORY_WORDS}
    scored = []
    for item in store.items(asked.project, kinds=KNOWN, holding=holding):
        score = wanted.get(item.attribute, 0.0) if item.attribute else 0.0
        score += coverage(f"{item.subject} {item.attribute} {item.text}", weights)
        if score >= ENOUGH:
            scored.append((score, item))
    best = max((score for score, _ in scored), default=0.0)
    return [item for score, item in sorted(scored, key=lambda s: -s[0]) if score >= best - 0.4]


def _listed(items: Sequence[MemoryItem], asked: Asked, line: Callable[[MemoryItem], str]) -> Told:
    """One line an item, each with its number."""
    now = time.time() if asked.now is None else asked.now
    shown = items[:MAX_TOLD]
    told = _numbered([of_item(item, 1.0, now) for item in shown], list(map(line, shown)), asked)
    if len(items) <= MAX_TOLD:
        return told
    more = f"And {len(items) - MAX_TOLD} more; secondme memory list shows all."
    return replace(told, text=f"{told.text}\n{more}")


def _numbered(pieces: Sequence[Piece], lines: Sequence[str], asked: Asked) -> Told:
    """`lines` with the number of the piece that each tells."""
    weights = dict.fromkeys(stems(asked.text), 1.0)
    cites = tuple(
        cited(n, piece, weights, project=_project(piece, asked), marked=True) for n, piece in enumerate(pieces, start=1)
    )
    return Told("\n".join(f"{line} [{n}]" for n, line in enumerate(lines, start=1)), cites)


def _project(piece: Piece, asked: Asked) -> str:
    return piece.source.project if isinstance(piece.source, MemoryItem) else asked.project or ""
