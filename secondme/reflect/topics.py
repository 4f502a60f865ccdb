"""Topics: what turns and items are about together, each with a summary in their own words.

A topic is an item of the kind `topic`. Its text is a title and a few sentences, each of them word for word from a turn,
and its spans say where: one for every turn that belongs to it, those of the summary first. Items belong to it by links.
No model writes anything here, so there is nothing to check against the sources but equality.

Clusters are leaders' (Hartigan 1975): what is near enough to a topic's mean joins it, and of the rest, what has
neighbours enough founds a new one, densest first. Topics that exist are kept and grow, so that running it again over
the same turns and items changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from secondme.reflect.assertions import BLANK, own_words
from secondme.runtime.base import FloatMatrix
from secondme.text.entities import entities
from secondme.text.redirects import only_asks
from secondme.text.sentences import split_sentences
from secondme.text.terms import QUESTION_WORDS, content_stems, stem, words
from secondme.types import Span, Turn

NEAR = 0.50
"""Cosine to the mean of a topic from which a member belongs to it. MiniLM puts turns about one matter above it."""

LEAST = 4
"""Members that make a topic."""

SENTENCES = 4
"""Sentences of a summary at most."""

_LONGEST = 240
"""Characters of a sentence that is quoted at most."""

_REPEATS = 0.5
"""Share of words in common from which a sentence says nothing new."""


@dataclass(frozen=True, slots=True)
class Member:
    """A turn or an item with its unit vector, float32 [n_dims]."""

    kind: str
    id: int
    vector: FloatMatrix = field(compare=False)

    @property
    def key(self) -> tuple[str, int]:
        return self.kind, self.id


@dataclass(slots=True)
class Cluster:
    """Members of a topic; `topic_id` is 0 for a new one."""

    topic_id: int
    members: list[Member]

    @property
    def mean(self) -> FloatMatrix:
        """Their mean direction, float32 [n_dims]; the order in which they came does not count."""
        ordered = sorted(self.members, key=lambda m: m.key)
        total: FloatMatrix = np.sum([m.vector for m in ordered], axis=0, dtype=np.float32)
        length = float(np.linalg.norm(total))
        return total / length if length else total


def grouped(members: Sequence[Member], existing: Sequence[Cluster]) -> list[Cluster]:
    """All topics after `members` have joined or founded some; `existing` keep what they have.

    The same members give the same topics in whatever order they come. A topic's mean is taken when it is founded or
    loaded and once more after each round, until nobody moves in any more.
    """
    clusters = [Cluster(c.topic_id, list(c.members)) for c in sorted(existing, key=lambda c: c.topic_id)]
    placed = {m.key for c in clusters for m in c.members}
    rest = sorted((m for m in members if m.key not in placed), key=lambda m: m.key)
    while rest:
        rest, n_joined = _join(rest, clusters)
        founded = _found(rest)
        clusters += founded
        taken = {m.key for c in founded for m in c.members}
        rest = [m for m in rest if m.key not in taken]
        if not n_joined and not founded:
            break
    return clusters


def _join(rest: list[Member], clusters: list[Cluster]) -> tuple[list[Member], int]:
    """Let each join the nearest topic, if one is near; returns who is left and how many joined."""
    if not rest or not clusters:
        return rest, 0
    cosines = np.stack([m.vector for m in rest]) @ np.stack([c.mean for c in clusters]).T
    best = np.argmax(cosines, axis=1)
    left = []
    for n, member in enumerate(rest):
        if cosines[n, best[n]] >= NEAR:
            clusters[best[n]].members.append(member)
        else:
            left.append(member)
    return left, len(rest) - len(left)


def _found(rest: list[Member]) -> list[Cluster]:
    """New topics of those that have enough neighbours, the one with the most first."""
    if len(rest) < LEAST:
        return []
    matrix = np.stack([m.vector for m in rest])
    near = matrix @ matrix.T >= NEAR
    free = np.ones(len(rest), np.bool_)
    founded: list[Cluster] = []
    while True:
        counts = (near & free).sum(axis=1) * free
        leader = int(np.argmax(counts))
        if counts[leader] < LEAST:
            return founded
        chosen = np.flatnonzero(near[leader] & free)
        founded.append(Cluster(0, [rest[n] for n in chosen]))
        free[chosen] = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What a topic's item says: `text` is the title, then a sentence a line; `spans` begin with those sentences."""

    text: str
    spans: tuple[Span, ...]


def summary(turns: Sequence[Turn], mean: FloatMatrix, vectors: dict[int, FloatMatrix]) -> Summary:
    """The sentences of the turns nearest to the middle of their topic, in the order of time, under a title.

    Every turn has a span: its first sentence that says something, or all of it. Only the owner is quoted: no
    summary makes what others say his.
    """
    quoted = {t.id: q for t in turns if not t.speaker and (q := _quotable(t)) is not None}
    ranked = sorted((t for t in turns if t.id in quoted), key=lambda t: (-float(vectors[t.id] @ mean), t.id))
    chosen: list[int] = []
    said: list[frozenset[str]] = []
    for turn in ranked:
        here = content_stems(quoted[turn.id][0])
        if len(chosen) < SENTENCES and all(len(here & s) < _REPEATS * len(here | s) for s in said):
            chosen.append(turn.id)
            said.append(here)
    chosen.sort()
    others = [t for t in sorted(turns, key=lambda t: t.id) if t.id not in chosen]
    spans = [quoted[i][1] for i in chosen] + [quoted[t.id][1] if t.id in quoted else _all_of(t) for t in others]
    return Summary(
        "\n".join([title([t.text for t in turns if not t.speaker]), *(quoted[i][0] for i in chosen)]), tuple(spans)
    )


def title(texts: Sequence[str]) -> str:
    """The names and words that most of the texts share, at most three."""
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for text in texts:
        named = {e.text for e in entities(text) if e.kind == "name"}
        plain = {w for w in words(text) if w not in QUESTION_WORDS and len(w) > 3 and w.isalpha()}
        here = {stem(w): w for w in sorted(plain, reverse=True)} | {stem(w): w for w in sorted(named)}
        counts.update(here.keys())
        for key, word in sorted(here.items()):
            shown[key] = min(shown.get(key, word), word)
    best = sorted(counts, key=lambda k: (-counts[k], k))[:3]
    return ", ".join(shown[k] for k in best) or "Topic"


def _quotable(turn: Turn) -> tuple[str, Span] | None:
    """A turn's first sentence of the owner's own that states something; questions and exclamations do not."""
    if only_asks(turn.text):
        return None
    own = own_words(turn.text)
    for sentence in split_sentences(turn.text):
        if BLANK in own[sentence.start : sentence.end]:
            continue
        if "\n" in sentence.text or sentence.text.endswith("?") or not sentence.text.count(" ") >= 3:
            continue
        if len(sentence.text) <= _LONGEST:
            start = len(turn.text[: sentence.start].encode("utf-8", "surrogatepass"))
            return sentence.text, Span(
                "turn", turn.id, start, start + len(sentence.text.encode("utf-8", "surrogatepass"))
            )
    return None


def _all_of(turn: Turn) -> Span:
    return Span("turn", turn.id, 0, len(turn.text.encode("utf-8", "surrogatepass")))
