"""The envelope around a saved KV cache: who wrote it, for which tokens, and a checksum over all of it.

llama.cpp's own state names neither model nor build and carries no checksum, and its loader trusts every length it
reads. So nothing is handed to it before `open_state` has accepted the whole envelope. The checksum catches damage and
mix-ups, not an author of evil states: who stores a state where others can write must seal it with a key.

Layout, little endian: magic "SMSV", version u16, header length u32, header (JSON, UTF-8), token ids i32 each,
payload, SHA-256 of everything before it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from collections.abc import Mapping, Sequence

from secondme.errors import ModelError

MAGIC = b"SMSV"
VERSION = 2
_PREFIX = struct.Struct("<4sHI")
_DIGEST_BYTES = 32
_HEADER_LIMIT = 64 * 1024
_HINT = "nothing is lost: the text is read again"


def seal_state(
    identity: Mapping[str, str], tokens: Sequence[int], payload: bytes | memoryview, *, n_placed: int = 0
) -> bytes:
    """Wrap `payload`, the cache of `tokens`, the first `n_placed` of which are cells that were loaded.

    `identity` must be equal when it is opened again.
    """
    sizes = {"n_tokens": len(tokens), "n_placed": n_placed, "payload_bytes": len(payload)}
    header = json.dumps({"identity": dict(identity), **sizes}, sort_keys=True).encode()
    ids = array("i", tokens)
    if ids.itemsize != 4:
        raise ModelError("token ids are not 32 bits wide on this platform", hint="this platform is not supported")
    parts = (_PREFIX.pack(MAGIC, VERSION, len(header)), header, ids.tobytes(), payload)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join((*parts, digest.digest()))


def open_state(identity: Mapping[str, str], state: bytes) -> tuple[list[int], memoryview, int]:
    """Return (token ids, payload, n_placed).

    Raises ModelError unless every byte is accounted for and `identity` is the same.
    """
    view = memoryview(state)
    if len(view) < _PREFIX.size + _DIGEST_BYTES:
        raise ModelError("the saved cache is damaged: it is too short", hint=_HINT)
    magic, version, header_bytes = _PREFIX.unpack_from(view)
    if magic != MAGIC:
        raise ModelError("this is not a saved cache", hint=_HINT)
    if version != VERSION:
        raise ModelError(f"the saved cache has format {version}, this program reads {VERSION}", hint=_HINT)
    body = view[:-_DIGEST_BYTES]
    if hashlib.sha256(body).digest() != view[-_DIGEST_BYTES:]:
        raise ModelError("the saved cache is damaged: its checksum is wrong", hint=_HINT)
    rest = body[_PREFIX.size :]
    if header_bytes > min(len(rest), _HEADER_LIMIT):
        raise ModelError("the saved cache is damaged: its header is too long", hint=_HINT)
    n_tokens, payload_bytes, n_placed = _checked_header(bytes(rest[:header_bytes]), identity)
    rest = rest[header_bytes:]
    if len(rest) != 4 * n_tokens + payload_bytes:
        raise ModelError("the saved cache is damaged: its sizes do not add up", hint=_HINT)
    ids = array("i")
    ids.frombytes(rest[: 4 * n_tokens])
    return ids.tolist(), rest[4 * n_tokens :], n_placed


def _checked_header(raw: bytes, identity: Mapping[str, str]) -> tuple[int, int, int]:
    try:
        header = json.loads(raw)
        found, sizes = header["identity"], [header[name] for name in ("n_tokens", "payload_bytes", "n_placed")]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("the saved cache is damaged: its header cannot be read", hint=_HINT) from error
    if not (isinstance(found, dict) and all(type(size) is int and size >= 0 for size in sizes)):
        raise ModelError("the saved cache is damaged: its header cannot be read", hint=_HINT)
    n_tokens, payload_bytes, n_placed = sizes
    if n_placed > n_tokens:
        raise ModelError("the saved cache is damaged: its header cannot be read", hint=_HINT)
    for name in sorted(identity.keys() | found.keys()):
        if identity.get(name) != found.get(name):
            raise ModelError(f"the saved cache belongs to another {name}", hint=_HINT)
    return n_tokens, payload_bytes, n_placed
