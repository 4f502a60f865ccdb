"""The tiers: how much of a document's keys and values a cartridge keeps, and how finely. All numbers are here.

They were chosen on two documents; docs/cartridges.md says how, and what else was tried. A cartridge carries the
numbers that its decoding needs, so that these may change without a new format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TierName = Literal["T0", "T1", "T2", "T3"]


@dataclass(frozen=True, slots=True)
class Tier:
    """keep: share of all (head, token) rows that is kept, 1 for all.

    key_step, value_step: step of the quantizer for rows of the highest scores, in units of the calibration's scale.
    Rows of lower scores have coarser steps: class c = slope * log2(top_score / score), rounded, 0 to n_classes - 1, has
    steps 2 ** (c * class_eighths / 8) times as coarse. thrift: bits that a squared error of a step squared must save
    (lambda of rate-distortion optimized quantization).
    """

    name: TierName
    keep: float = 1.0
    key_step: float = 1.0
    value_step: float = 1.0
    n_classes: int = 8
    class_eighths: int = 8
    slope: float = 0.25
    top_score: float = 0.3
    thrift: float = 0.15


T0 = Tier("T0")
"""As the runtime's q8_0 cache holds it: no selection, no transform."""

T1 = Tier("T1", keep=0.5, key_step=0.155, value_step=0.155)
T2 = Tier("T2", keep=0.5, key_step=0.4, value_step=0.4)
T3 = Tier("T3", keep=0.27, key_step=0.97, value_step=0.97, thrift=0.2)

TIERS: dict[TierName, Tier] = {tier.name: tier for tier in (T0, T1, T2, T3)}
