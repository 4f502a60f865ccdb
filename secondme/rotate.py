"""Renews all keys of a memory: a new master key, new keys for every use, and the store written anew under them.

Crash-safe in three steps, each of which is on the disk before the next begins:
    1  the key file holds the present keys and the next ones
    2  the store is written anew under the next key, and takes the old one's name; its cartridges are sealed anew before
       that into files of their own, to which the new store alone points
    3  the key file holds the next keys only, under a new master key and new slots
Between 1 and 3 the next unlocking tries which key opens the store, and ends the rotation or takes it back.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from secondme.crypto import manage
from secondme.crypto.keys import Keys
from secondme.crypto.manage import Renewal


def rotate(store: Path, keys: Keys, renewal: Renewal, witness: Path | None = None) -> None:
    """Renew the keys of the closed store at `store`. The caller holds its lock, and unlocks anew afterwards.

    Needs as much free space as the store and its cartridges take. Raises StoreFull, StoreError and what opening the
    store raises; then the next unlocking settles which keys are in force, and the ways to them stay as they were.
    """
    from secondme.cartridges.files import reseal
    from secondme.memory.rekey import rekey

    try:
        following = manage.begin(keys)
        if store.exists():
            rekey(store, keys.store, following, witness, reseal=partial(reseal, store.parent, keys))
    except BaseException:
        renewal.discard()
        raise
    manage.finish(keys, renewal)
