"""Looks through what others wrote as it comes in: orders are set aside, claims about the owner wait for the owner.

Masking where a model reads does not depend on this, so nothing is read in between; what is done here makes it visible,
and takes its lesson. Running it again over the same text changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from secondme.memory.store import Store
from secondme.reflect.quarantine import ACTOR, lessons, set_aside
from secondme.reflect.trust import add_admitted
from secondme.text.instructions import Lessons, Suspect, redirections, suspects, suspects_said
from secondme.text.pasted import pasted_spans
from secondme.text.redirects import tells_of_himself
from secondme.text.sentences import split_sentences
from secondme.text.terms import content_stems, fold
from secondme.types import OWNER, MemoryItem, NewItem, Span, StoredChunk, Trust, Turn

MOST_OF_A_SOURCE = 24
"""Spans of one file that are listed; the rest of it is masked all the same."""

REACH = 6
"""Turns before one whose words that were set aside it may repeat."""
REPEATS = 0.5
"""Share of a sentence's words from which it says them again."""

_CLAIMS: tuple[tuple[str, str], ...] = (
    ("employer", r"(?:works|is working|is employed) (?:for|at|with) (?P<value>[^,.;\n]{2,60})"),
    ("home city", r"(?:lives|resides|is living) in (?P<value>[^,.;\n]{2,60})"),
    ("bank", r"banks with (?P<value>[^,.;\n]{2,60})"),
    ("allergy", r"is allergic to (?P<value>[^,.;\n]{2,60})"),
    ("likes", r"(?:likes|loves|enjoys) (?P<value>[^,.;\n]{2,60})"),
    ("prefers", r"prefers (?P<value>[^,.;\n]{2,60})"),
    ("", r"['’]s (?P<attribute>[a-z][a-z ]{2,30}?) is (?P<value>[^,.;\n]{2,60})"),
)
_SEVERAL = frozenset({"likes", "prefers", "allergy"})


def screen_source(store: Store, source_id: int) -> list[MemoryItem]:
    """Set aside what reads like an instruction in a file, and note its claims about the owner; the new items."""
    chunks = store.source_chunks(source_id)
    if not chunks or chunks[0].trust is Trust.OWNER:
        return []
    known = lessons(store, chunks[0].project)
    names = owner_names(store, chunks[0].project)
    found: list[MemoryItem] = []
    for chunk in chunks:
        if len(found) >= MOST_OF_A_SOURCE:
            break
        found += _screened(store, chunk, known, names)
    return found


def screen_turn(store: Store, turn: Turn, project: str) -> list[MemoryItem]:
    """Set aside what reads like an instruction in what was pasted into a turn, or in one that the owner did not say.

    Of what the owner typed himself, what leads a question about one thing to another.
    """
    is_own = turn.role == "user" and not turn.speaker
    trust = Trust.DOCUMENT if is_own else Trust.CONVERSATION
    known, before, found = lessons(store, project), store.items_from("turn", turn.id), []
    said = list(_suspected(turn.text, known) if is_own else _said(turn.text, 0, len(turn.text), known))
    again = [s for s in _repeated(store, turn, is_own=is_own) if not any(a < s[1] and s[0] < b for a, b, _ in said)]
    for start, end, reasons in (*said, *again):
        span = _span("turn", turn.id, turn.text, start, end)
        if not _is_known(before, span):
            found.append(set_aside(store, project, turn.text[start:end], span, trust, reasons))
    return found


def _suspected(text: str, known: Lessons) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """What is suspected in a turn of the owner's."""
    pasted = pasted_spans(text)
    for start, end in pasted:
        yield from _said(text, start, end, known)
    for start, end, reasons in _joined(redirections(text, known), text):
        if not any(a < end and start < b for a, b in pasted):
            yield start, end, reasons


