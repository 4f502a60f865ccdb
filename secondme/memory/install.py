"""Puts a newly written store in the place of the one that is there, so that a crash leaves the one or the other.

    1  the new file lies whole beside the old one, `store.db.next`
    2  its watermark lies beside the old one's, `store.db-watermark.next`
    3  the new file takes the old one's name: from here on it is the store
    4  its watermark takes the old one's name

A watermark that waits under `.next` is adopted at the next opening if it vouches for the file at hand, else removed.
The store must be closed, and the caller holds its lock.
"""

from __future__ import annotations

from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.durable import move_file, remove_file, replace_file, sync_file
from secondme.memory import oplog, pages, watermark
from secondme.memory.database import connect
from secondme.memory.failures import os_errors, store_errors
from secondme.memory.watermark import Watermark


def next_path(store: Path) -> Path:
    """Where a store is written anew."""
    return store.with_name(store.name + ".next")


def install(store: Path, keys: StoreKeys, witness: Path | None = None) -> None:
    """Put the closed store at `next_path(store)`, which `keys` open, in the place of `store`.

    Raises StoreFull or StoreError; the old store is there as long as it does.
    """
    fresh = next_path(store)
    connection = connect(fresh, keys.db)
    try:
        with store_errors(connection):
            head = oplog.head(connection)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    finally:
        connection.close()
    with os_errors():
        sync_file(fresh)
        n_bytes, tags = pages.digest(fresh)
        mark = watermark.pack(Watermark(head, n_bytes, tags, epoch=keys.epoch), keys.watermark, keys.store_id)
        replace_file(watermark.next_path_for(store), mark)
        remove_file(store.with_name(store.name + "-wal"))
        move_file(fresh, store)
        move_file(watermark.next_path_for(store), watermark.path_for(store))
    watermark.Witness(witness).save(mark)


def discard(store: Path) -> None:
    """Remove what an interrupted rewriting left. Raises StoreError."""
    fresh = next_path(store)
    with os_errors():
        for path in (fresh, *(fresh.with_name(fresh.name + s) for s in ("-wal", "-journal"))):
            remove_file(path)
        remove_file(watermark.next_path_for(store))
