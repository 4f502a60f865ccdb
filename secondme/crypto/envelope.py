"""Wraps one key with another: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce and the context as its
associated data, so that a wrapped key opens in its own place only.

Keys are kept in bytearrays, which can be overwritten when they are no longer needed.
"""

from __future__ import annotations

import os
from typing import TypeAlias

KEY_BYTES = 32
NONCE_BYTES = 12
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + 16

Secret: TypeAlias = bytes | bytearray


def random_key() -> bytearray:
    """32 random bytes from the operating system."""
    return bytearray(os.urandom(KEY_BYTES))


def wrap(key: Secret, secret: Secret, context: bytes) -> bytes:
    """Return nonce and ciphertext of a 32-byte `secret`, 60 bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret, context)


def unwrap(key: Secret, wrapped: bytes, context: bytes) -> bytearray | None:
    """Return the secret, or None if key, context or any bit of `wrapped` is not the one it was made with."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(wrapped) != WRAPPED_BYTES:
        return None
    secret = bytearray(KEY_BYTES)
    try:
        AESGCM(key).decrypt_into(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context, secret)
    except InvalidTag:
        return None
    return secret


def derive(key: Secret, purpose: bytes) -> bytearray:
    """A 32-byte key for one purpose (HKDF-SHA256, RFC 5869)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = bytearray(KEY_BYTES)
    HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=purpose).derive_into(key, derived)
    return derived
