"""Quantized blocks, read one element at a time here, by llama.cpp, and as MLX gets them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.runtime.gguf_header import BLOCKS
from secondme.runtime.mlx_gguf import BITS
from secondme.runtime.mlx_lib import core, on_worker
from secondme.runtime.mlx_pack import Packed, pack
from tests.fault.soak import n
from tests.ggml import dequantized, quantized

KINDS = [gguf.GGMLQuantizationType(kind).name for kind in sorted(BITS)]
HALVES = {"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2}
"""How many halves a block starts with, where it is not one; Q6_K ends with its only one."""
IQ4_NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def half(block: bytes, at: int) -> float:
    return float(struct.unpack_from("<e", block, at)[0])


def bit(data: Sequence[int], i: int) -> int:
    return data[i // 8] >> (i % 8) & 1


def nibble(data: bytes, i: int, distance: int) -> int:
    """Element i of runs of two times `distance`, the first half of a run in the low nibbles, the second in the high."""
    run, place = divmod(i, 2 * distance)
    byte = data[run * distance + place % distance]
    return byte >> 4 if place >= distance else byte & 15


def six_bits(packed: bytes, group: int) -> tuple[int, int]:
    """Scale and minimum of a group of 32: the last four are spread over what the first four leave."""
    if group < 4:
        return packed[group] & 63, packed[group + 4] & 63
    low, upper = packed[group + 4], (packed[group - 4] >> 6, packed[group] >> 6)
    return (low & 15) + 16 * upper[0], (low >> 4) + 16 * upper[1]


def k_element(block: bytes, i: int, level: int) -> float:
    scale, minimum = six_bits(block[4:16], i // 32)
    return half(block, 0) * scale * level - half(block, 2) * minimum


def q6_level(block: bytes, i: int) -> int:
    """Each half of a block has 64 bytes of nibbles and 32 of upper pairs."""
    side, place = divmod(i, 128)
    low = nibble(block[64 * side :], place, 64)
    pair = block[128 + 32 * side + place % 32] >> 2 * (place // 32) & 3
    return low + 16 * pair - 32


def q6_scale(block: bytes, i: int) -> int:
    return int(np.int8(np.uint8(block[192 + i // 16])))


def fifth(block: bytes, i: int) -> int:
    """The upper bit of an element of Q5_K: a byte for each place in a group, a bit for each group."""
    return block[16 + i % 32] >> (i // 32) & 1


ELEMENT: dict[str, Callable[[bytes, int], float]] = {
    "Q4_0": lambda block, i: half(block, 0) * (nibble(block[2:], i, 16) - 8),
    "Q4_1": lambda block, i: half(block, 0) * nibble(block[4:], i, 16) + half(block, 2),
    "Q5_0": lambda block, i: half(block, 0) * (nibble(block[6:], i, 16) + 16 * bit(block[2:6], i) - 16),
    "Q5_1": lambda block, i: half(block, 0) * (nibble(block[8:], i, 16) + 16 * bit(block[4:8], i)) + half(block, 2),
    "Q8_0": lambda block, i: half(block, 0) * int(np.int8(np.uint8(block[2 + i]))),
    "Q4_K": lambda block, i: k_element(block, i, nibble(block[16:], i, 32)),
    "Q5_K": lambda block, i: k_element(block, i, nibble(block[48:], i, 32) + 16 * fifth(block, i)),
    "Q6_K": lambda block, i: half(block, 208) * q6_scale(block, i) * q6_level(block, i),
    "IQ4_NL": lambda block, i: half(block, 0) * IQ4_NL[nibble(block[2:], i, 16)],
}


def number(kind: str) -> int:
    return int(gguf.GGMLQuantizationType[kind])


def unpacked(packed: Packed, bits: int) -> np.ndarray:
    """What MLX makes of it, bit by bit: element = scale * level + bias, in float32."""
    rows = np.unpackbits(packed.weight.view(np.uint8), axis=1, bitorder="little")
    levels = rows.reshape(len(rows), -1, 32, bits) @ (1 << np.arange(bits))
    scales, biases = (numbers.astype(np.float32)[..., None] for numbers in (packed.scales, packed.biases))
    return (levels.astype(np.float32) * scales + biases).reshape(len(rows), -1)


def step(block: bytes, i: int) -> float:
    """The larger of the two scales of Q6_K that an element's group of 32 has."""
    first = i // 32 * 32
    return abs(half(block, 208)) * max(abs(q6_scale(block, first)), abs(q6_scale(block, first + 16)))


