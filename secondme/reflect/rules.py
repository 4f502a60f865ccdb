"""All claims of one turn of the owner's, by rules and without a model; a turn takes a millisecond or two.

Precision comes first: what is a question, a guess, a quotation or somebody else's word gives nothing (assertions.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone

from secondme.reflect.assertions import BLANK, Assertion, asserted, own_words, sentences
from secondme.reflect.claims import Claim, unique
from secondme.reflect.corrections import corrections
from secondme.reflect.doings import verbs
from secondme.reflect.found import Found, Rule
from secondme.reflect.happenings import happenings
from secondme.reflect.negation import Plain, plain
from secondme.reflect.people import people
from secondme.reflect.possessions import possessions
from secondme.reflect.secrets import Secret, secrets
from secondme.reflect.states import states, tastes
from secondme.reflect.ways import ways
from secondme.text.attributes import takes
from secondme.text.attribution import leaves_text
from secondme.text.dates import When, resolve
from secondme.text.runs import without_runs

_AT_LEAST_WORDS = 3


def claims_of(text: str, at: float, zone: timezone | None = None) -> list[Claim]:
    """What the owner claims in `text`, said at Unix time `at`, in order of place.

    `zone` is where days begin; None is the machine's own. Secrets come as claims of kind vault, and no other claim
    holds anything of them.
    """
    to_bytes, text = _byte_offsets(text), without_runs(text)
    hidden = secrets(text)
    open_text = _without(text, hidden)
    said = datetime.fromtimestamp(at, zone).date() if zone else datetime.fromtimestamp(at).date()
    found = list(_found(open_text))
    claims = [_claim(one, a, open_text, to_bytes, said) for one, a in found]
    return unique([*_vault(hidden, to_bytes), *_one_for_each_place(claims)])


def _without(text: str, hidden: Iterable[Secret]) -> str:
    for secret in hidden:
        text = text[: secret.start] + BLANK * (secret.end - secret.start) + text[secret.end :]
    return text


def _found(text: str) -> Iterator[tuple[Found, Assertion]]:
    own = own_words(text)
    for assertion in asserted(text, own):
        yield from ((one, assertion) for one in _of_clause(assertion))
    for start, end in sentences(own):
        sentence = own[start:end]
        if BLANK not in sentence and not re.search(
            r"\b(?:said|says|told|asked|wrote|imagine|pretend|suppose)\b", sentence, re.I
        ):
            for one in () if leaves_text(text) else ways(sentence):
                yield one, Assertion(sentence, start, start, False, False, (start, end))


FACTS: tuple[Rule, ...] = (verbs, states, tastes, possessions)
_ADVERBIAL = re.compile(
    r"^(?:with|since|after|because of|due to|thanks to|as of|starting|from|in|on|at|for|during|by|this|next|last"
    r"|every)\s"
    r"[^,]{2,40}?,?\s+(?=(?:i|i'm|i've|we|we're|we've|my|our)\s)",
    re.I,
)


def _of_clause(assertion: Assertion) -> list[Found]:
    text = assertion.text
    if len(text.split()) < 2:
        return []
    clause = plain(text)
    found: list[Found] = []
    lead = _ADVERBIAL.match(text)
    if lead:  # "With the new shift I wake up at five"
        bare = plain(text[lead.end() :])
        for rule in (*FACTS, people):
            found += (
                replace(
                    one,
                    start=lead.end() + bare.place(one.start),
                    end=lead.end() + bare.place(one.end),
                    denied=one.says == "ends" and bare.says == "ends" and not bare.any_more,
                )
                for one in rule(bare)
            )
    for rule in (happenings,) if found else (*FACTS, people, happenings):
        found += (
            replace(
                one,
                start=clause.place(one.start),
                end=clause.place(one.end),
                denied=one.says == "ends" and clause.says == "ends" and not clause.any_more,
            )
            for one in rule(clause)
        )
    if not any(one.rule not in ("apposition",) for one in found):
        found += corrections(Plain(text, "holds"), corrects=assertion.corrects)
    if not found and assertion.wanted and len(text.split()) >= _AT_LEAST_WORDS:
        told = " ".join(text.split())
        found.append(Found("note", told, 0, len(text), "remember", text=told[:1].upper() + told[1:] + "."))
    return found


def _claim(one: Found, assertion: Assertion, text: str, to_bytes: list[int] | None, said: date) -> Claim:
    start = max(assertion.first, assertion.start + one.start)
    end = min(len(text), max(start + 1, assertion.start + one.end))
    whole = text[assertion.sentence[0] : assertion.sentence[1]]
    clause = text[start : min(assertion.start + len(assertion.text), len(text))]
    since, until, value, words = _times(one, whole, clause, said)
    return Claim(
        kind=one.kind,
        attribute=one.attribute,
        value=value,
        text=words,
        rule=one.rule,
        subject=one.subject,
        says=one.says,
        byte_start=to_bytes[start] if to_bytes else start,
        byte_end=to_bytes[end] if to_bytes else end,
        since=since,
        until=until,
        corrects=one.corrects or assertion.corrects,
        replaces=one.replaces,
        several=one.several,
        denied=one.denied,
        name=one.name,
    )


def _times(one: Found, sentence: str, clause: str, said: date) -> tuple[float | None, float | None, str, str]:
    """(since, until, value, wording) of a claim, from the date expressions beside it."""
    wording, value = one.wording(), one.value
    is_date = (
        takes(one.attribute) == "date"
        and one.attribute not in ("wake-up time", "bedtime", "birthday")
        and one.subject == "owner"
    )
    if not is_date and not _hints_at_dates(sentence):
        return None, None, value, wording
    if is_date:
        return None, None, *_dated(value, wording, said)
    whens = [w for w in resolve(clause if _hints_at_dates(clause) else sentence, said) if w.certainty >= 0.4]
    if not whens or one.kind == "procedural":
        return None, None, value, wording
    when = whens[0]
    if one.kind == "episodic":
        return _midnight(when.start), None, value, _with_day(wording, when, said)
    if one.says == "held":
        if when.relation in ("until", "by", "before"):
            return None, _midnight(when.end), value, wording
        return _midnight(when.start), _midnight(when.end + timedelta(days=1)), value, wording
    if one.says == "ends":
        return None, _midnight(when.start), value, wording
    if one.attribute in (
        "birthday",
        "birthplace",
        "birth year",
        "age",
        "birthplace",
        "grew up in",
        "has",
        "wake-up time",
        "bedtime",
    ):
        return None, None, value, wording
    return _midnight(when.start), None, value, wording


_DATE_HINT = re.compile(
    r"\d|\b(?:yesterday|today|tomorrow|tonight|last|next|this|ago|since|in|on|until|till|week"
    r"|month|year|day|weekend|summer|winter|spring|autumn|fall|"
    r"\w+day|january|february|march|april|may|june|july|august|september|october|november"
    r"|december)\b",
    re.I,
)


def _hints_at_dates(text: str) -> bool:
    return _DATE_HINT.search(text) is not None


def _dated(value: str, wording: str, said: date) -> tuple[str, str]:
    """A relative day in a value gets the day itself beside it: "Friday at 3 (2026-11-27)"."""
    whens = [w for w in resolve(value, said) if w.certainty >= 0.4]
    if not whens or whens[0].start != whens[0].end or whens[0].start.isoformat() in value:
        return value, wording
    dated = f"{value} ({whens[0].start.isoformat()})"
    return dated, wording.replace(value, dated, 1)


def _with_day(wording: str, when: When, said: date) -> str:
    day = when.start.isoformat() if when.start == when.end else f"{when.start.isoformat()} to {when.end.isoformat()}"
    return wording if day[:10] in wording else f"{wording.rstrip('.')} ({day})."


def _midnight(day: date) -> float:
    return datetime.combine(day, time()).timestamp()


def _one_for_each_place(claims: list[Claim]) -> list[Claim]:
    """A wish about answers is no fact beside, and an event that is a fact already is not told twice."""
    ways_at = [(c.byte_start, c.byte_end) for c in claims if c.kind == "procedural"]
    facts_at = [(c.byte_start, c.byte_end) for c in claims if c.kind == "semantic" and c.attribute]
    kept = []
    for claim in claims:
        within_way = claim.kind != "procedural" and any(
            a <= claim.byte_start and claim.byte_end <= b for a, b in ways_at
        )
        told = claim.kind == "episodic" and any(a < claim.byte_end and claim.byte_start < b for a, b in facts_at)
        if not within_way and not (told and claim.attribute == "event"):
            kept.append(claim)
    return kept


def _vault(hidden: Iterable[Secret], to_bytes: list[int] | None) -> Iterator[Claim]:
    seen: dict[tuple[str, str], Claim] = {}
    for secret in hidden:
        start, end = (to_bytes[secret.start], to_bytes[secret.end]) if to_bytes else (secret.start, secret.end)
        known = seen.get((secret.name, secret.value))
        if known:
            seen[secret.name, secret.value] = replace(known, more=(*known.more, (start, end)))
            continue
        seen[secret.name, secret.value] = Claim(
            "vault", secret.name, secret.value, f"My {secret.name} is {secret.value}", start, end, "secret"
        )
    yield from seen.values()


def _byte_offsets(text: str) -> list[int] | None:
    """Byte offset of each character and of the end; None where they are the same."""
    if text.isascii():
        return None
    offsets = [0]
    for character in text:
        offsets.append(offsets[-1] + len(character.encode("utf-8", "surrogatepass")))
    return offsets
