"""The rows of cartridges: which document has one, in which file, and the secret without which the file is noise.

A source has at most one. It goes with the source and with every change of its text or title, in the same transaction;
the file follows right after it (`cartridge_files.py`). What is in the file is not known here: it is derived from the
text, and can be made again.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import apsw

from secondme.memory import oplog
from secondme.memory.cartridge_files import Named
from secondme.memory.rows import Row, pack_text, unpack_path, unpack_text

SECRET_BYTES = 32
_FILE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class NewCartridge:
    """A cartridge whose file is on the disk. `source_hash` is `Store.document_hash` of when the text was read.

    `file` is 32 hexadecimal digits, `secret` 32 random bytes, `model_key` what must be equal for it to be of use.
    `f16_bytes` is what its cells take as float16, `prefill_s` what reading the text took, `build_s` all of it.
    """

    source_id: int
    file: str
    secret: bytes = field(repr=False)
    source_hash: bytes
    model_key: bytes
    tier: str
    complete: bool
    n_tokens: int
    size_bytes: int
    f16_bytes: int
    prefill_s: float
    build_s: float

    def __post_init__(self) -> None:
        if _FILE.fullmatch(self.file) is None or len(self.secret) != SECRET_BYTES:
            raise ValueError("name or secret of a cartridge")


@dataclass(frozen=True, slots=True)
class StoredCartridge(NewCartridge):
    """A row with its project, by name and uid, and the time it was stored."""

    id: int
    project: str
    project_uid: bytes
    path: str
    built_at: float


_SELECT = """select c.source_id, c.file, c.secret, c.source_hash, c.model_key, c.tier, c.complete, c.n_tokens,
    c.size_bytes, c.f16_bytes, c.prefill_s, c.build_s, c.id, p.name, p.uid, s.path, c.built_at
    from cartridge c join source s on s.id = c.source_id join project p on p.id = s.project_id"""


def _stored(row: Row) -> StoredCartridge:
    return StoredCartridge(
        source_id=row[0],
        file=row[1],
        secret=row[2],
        source_hash=row[3],
        model_key=row[4],
        tier=row[5],
        complete=bool(row[6]),
        n_tokens=row[7],
        size_bytes=row[8],
        f16_bytes=row[9],
        prefill_s=row[10],
        build_s=row[11],
        id=row[12],
        project=unpack_text(row[13]),
        project_uid=row[14],
        path=unpack_path(row[15]),
        built_at=row[16],
    )


# Reading -------------------------------------------------------------------------------------------------------


def several(connection: apsw.Connection, project: str | None = None) -> list[StoredCartridge]:
    """In the order of project and path."""
    where, values = ("where p.name = ?", (pack_text(project),)) if project is not None else ("", ())
    return [_stored(row) for row in connection.execute(f"{_SELECT} {where} order by p.id, s.path", values)]


def one(connection: apsw.Connection, source_id: int) -> StoredCartridge | None:
    row = connection.execute(f"{_SELECT} where c.source_id = ?", (source_id,)).fetchone()
    return _stored(row) if row else None


def files(connection: apsw.Connection, source_ids: Collection[int] | None = None) -> frozenset[Named]:
    """(project uid, file) of all that there are, or of those of these sources."""
    sql = """select c.source_id, p.uid, c.file from cartridge c join source s on s.id = c.source_id
             join project p on p.id = s.project_id"""
    rows = connection.execute(sql)
    return frozenset((bytes(uid), str(name)) for i, uid, name in rows if source_ids is None or i in source_ids)


def sizes(connection: apsw.Connection) -> tuple[int, int]:
    """How many there are, and the bytes of their files."""
    row: Row = connection.execute("select count(*), coalesce(sum(size_bytes), 0) from cartridge").fetchall()[0]
    return int(row[0]), int(row[1])


def document_hash(connection: apsw.Connection, source_id: int) -> bytes | None:
    """SHA-256 over a source's title and text as they are stored; None without text."""
    title = connection.execute("select title from source where id = ? and skip_reason is null", (source_id,)).get
    if title is None:
        return None
    hasher = hashlib.sha256()
    for text in (title, *(row[0] for row in connection.execute(_TEXTS, (source_id,)))):
        data = text if isinstance(text, bytes) else text.encode()
        hasher.update(len(data).to_bytes(8, "little") + data)
    return hasher.digest()


_TEXTS = "select text from chunk where source_id = ? order by ordinal"


# Writing -------------------------------------------------------------------------------------------------------


def put(connection: apsw.Connection, new: NewCartridge, at: float) -> StoredCartridge | None:
    """Store a row in the place of the source's earlier one; None if the text is another by now, or gone."""
    if document_hash(connection, new.source_id) != new.source_hash:
        return None
    connection.execute("delete from cartridge where source_id = ?", (new.source_id,))
    connection.execute(
        """insert into cartridge(source_id, file, secret, source_hash, model_key, tier, complete, n_tokens, size_bytes,
               f16_bytes, prefill_s, build_s, built_at)
           values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            new.source_id,
            new.file,
            new.secret,
            new.source_hash,
            new.model_key,
            new.tier,
            int(new.complete),
            new.n_tokens,
            new.size_bytes,
            new.f16_bytes,
            new.prefill_s,
            new.build_s,
            at,
        ),
    )
    detail: dict[str, int | str] = {"tier": new.tier, "tokens": new.n_tokens, "bytes": new.size_bytes}
    oplog.append(connection, "cartridge-built", [f"source:{new.source_id}"], actor="cartridges", detail=detail)
    return one(connection, new.source_id)


def drop(connection: apsw.Connection, source_id: int) -> bool:
    """Take a source's row out, because its text changes; the caller logs why. False if it has none."""
    connection.execute("delete from cartridge where source_id = ?", (source_id,))
    return bool(connection.changes())


def drop_several(connection: apsw.Connection, source_ids: Collection[int]) -> int:
    """Take rows out and log it; returns how many there were."""
    gone = [source_id for source_id in source_ids if drop(connection, source_id)]
    if gone:
        subjects = [f"source:{source_id}" for source_id in gone]
        oplog.append(connection, "cartridge-dropped", subjects, actor="cartridges")
    return len(gone)


def reseal(connection: apsw.Connection, renewed: Sequence[tuple[int, str, bytes]]) -> None:
    """Give rows, by id, another file and secret; all others go."""
    kept = {row_id for row_id, _, _ in renewed}
    gone = [(row[0],) for row in connection.execute("select id from cartridge").fetchall() if row[0] not in kept]
    connection.executemany("delete from cartridge where id = ?", gone)
    connection.executemany(
        "update cartridge set file = ?2, secret = ?3 where id = ?1", (tuple(renewal) for renewal in renewed)
    )
