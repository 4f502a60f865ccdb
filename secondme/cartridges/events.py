"""What a build says while it works. Standard library only, so that a screen loads nothing else to tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["reading", "scoring", "writing"]


@dataclass(frozen=True, slots=True)
class BuildStarted:
    """A document's turn has come. `n_done` of `n_total` documents are over."""

    source_id: int
    path: str
    n_tokens: int
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """Tokens of a stage: `reading` the document, `scoring` its tokens by reading it again, `writing` the file."""

    source_id: int
    stage: Stage
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class CartridgeStored:
    """A cartridge is on the disk and can be opened, if it is `complete`: the first one long before the smallest."""

    source_id: int
    path: str
    tier: str
    complete: bool
    n_tokens: int
    size_bytes: int
    f16_bytes: int
    build_s: float


@dataclass(frozen=True, slots=True)
class BuildSkipped:
    """The document has no cartridge, or keeps a larger one; the rest goes on."""

    source_id: int
    path: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BuildsDone:
    """The last event."""

    n_built: int
    n_skipped: int
    elapsed_s: float


BuildEvent = BuildStarted | BuildProgress | CartridgeStored | BuildSkipped | BuildsDone
