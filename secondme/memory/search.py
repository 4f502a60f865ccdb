"""Search by words (FTS5) and the statistics recall weighs them with. Vectors are searched in `vectors.py`."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from secondme.errors import UsageError

# Of text, title and headings: a word of the passage itself says most.
_WEIGHTS = "bm25(1.0, 0.5, 0.7)"


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


def document_frequencies(connection: apsw.Connection, terms: Sequence[str]) -> dict[str, int]:
    """In how many chunks each term occurs, stemmed and folded as the index does."""
    found = {}
    for term in dict.fromkeys(terms):
        found[term] = int(connection.execute("select count(*) from word where word match ?", (phrase([term]),)).get)
    return found


def by_phrase(connection: apsw.Connection, words: Sequence[str]) -> list[int]:
    """The chunks in whose text these words stand in a row, as far as stems can tell."""
    match = "{text} : " + phrase(words)
    return [int(row[0]) for row in connection.execute("select rowid from word where word match ?", (match,))]


def phrase(words: Sequence[str]) -> str:
    """The FTS5 expression for these words in a row."""
    return '"' + clean(" ".join(words)).replace('"', '""') + '"'
