"""Claims of the form "my X is Y", and how they are changed: "the X was moved to Y", "Y is my new X"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.claims import Says
from secondme.reflect.found import ADVERBS, Found, compiled
from secondme.reflect.negation import Plain
from secondme.reflect.values import NOT_NAMES, first_words, is_thing, looks_like, split_list
from secondme.text.attributes import CONCERNS, Takes, attribute, canonical, head, is_many, takes
from secondme.text.terms import fold

_NOUN = (
    r"(?P<n>(?!(?:really|actually|only|currently|probably|usually)\b)[\w'-]+"
    r"(?: (?!is\b|was\b|are\b|were\b|who\b|that\b|which\b|and\b|has\b|have\b|will\b"
    r"|got\b|can\b|does\b|to\b|then\b)[\w'&-]+){0,3}?"
    r"(?: (?:of|for|with|at|to) (?:my |our |the )?[\w'-]+(?: [\w'-]+)?)?)"
)
_IS = (
    r"(?P<is>(?:has |have |was |were |got |is |will |'s )?(?:now |just |recently )?(?:been |be )?(?:moved|changed"
    r"|rescheduled|slipped|postponed|pushed(?: back| out)?|"
    r"brought forward|delayed|shifted|renamed|switched|updated|raised|increased|lowered|cut|reduced|bumped"
    r"|migrated|extended|dropped|gone up|went up|"
    r"grown|fallen)\s+(?:from .+? )?(?:to|until|till|up to|down to|by)|(?:has |have )?(?:become|became|turned "
    r"into|goes by|will be|takes place|leaves|departs|starts|begins)(?: on| at)?"
    r"|(?:'s|is|are|was|were)" + ADVERBS + r"(?:\s+(?:called|named|at|on|in|for|set to|set for|scheduled for"
    r"|scheduled on|planned for|due on|due|"
    r"going to be|being))?)"
)
_MY = compiled(r"^(?P<whose>my|our|the)\s+" + _NOUN + r"(?<!'s)\s*(?<=[\w'])(?:\s|(?='s))" + _IS + r"\s+(?P<v>\S.*)$")
_ADDRESSED = compiled(
    r"^(?:you can (?:reach|call|phone|text|email|mail) me (?:at|on)|(?:reach|email|text|phone) me (?:at"
    r"|on))\s+(?P<v>\S+.*)$"
)
_REVERSED = compiled(
    r"^(?P<v>[\w'&.+#-]+(?: [\w'&.+#-]+){0,4}?)\s+(?:is|was|became|has become)"
    + ADVERBS
    + r"\s+(?:my|our)\s+(?:new |own |absolute |all-time )?"
    r"(?P<n>[\w'-]+(?: [\w'-]+){0,2}?)(?: now| these days| at the moment| currently)?$"
)
_CANCELLED = compiled(
    r"^(?P<whose>my|our|the)\s+" + _NOUN + r"\s+(?:is|was|has been|got|have been|has)\s+(?:been "
    r")?(?:cancelled|canceled|called off|scrapped)\b"
)
_MOVED = compiled(
    r"^(?:(?:i|we|they|he|she|it|somebody|someone|[\w'.]+(?: [\w'.]+){0,3}?)(?:'ve| have| has| had to| needed "
    r"to)?(?: just| also| now)*)\s+"
    r"(?:moved?|rescheduled?|pushed?|postponed?|changed?|raised?|increased?|lowered?|reduced?|cut|shift(?:ed)?"
    r"|extend(?:ed)?|bump(?:ed)?"
    r"|upped|set|brought|bring|switch(?:ed)?|delay(?:ed)?|updated?)\s+(?P<whose>my|our|the)\s+"
    + _NOUN
    + r"(?: back| forward| up| down| out)?(?:\s+from\s+(?P<w>\S.*?))?\s+to\s+(?P<v>\S.*)$"
)
_BARE = compiled(
    r"^(?P<n>(?!my\b|our\b|the\b)(?:[\w-]+ ){0,2}[\w-]+)\s+(?:(?:has |was |is |got |been )*(?:moved|slipped"
    r"|postponed|pushed(?: back)?"
    r"|rescheduled"
    r"|delayed|shifted|changed|brought forward)\s+to|is now(?: on| at)?)\s+(?P<v>\S.*)$"
)
_NEW_ONE = compiled(
    r"^(?:i|we)(?:'ve| have)?(?: now| just| finally| recently| also)*(?:\s+(?:found|have|got|hired|picked|chosen"
    r"|chose))?\s+an?\s+new\s+"
    r"(?P<n>[\w'-]+(?: [\w'-]+){0,2}?)\s*(?:[:,–—]|\s-|\s+(?:called|named)|,? (?:his|her|its|the) name "
    r"is)\s*(?P<v>\S.*)$"
)
_NAMING = frozenset(
    "medication medicine drug breakfast dessert drink snack sport instrument breed brand model username genre "
    "flavour flavor"
    " shift topic subject material handle login pronoun pronouns diet major minor".split()
)
"""Heads of what is named by a plain noun: "my medication is ramipril"."""

_OF_PERSONS = frozenset(
    "advisor adviser mentor supervisor assistant buddy partner successor deputy editor agent guide guru".split()
)
_BAD_NOUN = frozenset(
    "guess point question problem hope thought idea understanding opinion impression concern issue "
    "worry bad first second last "
    "next plan mistake fault request answer response advice favorite favourite text message input "
    "prompt feeling day life head "
    "back stomach heart leg arm eyes foot mind mood fear dream wish experience goal aim intention "
    "main biggest only best worst code program script function app class loop query "
    "whole entire most other one two three dear god word turn bet".split()
)


def possessions(clause: Plain) -> Iterator[Found]:
    """ "My X is Y", "our X was moved to Y", "the deadline is Y", "Y is my X"."""
    text, says = clause.text, clause.says
    match = _ADDRESSED.search(text)
    if match:
        name = "email" if "@" in match.group("v") else "phone number"
        value = match.group("v").split()[0] if name == "email" else match.group("v")
        if looks_like("code", value):
            yield Found(name, value.rstrip("."), 0, len(text), "reach-me")
        return
    cancelled = _CANCELLED.search(text)
    if cancelled and _is_concern(cancelled.group("whose"), cancelled.group("n")):
        yield Found(canonical(cancelled.group("n")), "", 0, len(text), "cancelled", "ends")
        return
    match = _MY.search(text)
    if match:
        yield from _possession(clause, match)
        return
    changed = _changed(text)
    if changed is not None:
        yield changed
        return
    match = _REVERSED.search(text)
    if match and fold(match.group("v")).split()[0] not in (
        "it",
        "this",
        "that",
        "he",
        "she",
        "they",
        "there",
        "what",
        "which",
        "here",
        "you",
        "i",
    ):
        name = canonical(match.group("n"))
        value, known = match.group("v"), attribute(match.group("n"))
        is_of = fold(match.group("n")).split()[-1] in _OF_PERSONS and looks_like("name", value)
        fits = looks_like(known.takes, value) if known else is_of or name.startswith("favourite ")
        if fits and not _is_kin_noun(name):
            yield Found(name, value, 0, len(text), "is-my", says)


def _changed(text: str) -> Found | None:
    """ "We moved the wedding to Y", "launch slipped to Y", "I have a new boss: Y"."""
    for pattern in (_MOVED, _BARE, _NEW_ONE):
        match = pattern.search(text)
        if not match:
            continue
        groups = match.groupdict()
        noun, whose = match.group("n"), groups.get("whose") or ("the" if pattern is _BARE else "my")
        if not _is_concern(whose, noun) and attribute(noun) is None:
            continue
        name = canonical(noun)
        value = first_words(match.group("v"), takes(name))
        if value and _fits(name, takes(name), value, named=pattern is _NEW_ONE):
            other = first_words(groups.get("w") or "", takes(name))
            return Found(name, value, 0, match.start("v") + len(value), "changed", replaces=other, corrects=True)
    return None


_VERB_MOVES = re.compile(
    r"\b(?:moved|changed|resch|post|pushed|brought|ren|shift|switch|updat|rais|incr|low|cut|red|bump|mig|ext|delay)"
)
_VERB_CHANGES = re.compile(
    r"moved|changed|resch|postp|pushed|brought|renamed|switched|updated|become|became|now|raised|increased|lowered|delayed"
)


def _possessed(noun: str) -> tuple[str, bool]:
    """What "my NOUN is ..." is about, and whether it asks for a name; "" where others' rules read it."""
    noun = re.sub(r" (?:(?:since|from) [\w ]+|these days|right now|at the moment|nowadays|lately|now)$", "", noun)
    named_one = re.match(r"name of (?:my|our|the) (.+)", noun, re.I)
    if named_one:
        return named_one.group(1), True
    if fold(noun).endswith("'s name"):
        return noun[:-7], False
    if (owner := attribute(noun.split("'s ")[0])) is not None and "'s " in noun and owner.takes == "name":
        return "", False  # of somebody else: people.py
    if noun.split()[-1][:1].isupper() and attribute(" ".join(noun.split()[:-1])) is not None:
        return "", False  # "my sister Kate"
    return noun, False


