"""What a claim is about: the slot in which at most one item holds, and when two values are one.

    subject|attribute            one value at a time: employer, home, age, favourite colour, an appointment's day
    subject|attribute|value      several at once: allergies, pets, what is liked; "no longer" closes the right one
    ""                           about nothing in particular: what happened, what was decided, notes

Likes and dislikes share a slot, so that one takes the other's place.
"""

from __future__ import annotations

import re

from secondme.reflect.claims import Claim
from secondme.text.attributes import is_many
from secondme.text.terms import fold, stem, words

_SLOTLESS = frozenset({"note", "event", "plan", "decision", "card number", "iban", "api key", "access token"})
_POLES = {"dislikes": "likes", "does not eat": "eats", "does not drink": "drinks", "does not smoke": "smokes"}
_BY_VALUE = frozenset({"eats", "drinks", "smokes", "habit", "answer rule"})
_BY_HEAD = frozenset({"prefers", "has"})
_ARTICLES = frozenset({"a", "an", "the", "my", "our", "on", "at", "in", "to"})
_DAY = re.compile(r"\s*\(\d{4}-\d\d-\d\d\)$")


def slot_of(claim: Claim) -> str:
    """The slot of a claim whose attribute is known."""
    return slot(claim.subject, claim.attribute, claim.value, kind=claim.kind, other=claim.replaces)


def slot(subject: str, attribute: str, value: str, *, kind: str = "semantic", other: str = "") -> str:
    """`other` is what `value` is preferred to: one preference between the same two takes the other's place."""
    if not attribute or attribute in _SLOTLESS or (kind == "episodic" and attribute in _SLOTLESS):
        return ""
    name = _POLES.get(attribute, attribute)
    base = f"{fold(subject)}|{fold(name)}"
    if name == "prefers" and other:
        return f"{base}|{'/'.join(sorted((value_key(value), value_key(other))))}"
    if name in _BY_HEAD:
        return f"{base}|{_head(value)}"
    if kind != "vault" and (is_many(name) or name in _BY_VALUE):
        return f"{base}|{value_key(value)}"
    return base


def value_key(value: str) -> str:
    """A value for comparing: stems without articles, "cello" for "the cello"; a resolved day counts by itself."""
    day = _DAY.search(value)
    plain = _DAY.sub("", value)
    found = [stem(w) for w in words(plain) if w not in _ARTICLES] or words(plain) or [fold(value).strip()]
    return " ".join(found) + (day.group().strip() if day else "")


def same_value(a: str, b: str) -> bool:
    """Whether two values are one; of a dated and an undated one the words decide."""
    one, other = value_key(a), value_key(b)
    if one == other:
        return True
    if _DAY.search(a) and _DAY.search(b):
        return _DAY.search(a).group() == _DAY.search(b).group() and _hour(a) == _hour(b)  # type: ignore[union-attr]
    return value_key(_DAY.sub("", a)) == value_key(_DAY.sub("", b)) and not (_DAY.search(a) and _DAY.search(b))


def _hour(value: str) -> list[str]:
    return re.findall(r"\d{1,2}(?::\d\d)?\s*(?:am|pm)?", _DAY.sub("", value).lower())


def overlaps(value: str, said: str) -> bool:
    """Whether `said` names `value`: "not Acme" means "Acme Corp"."""
    one, other = set(value_key(value).split()), set(value_key(said).split())
    return bool(one and other) and (one <= other or other <= one)


def _head(value: str) -> str:
    """What a preference or a possession is about: "window seats" and "aisle seats" are about seats."""
    plain = [w for w in words(value) if w not in _ARTICLES]
    return stem(plain[-1]) if plain else fold(value)
