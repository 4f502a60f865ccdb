"""Notes which vectors come and go while a copy of them is held in memory, in a temporary table of the same connection.

Triggers on sqlite-vec's own table fill it, so no path of the code can forget to; and it belongs to the transaction, so
what is rolled back was never noted. The connection keeps temporary tables in memory.
"""

from __future__ import annotations

import apsw

from secondme.memory.rows import Row

_BEGIN = """
    create temp table vector_change(chunk_id integer);
    create temp trigger vector_came after insert on main.vector_rowids
        begin insert into vector_change values(new.rowid); end;
    create temp trigger vector_went after delete on main.vector_rowids
        begin insert into vector_change values(old.rowid); end;"""


def begin(connection: apsw.Connection) -> None:
    """Note changes from now on; what was noted before is forgotten."""
    end(connection)
    connection.execute(_BEGIN)


def end(connection: apsw.Connection) -> None:
    connection.execute("drop table if exists temp.vector_change")
    connection.execute("drop trigger if exists temp.vector_came")
    connection.execute("drop trigger if exists temp.vector_went")


def note_new_table(connection: apsw.Connection) -> None:
    """The vector table is about to be made anew, which takes the triggers with it: nothing after that is noted."""
    if connection.table_exists("temp", "vector_change"):
        connection.execute("insert into temp.vector_change values(null)")


def any_noted(connection: apsw.Connection) -> bool:
    return connection.execute("select 1 from temp.vector_change limit 1").get is not None


def noted(connection: apsw.Connection, most: int) -> list[int] | None:
    """Ids of vectors that came or went, each once; None if there are more than `most` or the table was made anew."""
    rows: list[Row] = connection.execute("select count(*), count(chunk_id) from temp.vector_change").fetchall()
    (n, n_ids), *_ = rows
    if n > most or n_ids < n:
        return None
    return [int(row[0]) for row in connection.execute("select distinct chunk_id from temp.vector_change order by 1")]


def forget_noted(connection: apsw.Connection) -> None:
    connection.execute("delete from temp.vector_change")
