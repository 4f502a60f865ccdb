"""Finds turns by their words, and reads them with those around them.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import itemgetter

import apsw

from secondme.errors import UsageError
from secondme.memory import search
from secondme.memory.rows import Row, unpack_citations, unpack_text
from secondme.memory.sources import project_id
from secondme.types import Turn, TurnStats

MOST_COUNTED = 2_500
"""Turns that are counted for one term, at some 60 nanoseconds each; no fewer than search.MOST_RANKED."""

LARGE = 250_000
"""Turns from which on even rare words stand in hundreds."""

MOST_JOINED = 50_000
"""Turns with common terms that are gone through for those that have a rare one too, at some 100 nanoseconds each."""

_MOST_KNOWN = 64
"""Terms of which the count is kept: those of a question, and of one or two before it."""

_SELECT = "select id, conversation_id, role, text, created_at, citations, speaker from turn"


# Words ---------------------------------------------------------------------------------------------------------


def by_words(
    connection: apsw.Connection, match: str, k: int, project: str | None, *, all_ranked: bool = False
) -> list[tuple[int, float]]:
    """The `k` turns with the best BM25, best first and higher is better, equal ones by id.

    Of more than search.MOST_RANKED that fit, only the newest are looked at; `all_ranked` says that so many do not fit.
    Raises UsageError if `match` is not an FTS5 expression.
    """
    if not match:
        return []
    match = search.clean(match)
    # Ordered by FTS5's own column `rank`, all that fit would be sorted, and not the best `k` kept.
    among = """select rowid, bm25(turn_word) as score from turn_word where turn_word match ?1 and rowid > ?2
               order by score, rowid limit ?3"""
    values: list[str | int | None] = []
    number = None if project is None else project_id(connection, project)
    if project is not None and not _is_all(connection, number):
        among = """select w.rowid, bm25(turn_word) as score from turn_word w join turn t on t.id = w.rowid
                   join conversation c on c.id = t.conversation_id
                   where w.turn_word match ?1 and w.rowid > ?2 and c.project_id = ?4
                   order by score, w.rowid limit ?3"""
        values = [number]
    try:
        first = -1 if all_ranked else search.last_left_out(connection, "turn_word", match)
        rows = connection.execute(among, (match, first, k, *values))
        return [(int(i), -float(score)) for i, score in rows]
    except apsw.SQLError:
        raise UsageError("the search cannot be understood", hint="put the words in double quotes") from None


def _is_all(connection: apsw.Connection, project: int | None) -> bool:
    """Whether no other project has conversations: then nothing need be looked up of each turn."""
    sql = """select not exists (select 1 from project where id is not ?1)
             or not exists (select 1 from conversation where project_id is not ?1)"""
    return bool(connection.execute(sql, (project,)).get)


class TermCounts:
    """In how many turns terms stand, of any project, stemmed and folded as the index does.

    A question asks for the same few terms several times: what was counted last is kept until something is written.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Row] = {}
        self._n_changes = -1

    def frequencies(self, connection: apsw.Connection, terms: Iterable[str]) -> dict[str, int]:
        """Exact up to MOST_COUNTED; above, the share among the newest turns stands for all."""
        # Asked for together they would be looked for in every row.
        first, last = _one(connection, "select (select min(id) from turn), (select max(id) from turn)")
        found = {}
        for term in dict.fromkeys(terms):
            n, oldest = self._newest(connection, term)
            found[term] = n if n < MOST_COUNTED else round(n * (last - first + 1) / (last - oldest + 1))
        return found

    def any_of(self, connection: apsw.Connection, terms: Iterable[str]) -> str:
        """The FTS5 expression for any of `terms`, as `search.any_of` makes it."""
        return search.any_of((self._newest(connection, term)[0], term) for term in dict.fromkeys(terms))

    def by_any_of(
        self, connection: apsw.Connection, terms: Sequence[str], k: int, project: str | None
    ) -> list[tuple[int, float]]:
        """As `by_words` with the expression of `any_of`; from LARGE turns on, turns that have common terms besides are
        ranked by these too."""
        if _counted(connection)[0] >= LARGE:
            terms = [term for term in terms if self._newest(connection, term)[0]]
        rarest = min((self._newest(connection, term)[0] for term in terms), default=0)
        match, is_all = self.any_of(connection, terms), rarest <= search.MOST_RANKED
        found = by_words(connection, match, k, project, all_ranked=is_all)
        common = self._common(connection, terms, match)
        if not common:
            return found
        more = by_words(connection, f"({match}) AND ({common})", k, project, all_ranked=is_all)
        return sorted({**dict(found), **dict(more)}.items(), key=lambda hit: (-hit[1], hit[0]))[:k]

    def _common(self, connection: apsw.Connection, terms: Sequence[str], match: str) -> str:
        """The expression for any of the terms that `match` leaves out, as many as is soon done; "" in a small store.

        There, rare terms tell the turns that are meant from nearly all others; in a large one they stand in hundreds,
        and it is common ones that tell these apart.
        """
        if _counted(connection)[0] < LARGE:
            return ""
        rare = set(match.split(" OR "))
        left, taken = MOST_JOINED, list[str]()
        for n, term in sorted((n, term) for term, n in self.frequencies(connection, terms).items()):
            left -= n
            if left >= 0 and search.phrase([term]) not in rare:
                taken.append(search.phrase([term]))
        return " OR ".join(taken)

    def _newest(self, connection: apsw.Connection, term: str) -> Row:
        """How many of the newest MOST_COUNTED turns with `term` there are, and the oldest of them."""
        n_changes = connection.total_changes()
        # What a transaction wrote may be taken back, and that changes nothing more.
        if n_changes != self._n_changes or connection.in_transaction or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._n_changes = -1 if connection.in_transaction else n_changes
        key = term, MOST_COUNTED
        if key not in self._known:
            sql = """select count(*), min(rowid) from
                     (select rowid from turn_word where turn_word match ? order by rowid desc limit ?)"""
            self._known[key] = _one(connection, sql, (search.phrase([term]), MOST_COUNTED))
        return self._known[key]


