"""What a question asks for, as words: content terms for FTS5 and a light stem for comparing sentences."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+(?:['’]\w+)?", re.UNICODE)
_POSSESSIVE = re.compile(r"['’]s?$")

# Words that carry a question's form and not its subject. They match nearly every text, so BM25 alone cannot mute them
# in a small store, where even "does" may be rare.
QUESTION_WORDS = frozenset(
    """a about am an and any are as at be been being but by can could did do does doing for from had has have having
    he her here hers him his how i if in into is it its just me mine my no nor not of off on once only or our ours out
    own please she should so some such tell than that the their theirs them then there these they this those through
    to too under until up us very was we were what when where which while who whom whose why will with would you your
    yours many much show find give explain describe s t don didn doesn isn wasn aren won ve ll re d m""".split()
)


def fold(text: str) -> str:
    """Lower case without diacritics, for comparing words as FTS5's unicode61 tokenizer does."""
    low = text.lower()
    if low.isascii():
        return low
    decomposed = unicodedata.normalize("NFKD", low)
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def words(text: str) -> list[str]:
    """All words of `text`, folded; an English possessive is cut."""
    return _plain_words(fold(text))


def _plain_words(text: str) -> list[str]:
    found = _WORD.findall(text)
    if "'" in text or "’" in text:
        return [w for w in (_bare(w) if "'" in w or "’" in w else w for w in found) if w]
    return found


def _bare(word: str) -> str:
    return _POSSESSIVE.sub("", word).replace("'", "").replace("’", "")


def content_terms(question: str) -> list[str]:
    """The question's words without its form, in order, each once. All words if nothing else is left.

    Words keep their accents: the index folds them in its own way, which a query must not anticipate.
    """
    found = _plain_words(question.lower())
    content = [w for w in found if fold(w) not in QUESTION_WORDS] or found
    return list(dict.fromkeys(content))


_ENDINGS = (("ingly", 3), ("edly", 3), ("ing", 3), ("ied", 2), ("ies", 2), ("ed", 3), ("es", 3), ("ly", 3))
_LAST = frozenset("gydse")


def stem(word: str) -> str:
    """A light English stem (the S-stemmer of Harman 1991, with -ed, -ing and -ly), for comparing words in Python."""
    return _stem(fold(word))


def _stem(word: str) -> str:
    """The stem of a folded word."""
    if word[-1:] not in _LAST:
        return word
    for suffix, least in _ENDINGS:
        if word.endswith(suffix) and len(word) - len(suffix) >= least:
            word = word[: -len(suffix)] + ("y" if suffix in ("ied", "ies") else "")
            break
    else:
        if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
            word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def stems(text: str) -> list[str]:
    """Stems of all words of `text`, in order."""
    return [_stem(w) for w in words(text)]


def content_stems(text: str) -> frozenset[str]:
    """Stems of the words of `text` that are no question words; none where there are no others."""
    return frozenset(stem(word) for word in words(text) if word not in QUESTION_WORDS)


def match_expression(terms: list[str]) -> str:
    """An FTS5 query that asks for any of `terms`; quoting keeps operators and punctuation literal."""
    return " OR ".join('"' + term.replace('"', '""') + '"' for term in terms)
