"""One budget over all heads: exact, ascending, and the same each time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from secondme.cartridges.select import gather, select
from secondme.cartridges.turn import rotate
from secondme.runtime.kv import Cells, KvShape, Rope


@given(
    n_heads=st.integers(1, 6),
    n_tokens=st.integers(1, 30),
    n_rows=st.integers(0, 200),
    cap=st.none() | st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_the_budget_is_spent_on_the_highest_scores(
    n_heads: int, n_tokens: int, n_rows: int, cap: int | None, seed: int
) -> None:
    # few different scores, so that there are ties
    scores = np.random.default_rng(seed).integers(0, 5, (n_heads, n_tokens)).astype(np.float32)
    kept = select(scores, n_rows, cap=cap)
    room = n_tokens if cap is None else min(cap, n_tokens)
    assert len(kept.tokens) == kept.counts.sum() == min(n_rows, n_heads * room)
    assert kept.counts.max() <= room
    for head in range(n_heads):
        rows = slice(kept.offsets[head], kept.offsets[head + 1])
        tokens = kept.tokens[rows]
        assert (np.diff(tokens) > 0).all()
        assert (kept.scores[rows] == scores[head, tokens]).all()
        dropped = np.setdiff1d(np.arange(n_tokens), tokens)
        if len(dropped) and len(tokens):
            lowest, highest = scores[head, tokens].min(), scores[head, dropped].max()
            assert lowest >= highest  # within a head no better token was dropped
            tied = dropped[scores[head, dropped] == lowest]
            assert not len(tied) or tokens[scores[head, tokens] == lowest].max() < tied.min()
    if cap is None and 0 < len(kept.tokens) < scores.size:
        assert kept.scores.min() >= np.partition(scores.ravel(), -len(kept.tokens))[-len(kept.tokens)]


def test_gathered_rows_are_the_cells_turned_back_to_before_rope() -> None:
    shape, rope = KvShape(2, 2, 4, 8, 8), Rope("adjacent", 8, 1e4)
    rng = np.random.default_rng(0)
    before = rng.normal(size=(2, 20, 2, 8)).astype(np.float32)
    positions = np.arange(5, 25, dtype=np.int32)
    k = np.stack([rotate(layer, positions, rope) for layer in before]).astype(np.float16)
    cells = Cells(positions, k, rng.normal(size=before.shape).astype(np.float16))
    kept = select(rng.random((4, 20), dtype=np.float32), 37)
    rows = gather(cells, kept, shape, rope)
    assert rows.n_tokens == 20
    for index in range(4):
        chosen = slice(rows.offsets[index], rows.offsets[index + 1])
        layer, head = divmod(index, 2)
        np.testing.assert_allclose(rows.k[chosen], before[layer, rows.tokens[chosen], head], atol=5e-3)
        np.testing.assert_array_equal(rows.v[chosen], cells.v[layer, rows.tokens[chosen], head])
