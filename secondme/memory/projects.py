"""Projects by their names: what each holds, and the making of an empty one.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import apsw

from secondme.errors import UsageError
from secondme.memory import oplog
from secondme.memory.rows import pack_text, unpack_text
from secondme.memory.sources import ensure_project, project_id
from secondme.types import ProjectRow

_SELECT = """select p.name,
        (select count(*) from source s where s.project_id = p.id and s.skip_reason is null),
        (select count(*) from conversation c where c.project_id = p.id),
        max(coalesce((select max(s.ingested_at) from source s where s.project_id = p.id), 0.0),
            coalesce((select max(c.updated_at) from conversation c where c.project_id = p.id), 0.0))
    from project p"""


def several(connection: apsw.Connection) -> list[ProjectRow]:
    """All projects, the one used last first."""
    found = [ProjectRow(unpack_text(row[0]), *row[1:]) for row in connection.execute(_SELECT)]
    return sorted(found, key=lambda project: (-project.used_at, project.name))


def one(connection: apsw.Connection, name: str) -> ProjectRow | None:
    row = connection.execute(f"{_SELECT} where p.name = ?", (pack_text(name),)).fetchone()
    return ProjectRow(unpack_text(row[0]), *row[1:]) if row else None


def version(connection: apsw.Connection, name: str) -> str | None:
    """Changes with every change to a project's texts; None if there is no such project."""
    number = project_id(connection, name)
    if number is None:
        return None
    row = connection.execute(
        """select count(*), max(id), sum(n_chunks), max(ingested_at) from source
           where project_id = ? and skip_reason is null""",
        (number,),
    ).fetchone()
    return f"{number}:{row}"


def new(connection: apsw.Connection, name: str) -> None:
    """Make an empty project. Raises UsageError if there is one of that name."""
    if project_id(connection, name) is not None:
        raise UsageError("there is a project of that name already", hint="open it, or choose another name")
    made = ensure_project(connection, name)
    oplog.append(connection, "project-new", [f"project:{made}"])