def _repeated(store: Store, turn: Turn, *, is_own: bool) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """What says again what was set aside shortly before in its conversation, and nothing of its writer.

    In a turn of the owner's that is only what he himself led to something else.
    """
    earlier = [t for t in store.turns_around([turn.id], REACH) if t.id < turn.id]
    aside = [i for t in earlier for i in store.items_from("turn", t.id) if i.state == "quarantined"]
    aside = [i for i in aside if not is_own or "redirect" in i.attribute.split()]
    gone = {word for item in aside for word in content_stems(item.text)}
    for sentence in split_sentences(turn.text) if gone else ():
        said = content_stems(sentence.text)
        is_open = tells_of_himself(sentence.text) or sentence.text.rstrip().endswith("?")
        if not is_open and len(said & gone) >= REPEATS * max(1, len(said)):
            yield sentence.start, sentence.end, ("repeats",)


def _said(text: str, start: int, end: int, known: Lessons) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for at, stop, reasons in _joined(suspects_said(text[start:end], known), text[start:end]):
        yield start + at, start + stop, reasons


def owner_names(store: Store, project: str | None) -> tuple[str, ...]:
    """What the owner is called, as memory knows it."""
    items = store.items(project, subject=OWNER, holding=True)
    return tuple(i.value for i in items if i.attribute in ("name", "first name", "full name") and len(i.value) > 1)


def _screened(store: Store, chunk: StoredChunk, known: Lessons, names: tuple[str, ...]) -> Iterator[MemoryItem]:
    text = chunk.chunk.text
    before = store.items_from("passage", chunk.id)
    aside = _joined(suspects(text, known), text)
    for start, end, reasons in aside:
        span = _span("passage", chunk.id, text, start, end)
        if not _is_known(before, span):
            yield set_aside(store, chunk.project, text[start:end], span, chunk.trust, reasons)
    for new, said in _claims(chunk, names):
        if not _is_known(before, new.spans[0]) and not any(a < said[1] and said[0] < b for a, b, _ in aside):
            item = add_admitted(store, new, text[said[0] : said[1]], known, actor=ACTOR)
            if item is not None:
                yield item


def _joined(spans: Sequence[Suspect], text: str) -> list[tuple[int, int, tuple[str, ...]]]:
    """What of `text` is suspected, without the space around it; neighbours are one."""
    joined: list[tuple[int, int, tuple[str, ...]]] = []
    for s in spans:
        if joined and not text[joined[-1][1] : s.start].strip() and "\n\n" not in text[joined[-1][1] : s.start]:
            start, _, reasons = joined[-1]
            joined[-1] = (start, s.end, tuple(dict.fromkeys((*reasons, *s.reasons))))
        else:
            lead = len(text[s.start : s.end]) - len(text[s.start : s.end].lstrip())
            joined.append((s.start + lead, s.start + len(text[s.start : s.end].rstrip()), s.reasons))
    return joined


def _claims(chunk: StoredChunk, names: tuple[str, ...]) -> Iterator[tuple[NewItem, tuple[int, int]]]:
    """What a passage says of the owner by name, with where the sentence stands, in characters."""
    if not names:
        return
    owner = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    text = chunk.chunk.text
    for sentence in split_sentences(text):
        for attribute, pattern in _CLAIMS:
            gap = "" if pattern.startswith("[") else r"\s+(?:now |also |currently )?"
            match = re.search(rf"(?i:\b(?:{owner})){gap}{pattern}", sentence.text)
            if match is None:
                continue
            named = attribute or fold(match["attribute"]).strip()
            value = match["value"].strip()
            slot = f"{OWNER}|{named}|{fold(value)}" if named in _SEVERAL else f"{OWNER}|{named}"
            span = _span("passage", chunk.id, text, sentence.start, sentence.end)
            yield (
                NewItem(
                    "semantic",
                    sentence.text,
                    project=chunk.project,
                    subject=OWNER,
                    attribute=named,
                    value=value,
                    slot=slot,
                    trust=chunk.trust,
                    made_by=ACTOR,
                    spans=(span,),
                ),
                (sentence.start, sentence.end),
            )
            break


def _is_known(items: list[MemoryItem], span: Span) -> bool:
    return any(span in item.spans for item in items)


def _span(kind: str, ref_id: int, text: str, start: int, end: int) -> Span:
    first = len(text[:start].encode("utf-8", "surrogatepass"))
    last = first + len(text[start:end].encode("utf-8", "surrogatepass"))
    return Span("turn" if kind == "turn" else "passage", ref_id, first, last)
