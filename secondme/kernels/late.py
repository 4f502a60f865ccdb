"""Late interaction: a question's tokens against the tokens of many turns, by int8 rows of 128.

The vectors of a text's tokens (`Embedder.embed_tokens`) are projected, rounded and packed into bytes, 128 a token;
`maxsim` finds for every token of the question the closest token of each pack. Products of the rounded rows are exact
integers, so that every kernel gives the same bits.
Source: Khattab and Zaharia 2020, "ColBERT" (MaxSim); Santhanam et al. 2022, "ColBERTv2" (few bytes a token).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from secondme.kernels import REFERENCE, Float32Matrix, Float32Vector, Int8Matrix, Int32Matrix, Vector, picked

ROW_DIMS = 128
"""Elements of a packed token, a byte each."""

SCALE = 320.0
"""What a unit vector is multiplied with: its elements' deviation is 1 / sqrt(128), so that 127 is 4.5 of them."""

TAG_BYTES = 4
"""What a pack begins with: which projection made it, little-endian."""

_TABLES = Path(__file__).with_name("projections")
_FORMAT = 1
_SEED = 20_251


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """How an embedder's token vectors become rows of 128.

    identity: names the matrix and the format; packs of different identities cannot be compared.
    matrix: float32 [n_dims, 128], columns orthonormal.
    """

    identity: str
    matrix: Float32Matrix

    @property
    def tag(self) -> bytes:
        return zlib.crc32(f"{_FORMAT} {self.identity}".encode()).to_bytes(TAG_BYTES, "little")

    def made(self, packed: bytes) -> bool:
        """Whether `packed` is a pack of this projection, and so of use in a `maxsim` with others of it."""
        return packed[:TAG_BYTES] == self.tag and (len(packed) - TAG_BYTES) % ROW_DIMS == 0


@cache
def projection_of(fingerprint: str, n_dims: int) -> Projection:
    """The projection for the embedder of `fingerprint`, whose vectors have `n_dims` elements.

    The default embedder's is a table that is shipped: the 128 directions in which tokens of ordinary texts differ most
    (`python packaging/token_projection.py` makes it). Others get a fixed random one, which keeps angles within a few
    hundredths (Johnson and Lindenstrauss 1984); vectors of 128 elements or fewer are only turned, and lose nothing.
    """
    name = hashlib.sha256(fingerprint.encode()).hexdigest()[:32]
    path = _TABLES / f"{name}.npy"
    if path.is_file():
        table = np.load(path, allow_pickle=False)
        if table.shape == (n_dims, ROW_DIMS):
            return Projection(f"pca {name} {zlib.crc32(table.tobytes())}", table.astype(np.float32))
    return Projection(f"random {name} {n_dims}", _random(n_dims))


