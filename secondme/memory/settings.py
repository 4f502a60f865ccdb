"""What the store knows about itself: which model made its vectors, and the cells of the prompts' common head."""

from __future__ import annotations

from typing import Any

import apsw

_FINGERPRINT = "embedder_fingerprint"
_N_DIMS = "embedder_n_dims"
_PREFIX_KEY = "prefix_key"
_PREFIX = "prefix"


def _get(connection: apsw.Connection, name: str) -> Any:
    return connection.execute("select value from setting where name = ?", (name,)).get


def _set(connection: apsw.Connection, name: str, value: str | int | bytes) -> None:
    connection.execute(
        "insert into setting values(?, ?) on conflict(name) do update set value = excluded.value", (name, value)
    )


def embedder(connection: apsw.Connection) -> tuple[str, int] | None:
    """Fingerprint and width of the model whose vectors are stored."""
    fingerprint = _get(connection, _FINGERPRINT)
    return None if fingerprint is None else (str(fingerprint), int(_get(connection, _N_DIMS)))


def set_embedder(connection: apsw.Connection, fingerprint: str, n_dims: int) -> None:
    _set(connection, _FINGERPRINT, fingerprint)
    _set(connection, _N_DIMS, n_dims)


def prefix(connection: apsw.Connection, key: str) -> bytes | None:
    """What was kept under `key`; None if another was kept since."""
    return bytes(_get(connection, _PREFIX)) if _get(connection, _PREFIX_KEY) == key else None


def keep_prefix(connection: apsw.Connection, key: str, packed: bytes) -> None:
    """Keep it in the place of the one before."""
    _set(connection, _PREFIX_KEY, key)
    _set(connection, _PREFIX, packed)
