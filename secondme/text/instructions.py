"""Finds what in a text gives orders to an assistant or speaks for its owner, so that a model never reads it as such.

Text from files, pages, mails and other programs is data. Nothing here is proof: a span is suspected when the signs in
it add up to SUSPECT (`instruction_patterns`), and what is suspected is masked where a model reads, and shown to the
owner. Pure: no model, no clock, no store.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from secondme.text.disguise import encoded_texts, hidden_characters, readings
from secondme.text.instruction_evidence import SPAN, goes_on, is_for_assistant, may_concern, shipped
from secondme.text.instruction_fields import fills_a_field, talks_to_assistant
from secondme.text.instruction_patterns import OTHER_LANGUAGES, REPORTING, SIGNS, THIRD_PARTIES
from secondme.text.redirects import redirecting
from secondme.text.runs import without_runs
from secondme.text.sentences import split_sentences
from secondme.text.shingles import NEAR, distance, simhash

SUSPECT = 0.8
"""Sum of signs from which a sentence is taken for an instruction."""

MASK = "[…]"
"""What a model reads in the place of a suspected span."""

_CARRIED = 0.5
"""What is added for a sentence in a hidden place: nobody was meant to see it."""
_KNOWN = 0.5
"""What is added for one that resembles a text that was caught before."""
_PROSE = 4
"""Spaces from which encoded words are a sentence, which nobody encodes for a reader."""
_SAID = 0.5
"""Evidence beyond the least that something said must show where the signs do not suffice."""
_TOGETHER = 1.0
"""The same of a short paragraph as a whole."""
_SAME = 3
"""Bits in which a sentence that was declared harmless may differ: it is that one, and no variant of it."""
_COMMANDS = frozenset({"order", "memory", "bridge", "trigger"})
_COMMANDS_ALONE = 0.7
"""Commands without anybody they are for never reach SUSPECT: recipes and house rules are made of them."""
_TO_OTHERS = 0.5
"""What is taken off where an order is about customers, patients and the like."""

_WHO = (
    r"(?:(?:the )?(?:user|human|owner)|(?:ai )?assistant|system|developer|chatbot|bot|ai|gpt|llm|model|nutzer"
    r"|utilisateur|usuario|utente|assistent|asistente|assistente|пользователь|ассистент|用户|助手|システム|ユーザー)"
)
_TURN = re.compile(
    rf"(?im)(?:^|(?<=[>(\-]))[ \t>*_#/\-|\"']*(?:{_WHO}[*_\"']*\s*(?:\([^)\n]{{0,30}}\)\s*)?[:：>]"
    rf"|[\[(<]{_WHO}[\])>]\s*[:：]?)"
)
_OF_ANYBODY = re.compile(
    r"\b(?:i|i'm|i've|i'd|i'll|my|mine|me|myself|ich|mein\w*|je|mon|ma|yo|mi|mio|io|eu|meu|minha|я|мой|我|私)\b|我|私"
)
_OWN_QUESTION = re.compile(r"(?i)\b(?:what|who|which|where|when|how)\b[^?\n]{0,40}\b(?:my|i|me)\b[^?\n]{0,80}\?")
_PERSONAL = re.compile(
    r"\bwho(?:'s| is| are| was)? my\b|\b(?:name|employer|job|boss|manager|doctor|dentist|physician"
    r"|therapist|lawyer|accountant|bank\w*|birthday|home|live"
    r"|work|wife|husband|partner|allerg\w+|medication|dose|password|pin|favou?rite|prefer\w*|insurance|hobby|pet|dog|cat"
    r"|phone|e-?mail|address|city|town|car|school|gym|airline|blood type|landlord|mentor|team|club)\b"
)
_COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)|^\[(?://|comment|_+)\]:\s*(?:#|<>)?\s*(.*)$", re.S | re.M)
_STYLED = re.compile(
    r"<(\w+)[^>]*style\s*=\s*[\"'][^\"'>]*(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0"
    r"|color\s*:\s*(?:#fff(?:fff)?|white|transparent))[^>]*>(.*?)</\1>|<(\w+)[^>]*\bhidden\b[^>]*>(.*?)</\3>",
    re.S | re.I,
)
_QUOTED = re.compile(r"[“\"«]([^”\"»\n]{3,400})[”\"»]|(?<!\w)[‘'`]([^’'`\n]{8,400})[’'`](?!\w)")
_PARAGRAPH = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class Suspect:
    """Characters [`start`, `end`) of a text that read like an instruction; `reasons` are the signs, strongest first."""

    start: int
    end: int
    weight: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lessons:
    """Fingerprints (`shingles.simhash`) of sentences that were caught, and of those the owner said are harmless."""

    caught: frozenset[int] = frozenset()
    allowed: frozenset[int] = frozenset()


NO_LESSONS = Lessons()


def suspects(text: str, lessons: Lessons = NO_LESSONS) -> list[Suspect]:
    """What of `text`, which stands in a file, reads like an instruction to an assistant, in order and without overlaps.

    Manuals and standards are made of orders, so that one has to be for an assistant (`instruction_evidence`). What goes
    on with an instruction in its paragraph is masked with it, since that is what it is about.
    """
    return _suspects(text, lessons, is_said=False)


def _suspects(text: str, lessons: Lessons, *, is_said: bool) -> list[Suspect]:
    """`is_said`: nobody writes manuals in a conversation, so that every order is one."""
    text = without_runs(text)
    hidden = list(_hidden(text))
    found = [Suspect(start, end, SUSPECT, ("encoded",)) for start, end in _encoded(text)]
    found += [s for start, end in hidden if (s := _whole(text, start, end, lessons, is_said)) is not None]
    found += [Suspect(start, end, SUSPECT, ("own question",)) for start, end in _own_answers(text)]
    for start, end in _blocks(text):
        here = list(_in_block(text, start, end, lessons, is_said))
        found += here if here or is_said else _together(text, start, end, lessons)
    return _merged(found)


def suspects_said(text: str, lessons: Lessons = NO_LESSONS) -> list[Suspect]:
    """The same of something said in a conversation: a paragraph that holds an instruction is one as a whole.

    What a speaker says before it, such as which name stands for which, is what makes the instruction work.
    """
    text = without_runs(text)
    blocks = list(_blocks(text))
    found = [*_suspects(text, lessons, is_said=True), *_filled_in(text, lessons)]
    whole = [
        Suspect(start, end, s.weight, s.reasons)
        for s in found
        if "quoted" not in s.reasons
        for start, end in blocks
        if s.start < end and start < s.end
    ]
    return _merged([*found, *whole])


def redirections(text: str, lessons: Lessons = NO_LESSONS) -> list[Suspect]:
    """What of the owner's own `text` leads a question to what is kept of something else (`redirects`), in order.

    He has no use for it, and whoever types in his place says nothing else.
    """
    return [
        Suspect(s.start, s.end, SUSPECT, ("redirect",))
        for s in redirecting(text)
        if not (lessons.allowed and _near(s.text, lessons.allowed, _SAME))
    ]


def is_suspect(text: str, lessons: Lessons = NO_LESSONS) -> bool:
    """Whether any of `text` reads like an instruction, judged as strictly as what is said."""
    return bool(_suspects(text, lessons, is_said=True))


def masked(text: str, spans: Sequence[Suspect]) -> str:
    """`text` with each of `spans` (in order, without overlaps) replaced by MASK."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], MASK]
        at = span.end
    return "".join([*parts, text[at:]])


