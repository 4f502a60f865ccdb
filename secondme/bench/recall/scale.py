"""Latency and memory of a large store: made-up turns and passages, searched in a process that does nothing else.

Words are made of syllables and drawn by Zipf's law, function words among them; a conversation keeps to a few hundred
words of its own, so that words repeat within it as they do in real ones. Vectors are those of the hashing embedder, a
word's for each of its tokens: they cost nothing to make, and what a search does with them does not depend on their
meaning. The time in which the embedder reads the question is not counted.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.bench.recall import Tools
from secondme.bench.rows import Row
from secondme.errors import BackendUnavailable

if TYPE_CHECKING:
    from secondme.memory.store import Store
    from secondme.runtime.base import FloatMatrix

MOST_QUESTIONS = 200
TURNS_PER_PASSAGE = 10
_TURNS_PER_CONVERSATION = 24
_BATCH = 1200  # turns: one transaction
_SHARED_WORDS, _OWN_WORDS, _FUNCTION_SHARE = 20_000, 240, 0.5
_FUNCTION_WORDS = (
    "the i to and a you it that of is in my was for so we have with me are but be on this at just they not what about"
).split()
_NAMES = "Ada Bela Cleo Dario Edda Falk Gita Hugo Ines Jost Kaia Lino Mara Nils Olga Paul Rosa Sven Tala Uwe".split()
_SYLLABLES = [a + b for a in "b d f g k l m n p r s t v z br st tr".split() for b in "a e i o u ai or en".split()]
_START = 1_600_000_000.0
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Made:
    """A question, and the turn whose words it has."""

    question: str
    turn_id: int


def rows(n_turns: int, tools: Tools) -> Iterator[Row]:
    """`search_p95_ms`, `search_median_ms` and `search_cpu_ms` of turns, `search_hit@10`, `rss_mb`, `write_ms` and
    `write_cpu_ms`, each `/<turns>`; and the times of passages as `passages_p95_ms/<passages>` and so on.

    The processor's time is a median, and what other programs do does not move it. `rss_mb` is of a whole process with
    no model in it; `search_hit@10` is how often the turn is found whose words the question has.

    A store with as many turns and a tenth as many passages is made in a temporary folder, 4.5 KB a turn on the
    disk. Raises BackendUnavailable if the process that searches fails.
    """
    with tempfile.TemporaryDirectory(prefix="secondme-scale-") as name:
        folder = Path(name)
        made = _make(folder / "scale.db", n_turns, tools)
        tools.say(f"searching among {n_turns} turns")
        measured = _searched(folder, made)
    n = len(made)
    yield from _times("search", n_turns, measured["turns"])
    yield Row("recall", f"search_hit@10/{n_turns}", 100 * measured["n_hits"] / n, "%", n)
    yield from _times("passages", measured["n_passages"], measured["passages"])
    yield Row("recall", f"rss_mb/{n_turns}", measured["rss_bytes"] / 1e6, "MB", n_turns)
    wall, cpu = (sorted(measured["writes"][kind]) for kind in ("wall_s", "cpu_s"))
    yield Row("recall", f"write_ms/{n_turns}", 1000 * wall[len(wall) // 2], "ms", len(wall))
    yield Row("recall", f"write_cpu_ms/{n_turns}", 1000 * cpu[len(cpu) // 2], "ms", len(cpu))


def _times(what: str, size: int, measured: dict[str, list[float]]) -> Iterator[Row]:
    wall, cpu = sorted(measured["wall_s"]), sorted(measured["cpu_s"])
    n = len(wall)
    for name, seconds in (
        (f"{what}_p95_ms", wall[int(0.95 * (n - 1))]),
        (f"{what}_median_ms", wall[n // 2]),
        (f"{what}_cpu_ms", cpu[n // 2]),
    ):
        yield Row("recall", f"{name}/{size}", 1000 * seconds, "ms", n)


class Writer:
    """Turns, passages and questions, the same for a seed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        words = {
            "".join(self.random.choices(_SYLLABLES, k=self.random.choice((2, 3, 3, 4)))) for _ in range(_SHARED_WORDS)
        }
        self.words = sorted(words)
        self.random.shuffle(self.words)
        self._weights = [1 / (rank + 2.7) for rank in range(len(self.words))]

    def vocabulary(self) -> list[str]:
        """A conversation's own words: common ones are in many conversations."""
        return self.random.choices(self.words, self._weights, k=_OWN_WORDS)

    def text(self, vocabulary: list[str], n_words: int) -> str:
        """A sentence of about `n_words`, every second one a function word."""
        pairs = zip(
            self.random.choices(_FUNCTION_WORDS, k=n_words // 2),
            self.random.choices(vocabulary, k=n_words // 2),
            strict=True,
        )
        return " ".join(word for pair in pairs for word in pair).capitalize() + "."

    def question(self, speaker: str, text: str, at: float) -> str:
        """About a turn, by a few of its words; every second one names the month in which it was said."""
        content = [word for word in text.lower().strip(".").split() if word not in _FUNCTION_WORDS]
        words = self.random.sample(content, min(len(content), self.random.randint(3, 5)))
        when = self.random.choice(("", f" in {datetime.fromtimestamp(at):%B %Y}"))
        return f"What did {speaker} say about {words[0]} and {' '.join(words[1:])}{when}?"


def n_questions(n_turns: int) -> int:
    """Fewer for a small store, which shows that it works and proves nothing."""
    return min(MOST_QUESTIONS, 1 + n_turns // 100)


def _make(path: Path, n_turns: int, tools: Tools) -> list[Made]:
    from secondme.memory.store import Store
    from secondme.runtime.echo import HashEmbedder

    writer, embedder = Writer(tools.options.seed), HashEmbedder()
    chosen = set(writer.random.sample(range(n_turns), n_questions(n_turns)))
    store = Store.open(path, _keys())
    store.set_embedder(embedder.fingerprint, embedder.n_dims)
    vectors = Vectors(embedder)
    made: list[Made] = []
    for first in range(0, n_turns, _BATCH):
        if first % 24_000 == 0:
            tools.say(f"writing turn {first} of {n_turns}")
        n = min(_BATCH, n_turns - first)
        with store.batch():
            made += _add_turns(store, writer, vectors, (first, n), chosen)
        _add_passages(store, writer, vectors, (first, n // TURNS_PER_PASSAGE))
    store.close()
    return made


def _add_turns(
    store: Store, writer: Writer, vectors: Vectors, which: tuple[int, int], chosen: set[int]
) -> Iterator[Made]:
    from secondme.memory.conversations import NewTurn

    first, n = which
    new: list[NewTurn] = []
    vocabulary, conversation, speakers = [""], 0, [""]
    for number in range(first, first + n):
        at = _START + _HOUR * number
        if number % _TURNS_PER_CONVERSATION == 0 or number == first:
            vocabulary, speakers = writer.vocabulary(), writer.random.sample(_NAMES, 2)
            conversation = store.new_conversation("default", f"conversation {number}", at=at)
        text = writer.text(vocabulary, writer.random.randint(12, 56))
        new.append(NewTurn(conversation, "user", text, (), speakers[number % 2], at))
    ids = store.add_turns(new)
    store.put_traces([(turn_id, *vectors.trace(one.text)) for turn_id, one in zip(ids, new, strict=True)])
    for number, turn_id, one in zip(range(first, first + n), ids, new, strict=True):
        if number in chosen:
            yield Made(writer.question(one.speaker, one.text, _START + _HOUR * number), turn_id)


def _add_passages(store: Store, writer: Writer, vectors: Vectors, which: tuple[int, int]) -> None:
    import numpy as np

    from secondme.types import Chunk, FileStamp, SourceFile

    first, n = which
    vocabulary, chunks, at = writer.vocabulary(), list[Chunk](), 0
    for ordinal in range(n):
        text = " ".join(writer.text(vocabulary, 24) for _ in range(8))
        chunks.append(Chunk(ordinal, text, at, at + len(text), ordinal + 1, ordinal + 1, None, ()))
        at += len(text) + 1
    if chunks:
        source = SourceFile(f"/scale/{first}.txt", "default", "text/plain", "", first.to_bytes(32), FileStamp(at, 0, 0))
        store.put_source(source, chunks, np.stack([vectors.trace(chunk.text)[0] for chunk in chunks]))


class Vectors:
    """Of texts, from those of their words, which are made once."""

    def __init__(self, embedder: Any) -> None:
        from secondme.kernels.late import projection_of

        self._embedder = embedder
        self._projection = projection_of(embedder.fingerprint, embedder.n_dims)
        self._words: dict[str, tuple[FloatMatrix, bytes]] = {}

    def trace(self, text: str) -> tuple[FloatMatrix, bytes]:
        """What `Store.put_traces` takes: float32 [n_dims] of length 1, and the packed content words."""
        import numpy as np

        known = [self._word(word) for word in text.lower().replace(".", "").split() if word not in _FUNCTION_WORDS]
        pooled: FloatMatrix = np.stack([vector for vector, _ in known]).sum(axis=0)
        pooled /= np.linalg.norm(pooled)
        return pooled, self._projection.tag + b"".join(row for _, row in known)

    def _word(self, word: str) -> tuple[FloatMatrix, bytes]:
        from secondme.kernels.late import TAG_BYTES, pack_tokens

        if word not in self._words:
            (read,) = self._embedder.embed_tokens([word])
            row = pack_tokens(read.vectors[:1], self._projection)[TAG_BYTES:]
            self._words[word] = (read.vectors[0], row)
        return self._words[word]


def _keys() -> Any:
    from secondme.crypto.keys import StoreKeys

    return StoreKeys.derived(bytes(32))


def _searched(folder: Path, made: list[Made]) -> dict[str, Any]:
    (folder / "questions.json").write_text(json.dumps([[one.question, one.turn_id] for one in made]), "utf-8")
    command = [sys.executable, "-m", "secondme.bench.recall.searching", str(folder)]
    root = str(Path(__file__).resolve().parents[3])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise BackendUnavailable("the process that searches failed", hint=last[:160] or "run it again")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
