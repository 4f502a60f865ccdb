"""Which answers rest on something that goes, and what is left of them.

An answer rests on a passage if it cites it, in whatever version, under whatever path, and on a turn or an item if it
cites that; or if it repeats a line or sentence of it, or so many words in a row that it can be nobody else's. The
answer to a question that goes, goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import apsw

from secondme.memory import oplog
from secondme.memory.rows import unpack_citations, unpack_text
from secondme.memory.tombstones import DISTINCT_WORDS, all_wordings, wording
from secondme.types import Citation

REMOVED_ANSWER = "(This answer was removed, because it rested on something that was forgotten.)"


@dataclass(frozen=True, slots=True)
class Gone:
    """What goes, as answers may refer to it: ids of passages and ranges of earlier ones, (project, path) of files,
    distinct wordings that nothing left in memory has, with the runs of words in them, and ids of turns and items."""

    chunks: frozenset[int]
    earlier: tuple[range, ...]
    files: frozenset[tuple[str, str]]
    wordings: frozenset[str]
    runs: frozenset[str]
    turns: frozenset[int] = frozenset()
    items: frozenset[int] = frozenset()

    def is_cited(self, citation: Citation) -> bool:
        if citation.turn_id in self.turns or citation.item_id in self.items:
            return True
        if citation.chunk_id in self.chunks or (citation.project, citation.path) in self.files:
            return True
        return any(citation.chunk_id in ids for ids in self.earlier) or self.is_repeated(citation.text)

    def is_repeated(self, text: str) -> bool:
        if not self.wordings:
            return False
        return not (self.runs.isdisjoint(runs_of(wording(text))) and self.wordings.isdisjoint(all_wordings(text)))


def runs_of(words: str) -> Iterator[str]:
    """Each DISTINCT_WORDS words in a row of a wording."""
    split = words.split(" ")
    for start in range(len(split) - DISTINCT_WORDS + 1):
        yield " ".join(split[start : start + DISTINCT_WORDS])


@dataclass(frozen=True, slots=True)
class Redaction:
    """An answer as it will be."""

    turn_id: int
    text: str
    citations: tuple[Citation, ...]


def chunk_ids_of(connection: apsw.Connection, source_ids: Iterable[int]) -> Iterable[range]:
    """Ids of the passages that sources ever had, from the operation log."""
    for source_id in source_ids:
        for op in oplog.several(connection, f"source:{source_id}"):
            if ids := oplog.passages_of(op):
                yield ids


def redact(
    connection: apsw.Connection, gone: Gone, questions: Sequence[int], going: Sequence[int], *, keep_answers: bool
) -> tuple[tuple[Redaction, ...], int]:
    """Answers to redact, and how many citations they lose. `questions` are turns that go by themselves, `going` all."""
    found = []
    n_citations = 0
    answers = frozenset[int]() if keep_answers else _answers_to(connection, questions)
    skipped = frozenset(going)
    sql = """select id, role = 'assistant', text, citations from turn
             where (role = 'assistant' or citations != '[]') and text != ? order by id"""
    for turn_id, is_answer, stored, packed in connection.execute(sql, (REMOVED_ANSWER,)):
        if turn_id in skipped:
            continue
        text, citations = unpack_text(stored), unpack_citations(packed)
        left = tuple(c for c in citations if not gone.is_cited(c))
        n_lost = len(citations) - len(left)
        if keep_answers or not is_answer:
            # The owner's own words stay, whatever an import hung on them.
            found += [Redaction(turn_id, text, left)] if n_lost else []
        elif n_lost or turn_id in answers or gone.is_repeated(text):
            # What else it cites goes with the sentences that rested on it.
            n_lost = len(citations)
            found.append(Redaction(turn_id, REMOVED_ANSWER, ()))
        n_citations += n_lost
    return tuple(found), n_citations


def _answers_to(connection: apsw.Connection, questions: Iterable[int]) -> frozenset[int]:
    """The answers that follow these questions."""
    sql = """select a.id from turn q join turn a on a.conversation_id = q.conversation_id and a.id > q.id
             where q.id = ? and q.role = 'user' and a.role = 'assistant' order by a.id limit 1"""
    return frozenset(row[0] for i in questions for row in connection.execute(sql, (i,)))
