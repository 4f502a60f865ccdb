"""A question about what was said: its words and their weights, whom and when it is about, and its vectors.

Three wordings are embedded. A name in the question draws its vector towards all that person ever said, so that one
wording goes without names and question words (worth 10 points of recall at 10 of a vector alone); one is turned into
what the person might have said ("When did Ann move?": "Ann: I move").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from secondme.kernels import Float32Vector
from secondme.kernels.late import pack_tokens, projection_of
from secondme.memory.store import Store
from secondme.runtime.base import Embedder, TokenVectors
from secondme.text.question import QuestionForm, analyse
from secondme.text.terms import QUESTION_WORDS, fold, stem, words

FIRST_PERSON = frozenset("i me my mine we us our ours im ive".split())
_ASKING = frozenset("what when where which who whom whose why how much many kind type kinds types likely".split())
_HELPING = frozenset("did do does is are was were has have had can could would will might may should been be".split())
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_POSSESSIVE = re.compile(r"['’]s?$")
_OF_THEM = {"his": "my", "her": "my", "their": "my", "he": "I", "she": "I"}


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """One wording's vectors: `pooled` float32 [n_dims], m `packed` tokens for `maxsim`, and what each weighs.

    weights: idf, float32 [m]. topical: the same, with 0 for names.
    """

    pooled: Float32Vector
    packed: bytes
    weights: Float32Vector
    topical: Float32Vector


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question, ready to be compared with turns.

    stems, weights: content words without names as stems, each with its idf [t]. names: folded words of the speakers it
    names. others: stems of further names in it. first, last: the days it is about as ordinals, None without a date.
    plain, stripped, told: the three wordings.
    """

    text: str
    form: QuestionForm
    stems: tuple[str, ...]
    weights: Float32Vector
    names: tuple[str, ...]
    others: tuple[str, ...]
    of_owner: bool
    of_assistant: bool
    span: tuple[int, int] | None
    plain: Wording
    stripped: Wording
    told: Wording

    @property
    def total(self) -> float:
        """Sum of the weights, at least a little."""
        return float(self.weights.sum()) or 1.0


def ask(question: str, speakers: Collection[str], now: datetime, store: Store, embedder: Embedder) -> Asked:
    """Take `question` apart and embed it. `speakers` are the names of those who take part in conversations."""
    form = analyse(question, now.date(), speakers)
    low = words(question)
    names = tuple(s for s in dict.fromkeys(fold(s) for s in speakers) if s and _stands_in(s, low))
    own = {w for name in names for w in name.split()}
    plain = [w for w in words(question) if w not in own and w not in _FORM and len(w) > 1]
    terms = list(dict.fromkeys(plain))
    others = {stem(w) for name in form.names for w in words(name)} - {stem(w) for w in own}
    wordings = [question, _stripped(question, own) or question, _told(question, names) or question]
    vectors = embedder.embed_tokens(wordings)
    idf = _idf({w for t in vectors for w in map(fold, t.words)} | set(terms), store)
    kept = {stem(t): idf[t] for t in terms}
    low_set = set(low)
    return Asked(
        text=question,
        form=form,
        stems=tuple(kept),
        weights=np.array(list(kept.values()), np.float32),
        names=names,
        others=tuple(sorted(others & set(kept))),
        of_owner=not names and bool(FIRST_PERSON & low_set),
        of_assistant=not names and not FIRST_PERSON & low_set and bool({"you", "your"} & low_set),
        span=_span(form),
        plain=_wording(vectors[0], idf, own, embedder),
        stripped=_wording(vectors[1], idf, own, embedder),
        told=_wording(vectors[2], idf, own, embedder),
    )


_FORM = QUESTION_WORDS | frozenset(
    """during after before while type types kind kinds likely mention mentioned mentions say said says tell told
    according describe described describes conversation""".split()
)


def _stands_in(name: str, low: Sequence[str]) -> bool:
    parts = words(name)
    return any(list(low[i : i + len(parts)]) == parts for i in range(len(low) - len(parts) + 1))


def _stripped(question: str, own: Collection[str]) -> str:
    """The words with their spelling, without names of speakers and the form of a question."""
    found = (_POSSESSIVE.sub("", w) for w in _WORD.findall(question))
    return " ".join(w for w in found if fold(w) not in own and fold(w) not in _FORM)


def _told(question: str, names: Sequence[str]) -> str:
    """The question as its answer might begin, in the mouth of the one it names."""
    kept: list[str] = []
    for n, word in enumerate(_WORD.findall(question)):
        low = fold(word)
        if low in _ASKING or (low in _HELPING and n < 6):
            continue
        if len(names) == 1:
            bare = _POSSESSIVE.sub("", low)
            word = ("I" if bare == low else "my") if bare == names[0] else _OF_THEM.get(low, word)
        kept.append(word)
    return (f"{names[0].title()}: " if len(names) == 1 else "") + " ".join(kept)


def _idf(terms: Collection[str], store: Store) -> dict[str, float]:
    """ln(1 + (N - n + .5) / (n + .5)) of each term over all turns (Robertson and Sparck Jones 1976, kept positive)."""
    content = sorted(t for t in terms if t not in QUESTION_WORDS and any(c.isalnum() for c in t))
    found = store.turn_df(content)
    n = max(store.turn_stats().n_turns, 1)
    return {t: float(np.log1p((max(n - df, 0) + 0.5) / (df + 0.5))) for t, df in found.items()}


def _wording(tokens: TokenVectors, idf: dict[str, float], own: Collection[str], embedder: Embedder) -> Wording:
    """A word of several pieces shares its weight among them."""
    low = [fold(w) for w in tokens.words]
    weights = np.array([idf.get(w, 0.0) / max(1, low.count(w)) for w in low], np.float32)
    keep = weights > 0
    if not keep.any():
        keep[:] = True
        weights[:] = 1.0
    packed = pack_tokens(tokens.vectors, projection_of(embedder.fingerprint, embedder.n_dims), keep)
    topical = np.array([0.0 if w in own or w in _FORM else x for w, x in zip(low, weights, strict=True)], np.float32)
    return Wording(tokens.pooled, packed, weights[keep], topical[keep])


def _span(form: QuestionForm) -> tuple[int, int] | None:
    """First and last day as ordinals; what is open on one side reaches a month from its edge."""
    when = form.interval
    if when is None:
        return None
    first, last = when.bounds()
    if first == date.min:
        first = date.fromordinal(max(1, last.toordinal() - 30))
    if last == date.max:
        last = date.fromordinal(min(date.max.toordinal(), first.toordinal() + 45))
    return first.toordinal(), last.toordinal()
