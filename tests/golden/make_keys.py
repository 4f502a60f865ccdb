"""Writes tests/golden/keys-2, a key file of the second version: python -m tests.golden.make_keys FOLDER

Run once for each released format and never again for an old one. It has a slot of each kind and a project's key; the
passphrase is "golden", the recovery code and the secrets are counted up, and nothing in it is anybody's.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

from secondme.crypto import manage, slots
from secondme.crypto.calibrate import FLOOR
from secondme.crypto.keys import Keys
from secondme.crypto.keyslots import Slot
from secondme.crypto.unlock import unlock

PASSPHRASE = "golden"
CODE = bytes(range(32))
ENTRY, SECRET, DEVICE = "0123456789abcdef", bytes(range(32, 64)), bytes(range(64, 96))
PROJECT = bytes(range(16))


def make(folder: Path) -> None:
    """Write the key file into an empty folder."""
    folder.mkdir(parents=True)
    keys = unlock(folder, passphrase=PASSPHRASE, work=FLOOR)
    manage.add_recovery(keys, CODE)
    empty = Slot("keyring", ENTRY, b"")
    slot = slots.close_slot(keys.file.store_id, empty, slots.keyring_key(SECRET, DEVICE), keys.master)
    keys.save(replace(keys.file, slots=(*keys.file.slots, slot)))
    keys.project(PROJECT)
    print(fingerprints(keys))


def fingerprints(keys: Keys) -> list[str]:
    """What tells the keys of the uses from others, without showing them."""
    found = (keys.store.db, keys.store.watermark, keys.export, keys.project(PROJECT))
    return [hashlib.sha256(key).hexdigest()[:16] for key in found]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
