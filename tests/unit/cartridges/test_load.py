"""Joining what was decoded: for the runtime at hand, whichever made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from secondme.cartridges import exact, load
from secondme.cartridges import prefix as prefixes
from secondme.cartridges.format import open_cartridge
from secondme.cartridges.load import Ground, Part, compose
from secondme.cartridges.manifest import Tier
from secondme.cartridges.prefix import Prefix
from secondme.cartridges.rows import HeadRows
from secondme.errors import ContextOverflow, CorruptCartridge, ModelError
from secondme.kernels import kv
from secondme.memory.store import Store
from secondme.runtime.cells import check_cells
from secondme.runtime.cells import plain as plain_of
from secondme.runtime.kv import Cells, KvIdentity, KvShape, QuantizedCells, RaggedCells, key_rotation
from tests.sealing_cartridges import KEY, identity_of, manifest_of, sha, written

SHAPE = KvShape(n_layers=2, n_kv_heads=2, n_heads=4, k_dim=128, v_dim=64)
F16 = identity_of(shape=SHAPE, rope=replace(identity_of().rope, n_dims=128))
Q8_0 = replace(F16, dtype="q8_0", rotated=True)
N_PREFIX = 5


def rows_of(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values [layers, n, heads * dim]."""
    rng = np.random.default_rng(seed)
    k, v = (rng.standard_normal((2, n, 2 * dim)).astype(np.float32) for dim in (SHAPE.k_dim, SHAPE.v_dim))
    return k, v


def blocks(n: int, start: int, seed: int, *, rotated: bool) -> QuantizedCells:
    """The rows of `seed` as a runtime of the one kind or the other holds them."""
    k, v = rows_of(n, seed)
    if rotated:
        k, v = kv.hadamard(k, key_rotation(SHAPE.k_dim)), kv.hadamard(v, 64)
    positions = np.arange(start, start + n, dtype=np.int32)
    return QuantizedCells(positions, rotated, *kv.quantize_q8_0(k), *kv.quantize_q8_0(v))


def prefix_of(*, rotated: bool) -> Prefix:
    return Prefix((7,) * N_PREFIX, sha("prefix"), blocks(N_PREFIX, 0, 1, rotated=rotated))


def exact_part(n: int = 9, *, rotated: bool = False, start: int = N_PREFIX) -> Part:
    return Part(blocks(n, start, 2, rotated=rotated), start, n, "T0")


def chosen_part(tier: Tier, n: int = 9) -> Part:
    counts = [n, 1, 0, 4]
    tokens = np.concatenate([np.arange(count) for count in counts]).astype(np.int32)
    rng = np.random.default_rng(3)
    k, v = (rng.standard_normal((len(tokens), dim)).astype(np.float32) for dim in (SHAPE.k_dim, SHAPE.v_dim))
    return Part(HeadRows(SHAPE, n, np.cumsum([0, *counts]), tokens, k, v), N_PREFIX, n, tier)


