"""`secondme bench recall`: how much of the evidence for a question memory finds, on data that the caller brings.

    documents.py  Cranfield and XQuAD: passages of files        locomo.py  conversations of many sessions
    updates.py    what was corrected: the current value first   poison.py  attacks, and their harmless twins
    scale.py      latency and memory of large stores            learn.py   weights of the fusion, from conversations
    peers/        other retrievers and memories over the same questions

No collection ships with the program. Those for updates and poison can be made from templates, with a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.rows import Row
from secondme.errors import UsageError
from secondme.types import CancelCheck, never_cancelled

if TYPE_CHECKING:
    from secondme.runtime.base import Embedder, Generator


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured: every collection that is named.

    limit: at most so many questions of each, 0 for all. answers: the model answers the questions about documents.
    learn: where to write the weights learned from all of `locomo`, or else from `updates`. scale: turns of a made-up
    store, 0 for none.
    make_updates, make_poison: where to write a set made with `seed`. peers: names with commas, "all", "" for none.
    """

    locomo: Path | None = None
    cranfield: Path | None = None
    xquad: Path | None = None
    updates: Path | None = None
    poison: Path | None = None
    learn: Path | None = None
    make_updates: Path | None = None
    make_poison: Path | None = None
    scale: int = 0
    limit: int = 0
    answers: bool = False
    peers: str = ""
    seed: str = "proof"

    @property
    def is_empty(self) -> bool:
        named = (self.locomo, self.cranfield, self.xquad, self.updates, self.poison, self.make_updates)
        return not (any(named) or self.make_poison or self.scale)


@dataclass(frozen=True, slots=True)
class Tools:
    """What each part measures with. `generator` is None unless answers are asked for; `say` is told what is done."""

    embedder: Embedder
    options: Options
    say: Callable[[str], None]
    generator: Generator | None = None
    cancelled: CancelCheck = never_cancelled


def checked(options: Options) -> Options:
    """The same, if it can be measured. Raises UsageError for what cannot."""
    if options.is_empty:
        raise UsageError(
            "recall is measured on data that you bring",
            hint="name it: --locomo FILE, --cranfield FILE, --xquad FILE, --updates FILE, --poison FILE, or --scale N",
        )
    if options.learn is not None and options.locomo is None and options.updates is None:
        raise UsageError("weights are learned from conversations", hint="name them: --locomo FILE or --updates FILE")
    made = (None, options.make_updates, options.make_poison)
    for path in (options.locomo, options.cranfield, options.xquad, options.updates, options.poison):
        if path not in made and not path.is_file():
            raise UsageError(f"there is no file {path}", hint="name a file that can be read")
    if options.limit < 0 or options.scale < 0:
        raise UsageError("fewer than none cannot be measured", hint="--limit N --scale N")
    return options


def run(tools: Tools) -> Iterator[Row]:
    """Rows for everything that `tools.options` names, as `checked` returns them; sets are made before they are read."""
    from secondme.bench.recall import documents, learn_standing, locomo, poison, scale, updates
    from secondme.bench.recall.peers import compare

    options = tools.options
    ours: dict[str, float] = {}
    for module, path in ((updates, options.make_updates), (poison, options.make_poison)):
        if path is not None:
            module.write(path, options.seed)
    if options.cranfield is not None:
        yield from documents.cranfield_rows(options.cranfield, tools)
    if options.xquad is not None:
        yield from documents.xquad_rows(options.xquad, tools)
    if options.locomo is not None:
        yield from _noted(locomo.rows(options.locomo, tools), ours)
    if options.locomo is not None and options.peers:
        yield from compare.rows(options.locomo, tools, ours)
    if options.updates is not None:
        is_learned = options.learn is not None and options.locomo is None
        yield from (learn_standing.rows if is_learned else updates.rows)(options.updates, tools)
    if options.poison is not None:
        yield from poison.rows(options.poison, tools)
    if options.scale:
        yield from scale.rows(options.scale, tools)


def _noted(rows: Iterator[Row], figures: dict[str, float]) -> Iterator[Row]:
    """The same rows; their values go into `figures`, for peers to stand beside."""
    for row in rows:
        figures[row.case] = row.value
        yield row
