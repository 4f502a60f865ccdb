"""The operation log: what was done to memory, when, by whom and to which items, as a hash chain.

It holds ids, counts and hashes, never content, so that nothing need be taken out of it when an item is forgotten. The
hash of a step covers the step and the hash before it (RFC 6962 calls such a log append-only): a step that was changed,
left out or put in breaks the chain, and one that is missing at the end is missed by the watermark.

Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import apsw

from secondme.errors import CorruptRecord

Kind = Literal[
    "created", "upgraded", "rolled-back", "repaired", "lost", "rekeyed",
    "put", "skipped", "touched", "moved", "removed", "embedder-set", "reindexed",
    "folder-added", "folder-removed",
    "conversation-new", "conversation-renamed", "conversation-removed", "turn-added", "turn-redacted",
    "source-redacted", "shown", "used", "forgotten", "lifted", "exported", "imported", "project-new", "project-removed",
    "cartridge-built", "cartridge-dropped",
    "item-added", "item-closed", "item-changed", "item-respanned", "item-removed", "items-used", "item-rated",
    "items-linked",
]  # fmt: skip

OWNER = "owner"

ENDS = frozenset(
    {"removed", "folder-removed", "conversation-removed", "item-removed", "forgotten", "project-removed", "lost"}
)
"""Steps after which none of their subjects is in memory any more."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest step: its number, from 1, and the chain's hash there (32 bytes)."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Op:
    """A step. `subjects` are items as `kind:id`; `digest` is the record hash of the first one after the step, if any.

    `actor` is who did it: `owner`, `ingest`, `import:<format>`, or a model with its version.
    """

    seq: int
    at: float
    kind: str
    actor: str
    subjects: tuple[str, ...]
    digest: bytes | None
    detail: Mapping[str, Any]
    hash: bytes


def genesis(store_id: str) -> Head:
    """The head before the first step, different for each store."""
    return Head(0, hashlib.sha256(b"secondme operation log\0" + store_id.encode()).digest())


def append(
    connection: apsw.Connection,
    kind: Kind,
    subjects: Sequence[str] = (),
    *,
    digest: bytes | None = None,
    actor: str = OWNER,
    detail: Mapping[str, int | float | str | None] | None = None,
) -> Head:
    """Add a step; `detail` holds counts, ids and hashes only. Raises CorruptRecord if the chain has no beginning."""
    last = head(connection)
    op = Op(last.seq + 1, time.time(), kind, actor, tuple(subjects), digest, dict(detail or {}), b"")
    link = link_hash(last.hash, op)
    connection.execute(
        "insert into op values(?, ?, ?, ?, ?, ?, ?, ?)",
        (op.seq, op.at, kind, actor, _json(list(subjects)), digest, _json(op.detail), link),
    )
    connection.executemany(
        "insert or ignore into op_subject values(?, ?)", ((subject, op.seq) for subject in op.subjects)
    )
    return Head(op.seq, link)


def head(connection: apsw.Connection) -> Head:
    """The newest step."""
    row = connection.execute("select seq, hash from op order by seq desc limit 1").fetchone()
    if row is None:
        start = connection.execute("select value from setting where name = 'oplog_genesis'").get
        if not isinstance(start, bytes):
            raise CorruptRecord("the operation log has no beginning", hint="run: secondme memory repair")
        return Head(0, start)
    return Head(int(row[0]), bytes(row[1]))


def set_genesis(connection: apsw.Connection, store_id: str) -> None:
    """Bind the log to its store, once; later calls change nothing."""
    connection.execute("insert or ignore into setting values('oplog_genesis', ?)", (genesis(store_id).hash,))


def hash_at(connection: apsw.Connection, seq: int, store_id: str) -> bytes | None:
    """The chain's hash after step `seq`; None if there is no such step."""
    if seq == 0:
        return genesis(store_id).hash
    found = connection.execute("select hash from op where seq = ?", (seq,)).get
    return None if found is None else bytes(found)


def link_hash(previous: bytes, op: Op) -> bytes:
    """SHA-256 over the hash before and the canonical JSON of the step."""
    body = [op.seq, op.at, op.kind, op.actor, list(op.subjects), op.digest.hex() if op.digest else None, op.detail]
    return hashlib.sha256(previous + _json(body).encode("ascii")).digest()


def several(
    connection: apsw.Connection, subject: str | None = None, *, after: int = 0, limit: int = -1
) -> Iterator[Op]:
    """Steps in order, all or those that touched `subject`, numbered above `after`."""
    sql = "select seq, at, kind, actor, subjects, digest, detail, hash from op where seq > ?2 and (?1 is null or seq in"
    sql += " (select seq from op_subject where subject = ?1)) order by seq limit ?3"
    for row in connection.execute(sql, (subject, after, limit)):
        yield _op(row)


def passages_of(op: Op) -> range:
    """Ids of the passages that a step stored with their file."""
    last, n = op.detail.get("last"), op.detail.get("passages")
    if op.kind not in ("put", "imported") or not isinstance(last, int) or not isinstance(n, int):
        return range(0)
    return range(last - n + 1, last + 1)


def last_digests(connection: apsw.Connection) -> dict[str, bytes]:
    """The newest record hash of each subject that has one, as `kind:id`."""
    found: dict[str, bytes] = {}
    for op in several(connection):
        if op.digest is not None and op.subjects:
            found[op.subjects[0]] = op.digest
        if op.kind in ENDS:
            for subject in op.subjects:
                found.pop(subject, None)
    return found


def verify(connection: apsw.Connection, store_id: str) -> Head:
    """Walk the whole chain and return its head. Raises CorruptRecord at the first step that does not fit."""
    last = genesis(store_id)
    for op in several(connection):
        if op.seq != last.seq + 1 or op.hash != link_hash(last.hash, op):
            raise CorruptRecord(
                f"the operation log is broken at step {last.seq + 1}", hint="run: secondme memory repair"
            )
        last = Head(op.seq, op.hash)
    return last


def _op(row: tuple[Any, ...]) -> Op:
    try:
        return Op(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])), row[5], json.loads(row[6]), bytes(row[7]))
    except (ValueError, TypeError):
        raise CorruptRecord("a step of the operation log cannot be read", hint="run: secondme memory repair") from None


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # made once: an import logs a step for every turn


def _json(value: object) -> str:
    return _CANONICAL.encode(value)
