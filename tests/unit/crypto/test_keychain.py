"""The keyring by allow-list: which backends count, and what a bad answer is taken for."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import null
from keyring.backends.chainer import ChainerBackend

from secondme.crypto import keychain
from secondme.crypto.keychain import SERVICE, Missing
from tests.keyfiles import ENTRY, SECRET


class Keyring(KeyringBackend):
    """One that keeps things in memory, under the name of an allowed one."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring does not type it
        self.kept: dict[tuple[str, str], str] = {}
        self.forgets = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if not self.forgets:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Keyring:
    made = Keyring()
    name = f"{Keyring.__module__}.{Keyring.__qualname__}"
    monkeypatch.setattr(keychain, "ALLOWED", {name: "a test's keyring"})
    monkeypatch.setattr(keyring, "get_keyring", lambda: made)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    return made


def test_what_is_kept_is_found_until_it_is_removed(backend: Keyring) -> None:
    assert keychain.backend_name() == "a test's keyring"
    assert keychain.fetch(ENTRY) is Missing.NO_ENTRY
    assert keychain.store(ENTRY, bytearray(SECRET))
    assert keychain.fetch(ENTRY) == SECRET
    assert keychain.remove(ENTRY) and keychain.remove(ENTRY)
    assert keychain.fetch(ENTRY) is Missing.NO_ENTRY and backend.kept == {}


def test_a_backend_that_only_says_it_keeps_is_found_out(backend: Keyring) -> None:
    backend.forgets = True
    assert not keychain.store(ENTRY, SECRET)


@pytest.mark.parametrize("text", ["not base64!", "AAAA", base64.b64encode(bytes(33)).decode(), "\u20ac" * 44])
def test_what_is_no_key_is_none(backend: Keyring, text: str) -> None:
    backend.kept[SERVICE, ENTRY] = text
    assert keychain.fetch(ENTRY) is Missing.NO_ENTRY


def test_the_first_allowed_backend_of_a_chain_is_used(backend: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = ChainerBackend()  # type: ignore[no-untyped-call]  # nor these
    nowhere = null.Keyring()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(ChainerBackend, "backends", [nowhere, backend])
    monkeypatch.setattr(keyring, "get_keyring", lambda: chain)
    assert keychain.store(ENTRY, SECRET) and keychain.fetch(ENTRY) == SECRET
    monkeypatch.setattr(ChainerBackend, "backends", [nowhere])
    assert keychain.backend_name() is None


def test_a_backend_that_is_not_allowed_is_none(backend: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "get_keyring", null.Keyring)
    assert keychain.backend_name() is None and keychain.fetch(ENTRY) is Missing.NO_KEYRING
    assert not keychain.store(ENTRY, SECRET) and not keychain.remove(ENTRY)


def test_the_allowed_backends_are_those_of_the_systems() -> None:
    """Pinned: a name is added on purpose, after looking at where that backend keeps what it is given."""
    assert sorted(keychain.ALLOWED) == [
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.macOS.Keyring",
    ]


def test_only_linux_needs_a_bus(backend: Keyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert keychain.backend_name() is None
    (tmp_path / "bus").touch()
    assert keychain.backend_name() is not None
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert keychain.backend_name() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keychain.backend_name() is not None
