"""Secrets that the owner typed: passwords, PINs, keys and card numbers, which go to the vault and nowhere else.

Unlike facts they are looked for in the whole turn, code and quotations included: a secret is one wherever it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from secondme.text.terms import fold


@dataclass(frozen=True, slots=True)
class Secret:
    """`value` at characters [`start`, `end`) of the turn; `name` is what it is, such as "wifi password"."""

    name: str
    value: str
    start: int
    end: int


_WHAT = (
    r"pass ?words?|pass ?phrases?|passcodes?|pin(?: code| number)?|pincode|puk|api[ -]?keys?|secret(?: key| word| "
    r"code| phrase)?|access (?:key|token|code)|(?:auth|api|bearer"
    r"|login|security) tokens?|private key|recovery (?:key|code|phrase)|seed phrase|security (?:code|answer|question "
    r"answer)|cvv|cvc|door code|alarm code|gate code|entry code"
    r"|unlock code|safe (?:code|combination)|combination|social security number|ssn|tax (?:id|number)|passport "
    r"number|credit card(?: number)?|debit card(?: number)?|card number"
    r"|iban|bank account(?: number)?|account number|login|2fa (?:code|secret)|master (?:password|key)|wi-?fi key"
    r"|network key|encryption key|licen[cs]e key"
)
_SAID = re.compile(
    rf"\b(?P<n>(?:(?!my\b|the\b|our\b|a\b|his\b|her\b|is\b|and\b|that\b|your\b|new\b|of\b)[\w'’.@-]+ "
    rf"){{0,3}}(?:{_WHAT})(?: (?:for|of|to|on|at) (?:my |the |our )?[\w'’.-]+(?: [\w'’.-]+)?)?)"
    r"\s*(?:(?:is|was|are|will be|has been changed to|was changed to|has changed to|changed to|now|=|:|->"
    r"|to)\s*(?:now |still |currently |actually |set to |called |changed to |again )*(?:[:=]\s*)?)+"
    r"(?P<q>[\"'“”‘’`]?)(?P<v>(?:(?<=[\"“`‘'])[^\"”`’'\n]{3,80}|[^\s\"“”`]{2,200}))(?:[\"'”’`])?",
    re.I,
)
_PHRASE = re.compile(
    r"\b(?P<n>seed phrase|recovery phrase|pass ?phrase)\s*(?:is|:"
    r"|=)\s*(?P<v>(?:[a-z]+[ ,]+){3,23}[a-z]+)",
    re.I,
)
_NUMBERED = re.compile(r"(?:\d[ -]?){3,18}\d|[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?")
_SHAPES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]+?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
        ("age key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}\b"),
        ("api key", r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant|or)?[-_]?[A-Za-z0-9_-]{16,}\b"),
        (
            "access token",
            r"\b(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}\b|\bgithub_pat_\w{20,}\b|\bglpat-[\w-]{16,}\b"
            r"|\bxox[abprs]-[\w-]{10,}\b|\bhf_[A-Za-z0-9]{20,}\b",
        ),
        ("access key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}\b"),
        ("login token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}\b"),
    )
)
_CARD = re.compile(r"(?<![\d.,-])(?:\d[ -]?){12,18}\d(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_NO_VALUE = frozenset(
    """the a an my your his her our their it is was not too very so in on at stored saved written kept hidden safe
    secure strong weak long short wrong right correct incorrect expired old new changed reset required invalid
    none missing different same easy hard known unknown forgotten lost leaked compromised being always never also
    still just only now then that this there here what which who please sure and or but to from with for of
    working broken necessary needed important asked something someone somewhere nothing everything manager
    managers hashed encrypted rotated visible public private case sensitive incomplete outdated about almost
    updated unset empty blank due""".split()
)


def secrets(text: str) -> list[Secret]:
    """All secrets of `text`, in order, none inside another."""
    found = sorted({*_shaped(text), *_numbers(text), *_said(text)}, key=lambda s: (s.start, -s.end))
    kept: list[Secret] = []
    for one in sorted(found, key=lambda s: (s.start, -(s.end - s.start))):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _said(text: str) -> Iterator[Secret]:
    for match in _PHRASE.finditer(text):
        yield Secret(_named(match.group("n")), match.group("v"), match.start("v"), match.end("v"))
    for match in _SAID.finditer(text):
        quoted = bool(match.group("q"))
        name = _named(match.group("n"))
        start = match.start("v")
        run = None if quoted else _NUMBERED.match(text, start)
        value = run.group() if run and len(run.group()) >= len(match.group("v").rstrip(".,;!?)")) else match.group("v")
        if not quoted:
            value = value.rstrip(".,;!?)")
        end_of_sentence = re.match(
            r"\s*(?:$|[.,;!?)\n]|\b(?:and|but|so|now|since|please|not|instead|in case|for|if"
            r"|as of|from now|again|btw|by the way)\b)",
            text[start + len(value) + quoted :],
            re.I,
        )
        if (
            value
            and _is_secret(value, name, quoted=quoted, ends=end_of_sentence is not None)
            and not _asks(text, match.start())
        ):
            yield Secret(name, value, start, start + len(value))


def _named(noun: str) -> str:
    noun = " ".join(fold(noun).replace("wi-fi", "wifi").split())
    return re.sub(
        r"\bpass word",
        "password",
        re.sub(
            r"^(?:current|old|actual|and|so|remember|note|update|correction"
            r"|actually|no|for) ",
            "",
            noun,
        ),
    )


def _is_secret(value: str, name: str, *, quoted: bool, ends: bool) -> bool:
    """Whether what follows "my password is" is one, and not a remark about it."""
    if fold(value.strip(".,;!?")) in _NO_VALUE or len(value) < 3:
        return False
    if quoted:
        return True
    if any(c.isdigit() for c in value) or re.search(r"[^\w\s'-]", value) or re.search(r"[a-z][A-Z]", value):
        return True
    return ends and (len(value) >= 4 and not value.lower().endswith(("ing", "ed")))


def _asks(text: str, at: int) -> bool:
    """A question or a request for one: "what is my password", "my password is what?"."""
    begins = max(text.rfind(c, 0, at) for c in ".!?\n") + 1
    opening = text[begins:at].lower()
    return bool(
        re.search(
            r"\b(?:what|what's|which|forgot|forget|guess|generate|suggest|create|choose|example"
            r"|imagine|if|say|whether)\b(?!.*\bthat\b)",
            opening,
        )
    ) and ("don't forget" not in opening)


def _shaped(text: str) -> Iterator[Secret]:
    for name, pattern in _SHAPES:
        for match in pattern.finditer(text):
            if name != "api key" or _entropy(match.group()) > 3.0:
                yield Secret(name, match.group(), match.start(), match.end())


def _numbers(text: str) -> Iterator[Secret]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if 13 <= len(digits) <= 19 and luhn(digits) and len(set(digits)) > 1 and digits[0] in "23456":
            yield Secret("card number", match.group(), match.start(), match.end())
    for match in _IBAN.finditer(text):
        if iban(match.group()):
            yield Secret("iban", match.group(), match.start(), match.end())


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, as on payment cards."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(text: str) -> bool:
    """The check digits of ISO 13616: the number, rearranged, is 1 modulo 97."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def _entropy(text: str) -> float:
    """Bits a character."""
    return -sum(text.count(c) / len(text) * math.log2(text.count(c) / len(text)) for c in set(text))
