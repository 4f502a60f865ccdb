"""The process whose searches and memory `scale.py` measures: it holds the store and no model.

python -m secondme.bench.recall.searching FOLDER    reads scale.db and questions.json, prints one JSON object
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from secondme.crypto.keys import StoreKeys
from secondme.memory.store import Store
from secondme.recall.retrieve import retrieve
from secondme.recall.turns import recall_turns
from secondme.reflect.learn import learn_from_turn
from secondme.reflect.screen import screen_turn
from secondme.runtime.echo import HashEmbedder
from secondme.types import CancelCheck, never_cancelled

if TYPE_CHECKING:
    from secondme.runtime.base import FloatMatrix, TokenVectors

Read = TypeVar("Read")

_N_WRITES = 60
_N_WARM = 5
_TOWNS = ("Bergen", "Porto", "Turku", "Graz", "Leiden")
_WAIT_S = 120.0


class Clocked(HashEmbedder):
    """Counts the seconds that it takes, so that they can be taken off."""

    def __init__(self) -> None:
        super().__init__()
        self.spent_s = 0.0

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        return self._clocked(super().embed, texts, cancelled)

    def embed_tokens(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> list[TokenVectors]:
        return self._clocked(super().embed_tokens, texts, cancelled)

    def _clocked(self, read: Callable[..., Read], texts: Sequence[str], cancelled: CancelCheck) -> Read:
        before, started = self.spent_s, time.perf_counter()
        found = read(texts, cancelled=cancelled)
        self.spent_s = before + time.perf_counter() - started  # what is called within is not counted twice
        return found


@dataclass
class Times:
    """Seconds of each search, and of the processor that the process took, without what the embedder took of both."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @contextmanager
    def add(self, embedder: Clocked) -> Iterator[None]:
        spent, started, cpu_started = embedder.spent_s, time.perf_counter(), time.process_time()
        yield
        cpu_s, wall_s = time.process_time() - cpu_started, time.perf_counter() - started
        reading = embedder.spent_s - spent
        self.wall_s.append(wall_s - reading)
        self.cpu_s.append(max(0.0, cpu_s - reading))


def main(folder: Path) -> int:
    questions: list[tuple[str, int]] = json.loads((folder / "questions.json").read_text("utf-8"))
    store = Store.open(folder / "scale.db", StoreKeys.derived(bytes(32)))
    embedder = Clocked()
    _warm(store, embedder, questions)
    turns, passages, n_hits = Times(), Times(), 0
    for question, turn_id in questions:
        with turns.add(embedder):
            found = recall_turns(question, store, embedder, project="default", k=10)
        with passages.add(embedder):
            retrieve(question, store, embedder)
        n_hits += turn_id in {hit.turn.id for hit in found.hits}
    measured = {"turns": asdict(turns), "passages": asdict(passages), "n_hits": n_hits, "rss_bytes": _rss()}
    measured["n_passages"] = store.n_chunks
    measured["writes"] = asdict(_writes(store, embedder, questions))
    store.close()
    print(json.dumps(measured))
    return 0


def _warm(store: Store, embedder: Clocked, questions: Sequence[tuple[str, int]]) -> None:
    """Indexes are built by the first searches, in threads; caches fill."""
    for question, _ in questions[:_N_WARM]:
        recall_turns(question, store, embedder, project="default", k=10)
        retrieve(question, store, embedder)
    store.warm_vectors()
    until = time.monotonic() + _WAIT_S
    while (status := store.vector_status()) is not None and status.stage != "whole" and time.monotonic() < until:
        time.sleep(0.05)


def _writes(store: Store, embedder: Clocked, questions: Sequence[tuple[str, int]]) -> Times:
    """Until a turn is on the disk, is found by its words, was screened and learned from by the rules.

    Every second one says something about its owner that replaces what the last one said. Vectors are made when the
    program has nothing else to do.
    """
    conversation = store.new_conversation("default", "written to")
    times = Times()
    for number, (question, _) in enumerate(questions[:_N_WRITES]):
        text = f"By the way, I moved to {_TOWNS[number % len(_TOWNS)]} last week." if number % 2 else question
        with times.add(embedder), store.batch():  # as `assistant/learning.py` does
            turn = store.turns_by_ids([store.add_turn(conversation, "user", text, ())])[0]
            screen_turn(store, turn, "default")
            learn_from_turn(store, turn, now=turn.created_at)
    return times


def _rss() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
