"""Which wordings go when passages are forgotten, and what of them lives on elsewhere in memory.

A passage's wordings are its own and those of the lines and sentences in it. One that stands in a passage that stays is
not forgotten by this; a passage that says all of another is its copy.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import apsw

from secondme.memory import search
from secondme.memory.rows import unpack_text
from secondme.memory.tombstones import DISTINCT_WORDS, all_wordings, is_distinct, units, wording

_PASSAGES_A_QUERY = 20
"""A search of the word index takes about as long as looking through this many passages."""

ONE_PASSAGE = "select id, source_id, ordinal, text from chunk where id = ?"
OF_SOURCE = "select id, source_id, ordinal, text from chunk where source_id = ? order by ordinal"


@dataclass(frozen=True, slots=True)
class Passage:
    id: int
    source_id: int
    ordinal: int
    text: str


@dataclass(slots=True)
class Wordings:
    """The wordings that go, by the source they are in, and what of them lives on. `wholes` are of single passages."""

    wholes: frozenset[str] = frozenset()
    of_files: dict[int, set[str]] = field(default_factory=dict)
    of_passages: dict[int, set[str]] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    alive_in: dict[int, set[str]] = field(default_factory=dict)

    def going(self) -> frozenset[str]:
        return frozenset().union(*self.of_files.values(), *self.of_passages.values())

    def is_alive(self, words: str, source_id: int) -> bool:
        return words in (self.alive if is_distinct(words) else self.alive_in.get(source_id, ()))

    def distinct(self) -> frozenset[str]:
        """Wordings that nothing left in memory has, and that are nobody else's by chance."""
        return frozenset(w for w in self.going() if is_distinct(w) and w not in self.alive)


def passages_by(connection: apsw.Connection, sql: str, ids: Iterable[int]) -> tuple[Passage, ...]:
    rows = (row for i in dict.fromkeys(ids) for row in connection.execute(sql, (i,)))
    return tuple(Passage(row[0], row[1], row[2], unpack_text(row[3])) for row in rows)


def by_source(passages: Iterable[Passage]) -> dict[int, list[Passage]]:
    """The same passages, in their order, under the ids of their files."""
    found: dict[int, list[Passage]] = {}
    for passage in passages:
        found.setdefault(passage.source_id, []).append(passage)
    return found


def wordings_of(
    connection: apsw.Connection, of_files: Sequence[Passage], single: Sequence[Passage]
) -> tuple[Wordings, tuple[Passage, ...]]:
    """The wordings that go, and the passages elsewhere that are copies of single ones."""
    found = Wordings(wholes=frozenset(w for p in single if is_distinct(w := wording(p.text))))
    for source_id, passages in by_source(of_files).items():
        found.of_files[source_id] = set(_wordings(passages, None))
    ids = {p.id for p in single}
    for source_id in {p.source_id for p in single}:
        around = passages_by(connection, OF_SOURCE, [source_id])
        found.of_passages[source_id] = set(_wordings(around, ids))
    copies = _look_at_the_rest(connection, found, ids | {p.id for p in of_files})
    for copy in copies:
        found.of_passages.setdefault(copy.source_id, set()).update(all_wordings(copy.text))
    return found, copies


def _look_at_the_rest(connection: apsw.Connection, found: Wordings, going: set[int]) -> tuple[Passage, ...]:
    """Note which wordings live on in passages that stay; return the copies, which do not stay."""
    copies = []
    wordings = found.going()
    for passage in _candidates(connection, found, wordings):
        if passage.id in going:
            continue
        if wording(passage.text) in found.wholes:
            copies.append(passage)
            continue
        same = wordings.intersection(all_wordings(passage.text))
        found.alive |= same
        found.alive_in.setdefault(passage.source_id, set()).update(same)
    return tuple(copies)


def _candidates(connection: apsw.Connection, found: Wordings, wordings: frozenset[str]) -> Iterator[Passage]:
    """Passages that may hold any of `wordings`: by the word index, or all of them where that is less work."""
    distinct = [words for words in wordings if is_distinct(words)]
    n_passages = int(connection.execute("select coalesce(sum(n_chunks), 0) from source").get)
    if len(distinct) * _PASSAGES_A_QUERY > n_passages:
        rows = connection.execute("select id, source_id, ordinal, text from chunk order by id")
        yield from (Passage(row[0], row[1], row[2], unpack_text(row[3])) for row in rows)
        return
    # A short line counts in its own file only.
    ids = {p.id for p in passages_by(connection, OF_SOURCE, found.of_passages)}
    for words in distinct:
        ids.update(search.by_phrase(connection, words.split(" ")[:DISTINCT_WORDS]))
    yield from passages_by(connection, ONE_PASSAGE, sorted(ids))


def _wordings(passages: Sequence[Passage], going: set[int] | None) -> Iterator[str]:
    """Wordings of those passages of one source, in order, that are `going`, or of all.

    Lines and sentences are found in the text as it was before it was cut; one that is cut counts where most of it is.
    """
    for run in _runs(passages):
        ends = [0, *accumulate(len(p.text) for p in run)]
        leaving = [(p, a, b) for p, a, b in zip(run, ends, ends[1:], strict=False) if going is None or p.id in going]
        for unit in units("".join(p.text for p in run)) if leaving else ():
            if len(leaving) == len(run):
                yield unit.words
                continue
            n_leaving = sum(max(0, min(b, unit.end) - max(a, unit.start)) for _, a, b in leaving)
            if 2 * n_leaving > unit.end - unit.start:
                yield unit.words
        yield from (words for p, _, _ in leaving if (words := wording(p.text)))


def _runs(passages: Sequence[Passage]) -> Iterator[list[Passage]]:
    """Passages that follow one another without a gap."""
    run: list[Passage] = []
    for passage in passages:
        if run and passage.ordinal != run[-1].ordinal + 1:
            yield run
            run = []
        run.append(passage)
    yield run