def _possession(clause: Plain, match: re.Match[str]) -> Iterator[Found]:
    noun, is_named = _possessed(match.group("n"))
    if not noun or not (is_named or _is_concern(match.group("whose"), noun)):
        return
    name, sort = canonical(noun), takes(canonical(noun))
    verb = match.group("is").lower()
    raw = match.group("v")
    named = "called" in verb or "named" in verb or "name" in fold(match.group("n")).split("'s ")[-1].split()
    if fold(noun).endswith(" name") and attribute(noun[:-5]) is not None:
        name, sort = canonical(noun[:-5]), "name"
    replaces = ""
    other = re.match(r"(?P<a>.+?)\s+(?:to|->|→)\s+(?P<b>.+)$", raw) if " from" in f" {raw}"[:6] else None
    if other:
        raw, replaces = other.group("b"), re.sub(r"^from\s+", "", other.group("a"))
    not_that = re.search(r",?\s+(?:and )?not\s+(.+)$", raw)
    if not_that:
        replaces = replaces or first_words(not_that.group(1), sort)
        raw = raw[: not_that.start()]
    value = first_words(raw, sort)
    if name == "phone number" and sum(c.isdigit() for c in value) < 5:
        name, sort = "phone model", "thing"
        value = first_words(raw, sort)
    was = re.match(r"was|were", verb) is not None and not _VERB_MOVES.search(verb)
    says: Says = "held" if was and clause.says == "holds" else clause.says
    if sort == "name" and re.search(r"moved|postponed|pushed|shifted|migrated|grown|takes place|went|gone", verb):
        return  # "my sister moved to Rome"
    if not value or not _fits(name, sort, value, named=named):
        return
    many = split_list(value) if is_many(name) and " and " in raw else [value]
    end = match.start("v") + max(0, match.group("v").find(value)) + len(value)
    changed = _VERB_CHANGES.search(verb) is not None
    for one in many:
        yield Found(
            name,
            one,
            0,
            end,
            "my-is",
            says,
            replaces=replaces,
            corrects=changed,
            several=len(many) > 1,
            noun=fold(noun) if sort == "name" and attribute(noun) else "",
        )


