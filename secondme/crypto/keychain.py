"""The operating system's keyring, by allow-list: a backend that keeps secrets in the clear, or nowhere, is none.

What is written is read back before it counts. Every call runs with a time limit, because a locked keyring may wait for
a dialog that nobody sees.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from secondme.crypto.envelope import KEY_BYTES, Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

SERVICE = "secondme"
TIMEOUT_S = 60.0
HEADLESS_TIMEOUT_S = 10.0

ALLOWED = {
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Locker",
    "keyring.backends.SecretService.Keyring": "Secret Service",
    "keyring.backends.libsecret.Keyring": "Secret Service",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
}


class Missing(Enum):
    """Why the keyring gives no key."""

    NO_KEYRING = "there is no system keyring here"
    LOCKED = "the system's keyring is locked or does not answer"
    NO_ENTRY = "the system's keyring does not hold the key"


def backend_name() -> str | None:
    """What the allowed keyring of this machine is called; None if there is none."""
    backend = _within(_backend)
    return ALLOWED[_qualified(backend)] if backend is not None else None


def store(entry: str, key: Secret) -> bool:
    """Keep `key` under `entry`; True once it was read back equal."""
    text = base64.b64encode(key).decode("ascii")

    def write() -> bool:
        backend = _backend()
        if backend is None:
            return False
        backend.set_password(SERVICE, entry, text)
        return backend.get_password(SERVICE, entry) == text

    return bool(_within(write))


def fetch(entry: str) -> bytes | Missing:
    """The 32-byte key under `entry`, or why there is none."""

    def read() -> str | Missing:
        backend = _backend()
        if backend is None:
            return Missing.NO_KEYRING
        return backend.get_password(SERVICE, entry) or Missing.NO_ENTRY

    text = _within(read)
    if text is None or isinstance(text, Missing):
        return text or Missing.LOCKED
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return Missing.NO_ENTRY
    return key if len(key) == KEY_BYTES else Missing.NO_ENTRY


def remove(entry: str) -> bool:
    """Delete the key under `entry`; True if it is gone."""

    def delete() -> bool:
        backend = _backend()
        if backend is None:
            return False
        if backend.get_password(SERVICE, entry) is not None:
            backend.delete_password(SERVICE, entry)
        return backend.get_password(SERVICE, entry) is None

    return bool(_within(delete))


def _backend() -> KeyringBackend | None:
    """The configured backend if it is allowed, or the first allowed one of a chain."""
    if not _reachable():
        return None
    import keyring
    from keyring.backends.chainer import ChainerBackend

    configured = keyring.get_keyring()
    chain = configured.backends if isinstance(configured, ChainerBackend) else [configured]
    return next((b for b in chain if _qualified(b) in ALLOWED), None)


def _qualified(backend: object) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _reachable() -> bool:
    """On Linux a keyring needs a session bus; looking for one first saves the import where there is none."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return True
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return bool(runtime) and (Path(runtime) / "bus").exists()


def _has_display() -> bool:
    """Whether a dialog that asks for the keyring's password could be seen and answered."""
    return not sys.platform.startswith("linux") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))


def _within(call: Callable[[], T]) -> T | None:
    """Run `call` with the time limit; None if it fails. The keyring's own errors name no reason worth keeping."""
    result: list[T] = []

    def run() -> None:
        # Backends let the errors of their bus libraries through, which share no class, and this thread has no caller
        # to hand them to: whatever fails, the keyring cannot be used.
        with suppress(Exception):
            result.append(call())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S if _has_display() else HEADLESS_TIMEOUT_S)
    return result[0] if result else None
