"""Takes out of recalled text what nobody but the owner reads: secrets, and words that were set aside.

A secret's bytes become as many stars, so that offsets into the text stay true.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from secondme.memory.store import Store
from secondme.text.instructions import NO_LESSONS, Lessons, harmless, masked, redirections
from secondme.text.pasted import pasted_spans
from secondme.text.shingles import spelled
from secondme.types import ItemKind, ItemState, MemoryItem, Span

EVERY_STATE: tuple[ItemState, ...] = ("active", "archived", "pending", "quarantined")

SECRETS: tuple[ItemKind, ...] = ("vault",)
LESSONS: tuple[ItemKind, ...] = ("lesson",)
SET_ASIDE: tuple[ItemState, ...] = ("quarantined",)

HIDDEN = "*"
_RUN = re.compile(r"\*{4,}")

Place = tuple[str, int]
"""Kind of a text, `turn` or `passage`, and its id."""


@dataclass(frozen=True, slots=True)
class Masks:
    """Where secrets stand, and what was quarantined, by the text they are in; and what quarantine has taught."""

    secret: Mapping[Place, tuple[Span, ...]] = field(default_factory=dict)
    aside: Mapping[Place, tuple[Span, ...]] = field(default_factory=dict)
    lessons: Lessons = NO_LESSONS

    def without_secrets(self, kind: str, ref_id: int, text: str) -> str:
        """`text` of the same length in bytes, its secrets replaced by stars."""
        return _starred(text, self.secret.get((kind, ref_id), ()))

    def for_model(self, kind: str, ref_id: int, text: str, *, is_owners: bool) -> str:
        """`text` as a model may read it. What the owner did not say, or only pasted, holds no instructions any more.

        What he did say himself leads no question to something else.
        """
        place = (kind, ref_id)
        text = _starred(text, (*self.secret.get(place, ()), *self.aside.get(place, ())))
        read = self._without_pasted_orders(text) if is_owners else self.harmless(text, said=kind == "turn")
        return _RUN.sub("***", read)

    def harmless(self, text: str, *, said: bool = False) -> str:
        """A text that is not the owner's, without what reads like an instruction; `said`: a turn, or part of one."""
        return harmless(text, self.lessons, said=said)

    def _without_pasted_orders(self, text: str) -> str:
        parts, at = [], 0
        for start, end in pasted_spans(text):
            parts += [self._straight(text[at:start]), self.harmless(text[start:end], said=True)]
            at = end
        return "".join([*parts, self._straight(text[at:])])

    def _straight(self, text: str) -> str:
        return masked(text, redirections(text, self.lessons))


def masks(store: Store, project: str | None) -> Masks:
    """Those of a project, or of all for None."""
    return Masks(
        _by_place(s for i in store.items(project, kinds=SECRETS, states=EVERY_STATE) for s in i.spans),
        _by_place(s for i in store.items(project, states=SET_ASIDE) for s in i.spans),
        _lessons(store.items(project, kinds=LESSONS)),
    )


def _lessons(items: Iterable[MemoryItem]) -> Lessons:
    """As `reflect/quarantine.py` keeps them: a fingerprint each, of what was caught or declared harmless."""
    known = [(item.attribute, item.value) for item in items]
    return Lessons(*(spelled(value for kind, value in known if kind == wanted) for wanted in ("caught", "allowed")))


def _by_place(spans: Iterable[Span]) -> dict[Place, tuple[Span, ...]]:
    found: defaultdict[Place, tuple[Span, ...]] = defaultdict(tuple)
    for span in spans:
        found[(span.kind, span.ref_id)] += (span,)
    return dict(found)


def _starred(text: str, spans: Sequence[Span]) -> str:
    if not spans:
        return text
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    for span in spans:
        start, end = _whole_characters(raw, span)
        raw[start:end] = HIDDEN.encode() * max(0, end - start)
    return raw.decode("utf-8", "surrogatepass")


def _whole_characters(raw: bytearray, span: Span) -> tuple[int, int]:
    """The span within the text, wide enough to cut no character in two."""
    start = min(max(0, span.byte_start), len(raw))
    end = min(max(start, span.byte_end), len(raw))
    if start == end:
        return start, end
    while start > 0 and raw[start] & 0xC0 == 0x80:
        start -= 1
    while end < len(raw) and raw[end] & 0xC0 == 0x80:
        end += 1
    return start, end
