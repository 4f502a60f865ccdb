"""Search by words (FTS5) and the statistics recall weighs them with. Vectors are searched in `vectors.py`."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from secondme.errors import UsageError
from secondme.memory.failures import result_name


def by_words(connection: apsw.Connection, match: str, k: int, project_id: int | None) -> list[tuple[int, float]]:
    """The `k` chunks with the best BM25, best first and higher is better.

    Raises UsageError if `match` is not an FTS5 expression.
    """
    # FTS5's rank is bm25 with its sign turned, so that ascending order is best first.
    if project_id is None:
        sql, values = "select rowid, -rank from word where word match ? order by rank limit ?", (match, k)
    else:
        sql = """select w.rowid, -w.rank from word w join chunk c on c.id = w.rowid
                 where w.word match ? and c.project_id = ? order by w.rank limit ?"""
        values = (match, project_id, k)  # type: ignore[assignment]
    try:
        return [(int(i), float(score)) for i, score in connection.execute(sql, values)]
    except apsw.SQLError as error:
        if result_name(error) == "SQLITE_ERROR":
            raise UsageError("the search cannot be understood", hint="put the words in double quotes") from None
        raise


def document_frequencies(connection: apsw.Connection, terms: Sequence[str]) -> dict[str, int]:
    """In how many chunks each term occurs, stemmed and folded as the index does."""
    found = {}
    for term in dict.fromkeys(terms):
        quoted = '"' + term.replace('"', '""') + '"'
        found[term] = int(connection.execute("select count(*) from word where word match ?", (quoted,)).get)
    return found
