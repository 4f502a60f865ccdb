"""Sentences that stand by themselves, for claims: "I work at Acme", "My wife used to live in Rome"."""

from __future__ import annotations

from secondme.reflect.claims import Says
from secondme.types import OWNER

# (what the owner is or does, what somebody else is or does, the verb's plain form for the past)
_PHRASES = {
    "employer": ("work at", "works at", "work at"),
    "home": ("live in", "lives in", "live in"),
    "origin": ("am from", "is from", "be from"),
    "birthplace": ("was born in", "was born in", ""),
    "grew up in": ("grew up in", "grew up in", ""),
    "birth year": ("was born in", "was born in", ""),
    "job": ("am", "is", "be"),
    "diet": ("am", "is", "be"),
    "relationship status": ("am", "is", "be"),
    "nationality": ("am", "is", "be"),
    "allergy": ("am allergic to", "is allergic to", "be allergic to"),
    "health": ("have", "has", "have"),
    "likes": ("like", "likes", "like"),
    "dislikes": ("dislike", "dislikes", "dislike"),
    "does not eat": ("do not eat", "does not eat", "avoid"),
    "does not drink": ("do not drink", "does not drink", "avoid"),
    "prefers": ("prefer", "prefers", "prefer"),
    "speaks": ("speak", "speaks", "speak"),
    "learns": ("am learning", "is learning", "learn"),
    "plays": ("play", "plays", "play"),
    "hobby": ("do", "does", "do"),
    "uses": ("use", "uses", "use"),
    "has": ("have", "has", "have"),
    "car": ("drive", "drives", "drive"),
    "school": ("study at", "studies at", "study at"),
    "field of study": ("study", "studies", "study"),
    "reads": ("am reading", "is reading", "read"),
    "watches": ("am watching", "is watching", "watch"),
    "project": ("am working on", "is working on", "work on"),
    "team": ("support", "supports", "support"),
    "wake-up time": ("get up at", "gets up at", "get up at"),
    "bedtime": ("go to bed at", "goes to bed at", "go to bed at"),
    "weight": ("weigh", "weighs", "weigh"),
    "commute": ("get to work", "gets to work", "get to work"),
    "gave up": ("gave up", "gave up", ""),
}
_AGED = {"age": "years old", "height": "tall"}


def sentence(subject: str, attribute: str, value: str, says: Says = "holds", *, name: str = "") -> str:
    """The claim in words, as the owner would say it. `name` is how to write a `subject` that is not the owner."""
    mine = subject == OWNER
    who = "I" if mine else name or f"My {subject}"
    if attribute in _PHRASES:
        own, other, plain = _PHRASES[attribute]
        if says == "holds" or not plain:
            return _ended(f"{who} {own if mine else other} {value}")
        if says == "held":
            return _ended(f"{who} used to {plain} {value}")
        return _ended(
            f"{who} no longer {own if mine else other} {value}"
            if plain != "be"
            else f"{who} {own if mine else other} no longer {value}"
        )
    if attribute in _AGED:
        unit = "" if any(c.isalpha() for c in value) or "'" in value else _AGED[attribute]
        return _ended(f"{who} {'am' if mine else 'is'} {value} {unit}".strip())
    whose = "My" if mine else f"{who}'s"
    verb = {"holds": "is", "held": "used to be", "ends": "is no longer"}[says]
    return _ended(f"{whose} {attribute} {verb} {value}")


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
