"""What a model's cache under MLX depends on, and the trial that it can be taken apart and put together again."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import NDArray

from secondme.errors import CartridgeIncompatible
from secondme.kernels import kv
from secondme.runtime.kv import FloatRows, KvIdentity, Rope
from secondme.runtime.mlx_cells import cells_of, in_canonical_order, placed
from secondme.runtime.mlx_context import MlxContext, sliced
from secondme.runtime.mlx_folder import TOKENIZER
from secondme.runtime.mlx_lib import build_identity, on_worker
from secondme.runtime.mlx_model import MlxModel

STATE_VERSION = 1
_TEXT = "The harbour keeps a ledger"
_FAR = 300
"""Distance at which a key must be what the formula of RoPE makes of a near one."""
_ROPE_ERROR = 2e-2
"""Of a key's length: the rotation's angles are float32, and 16 bits hold the keys on a graphics processor."""


def identity_of(model: MlxModel) -> KvIdentity:
    """All that a cache of this model means. Raises CartridgeIncompatible, with the reason."""
    if not model.is_plain:
        raise _incompatible("the model forgets all but a sliding window of tokens")
    identity = _stated(model)
    context = MlxContext(model, _FAR * 2)
    try:
        _goes_round(context, model, identity)
        movable = identity.rope.movable and _rope_holds(context, model, identity.rope)
    finally:
        context.close()
    return dataclasses.replace(identity, rope=dataclasses.replace(identity.rope, movable=movable))


def _stated(model: MlxModel) -> KvIdentity:
    origin, folder = model.folder.origin, model.folder
    tokenizer = origin.tokenizer if origin else hashlib.sha256((folder.path / TOKENIZER).read_bytes()).hexdigest()
    template = origin.template if origin else hashlib.sha256(model.tokenizer.chat_template.encode()).hexdigest()
    return KvIdentity(
        weights=model.fingerprint,
        tokenizer=tokenizer,
        template=template,
        shape=model.shape,
        rope=model.rope,
        dtype="f16",
        rotated=False,
        runtime=build_identity(),
        state_version=STATE_VERSION,
    )


def _goes_round(context: MlxContext, model: MlxModel, identity: KvIdentity) -> None:
    """Cells that were taken out and put in again are the same, and the model goes on alike."""
    tokens = model.tokenizer.tokenize(_TEXT, special=False)
    context.evaluate(tokens)
    positions = np.arange(len(tokens), dtype=np.int32)
    cells = cells_of(context.rows(0), positions, identity.rope)
    if cells.k.shape[0] != identity.shape.n_layers or cells.k.shape[2:] != (
        identity.shape.n_kv_heads,
        identity.shape.k_dim,
    ):
        raise _incompatible("the model's layers differ in their keys")
    following = _logits(context, tokens[0])
    context.empty()
    placed(cells, identity, len(tokens))(context)
    again = cells_of(context.rows(0), positions, identity.rope)
    if not (np.array_equal(again.k, cells.k) and np.array_equal(again.v, cells.v)):
        raise _incompatible("the model's saved cache differs when it is put back")
    if np.abs(_logits(context, tokens[0]) - following).max() > 2e-2 * np.abs(following).max():
        raise _incompatible("the model goes on otherwise when its cache is put back")
    context.empty()


def _logits(context: MlxContext, token: int) -> FloatRows:
    found = context.evaluate([token])
    return on_worker(lambda: sliced(found))


def _rope_holds(context: MlxContext, model: MlxModel, rope: Rope) -> bool:
    """The first layer's keys depend on nothing but token and position: so one far away tells the others'."""
    token, shape = model.tokenizer.tokenize(_TEXT, special=False)[0], model.shape
    nothing = [np.empty((0, shape.n_kv_heads, shape.k_dim), np.float16)] * shape.n_layers
    plain = []
    for position in (0, _FAR):
        context.place(nothing, nothing, position)
        context.evaluate([token])
        keys = in_canonical_order(context.rows(0)[0][0].astype(np.float32), rope)
        plain.append(_rotated(keys, np.array([-position], np.int32), rope))
    context.empty()
    length = float(np.linalg.norm(plain[0], axis=-1).max()) + 1e-6
    return bool(np.linalg.norm(plain[0] - plain[1], axis=-1).max() < _ROPE_ERROR * length)


def _rotated(keys: FloatRows, positions: NDArray[np.int32], rope: Rope) -> FloatRows:
    frequencies = kv.rope_frequencies(rope.n_dims, rope.freq_base, rope.freq_scale, rope.factors)
    return kv.rotate(keys, kv.rope_angles(positions, frequencies), "halves" if rope.pairs == "halves" else "adjacent")


def _incompatible(why: str) -> CartridgeIncompatible:
    return CartridgeIncompatible(why, hint="its documents are read as text instead")
