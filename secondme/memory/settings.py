"""What the store knows about itself: so far, which model made its vectors."""

from __future__ import annotations

from typing import Any

import apsw

_FINGERPRINT = "embedder_fingerprint"
_N_DIMS = "embedder_n_dims"


def _get(connection: apsw.Connection, name: str) -> Any:
    return connection.execute("select value from setting where name = ?", (name,)).get


def _set(connection: apsw.Connection, name: str, value: str | int) -> None:
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
