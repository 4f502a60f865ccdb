"""The shipped calibration's padding keys in the real model: no query looks at them, wherever it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from secondme.cartridges.calibration import Calibration, read_calibration
from secondme.cartridges.calibrations import SHIPPED
from secondme.cartridges.turn import rotate
from secondme.runtime.kv import Cells, FloatRows, KvReader
from secondme.runtime.llama import LlamaGenerator, LlamaOptions

# Words of several kinds, none of them in the calibration: prose, code, figures, another language, control tokens.
TEXT = (
    "<|im_start|>system\nAnswer from the documents.\n\nThe lighthouse keeper wrote 1,482 letters from 1911 on.\n"
    "def area(r: float) -> float:\n    return 3.14159 * r ** 2\n\n| id | price |\n|---|---|\n| X-77 | 12.50 |\n"
    "Der Zug nach Süden fährt um 6:45 Uhr ab; ¿quién lo sabe? \U0001f600 ))) ;;; ...\n"
    "<|im_end|>\n<|im_start|>user\nWho wrote letters?<|im_end|>\n<|im_start|>assistant\nThe lighthouse keeper."
)
N_PADDING = 300


@pytest.fixture(scope="module")
def generator(smollm2_path: Path) -> Iterator[LlamaGenerator]:
    model = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=1024))
    yield model
    model.close()


@pytest.fixture(scope="module")
def reader(generator: LlamaGenerator) -> Iterator[KvReader]:
    opened = generator.reader(1024)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def calibration(reader: KvReader) -> Calibration:
    (file,) = SHIPPED.glob(f"{reader.identity.weights}*.smkc")
    return read_calibration(file)


def test_what_all_padding_gets_is_nothing_beside_the_real_keys(
    generator: LlamaGenerator, reader: KvReader, calibration: Calibration
) -> None:
    captured: dict[int, list[tuple[FloatRows, FloatRows]]] = {}
    reader.rewind(0)
    tokens = generator.tokenize(TEXT, special=True)
    list(reader.read(tokens, capture=lambda i, q, k: captured.setdefault(i, []).append((q, k))))
    shape, rng = reader.identity.shape, np.random.default_rng(0)
    group, leak = shape.n_heads // shape.n_kv_heads, 0.0
    positions = np.arange(len(tokens), dtype=np.int32)
    for layer, blocks in captured.items():
        queries, keys = (np.concatenate(side) for side in zip(*blocks, strict=True))
        for shift in (0, int(rng.integers(1, 8000))):
            # the whole text moved on: products among its own tokens stay what they are
            turned = rotate(queries, np.array([shift], np.int32), reader.identity.rope)
            for head in range(shape.n_heads):
                kv_head = head // group
                logits = queries[:, head] @ keys[:, kv_head].T * shape.k_dim**-0.5
                logits[positions[None] > positions[:, None]] = -np.inf
                top = logits.max(axis=1)
                real = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
                padding = calibration.padding[layer * shape.n_kv_heads + kv_head].astype(np.float32)
                pad = turned[:, head] @ padding * shape.k_dim**-0.5
                leak = max(leak, float(4000 * np.exp((pad - real)[1:].max())))  # the first token sees itself only
    assert leak < 0.05  # of the attention of the one query, in the one head, that looks there most


def test_a_padded_cache_answers_as_the_plain_one(
    generator: LlamaGenerator, reader: KvReader, calibration: Calibration
) -> None:
    tokens = generator.tokenize(TEXT, special=True)
    asked = generator.tokenize("<|im_end|>\n<|im_start|>user\nHow many?<|im_end|>\n", special=True)
    reader.rewind(0)
    list(reader.read(tokens))
    cells, n_prefix = reader.cells(), 20
    n_layers, _, n_heads, k_dim = cells.k.shape
    behind = rotated(cells, n_prefix, N_PADDING, reader)
    reader.place(len(tokens) + N_PADDING, behind)
    plain = reader.logits(asked)
    k = np.broadcast_to(calibration.padding.reshape(n_layers, 1, n_heads, k_dim), (n_layers, N_PADDING, n_heads, k_dim))
    padded = Cells(
        np.insert(behind.positions, n_prefix, np.arange(n_prefix, n_prefix + N_PADDING, dtype=np.int32)),
        np.concatenate([behind.k[:, :n_prefix], k, behind.k[:, n_prefix:]], axis=1),
        np.concatenate([behind.v[:, :n_prefix], np.zeros_like(k), behind.v[:, n_prefix:]], axis=1),
    )
    reader.place(len(tokens) + N_PADDING, padded)
    np.testing.assert_allclose(reader.logits(asked), plain, atol=0.05)
    zero = Cells(padded.positions, padded.k.copy(), padded.v)
    zero.k[:, n_prefix : n_prefix + N_PADDING] = 0
    reader.place(len(tokens) + N_PADDING, zero)
    assert np.abs(reader.logits(asked) - plain).max() > 0.5  # any other key would be seen


def rotated(cells: Cells, start: int, shift: int, reader: KvReader) -> Cells:
    """The cells from number `start` on moved by `shift` positions."""
    positions, k = cells.positions.copy(), cells.k.copy()
    positions[start:] += shift
    for layer in range(len(k)):
        moved = rotate(k[layer, start:].astype(np.float32), np.array([shift], np.int32), reader.identity.rope)
        k[layer, start:] = moved.astype(np.float16)
    return Cells(positions, k, cells.v)