def with_finite_halves(kind: str, raw: bytes) -> bytes:
    """Halves of a middling size in place of a block's own, which may be no numbers."""
    places = [208] if kind == "Q6_K" else [2 * i for i in range(HALVES.get(kind, 1))]
    block = bytearray(raw)
    for at in places:
        block[at + 1] = block[at + 1] & 0x83 | 0x20
    return bytes(block)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=n(40, 2000), deadline=None)
@given(data=st.data())
def test_any_block_is_what_reading_element_by_element_gives(kind: str, data: st.DataObject) -> None:
    n_elements, n_bytes = BLOCKS[number(kind)]
    block = with_finite_halves(kind, data.draw(st.binary(min_size=n_bytes, max_size=n_bytes)))
    ours = unpacked(pack(number(kind), block, 1, n_elements), BITS[number(kind)])[0]
    slowly = np.array([ELEMENT[kind](block, i) for i in range(n_elements)])
    assert np.array_equal(slowly.astype(np.float32), dequantized(kind, np.frombuffer(block, np.uint8)[None])[0])
    if kind != "Q6_K":
        assert np.array_equal(ours, slowly.astype(np.float32))
        return
    for i in range(n_elements):
        room = step(block, i)
        is_larger = abs(half(block, 208) * q6_scale(block, i)) == room
        assert abs(ours[i] - slowly[i]) <= room * (1e-5 if is_larger else 1 / 6 + 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_that_llama_cpp_packed(kind: str) -> None:
    rows = np.random.default_rng(2).standard_normal((48, 768)).astype(np.float32)
    raw = quantized(kind, rows)
    theirs = dequantized(kind, raw)
    ours = unpacked(pack(number(kind), raw.tobytes(), *rows.shape), BITS[number(kind)])
    if kind == "Q6_K":
        assert np.std(ours - theirs) < 0.25 * np.std(theirs - rows)
    else:
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
def test_mlx_reads_each_width_as_it_is_packed(kind: str) -> None:
    rows = np.random.default_rng(3).standard_normal((32, 256)).astype(np.float32)
    bits = BITS[number(kind)]
    packed = pack(number(kind), quantized(kind, rows).tobytes(), *rows.shape)
    x = np.random.default_rng(4).standard_normal((3, 256)).astype(np.float32)

    def work() -> tuple[np.ndarray, np.ndarray]:
        mx = core()
        parts = [mx.array(part) for part in (packed.weight, packed.scales, packed.biases)]
        product = mx.quantized_matmul(mx.array(x), *parts, transpose=True, group_size=32, bits=bits)
        return np.array(mx.dequantize(*parts, group_size=32, bits=bits)), np.array(product)

    numbers, product = on_worker(work)
    expected = unpacked(packed, bits)
    assert np.array_equal(numbers, expected)
    assert np.allclose(product, x @ expected.T, atol=1e-4)


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
@pytest.mark.parametrize("filled", [0, 255])
def test_super_blocks_of_one_byte_over_and_over(kind: str, filled: int) -> None:
    """No scale at all; and every level, scale and minimum at its end."""
    block = with_finite_halves(kind, bytes([filled]) * BLOCKS[number(kind)][1])
    ours = unpacked(pack(number(kind), block, 1, 256), BITS[number(kind)])
    assert np.allclose(ours, dequantized(kind, np.frombuffer(block, np.uint8)[None]), rtol=1e-6)


def test_scales_that_overflow_a_half_are_kept_in_full() -> None:
    big = np.array([60000.0], "<f2").tobytes()
    packed = pack(8, big + bytes(range(32)), 1, 32)
    assert packed.scales.dtype == packed.biases.dtype == np.float32
    assert packed.biases[0, 0] == -128 * np.float32(packed.scales[0, 0])
    small = pack(8, np.array([5e-8], "<f2").tobytes() + bytes(32), 1, 32)
    assert small.biases.dtype == np.float16 and float(small.biases[0, 0]) == -128 * float(small.scales[0, 0])


@pytest.mark.parametrize("scales", [(127, -127), (-128, 127), (1, -1), (127, 0), (0, 0)])
def test_two_scales_as_far_apart_as_they_can_be(scales: tuple[int, int]) -> None:
    """64 steps of the larger scale between the least and the greatest, which is the most there can be."""
    block = bytes(192) + np.array(scales * 8, np.int8).tobytes() + np.array([0.5], "<f2").tobytes()
    ours = unpacked(pack(number("Q6_K"), block, 1, 256), 8)
    room = max(map(abs, scales)) / 2 / 6 + 1e-6  # what the half with the smaller scale may move
    assert np.abs(ours - np.tile(np.repeat(scales, 16) * -16.0, 8)).max() <= room
