"""Evidence recall on conversations of many sessions, as LoCoMo has them: how many of the turns that answer are found.

The file: a list of samples, each with `sample_id`, `conversation` (`speaker_a`, `speaker_b`, `session_N` as lists of
turns with `speaker`, `dia_id`, `text` and perhaps `blip_caption`; `session_N_date_time`) and `qa` (`question`,
`category` 1 to 5, `evidence` as turn ids). A sample becomes a project of a real, encrypted store, a session a
conversation of its date; no model is asked.

A conversation that the shipped weights learned from is judged by weights that were learned without it (they are kept
beside the shipped ones), so that no figure comes from what was learned by heart.
Source: Maharana et al. 2024, "Evaluating Very Long-Term Conversational Memory of LLM Agents".
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondme.bench.recall import Tools, transfer
from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.memory.conversations import NewTurn
from secondme.memory.store import Store
from secondme.recall.pieces import of_turn
from secondme.recall.turns.gate import bearing
from secondme.recall.turns.recall import Weighed, weigh
from secondme.recall.turns.weights import Weights, shipped
from secondme.runtime.base import Embedder
from secondme.runtime.traces import traces

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
KEPT = 0.95
"""Share of the questions with an answer that the gate must let through."""

BUDGET = 420
"""Tokens of evidence in a prompt."""
FRAME = 90
"""Tokens of a prompt beside evidence and question: the rules and the template of the default model."""

_KEY = StoreKeys.derived(bytes(32))
_SESSION = re.compile(r"session_(\d+)")
_TURN_ID = re.compile(r"D:?(\d+):(\d+)")
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Question:
    """A question with the ids of the turns that answer it."""

    text: str
    category: str
    relevant: frozenset[int]


@dataclass(frozen=True, slots=True)
class Sample:
    """A stored sample: its project, what tells it from others, when its last session was, and its questions."""

    project: str
    digest: str
    now: float
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A question's ranking: which of the turns weighed are evidence, best first [n], and their conversations [n]."""

    question: Question
    weighed: Weighed
    order: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    gate: float

    def recall(self, k: int) -> float:
        """Share of the evidence among the best `k`."""
        return float(self.relevant[:k].sum()) / len(self.question.relevant)


def rows(path: Path, tools: Tools) -> Iterator[Row]:
    """Recall at 5 and 10 by category, hits of sessions, what the gate stops, the tokens of a prompt; and the transfer.

    With `--learn` the weights are learned first, and written.
    """
    with Stored(path, tools) as stored:
        weights = shipped()
        if tools.options.learn is not None:
            from secondme.bench.recall import learn

            weights = learn.learn(stored, tools)
            learn.save(weights, tools)
        yield from measured(stored, weights, tools)
    yield from transfer.rows(tools)


def measured(stored: Stored, weights: Weights, tools: Tools) -> Iterator[Row]:
    """Rows for all samples, each by weights that did not see it."""
    judged: list[Judged] = []
    n_held_out = 0
    for sample in stored.samples:
        theirs = weights.held_out.get(sample.digest, weights)
        n_held_out += theirs is not weights
        judged += [judge(q, sample, stored.store, tools.embedder, theirs) for q in sample.questions]
        tools.say(f"asked {len(judged)} questions")
    setting = f"{n_held_out} of {len(stored.samples)} conversations by weights learned without them"
    yield from _recall_rows(judged, setting)
    yield from _not_in_memory(judged, setting)
    yield _prompt_tokens(judged, tools.embedder)


def judge(question: Question, sample: Sample, store: Store, embedder: Embedder, weights: Weights) -> Judged:
    """Ask one question."""
    weighed = weigh(question.text, store, embedder, (sample.project, None, sample.now), weights)
    assert weighed is not None, "a sample has turns"
    order = np.argsort(-weighed.scores, kind="stable")
    relevant = np.array([weighed.pool.turns[i].id in question.relevant for i in order])
    return Judged(question, weighed, order, relevant, bearing(weighed.gate, weights.gate))


# Rows ----------------------------------------------------------------------------------------------------------


def _recall_rows(judged: Sequence[Judged], setting: str) -> Iterator[Row]:
    for k in (10, 5):
        for category in ("all", *CATEGORIES.values()):
            some = [j for j in judged if category in ("all", j.question.category)]
            if some:
                share = 100 * float(np.mean([j.recall(k) for j in some]))
                yield Row("recall", f"locomo/recall@{k}/{category}", share, "%", len(some), setting=setting)
    hits = [_session_hit(j) for j in judged]
    yield Row("recall", "locomo/session_hit@5", 100 * float(np.mean(hits)), "%", len(hits), setting=setting)