def stats(connection: apsw.Connection, project: str | None) -> TurnStats:
    """Of a project, or of all; words are counted over all projects."""
    n_turns, mean_words = _counted(connection)
    if project is None:
        return TurnStats(n_turns, mean_words, *_one(connection, "select count(*) from conversation"))
    number = project_id(connection, project)
    sql = "select count(*) filter (where project_id is ?1), count(*) from conversation"
    n_conversations, n_all = _one(connection, sql, (number,))
    if n_conversations != n_all:
        # Those of the project or those of the others, whichever are soon counted.
        others = n_all - n_conversations < n_conversations
        sql = f"""select count(*) from conversation c cross join turn t on t.conversation_id = c.id
                  where c.project_id is {"not" if others else ""} ?"""  # noqa: S608  of this module's words
        (n_counted,) = _one(connection, sql, (number,))
        n_turns = n_turns - n_counted if others else n_counted
    return TurnStats(n_turns, mean_words, n_conversations)


def _one(connection: apsw.Connection, sql: str, values: tuple[str | int | None, ...] = ()) -> Row:
    row: Row | None = connection.execute(sql, values).fetchone()
    assert row is not None, "an aggregate has one row"
    return row


def _counted(connection: apsw.Connection) -> tuple[int, float]:
    """How many turns there are and words in one, as FTS5 keeps count: its first record holds both, as varints."""
    record = connection.execute("select block from turn_word_data where id = 1").get
    if not record:
        return 0, 0.0
    n_rows, at = _varint(record, 0)
    n_words, _ = _varint(record, at)
    return n_rows, n_words / n_rows if n_rows else 0.0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at `at` (sqlite.org/fileformat.html, "A variable-length integer"), and its end."""
    value = 0
    for i in range(8):
        value = (value << 7) | (data[at + i] & 0x7F)
        if data[at + i] < 0x80:
            return value, at + i + 1
    return (value << 8) | data[at + 8], at + 9


# Turns ---------------------------------------------------------------------------------------------------------


def to_turn(row: Row, *, citations: bool = True) -> Turn:
    """A row of `_SELECT`."""
    cited = unpack_citations(row[5]) if citations else ()
    return Turn(
        row[0], row[1], row[2], unpack_text(row[3]), row[4], cited, "" if row[6] is None else unpack_text(row[6])
    )


def of_conversation(connection: apsw.Connection, conversation_id: int) -> list[Turn]:
    """A conversation's turns in order; none if it is gone."""
    rows = connection.execute(f"{_SELECT} where conversation_id = ? order by id", (conversation_id,))
    return [to_turn(row) for row in rows]