def pack_tokens(vectors: Float32Matrix, projection: Projection, keep: Vector | None = None) -> bytes:
    """Rows of a text's `vectors` [n, n_dims] as `maxsim` takes them: 4 bytes and 128 for each token.

    `keep`, bool [n], leaves tokens out, such as function words and punctuation, which answer no question and are half
    of a text. Raises ValueError for shapes that do not fit and for numbers that are not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != len(projection.matrix):
        raise ValueError(f"shapes do not fit: vectors {vectors.shape}, projection {projection.matrix.shape}")
    if keep is not None:
        if keep.dtype != np.bool_ or keep.shape != vectors.shape[:1]:
            raise ValueError(f"a bool for each of {len(vectors)} tokens is needed, not {keep.dtype} {keep.shape}")
        vectors = vectors[keep]
    rows = vectors @ projection.matrix
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(norms).all():
        raise ValueError("a vector holds a value that is not a finite number")
    unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    rounded: Int8Matrix = np.clip(np.rint(unit * SCALE), -127, 127).astype(np.int8)
    return projection.tag + rounded.tobytes()


def maxsim(
    query: bytes, weights: Float32Vector | None, packed: Sequence[bytes], *, isa: str | None = None
) -> Float32Matrix:
    """How close the closest token of each of the n packs is to each of the m tokens of `query`: float32 [n, m].

    A cosine, about, times the token's weight where `weights` [m] are given. A pack without tokens, or that another
    projection made than the query's, has zeros. `isa` is as for `secondme.kernels.dot_i8`. Raises ValueError if
    `query` is no pack, or the weights are not one for each of its tokens.
    """
    n_tokens, rest = divmod(len(query) - TAG_BYTES, ROW_DIMS)
    if rest or n_tokens < 0:
        raise ValueError("the query is no pack of tokens")
    if weights is not None and weights.shape != (n_tokens,):
        raise ValueError(f"a weight for each of {n_tokens} tokens is needed, not {weights.shape}")
    native, name = picked(isa)
    if native is None:
        best = _maxima(query, packed)
    else:
        best = np.empty((len(packed), n_tokens), np.int32)
        native.maxsim_i8(query, packed, TAG_BYTES, best, name)
    scores = best.astype(np.float32) / np.float32(SCALE * SCALE)
    return scores if weights is None else scores * weights.astype(np.float32)


def agrees(isa: str) -> bool:
    """Whether the kernels of `isa` give what the reference gives: part of `secondme.kernels.disagreeing`."""
    random = np.random.default_rng(12)
    rows = random.integers(-128, 128, (19 + 40, ROW_DIMS), np.int8)
    rows[:2] = -128
    tag = bytes(TAG_BYTES)
    query = tag + rows[:19].tobytes()
    packs = [tag + rows[-n:].tobytes() for n in (40, 17, 4, 1)] + [tag]
    return np.array_equal(maxsim(query, None, packs, isa=isa), maxsim(query, None, packs, isa=REFERENCE))


def _maxima(query: bytes, packed: Sequence[bytes]) -> Int32Matrix:
    """The largest product of every token with a row of each pack, int32 [n, m]; the meaning of the native kernels.

    A sum of 128 products of bytes is below 2^24, so that float32 holds it exactly in whatever order it is made.
    """
    tokens = _rows(query).astype(np.float32)
    best = np.zeros((len(packed), len(tokens)), np.int32)
    sizes = np.array([_n_rows(query, pack) for pack in packed], np.int64)
    filled = sizes > 0
    if filled.any() and len(tokens):
        rows = np.concatenate([_rows(pack) for pack, n in zip(packed, sizes, strict=True) if n]).astype(np.float32)
        starts = np.cumsum(sizes[filled]) - sizes[filled]
        best[filled] = np.maximum.reduceat(rows @ tokens.T, starts, axis=0).astype(np.int32)
    return best


def _n_rows(query: bytes, pack: bytes) -> int:
    fits = pack[:TAG_BYTES] == query[:TAG_BYTES] and (len(pack) - TAG_BYTES) % ROW_DIMS == 0
    return (len(pack) - TAG_BYTES) // ROW_DIMS if fits else 0


def _rows(pack: bytes) -> Int8Matrix:
    return np.frombuffer(pack, np.int8, offset=TAG_BYTES).reshape(-1, ROW_DIMS)


def _random(n_dims: int) -> Float32Matrix:
    """Orthonormal columns, or rows where there are fewer dimensions than columns; the same on every machine."""
    wide = np.random.default_rng(_SEED).standard_normal((max(n_dims, ROW_DIMS), min(n_dims, ROW_DIMS)))
    for j in range(wide.shape[1]):  # Gram-Schmidt; LAPACK's threads may wait for seconds on a busy machine
        wide[:, j] /= np.sqrt((wide[:, j] ** 2).sum())
        wide[:, j + 1 :] -= np.outer(wide[:, j], wide[:, j] @ wide[:, j + 1 :])
    return np.ascontiguousarray(wide if n_dims >= ROW_DIMS else wide.T, np.float32)