def _fits(name: str, sort: Takes, value: str, *, named: bool) -> bool:
    if name.startswith("favourite ") or name in ("hobby", "preference", "prefers"):
        return looks_like("thing", value) and fold(value).split()[0] not in (
            "not",
            "very",
            "so",
            "really",
            "too",
            "in",
            "on",
        )
    if sort == "thing":
        known = attribute(name) is not None
        first = fold(value).split()[0]
        if head(name) in _NAMING and len(value.split()) <= 3 and first not in NOT_NAMES and not first.endswith("ing"):
            return True
        return (
            named
            or is_thing(value)
            or (known and len(value.split()) <= 3 and not first.endswith("ing") and first in ("vim", "emacs", "linux"))
        )
    if sort == "org":
        return is_thing(value) or named
    return looks_like(sort, value, named=named)


def _is_concern(whose: str, noun: str) -> bool:
    """Whether "my NOUN" or "the NOUN" is a matter of the owner's, and no figure of speech."""
    noun_head, first = _head(noun), fold(noun).split()[0]
    if attribute(noun) is not None and whose.lower() != "the":
        return True
    if first in _BAD_NOUN and not (
        first in ("favorite", "favourite", "main", "best", "next", "first", "second") and len(noun.split()) > 1
    ):
        return False
    return noun_head in CONCERNS if whose.lower() in ("the", "our") else noun_head not in _BAD_NOUN


def _head(noun: str) -> str:
    return fold(re.split(r"\s+(?:of|for|with|at|to)\s+", noun)[0]).split()[-1]


def _is_kin_noun(name: str) -> bool:
    return name in ("child",)
