"""Memory as this process holds it: the process lock, the keys and the store, which open and close together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from secondme.config import Config
from secondme.errors import StoreError
from secondme.paths import data_dir, private_dir, state_dir

if TYPE_CHECKING:
    from secondme.crypto.keys import Keys
    from secondme.crypto.unlock import AskKind
    from secondme.memory.lock import StoreLock
    from secondme.memory.store import Store


@dataclass(frozen=True, slots=True)
class Credentials:
    """How the store is opened: a passphrase at hand (scripts), or a way to ask the owner for one."""

    passphrase: str | None = None
    ask: Callable[[AskKind], str] | None = None


class Memory:
    """Opens when it is first needed. Thread-safe."""

    def __init__(self, config: Config, credentials: Credentials) -> None:
        self._config = config
        self._credentials = credentials
        self.opened: Store | None = None
        self.opened_keys: Keys | None = None
        self._lock: StoreLock | None = None
        self._locked = False
        self._opening = threading.RLock()

    def unlock(self, credentials: Credentials | None = None) -> None:
        """Open the store, for the first time or after `lock`.

        Raises StoreLocked, NoKey, WrongPassphrase and what opening a store raises.
        """
        from secondme.crypto.unlock import harden_process, unlock
        from secondme.memory.lock import StoreLock
        from secondme.memory.rekey import opener
        from secondme.memory.store import Store

        with self._opening:
            if self.opened is not None:
                return
            credentials = credentials or self._credentials
            harden_process()
            try:
                folder = private_dir(data_dir())
            except OSError as error:
                raise StoreError(
                    f"the data folder {data_dir()} cannot be made ({error.strerror})",
                    hint="check what stands in its place and its permissions, or set SECONDME_HOME",
                ) from None
            self._lock = StoreLock(folder)
            self._lock.acquire()
            try:
                path = folder / "store.db"
                keys = unlock(folder, ask=credentials.ask, passphrase=credentials.passphrase, opens=opener(path))
                self.opened_keys = keys
                limit_mb = self._config.vector_index_mb
                limit = None if limit_mb < 0 else limit_mb << 20
                self.opened = Store.open(path, keys.store, state_dir() / "witness", vector_bytes=limit)
            except BaseException:
                self.close()
                raise
            self._credentials = replace(self._credentials, passphrase=None)  # has done its work
            self._locked = False

    def lock(self) -> None:
        """Close the store and overwrite its keys; whatever needs them fails until `unlock` is called."""
        with self._opening:
            self._locked = True
            self.close()

    def close(self) -> None:
        """The process lock goes last, and the keys go whatever happens to the store."""
        store, self.opened = self.opened, None
        try:
            if store is not None:
                store.close()
        finally:
            if self.opened_keys is not None:
                self.opened_keys.erase()
                self.opened_keys = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    @property
    def store(self) -> Store:
        with self._opening:
            if self._locked:
                raise StoreError("memory is locked", hint="unlock it first")
            self.unlock()
            assert self.opened is not None
            return self.opened

    @property
    def keys(self) -> Keys:
        """The opened keys; they are overwritten when memory is closed or locked."""
        with self._opening:
            _ = self.store
            assert self.opened_keys is not None
            return self.opened_keys
