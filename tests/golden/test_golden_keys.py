"""A key file of the second version opens in each of its ways, and gives the keys that it gave when it was made.

That of the first version lies beside its store, and opens in test_golden_store.py.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from secondme.crypto import device, keychain, keyslots, recovery
from secondme.crypto.keychain import Missing
from secondme.crypto.unlock import unlock
from secondme.errors import WrongPassphrase
from tests.golden.make_keys import CODE, DEVICE, ENTRY, PASSPHRASE, SECRET, fingerprints

GOLDEN = Path(__file__).parent / "keys-2" / keyslots.FILE
WRITTEN = ["a06e8e9fbf1b9fa9", "75c22f6e27a90887", "37f5f9c792fc2f4f", "6c47b91d19dbc03f"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "memory"
    made.mkdir()
    shutil.copy(GOLDEN, made)
    return made


@pytest.mark.parametrize("typed", [PASSPHRASE, recovery.spell(CODE)], ids=["passphrase", "recovery code"])
def test_what_was_typed_then_opens_it_now(folder: Path, typed: str) -> None:
    assert fingerprints(unlock(folder, passphrase=typed)) == WRITTEN
    assert (folder / keyslots.FILE).read_bytes() == GOLDEN.read_bytes()


def test_what_the_keyring_and_the_device_held_then_opens_it_now(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keychain, "fetch", lambda entry: SECRET if entry == ENTRY else Missing.NO_ENTRY)
    device.path().parent.mkdir(parents=True)
    device.path().write_bytes(DEVICE)
    keys = unlock(folder)
    assert fingerprints(keys) == WRITTEN
    assert keys.store.epoch == 4


def test_nothing_else_opens_it(folder: Path) -> None:
    with pytest.raises(WrongPassphrase):
        unlock(folder, passphrase="silver")
