"""From cartridges to one cache: opened, checked, decoded, moved to their positions and joined behind the prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secondme.cartridges import codec, exact, place
from secondme.cartridges.build import ROWS
from secondme.cartridges.calibration import Calibration
from secondme.cartridges.format import CartridgeReader
from secondme.cartridges.manifest import Expected, Tier, check_manifest
from secondme.cartridges.prefix import Prefix
from secondme.cartridges.rows import HeadRows
from secondme.errors import CartridgeIncompatible
from secondme.runtime.cells import plain
from secondme.runtime.kv import AnyCells, KvIdentity, QuantizedCells

_HINT = "nothing is lost: the document's text is read instead, and the cartridge is made again"


@dataclass(frozen=True, slots=True)
class Part:
    """A document's decoded keys and values, with the position of its first token when it was read."""

    held: QuantizedCells | HeadRows
    start: int
    n_tokens: int
    tier: Tier


@dataclass(frozen=True, slots=True)
class Ground:
    """What parts are joined behind: `identity` and `n_ctx` are of the context that is to hold them.

    `ragged`: whether its heads may differ in length. `calibration` is needed where they may not and a part is none of
    T0: it knows what heads are filled up with.
    """

    prefix: Prefix
    identity: KvIdentity
    n_ctx: int
    calibration: Calibration | None = None
    ragged: bool = False


def decode(file: CartridgeReader, expected: Expected, calibration: Calibration | None = None) -> Part:
    """Check an open cartridge against what it must be for, and decode it.

    Raises CartridgeIncompatible, also for one that is not complete; CartridgeStale, CorruptCartridge, StoreError.
    """
    manifest = file.manifest
    check_manifest(manifest, expected)
    if not manifest.complete:
        raise CartridgeIncompatible("the cartridge holds only the beginning of its document", hint=_HINT)
    if manifest.codec != (exact.CODEC if manifest.tier == "T0" else codec.CODEC):
        raise CartridgeIncompatible("the cartridge was coded by another version", hint=_HINT)
    file.tokens()
    if manifest.tier == "T0":
        return Part(exact.decode(file), manifest.start, manifest.n_tokens, manifest.tier)
    if calibration is None or calibration.digest != manifest.calibration:
        raise CartridgeIncompatible("the cartridge needs a calibration that is not at hand", hint=_HINT)
    sections = [bytes(file.section(ROWS, layer)) for layer in range(manifest.identity.shape.n_layers)]
    rows = codec.decode(sections, manifest.n_tokens, calibration)
    return Part(rows, manifest.start, manifest.n_tokens, manifest.tier)


def compose(ground: Ground, parts: Sequence[Part]) -> tuple[int, AnyCells]:
    """Number of positions and cells of one cache: the prefix, and behind it the parts, one after another.

    Where the context takes them, and some part is none of T0, they are RaggedCells. Raises CartridgeIncompatible if one
    must move and the model's keys cannot, ContextOverflow if they do not fit.
    """
    at, shape = len(ground.prefix), ground.identity.shape
    if len(parts) == 1 and parts[0].start == at and isinstance(parts[0].held, QuantizedCells):
        joined = exact.behind(ground.prefix.cells, parts[0].held, ground.identity)
        return len(joined), joined
    placed: list[place.Part] = []
    for part in parts:
        rows = plain(part.held, shape) if isinstance(part.held, QuantizedCells) else part.held
        placed.append(place.Part(rows, at))
        at += part.n_tokens
    if ground.calibration is not None:
        padding = ground.calibration.padding
    else:  # all heads have as many rows, or may differ: nothing is filled up
        padding = np.zeros((shape.n_layers * shape.n_kv_heads, shape.k_dim), np.float16)
    prefix = plain(ground.prefix.cells, shape)
    behind = place.Ground(prefix, padding, ground.identity.rope, ground.n_ctx)
    if ground.ragged and any(isinstance(part.held, HeadRows) for part in parts):
        return place.place_ragged(behind, placed, shape, _bits(parts))
    return place.place(behind, placed)


def _bits(parts: Sequence[Part]) -> Literal[8, 16]:
    """What was coded coarser than 8 bits loses nothing by them."""
    return 8 if all(part.tier in ("T2", "T3") for part in parts) else 16