def _session_hit(judged: Judged, k: int = 5) -> bool:
    """Whether a session with evidence is among the first `k` sessions of the ranking."""
    sessions = judged.weighed.pool.of[judged.order[:50]]
    first = set(list(dict.fromkeys(sessions.tolist()))[:k])
    return bool(first & set(judged.weighed.pool.of[judged.order[judged.relevant]].tolist()))


def _not_in_memory(judged: Sequence[Judged], setting: str) -> Iterator[Row]:
    """Of questions about what another person said or did, how many are stopped where 95% of the others pass.

    `locomo/found` is how many of those others pass as it is.
    """
    answerable = np.sort([j.gate for j in judged if j.question.category != "adversarial"])
    others = np.array([j.gate for j in judged if j.question.category == "adversarial"])
    least = answerable[int((1 - KEPT) * len(answerable))] if len(answerable) else 0.0
    share = 100 * float((others < least).mean()) if len(others) else 0.0
    if len(answerable):
        found = 100 * float((answerable >= 0).mean())
        yield Row("recall", "locomo/found", found, "%", len(answerable), setting=setting)
    yield Row("recall", "locomo/not_in_memory_at_95", share, "%", len(others), setting=setting)


def _prompt_tokens(judged: Sequence[Judged], embedder: Embedder) -> Row:
    """Tokens of a prompt with the best turns within the budget, counted by the embedder's tokenizer."""
    counts = []
    for one in judged:
        left = BUDGET
        for i in one.order[:10]:
            cost = embedder.count_tokens(of_turn(one.weighed.pool.turns[i], 0.0).brief)
            left -= cost if cost <= left else 0
        counts.append(FRAME + BUDGET - left + embedder.count_tokens(one.question.text))
    return Row("recall", "prompt_tokens", float(np.mean(counts)), "tokens", len(counts))


# The store -----------------------------------------------------------------------------------------------------


class Stored:
    """The samples in a store in a temporary folder, with their traces."""

    def __init__(self, path: Path, tools: Tools) -> None:
        self._data: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
        self._tools = tools

    def __enter__(self) -> Stored:
        self._folder = tempfile.TemporaryDirectory(prefix="secondme-bench-")
        embedder = self._tools.embedder
        self.store = Store.open(Path(self._folder.name) / "locomo.db", _KEY)
        self.store.set_embedder(embedder.fingerprint, embedder.n_dims)
        limit = self._tools.options.limit
        self.samples = [_stored(self.store, sample, limit) for sample in self._data]
        while turns := self.store.turns_without_trace(_BATCH):
            self.store.put_traces(traces(turns, embedder, cancelled=self._tools.cancelled))
        self._tools.say(f"stored {self.store.stats().n_turns} turns")
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self._folder.cleanup()


def _stored(store: Store, data: Mapping[str, Any], limit: int) -> Sample:
    conversation, project = data["conversation"], str(data["sample_id"])
    ids: dict[str, int] = {}
    now = 0.0
    for n in sorted(int(m[1]) for key in conversation if (m := _SESSION.fullmatch(key))):
        told, at = conversation[f"session_{n}"], _moment(conversation[f"session_{n}_date_time"])
        conversation_id = store.new_conversation(project, f"session {n}", at=at)
        new = [NewTurn(conversation_id, "user", _text(t), (), t["speaker"], at + i) for i, t in enumerate(told)]
        ids |= dict(zip((t["dia_id"] for t in told), store.add_turns(new), strict=True))
        now = max(now, at)
    questions = [_question(q, ids) for q in data["qa"]]
    asked = [q for q in questions if q.relevant]
    step = max(1, len(asked) // limit) if limit else 1
    digest = hashlib.sha256(json.dumps(conversation, sort_keys=True).encode()).hexdigest()[:16]
    return Sample(project, digest, now, tuple(asked[::step][: limit or None]))


def _text(turn: Mapping[str, Any]) -> str:
    caption = turn.get("blip_caption")
    return f"{turn['text']} [shares {caption}]" if caption else str(turn["text"])


def _moment(told: str) -> float:
    """1:56 pm on 8 May, 2023"""
    return datetime.strptime(" ".join(told.split()), "%I:%M %p on %d %B, %Y").timestamp()


def _question(data: Mapping[str, Any], ids: Mapping[str, int]) -> Question:
    found = [f"D{int(a)}:{int(b)}" for e in data.get("evidence") or [] for a, b in _TURN_ID.findall(e)]
    relevant = frozenset(ids[i] for i in found if i in ids)
    return Question(str(data["question"]), CATEGORIES[int(data["category"])], relevant)
