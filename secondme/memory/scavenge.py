"""Reads the rows of a table of which some pages may be unreadable: whatever can be had, and what cannot.

One page that fails its tag makes every later read of the same statement fail as well, so each failure ends the
statement, and reading goes on behind the gap with a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import apsw

from secondme.errors import CorruptRecord
from secondme.memory.failures import translate
from secondme.memory.rows import Row

# A page in the middle of the tree takes thousands of rows along; beyond this many in sequence nothing is left.
_MAX_GAP = 200_000
_FAR = 4096


@dataclass(frozen=True, slots=True)
class Gap:
    """Row ids from `first` to `last` cannot be read; whether all of them were in use is not known."""

    first: int
    last: int


DAMAGE = (apsw.Error, UnicodeDecodeError)
"""What reading damaged rows raises; of the first only what `only_damage` lets pass."""


def only_damage(error: apsw.Error | UnicodeDecodeError) -> None:
    """Raise an error again unless it means that bytes on the disk are not what was written."""
    if isinstance(error, apsw.Error) and not isinstance(translate(error), CorruptRecord):
        raise error


@contextmanager
def tolerant() -> Iterator[None]:
    """Leave the block at damage, which is named elsewhere."""
    try:
        yield
    except DAMAGE as error:
        only_damage(error)


def rows(connection: apsw.Connection, table: str, columns: str, key: str = "rowid") -> Iterator[Row | Gap]:
    """Rows of a table with integer row ids, in order, as (row id, *columns), with a Gap where some cannot be read.

    `table`, `columns` and `key` are SQL of this program's own. Raises apsw.Error for anything but damage.
    """
    sql = f"select {key}, {columns} from {table}"  # noqa: S608  names of this program's own, as below
    last = 0
    while True:
        try:
            for row in connection.execute(f"{sql} where {key} > ? order by {key}", (last,)):
                last = int(row[0])
                yield row
            return
        except DAMAGE as error:
            only_damage(error)
        first = last + 1
        highest = _highest(connection, table, key, first)
        found = _behind(connection, f"{sql} where {key} = ?", first, min(highest, first + _MAX_GAP))
        if found is None:
            yield Gap(first, max(first, highest))
            return
        last, row_behind = found
        if last > first:
            yield Gap(first, last - 1)
        if row_behind is not None:
            yield row_behind


def _behind(connection: apsw.Connection, sql: str, first: int, highest: int) -> tuple[int, Row | None] | None:
    """The first id from `first` on whose place can be read, and its row if there is one; None if there is no more."""
    for row_id in range(first, highest + 1):
        try:
            return row_id, connection.execute(sql, (row_id,)).fetchone()
        except DAMAGE as error:
            only_damage(error)
    return None


def _highest(connection: apsw.Connection, table: str, key: str, least: int) -> int:
    """An upper bound of the row ids, from the table itself or from SQLite's count of ids given out."""
    for sql, values in (
        (f"select max({key}) from {table}", ()),  # noqa: S608
        ("select seq from sqlite_sequence where name = ?", (table,)),
    ):
        with suppress(apsw.Error):
            found = connection.execute(sql, values).get
            if found is not None:
                return int(found)
    return least + _FAR


def keyed_rows(connection: apsw.Connection, table: str, order: str) -> tuple[list[Row], bool]:
    """Rows of a small table without row ids, from both ends towards the damage; and whether that was all."""
    found: dict[Row, None] = {}
    for direction in ("", " desc"):
        terms = ", ".join(f"{term.strip()}{direction}" for term in order.split(","))
        try:
            for row in connection.execute(f"select * from {table} order by {terms}"):  # noqa: S608
                found[row] = None
        except DAMAGE as error:
            only_damage(error)
            continue
        return list(found), True
    return list(found), False
