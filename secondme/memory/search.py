"""Search by words (FTS5) and the statistics recall weighs them with. Vectors are searched in `vectors.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import apsw

from secondme.errors import UsageError

# Of text, title and headings: a word of the passage itself says most.
_WEIGHTS = "bm25(1.0, 0.5, 0.7)"

_MOST_KNOWN = 64


def by_words(connection: apsw.Connection, match: str, k: int, project_id: int | None) -> list[tuple[int, float]]:
    """The `k` chunks with the best BM25, best first and higher is better.

    Raises UsageError if `match` is not an FTS5 expression.
    """
    values: tuple[str | int, ...] = (clean(match), _WEIGHTS, k)
    # FTS5's rank is bm25 with its sign turned, so that ascending order is best first.
    sql = "select rowid, -rank from word where word match ? and rank match ? order by rank limit ?"
    if project_id is not None:
        values = (clean(match), _WEIGHTS, project_id, k)
        sql = """select w.rowid, -w.rank from word w join chunk c on c.id = w.rowid
                 where w.word match ? and w.rank match ? and c.project_id = ? order by w.rank limit ?"""
    try:
        return [(int(i), float(score)) for i, score in connection.execute(sql, values)]
    except apsw.SQLError:
        raise UsageError("the search cannot be understood", hint="put the words in double quotes") from None


def clean(words: str) -> str:
    """What FTS5 can read of words: it stops at a NUL, and a lone surrogate is no UTF-8. The index holds neither."""
    return words.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")


class DocumentFrequencies:
    """In how many chunks terms occur, stemmed and folded as the index does.

    A question asks for the same terms more than once: what was counted last is kept until something is written.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._n_changes = -1

    def of(self, connection: apsw.Connection, terms: Iterable[str]) -> dict[str, int]:
        n_changes = connection.total_changes()
        # What a transaction wrote may be taken back, and that changes nothing more.
        if n_changes != self._n_changes or connection.in_transaction or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._n_changes = -1 if connection.in_transaction else n_changes
        sql = "select count(*) from word where word match ?"
        for term in dict.fromkeys(terms):
            if term not in self._known:
                self._known[term] = int(connection.execute(sql, (phrase([term]),)).get)
        return {term: self._known[term] for term in terms}


def by_phrase(connection: apsw.Connection, words: Sequence[str]) -> list[int]:
    """The chunks in whose text these words stand in a row, as far as stems can tell."""
    match = "{text} : " + phrase(words)
    return [int(row[0]) for row in connection.execute("select rowid from word where word match ?", (match,))]


def phrase(words: Sequence[str]) -> str:
    """The FTS5 expression for these words in a row."""
    return '"' + clean(" ".join(words)).replace('"', '""') + '"'


# Bounds --------------------------------------------------------------------------------------------------------

MOST_RANKED = 2000
"""Turns or items that one search ranks, at some 1.5 microseconds each."""

Index = Literal["turn_word", "item_word"]


def any_of(counted: Iterable[tuple[int, str]]) -> str:
    """The FTS5 expression for any of several terms that ranks at most MOST_RANKED rows; "" without terms.

    `counted` has in how many rows each of them stands. Terms are taken from the rarest on while their rows are not too
    many together; the rarest is taken in any case. What is left out says least: its weight in BM25 is smallest.
    """
    taken: list[str] = []
    left = MOST_RANKED
    for n, term in sorted((min(n, MOST_RANKED + 1), phrase([term])) for n, term in counted):
        left -= n
        if taken and left < 0:
            break
        taken.append(term)
    return " OR ".join(taken)


def counted(connection: apsw.Connection, index: Index, terms: Iterable[str]) -> list[tuple[int, str]]:
    """In how many rows of `index` each of `terms` stands; of more than MOST_RANKED, one more than that."""
    sql = f"select count(*) from (select 1 from {index} where {index} match ? limit ?)"  # noqa: S608  named above
    return [
        (int(connection.execute(sql, (phrase([term]), MOST_RANKED + 1)).get), term) for term in dict.fromkeys(terms)
    ]


def last_left_out(connection: apsw.Connection, index: Index, match: str) -> int:
    """Of more than MOST_RANKED rows that fit, only the newest are looked at: those above this id; -1 if all are."""
    sql = f"select rowid from {index} where {index} match ? order by rowid desc limit 1 offset ?"  # noqa: S608
    found = connection.execute(sql, (match, MOST_RANKED)).get
    return -1 if found is None else int(found)
