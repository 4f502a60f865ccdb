"""The opened keys of a memory, as other rooms receive them."""

from __future__ import annotations

from dataclasses import dataclass

from secondme.crypto.envelope import derive


@dataclass(frozen=True, slots=True, repr=False)
class StoreKeys:
    """What opens a store and vouches for it; never shown, not even in a traceback. Keys have 32 bytes.

    `db` encrypts the pages, `watermark` authenticates what was acknowledged; `store_id` tells one memory from another,
    `epoch` one saving of the key file from the next.
    """

    store_id: str
    db: bytes
    watermark: bytes
    epoch: int = 0

    @classmethod
    def derived(cls, key: bytes) -> StoreKeys:
        """Keys of a store without a key file, made from one 32-byte key: for temporary stores."""
        return cls("temporary", key, derive(key, b"secondme temporary watermark"))