@pytest.mark.parametrize("identity", [F16, Q8_0], ids=["f16", "q8_0 rotated"])
@pytest.mark.parametrize("rotated", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_an_exact_one_is_the_same_whoever_made_it_and_its_prefix(
    identity: KvIdentity, rotated: tuple[bool, bool]
) -> None:
    part = exact_part(rotated=rotated[1])
    n_tokens, cells = compose(Ground(prefix_of(rotated=rotated[0]), identity, 100), [part])
    assert n_tokens == N_PREFIX + 9 and cells.positions.tolist() == list(range(14))  # type: ignore[union-attr]
    check_cells(cells, SHAPE, n_tokens)
    own = rotated == (identity.rotated,) * 2
    assert isinstance(cells, QuantizedCells) == own
    if isinstance(cells, QuantizedCells):
        assert cells.rotated == identity.rotated and np.array_equal(cells.k[:, N_PREFIX:], part.held.k)
    plain = plain_of(cells, SHAPE) if isinstance(cells, QuantizedCells) else cells
    assert isinstance(plain, Cells)
    for at, n, seed in ((0, N_PREFIX, 1), (N_PREFIX, 9, 2)):
        for side, found in zip(rows_of(n, seed), (plain.k, plain.v), strict=True):
            assert np.abs(found[:, at : at + n].reshape(side.shape) - side).max() < 0.05


@pytest.mark.parametrize(
    ("tiers", "bits"),
    [(["T1"], 16), (["T2"], 8), (["T3"], 8), (["T2", "T3"], 8), (["T1", "T3"], 16), (["T0", "T2"], 16)],
    ids=str,
)
def test_ragged_cells_are_as_fine_as_the_finest_tier_needs(tiers: Sequence[Tier], bits: Literal[8, 16]) -> None:
    parts = [exact_part() if tier == "T0" else chosen_part(tier) for tier in tiers]
    n_tokens, cells = compose(Ground(prefix_of(rotated=False), F16, 100, ragged=True), parts)
    assert isinstance(cells, RaggedCells) and cells.bits == bits
    check_cells(cells, SHAPE, n_tokens)
    assert n_tokens == N_PREFIX + 9 * len(tiers)
    each = np.sum([[9, 9, 9, 9] if tier == "T0" else [9, 1, 0, 4] for tier in tiers], axis=0)
    assert cells.counts.tolist() == (N_PREFIX + each).tolist()


def test_exact_ones_alone_are_never_ragged() -> None:
    for identity in (F16, Q8_0):
        for parts in ([], [exact_part()], [exact_part(), exact_part()], [exact_part(start=40)]):
            ground = Ground(prefix_of(rotated=True), identity, 100)
            (n, plain), (n_again, cells) = (compose(replace(ground, ragged=r), parts) for r in (False, True))
            assert n == n_again and type(plain) is type(cells)
            assert np.array_equal(plain.k, cells.k) and np.array_equal(plain.v, cells.v)


def test_what_does_not_fit_is_refused_ragged_or_not() -> None:
    for ragged in (False, True):
        with pytest.raises(ContextOverflow):
            compose(Ground(prefix_of(rotated=False), F16, 13, ragged=ragged), [chosen_part("T1")])


def test_a_prefix_says_how_it_was_read(store: Store) -> None:
    """The one of a runtime that rotates is kept for one that does not, and the other way round."""
    for rotated, reader_identity, other in ((True, Q8_0, F16), (False, F16, Q8_0)):
        cells = blocks(N_PREFIX, 0, 1, rotated=rotated)
        store.keep_prefix(prefixes._key(reader_identity, (7,) * N_PREFIX), prefixes._pack(cells))
        found = prefixes.stored(store, other, (7,) * N_PREFIX)
        assert found is not None and found.cells.rotated == rotated
        assert np.array_equal(found.cells.k, cells.k) and np.array_equal(found.cells.v_scales, cells.v_scales)


@pytest.mark.parametrize("spoil", [lambda b: b"SMPX1" + b[5:], lambda b: b[:5] + b"\2" + b[6:], lambda b: b[:5]])
def test_a_prefix_of_another_version_is_none(store: Store, spoil: object) -> None:
    tokens = (7,) * N_PREFIX
    packed = prefixes._pack(blocks(N_PREFIX, 0, 1, rotated=False))
    store.keep_prefix(prefixes._key(F16, tokens), packed)
    assert prefixes.stored(store, F16, tokens) is not None
    store.keep_prefix(prefixes._key(F16, tokens), spoil(packed))  # type: ignore[operator]
    assert prefixes.stored(store, F16, tokens) is None


def test_heads_that_cannot_be_rotated_are_refused_though_a_cartridge_says_so(tmp_path: Path) -> None:
    """Its shape fits the model, and its seal is right: only the sizes tell."""
    path = tmp_path / "cartridge"
    identity = replace(identity_of(), dtype="q8_0", rotated=True)
    written(path, manifest=manifest_of(identity=identity))
    with open_cartridge(path, KEY) as file, pytest.raises(CorruptCartridge, match="decoded"):
        exact.decode(file)


def test_a_cartridge_too_large_for_float16_is_refused_before_a_runtime_sees_it() -> None:
    part = exact_part(rotated=True)
    assert isinstance(part.held, QuantizedCells)
    part.held.k_scales[:] = 65504
    n_tokens, cells = load.compose(Ground(prefix_of(rotated=False), F16, 100), [part])
    with pytest.raises(ModelError, match="not finite"):
        check_cells(cells, SHAPE, n_tokens)