def harmless(text: str, lessons: Lessons = NO_LESSONS, *, said: bool = False) -> str:
    """`text` as a model may read it: without what reads like an instruction, and without marks of turns.

    `said`: it was said in a conversation, and did not stand in a file.
    """
    found = suspects_said(text, lessons) if said else suspects(text, lessons)
    return without_turns(masked(text, found))


def without_turns(text: str) -> str:
    """`text` in which no line begins as a turn of a conversation does: `User:` becomes `User -`."""
    return _TURN.sub(lambda m: re.sub(r"[\[\](<>:：]+\s*$", " -", m.group()), text)


def weigh(sentence: str) -> tuple[float, tuple[str, ...]]:
    """Sum of the signs in one sentence, with their groups, strongest first."""
    best: dict[str, float] = {}
    read = readings(sentence)
    for reading in read:
        for sign in (*SIGNS, *OTHER_LANGUAGES):
            if sign.weight > best.get(sign.group, 0.0) and sign.pattern.search(reading):
                best[sign.group] = sign.weight
    total = _total(best, read[0])
    groups = tuple(sorted(best, key=lambda g: -best[g]))
    if total < SUSPECT and any(talks_to_assistant(reading, total, SUSPECT) for reading in read):
        return SUSPECT, ("fields", *groups)
    return total, groups


