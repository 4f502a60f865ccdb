"""From cartridges to one cache: opened, checked, decoded, moved to their positions and joined behind the prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secondme.cartridges import codec, exact, place
from secondme.cartridges.build import ROWS
from secondme.cartridges.calibration import Calibration
from secondme.cartridges.format import CartridgeReader
from secondme.cartridges.manifest import Expected, check_manifest
from secondme.cartridges.prefix import Prefix
from secondme.cartridges.rows import HeadRows
from secondme.errors import CartridgeIncompatible
from secondme.runtime.kv import Cells, KvIdentity, QuantizedCells

_HINT = "nothing is lost: the document's text is read instead, and the cartridge is made again"


@dataclass(frozen=True, slots=True)
class Part:
    """A document's decoded keys and values, with the position of its first token when it was read."""

    held: QuantizedCells | HeadRows
    start: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Ground:
    """What parts are joined behind. `calibration` is needed where a part is none of T0; `n_ctx` is the context's."""

    prefix: Prefix
    identity: KvIdentity
    n_ctx: int
    calibration: Calibration | None = None


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
        return Part(exact.decode(file), manifest.start, manifest.n_tokens)
    if calibration is None or calibration.digest != manifest.calibration:
        raise CartridgeIncompatible("the cartridge needs a calibration that is not at hand", hint=_HINT)
    sections = [bytes(file.section(ROWS, layer)) for layer in range(manifest.identity.shape.n_layers)]
    return Part(codec.decode(sections, manifest.n_tokens, calibration), manifest.start, manifest.n_tokens)


def compose(ground: Ground, parts: Sequence[Part]) -> tuple[int, Cells | QuantizedCells]:
    """Number of positions and cells of one cache: the prefix, and behind it the parts, one after another.

    Raises CartridgeIncompatible if one must move and the model's keys cannot, ContextOverflow if they do not fit.
    """
    at, shape = len(ground.prefix), ground.identity.shape
    if len(parts) == 1 and parts[0].start == at and isinstance(parts[0].held, QuantizedCells):
        joined = exact.joined([ground.prefix.cells, parts[0].held])
        return len(joined), joined
    placed: list[place.Part] = []
    for part in parts:
        rows = exact.plain(part.held, shape) if isinstance(part.held, QuantizedCells) else part.held
        placed.append(place.Part(rows, at))
        at += part.n_tokens
    if ground.calibration is not None:
        padding = ground.calibration.padding
    else:  # all heads have as many rows: nothing is filled up
        padding = np.zeros((shape.n_layers * shape.n_kv_heads, shape.k_dim), np.float16)
    prefix = exact.plain(ground.prefix.cells, shape)
    return place.place(place.Ground(prefix, padding, ground.identity.rope, ground.n_ctx), placed)