def by_ids(connection: apsw.Connection, ids: Sequence[int], *, citations: bool = False) -> list[Turn]:
    """Turns in the order asked for; those that are gone are left out. Citations are read only if asked for."""
    wanted = list(dict.fromkeys(ids))
    sql = f"{_SELECT} where id in (select value from json_each(?))"  # noqa: S608  of this module's words
    rows = connection.execute(sql, (json.dumps(wanted),))
    found = {row[0]: to_turn(row, citations=citations) for row in rows}
    return [found[i] for i in wanted if i in found]


def around(connection: apsw.Connection, ids: Iterable[int], reach: int) -> list[Turn]:
    """Turns with up to `reach` before and after each in its conversation, each once, by conversation and in order.

    Without citations.
    """
    sql = """select t.id, t.conversation_id, t.role, t.text, t.created_at, t.citations, t.speaker
             from json_each(?) r cross join turn t
             on t.conversation_id = r.value ->> 0 and t.id between r.value ->> 1 and r.value ->> 2"""
    rows: list[Row] = connection.execute(sql, (_near(connection, ids, reach),)).fetchall()
    return [to_turn(row, citations=False) for row in sorted(rows, key=itemgetter(1, 0))]


def speakers_around(connection: apsw.Connection, ids: Iterable[int], reach: int) -> set[str]:
    """The names of those who said the turns that `around` finds."""
    sql = """select distinct t.speaker from json_each(?) r cross join turn t
             on t.conversation_id = r.value ->> 0 and t.id between r.value ->> 1 and r.value ->> 2"""
    rows = connection.execute(sql, (_near(connection, ids, reach),))
    return {unpack_text(row[0]) for row in rows if row[0] is not None}


def _near(connection: apsw.Connection, ids: Iterable[int], reach: int) -> str:
    """The ranges within reach of turns, none of which overlap, as JSON."""
    return json.dumps(_joined(_ranges(connection, ids, reach)))


def _ranges(connection: apsw.Connection, ids: Iterable[int], reach: int) -> list[tuple[int, int, int]]:
    """Conversation, first and last turn within reach of each turn."""
    sql = """select t.conversation_id,
                 (select min(id) from (select n.id from turn n where n.conversation_id = t.conversation_id
                                       and n.id <= t.id order by n.id desc limit ?2 + 1)),
                 (select max(id) from (select n.id from turn n where n.conversation_id = t.conversation_id
                                       and n.id >= t.id order by n.id limit ?2 + 1))
             from json_each(?1) cross join turn t on t.id = json_each.value"""
    rows = connection.execute(sql, (json.dumps(list(dict.fromkeys(ids))), max(0, reach)))
    return [(int(conversation), int(first), int(last)) for conversation, first, last in rows]


def _joined(ranges: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Ranges of one conversation that overlap become one; in order."""
    found: list[tuple[int, int, int]] = []
    for conversation, first, last in sorted(ranges):
        if found and found[-1][0] == conversation and first <= found[-1][2]:
            first, last = found[-1][1], max(last, found.pop()[2])
        found.append((conversation, first, last))
    return found


def conversation_starts(connection: apsw.Connection, ids: Iterable[int]) -> dict[int, float]:
    """When conversations began, in Unix seconds, by id; those that are gone are left out."""
    sql = "select id, created_at from conversation where id in (select value from json_each(?))"
    return dict(connection.execute(sql, (json.dumps(list(dict.fromkeys(ids))),)))