def _total(best: dict[str, float], plain: str) -> float:
    commands = sum(weight for group, weight in best.items() if group in _COMMANDS)
    others = sum(weight for group, weight in best.items() if group not in _COMMANDS)
    strong = max((w for g, w in best.items() if g in _COMMANDS), default=0.0) >= 1.0
    total = (commands if strong else min(commands, _COMMANDS_ALONE)) + others
    if total and THIRD_PARTIES.search(plain) and "owner" not in best:
        total -= _TO_OTHERS
    return total


def _in_block(text: str, start: int, end: int, lessons: Lessons, is_said: bool) -> Iterator[Suspect]:
    """The suspected sentences of one paragraph; what goes on with one that is not a quotation goes with it."""
    order: Suspect | None = None
    turn, n_behind = False, 0
    for sentence in split_sentences(text[start:end]):
        at, stop = start + sentence.start, start + sentence.end
        turn = turn or bool(_TURN.search(sentence.text))
        if order is not None and is_said:
            yield Suspect(at, stop, SUSPECT, ("follows",))
            continue
        weight, reasons = _judged(sentence.text, lessons, is_said)
        if turn and _poses(sentence.text):
            weight, reasons = max(weight, SUSPECT), ("turn", *reasons)
        n_behind += 1
        if weight >= SUSPECT:
            quotation = _quotation(sentence.text)
            if quotation is None:
                order, n_behind = Suspect(at, stop, weight, reasons), 0
                yield order
            else:
                yield from (Suspect(at + a, at + b, weight, ("quoted", *reasons)) for a, b in quotation)
        elif order is not None and goes_on(text[order.start : order.end], sentence.text, n_behind):
            yield Suspect(at, stop, SUSPECT, ("follows",))


def _together(text: str, start: int, end: int, lessons: Lessons) -> Iterator[Suspect]:
    """A short paragraph in which no sentence is suspected, if all of it is for an assistant: a question with its
    answer, the steps of a past task."""
    paragraph = text[start:end]
    if len(paragraph) > SPAN or len(split_sentences(paragraph)) < 2:
        return
    if is_for_assistant(paragraph, 0.0, _TOGETHER) and not (
        lessons.allowed and _near(paragraph, lessons.allowed, _SAME)
    ):
        yield Suspect(start, end, SUSPECT, ("evidence", "together"))


def _poses(sentence: str) -> bool:
    """Whether a line of a made-up conversation speaks of its speaker: it would pose as the owner."""
    reading = readings(sentence)[-1]
    return bool(_OF_ANYBODY.search(reading)) and bool(_PERSONAL.search(reading) or not reading.rstrip().endswith("?"))


