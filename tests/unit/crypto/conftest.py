"""A keyring of this process; the real one is used in tests/integration/test_keyring.py."""

from __future__ import annotations

import pytest

from secondme.crypto import keychain
from secondme.crypto.keychain import Missing


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A keyring that keeps what it is given, as the allowed ones do."""
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(keychain, "store", lambda entry, key: kept.update({entry: bytes(key)}) is None)
    monkeypatch.setattr(keychain, "fetch", lambda entry: bytearray(kept[entry]) if entry in kept else Missing.NO_ENTRY)
    monkeypatch.setattr(keychain, "remove", lambda entry: kept.pop(entry, b"") is not None)
    return kept
