"""Near duplicates by their shingles: a fingerprint of 64 bits in which texts that share phrases differ in few.

Charikar's simhash (2002) over shingles of three words (Broder 1997); numbers are one word, for copies differ in them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from secondme.text.terms import words

WIDTH = 3
"""Words in a shingle."""

NEAR = 14
"""Bits of 64 in which two copies of a text differ at most; texts that have nothing in common differ in about 32."""

_NUMBER = re.compile(r"\d+")
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


def shingles(text: str) -> frozenset[str]:
    """All runs of three words of `text`; the whole text where it has fewer."""
    folded = [_NUMBER.sub("0", w) for w in words(text)]
    if not folded:
        return frozenset()
    return frozenset(" ".join(folded[i : i + WIDTH]) for i in range(max(1, len(folded) - WIDTH + 1)))


def simhash(text: str) -> int:
    """64 bits: for each, what most of the text's shingles hash to; 0 for a text without words."""
    counts = [0] * 64
    for shingle in shingles(text):
        value = int.from_bytes(hashlib.blake2b(shingle.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        for bit in range(64):
            counts[bit] += 1 if value >> bit & 1 else -1
    return sum(1 << bit for bit, count in enumerate(counts) if count > 0)


def spelled(fingerprints: Iterable[str]) -> frozenset[int]:
    """The fingerprints that these spell, 16 hexadecimal digits each; what spells none, as an import may hold, is
    left out."""
    return frozenset(int(text, 16) for text in fingerprints if _FINGERPRINT.fullmatch(text))


def distance(a: int, b: int) -> int:
    """In how many bits two fingerprints differ."""
    return (a ^ b).bit_count()


def resemblance(a: str, b: str) -> float:
    """Share of the shingles of both texts that they have in common, 0 to 1 (Jaccard)."""
    first, second = shingles(a), shingles(b)
    union = len(first | second)
    return len(first & second) / union if union else 0.0