def _judged(sentence: str, lessons: Lessons, is_said: bool, carried: float = 0.0) -> tuple[float, tuple[str, ...]]:
    """`carried` is what the place adds where the sentence stands.

    A sentence of a file must show that it is for an assistant; what is said is suspected for its signs or for that.
    """
    n_hidden = hidden_characters(sentence)
    if not (is_said or n_hidden or may_concern(sentence)):
        return 0.0, ()
    weight, reasons = weigh(sentence)
    if n_hidden:
        carried, reasons = carried + _CARRIED, ("invisible", *reasons)
    is_known = bool(weight and lessons.caught and _near(sentence, lessons.caught, NEAR))
    if is_known:
        weight, reasons = weight + _KNOWN, (*reasons, "known")
    if lessons.allowed and _near(sentence, lessons.allowed, _SAME):
        return 0.0, ()
    weight += carried
    if is_known or (is_said and weight >= SUSPECT):
        return weight, reasons
    more = _SAID if is_said else (shipped().least_hidden - shipped().least if carried else 0.0)
    if is_for_assistant(sentence, weight / SUSPECT, more):
        return (weight, reasons) if weight >= SUSPECT else (SUSPECT, ("evidence", *reasons))
    return (weight, reasons) if is_said else (0.0, ())


def _near(text: str, fingerprints: Collection[int], bits: int) -> bool:
    fingerprint = simhash(text)
    return any(distance(fingerprint, other) <= bits for other in fingerprints)


def _quotation(sentence: str) -> list[tuple[int, int]] | None:
    """Where a sentence that reports words of others quotes them, if nothing outside of the quotation is suspected."""
    spans = [m.span() for m in _QUOTED.finditer(sentence)]
    rest = sentence
    for start, end in reversed(spans):
        rest = rest[:start] + " " + rest[end:]
    if not spans or not REPORTING.search(rest.lower()) or weigh(rest)[0] >= SUSPECT:
        return None
    return [(a, b) for a, b in spans if weigh(sentence[a:b])[0] >= SUSPECT] or None


def _whole(text: str, start: int, end: int, lessons: Lessons, is_said: bool) -> Suspect | None:
    """A hidden place is judged as one, and more strictly than what stands in the open."""
    sentences = split_sentences(text[start:end])
    weight, reasons = max((_judged(s.text, lessons, is_said, _CARRIED) for s in sentences), default=(0.0, ()))
    if _TURN.search(text, start, end) and any(_poses(s.text) for s in sentences):
        weight, reasons = max(weight, SUSPECT), ("turn", *reasons)
    return Suspect(start, end, weight, ("hidden", *reasons)) if weight >= SUSPECT else None


def _hidden(text: str) -> Iterator[tuple[int, int]]:
    """Where a text says what a reader of the page would not see."""
    for pattern in (_COMMENT, _STYLED):
        yield from (match.span() for match in pattern.finditer(text))


def _encoded(text: str) -> Iterator[tuple[int, int]]:
    for start, end, said in encoded_texts(text):
        if weigh(said)[0] + _CARRIED >= SUSPECT or said.count(" ") >= _PROSE:
            yield start, end


def _filled_in(text: str, lessons: Lessons) -> Iterator[Suspect]:
    for sentence in split_sentences(text):
        if fills_a_field(sentence.text) and not _near(sentence.text, lessons.allowed, _SAME):
            yield Suspect(sentence.start, sentence.end, SUSPECT, ("field",))


def _own_answers(text: str) -> Iterator[tuple[int, int]]:
    """Where a text asks what its reader would ask about himself, and goes on: a record made to be recalled."""
    for start, end in _blocks(text):
        for match in _OWN_QUESTION.finditer(text, start, end):
            if _PERSONAL.search(match.group().lower()) and text[match.end() : end].strip():
                yield match.start(), end
                break


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs: what stands between blank lines."""
    at = 0
    for match in _PARAGRAPH.finditer(text):
        yield at, match.start()
        at = match.end()
    yield at, len(text)


def _merged(found: list[Suspect]) -> list[Suspect]:
    merged: list[Suspect] = []
    for span in sorted(found, key=lambda s: (s.start, -s.end)):
        if merged and span.start < merged[-1].end:
            last = merged[-1]
            reasons = tuple(dict.fromkeys((*last.reasons, *span.reasons)))
            merged[-1] = Suspect(last.start, max(last.end, span.end), max(last.weight, span.weight), reasons)
        elif span.start < span.end:
            merged.append(span)
    return merged
