"""Four bits a value, and how few bytes an ideal entropy coder would need for them; runs in the peers' environment.

Two ways, of which the benchmark grants a press the better one: llama.cpp's q4_0 (32 values share a scale), and the same
after a Hadamard transform of the whole head, where one scale does (QuaRot, Ashkboos et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

QUANTIZERS = {"q4_0": (32, False), "hadamard4": (64, True)}
"""Name to (values that share a scale, whether they are transformed first)."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """values: [heads, n, D] as they come back. codes: uint8 [heads, n, D]; scales: their float16 bits, int32
    [heads, n, blocks]."""

    values: Any
    codes: Any
    scales: Any


def quantize(x: Any, name: str) -> Quantized:
    """x: float32 [heads, n, D]."""
    block, transformed = QUANTIZERS[name]
    block = math.gcd(block, x.shape[-1])
    groups = (hadamard(x) if transformed else x).reshape(*x.shape[:-1], -1, block)
    at = groups.abs().argmax(-1, keepdim=True)
    scales = (groups.gather(-1, at) / -8).half()
    steps = torch.where(scales == 0, torch.ones_like(scales), scales).float()
    codes = (groups / steps).round().clamp(-8, 7)
    values = (codes * scales.float()).reshape(x.shape)
    bits = scales.squeeze(-1).view(torch.int16).int() & 0xFFFF
    return Quantized(hadamard(values) if transformed else values, (codes + 8).byte().reshape(x.shape), bits)


def hadamard(x: Any) -> Any:
    """Orthonormal, over the last dimension, which must be a power of two; its own inverse."""
    n = x.shape[-1]
    if n & (n - 1):
        raise ValueError("a Hadamard transform of that many dimensions is not known here")
    y, half = x, 1
    while half < n:
        y = y.reshape(*x.shape[:-1], -1, 2, half)
        y = torch.stack((y[..., 0, :] + y[..., 1, :], y[..., 0, :] - y[..., 1, :]), -2)
        half *= 2
    return y.reshape(x.shape) / math.sqrt(n)


def ideal_bits(quantized: Quantized, keep: Any) -> float:
    """Bits for the kept rows of every head, with a table a head that costs nothing: less than any coder needs.

    keep: bool [heads, n].
    """
    rows = keep[..., None].expand_as(quantized.scales)
    scales = quantized.scales
    return (
        _entropy_bits(quantized.codes, keep[..., None].expand_as(quantized.codes), 16)
        + _entropy_bits(scales >> 8, rows, 256)
        + _entropy_bits(scales & 255, rows, 256)
    )


def index_bits(keep: Any) -> float:
    """Bits that say which of n rows every head keeps: the logarithm of the number of choices, about."""
    n = keep.shape[1]
    total: float = sum(n * _binary_entropy(int(head.sum()) / n) for head in keep)
    return total


def _entropy_bits(symbols: Any, wanted: Any, n_symbols: int) -> float:
    """Sum over heads of n times the entropy of the n `wanted` symbols of the head."""
    n_heads = symbols.shape[0]
    first = (torch.arange(n_heads, dtype=torch.int32) * n_symbols).view(-1, *[1] * (symbols.dim() - 1))
    counts = torch.bincount((symbols.int() + first)[wanted], minlength=n_heads * n_symbols)
    counts = counts.double().view(n_heads, n_symbols)
    each = torch.special.xlogy(counts.sum(1), counts.sum(1)) - torch.special.xlogy(counts, counts).sum(1)
    return float(each.sum()) / math.log(2)


def _binary_entropy(p: float) -> float:
    return 0.0 if p <= 0 or p >= 1 else -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
