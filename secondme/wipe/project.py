"""Destroys one project: its key, which opens everything that is sealed for it, and then its rows."""

from __future__ import annotations

import time

from secondme.crypto.destroy import Destroyed
from secondme.crypto.keys import Keys
from secondme.errors import UsageError
from secondme.memory.store import Store
from secondme.wipe.report import Report


def wipe_project(store: Store, keys: Keys, name: str) -> Report:
    """Destroy the project called `name`. The report names it by its uid alone, so that it tells nothing by its name.

    Doing it again after it was interrupted finishes it. Raises UsageError if there is no such project, CorruptRecord if
    anything of it is left, StoreFull and StoreError.
    """
    began = time.time()
    uid = store.project_uid(name)
    if uid is None:
        raise UsageError("there is no project of that name", hint="nothing was destroyed; names are case-sensitive")
    mark = time.perf_counter()
    had_key = keys.destroy_project(uid)
    keys_s = time.perf_counter() - mark
    what = f"project {uid.hex()}"
    key = Destroyed(f"the key of {what}", True, "taken out of the key file" if had_key else "it had none of its own")
    sealed = [store.cartridge_path((c.project_uid, c.file)) for c in store.cartridges(name)]
    n_bytes = sum(path.stat().st_size for path in sealed if path.exists())
    shown = store.forget_project(name)
    assert shown is not None
    files = Destroyed(
        f"the cartridges of {what}",
        not any(path.exists() for path in sealed),
        f"{len(sealed)} files, {n_bytes} bytes: their keys destroyed, their beginnings overwritten, deleted",
    )
    rows = Destroyed(
        f"the rows of {what}",
        True,
        f"{len(shown.sources)} files, {len(shown.passages)} passages with words and {shown.n_vectors} vectors,"
        f" {len(shown.conversations)} conversations with {len(shown.turns)} turns, {shown.n_links} links overwritten",
    )
    verified = (
        Destroyed("rows, words, vectors, citations and links", True, "read back: none of the project's is left"),
        Destroyed("the write-ahead log", True, "empty"),
        Destroyed("the project itself", store.project_uid(name) is None, "no longer found by its name"),
    )
    return Report(what, keys.file.store_id, began, time.time(), keys_s, (key, rows, files), verified)
