"""Undoes disguises of a text, so that what a person or a model would read out of it can be judged.

Covers what hides words from a filter and not from a model: compatibility forms, invisible characters, tag characters
(Unicode's ASCII in plane 14), letters of look-alike scripts, digits for letters, letters spaced out, base64 and
hexadecimal, ROT13 and reversed text.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re

from secondme.text.terms import fold

# Between Latin letters none of these has a use; in Persian, Hindi and emoji U+200C and U+200D do.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff\u180e\u2061-\u2064]|(?<=[A-Za-z])[\u00ad\u200c\u200d](?=[A-Za-z])")
_WITHIN_WORD = re.compile(f"(?<=[^\\W\\d_])(?:{_INVISIBLE.pattern})+(?=[^\\W\\d_])")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")

_LOOKALIKES = str.maketrans("аеіоруѕсхһԁӏкмтвнјԛѡαβεικνορτυχωγηⅼɡɩ", "aeiopyscxhdlkmtbhjqwabeikvoptuxwynlgi")
_DIGITS = str.maketrans("0134578@$!|€+", "oieastbasiiet")
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_][ .\-_*·]){3,}[^\W\d_](?![^\W_])")
_SPLIT_WORD = re.compile(r"(?<=[a-z])[.\-_*·](?=[a-z])")
_ENCODED = re.compile(r"(?<![\w+/=])(?:[A-Za-z0-9+/_-]{20,}={0,2}|(?:[0-9a-fA-F]{2}[ :]?){16,})(?![\w+/=])")
_RARE = 8
"""Of a language's most common words every text of so many words has one."""
_COMMON = re.compile(
    r"\b(?:the|of|and|to|in|is|that|for|with|on|it|you|my|all|or|as|be|from|this|your|are|now|what|who|not|about|a"
    r"|der|die|und|le|la|de|et|el|que|il|di|en|da|o)\b"
)


def plain(text: str) -> str:
    """`text` in compatibility forms, lower case, without accents and invisible characters; tags as letters."""
    text = _TAGS.sub(lambda m: " " + "".join(chr(ord(c) - 0xE0000) for c in m.group()) + " ", text)
    return " ".join(fold(_BIDI.sub("", _INVISIBLE.sub("", text))).split())


def readings(text: str) -> list[str]:
    """What `text` may be read as, plain first: with look-alike letters put right, spaced letters joined, and so on.

    Each reading that differs from the plain one is one that a reader has to make an effort for.
    """
    first = plain(text)
    found = [first]
    undone = _joined(" ".join(_letters(word) for word in first.split(" ")))
    if undone != first:
        found.append(undone)
    n_common = len(_COMMON.findall(first))
    if len(first) >= 20 and _RARE * n_common < first.count(" ") + 1:
        turned = (plain(codecs.decode(first, "rot13")), first[::-1])
        found += [t for t in turned if len(_COMMON.findall(t)) > n_common]
    return list(dict.fromkeys(found))


def hidden_characters(text: str) -> int:
    """How many characters of `text` nobody sees, though a model reads them or what stands around them.

    Between words they are of typesetters (U+2060 before a dash) or of an editor (U+FEFF before all).
    """
    return len(_WITHIN_WORD.findall(text)) + sum(len(m) for m in _TAGS.findall(text)) + len(_BIDI.findall(text))


def encoded_texts(text: str) -> list[tuple[int, int, str]]:
    """(start, end, what it says) of base64 and hexadecimal in `text` that hold words; offsets in characters."""
    found = []
    for match in _ENCODED.finditer(text):
        said = _decoded(match.group())
        if said:
            found.append((match.start(), match.end(), said))
    return found


def _letters(word: str) -> str:
    """Look-alikes as Latin letters in a word of mixed scripts, digits as letters in one of letters and digits."""
    latin = any("a" <= c <= "z" for c in word)
    if latin and not word.isascii():
        word = word.translate(_LOOKALIKES)
    core = word.rstrip(".,;:!?)")
    if latin and not core.isalpha() and sum(c.isalpha() for c in core) >= 2 and "://" not in core:
        return core.translate(_DIGITS) + word[len(core) :]
    return word


def _joined(text: str) -> str:
    text = _SPACED.sub(lambda m: re.sub(r"[ .\-_*·]", "", m.group()), text)
    return _SPLIT_WORD.sub("", text)


def _decoded(coded: str) -> str:
    """The text behind base64 or hexadecimal; empty where it is none, such as a hash or a key."""
    for decode in (_from_hex, _from_base64):
        try:
            said = decode(coded).decode("utf-8")
        except (ValueError, binascii.Error):
            continue
        letters = sum(c.isalpha() or c.isspace() for c in said)
        if len(said) >= 12 and " " in said.strip() and letters >= 0.8 * len(said):
            return said
    return ""


def _from_hex(coded: str) -> bytes:
    return bytes.fromhex(coded.replace(":", ""))


def _from_base64(coded: str) -> bytes:
    padded = coded.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
