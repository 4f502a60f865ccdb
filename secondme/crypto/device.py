"""This device's key: 32 random bytes in the state folder, apart from the data and from its backups.

Together with the secret in the system's keyring it opens a keyring's slot. Neither does alone, so that once it is
destroyed, an old copy of the data and of the keyring opens nothing.
"""

from __future__ import annotations

from pathlib import Path

from secondme.crypto.envelope import KEY_BYTES, random_key
from secondme.durable import replace_file
from secondme.errors import StoreError
from secondme.paths import private_dir, state_dir

FILE = "device.key"


def path() -> Path:
    return state_dir() / FILE


def load() -> bytearray | None:
    """The key; None if there is none, or the file is not one. Raises StoreError if it cannot be read."""
    try:
        data = path().read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"this device's key cannot be read ({error.strerror})", hint=f"check the permissions of {path()}"
        ) from None
    return bytearray(data) if len(data) == KEY_BYTES else None


def load_or_make() -> bytearray:
    """The key, made on first use; on the disk when it returns. Raises StoreError."""
    key = load()
    if key is None:
        key = random_key()
        try:
            private_dir(path().parent)
            replace_file(path(), bytes(key))
        except OSError as error:
            raise StoreError(
                f"this device's key cannot be written ({error.strerror})",
                hint=f"check the disk and the permissions of {path().parent}",
            ) from None
    return key
