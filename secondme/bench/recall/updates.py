"""What was corrected: whether the current value comes first, and the old one is kept as history.

A set is a JSON file; other makers' sets work as well, the rest of what a case may hold is optional:

    {"cases": [{"turns": [{"role": "user", "text": "...", "at": 1756720800 or "2025-09-01T10:00:00"}, ...],
                "question": "Where do I live?", "current": "Munich", "old": ["Berlin"],
                "past_question": "Where did I use to live?", "id": "..."}]}

Turns come in their order; without `at` they are a day apart. `role` may be left out (user). A value is found in a text
if its words stand in it in a row, whatever their case. Each case is a project of its own in one real store.

updates/current_first  the current value is in the first statement found for `question`
updates/history        every old value is in the history of the item found first, or among the ten found
updates/past_first     the first statement found for `past_question` has an old value, where the case asks that
updates/together_first, updates/stable_first
                       the same of four matters told in one memory: of those that were corrected, of those that were not
updates/learn_ms       learning from a turn, the disk included, without embedding
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondme.bench.recall import Tools
from secondme.bench.recall.make_updates import DAY_S, FIRST_DAY, make
from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.errors import UsageError
from secondme.memory.conversations import NewTurn
from secondme.memory.store import Store
from secondme.recall.gather import Scope, ranked
from secondme.recall.items import recall_items
from secondme.recall.pieces import Piece
from secondme.recall.turns.recall import Weighed, recall_turns
from secondme.reflect.learn import embed, learn_from_turn
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.runtime.traces import traces
from secondme.text.terms import words
from secondme.types import MemoryItem, Role, Turn

KEY = StoreKeys.derived(bytes(32))
K = 10


@dataclass(frozen=True, slots=True)
class Case:
    """A correction: `turns` are (role, text, Unix seconds)."""

    name: str
    turns: tuple[tuple[Role, str, float], ...]
    question: str
    current: str
    old: tuple[str, ...]
    past_question: str = ""


def write(path: Path, seed: str) -> None:
    """Make a set with `seed` and write it to `path`."""
    path.write_text(json.dumps(make(seed), ensure_ascii=False, indent=1) + "\n", "utf-8")


def read(path: Path) -> tuple[list[Case], str]:
    """The cases of a file, and the seed it was made with, if any. Raises UsageError for another format."""
    try:
        table: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return [_case(raw, n) for n, raw in enumerate(table["cases"])], str(table.get("seed", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is no set of updates", hint='it holds {"cases": [{"turns": [...], "question": ...}]}'
        ) from error


def _case(raw: dict[str, Any], n: int) -> Case:
    turns = tuple(
        (_role(turn), str(turn["text"]), _at(turn.get("at"), FIRST_DAY + day * DAY_S))
        for day, turn in enumerate(raw["turns"])
    )
    old = raw.get("old", [])
    olds = (old,) if isinstance(old, str) else tuple(str(o) for o in old)
    past = str(raw.get("past_question", ""))
    return Case(str(raw.get("id", n)), turns, str(raw["question"]), str(raw["current"]), olds, past)


def _role(turn: dict[str, Any]) -> Role:
    return "assistant" if turn.get("role", "user") == "assistant" else "user"


def _at(value: Any, otherwise: float) -> float:
    if value is None:
        return otherwise
    if isinstance(value, (int, float)):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def rows(path: Path, tools: Tools) -> Iterator[Row]:
    """Rows of the set at `path`."""
    cases, seed = read(path)
    cases = cases[: tools.options.limit or None]
    setting = f"seed {seed}" if seed else path.name
    with opened(tools) as store:
        yield from _measured(store, cases, tools, setting)
    with opened(tools) as store:
        yield from _measured_together(store, cases, tools, setting)


@contextmanager
def opened(tools: Tools) -> Iterator[Store]:
    """A store of its own, for as long as it is measured."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "updates.db", KEY)
        try:
            store.set_embedder(tools.embedder.fingerprint, tools.embedder.n_dims)
            yield store
        finally:
            store.close()


def _measured(store: Store, cases: Sequence[Case], tools: Tools, setting: str) -> Iterator[Row]:
    first = kept = past = n_past = n_old = 0
    times: list[float] = []
    seen: dict[str, tuple[FloatMatrix, bytes]] = {}
    for n, case in enumerate(cases):
        project = f"case {n}"
        times += tell(store, case, project, tools.embedder, seen)
        found = _found(case.question, store, tools.embedder, project)
        is_first = bool(found) and holds(found[0].text, case.current)
        first += is_first
        if not is_first:
            tools.say(f"{case.name}: not first")
        n_old += bool(case.old)
        kept += bool(case.old) and all(_is_kept(store, found, old) for old in case.old)
        if case.past_question and case.old:
            n_past += 1
            before = _found(case.past_question, store, tools.embedder, project)
            past += bool(before) and any(holds(before[0].text, old) for old in case.old)
    yield Row("recall", "updates/current_first", 100 * first / len(cases), "%", len(cases), setting=setting)
    if n_old:
        yield Row("recall", "updates/history", 100 * kept / n_old, "%", n_old, setting=setting)
    if n_past:
        yield Row("recall", "updates/past_first", 100 * past / n_past, "%", n_past, setting=setting)
    yield Row("recall", "updates/learn_ms", 1000 * statistics.median(times), "ms", len(times), setting=setting)


def _measured_together(store: Store, cases: Sequence[Case], tools: Tools, setting: str) -> Iterator[Row]:
    from secondme.bench.recall.together import together

    seen: dict[str, tuple[FloatMatrix, bytes]] = {}
    first: dict[bool, list[bool]] = {False: [], True: []}
    for n, memory in enumerate(together(cases)):
        project = f"memory {n}"
        tell(store, memory[0].case, project, tools.embedder, seen)
        for asked in memory:
            found = _found(asked.case.question, store, tools.embedder, project)
            is_first = bool(found) and holds(found[0].text, asked.case.current)
            first[asked.is_stable].append(is_first)
            if not is_first:
                tools.say(f"{asked.case.name} {'uncorrected ' if asked.is_stable else ''}among others: not first")
    for case, hits in (("together_first", first[False]), ("stable_first", first[True])):
        if hits:
            yield Row("recall", f"updates/{case}", 100 * sum(hits) / len(hits), "%", len(hits), setting=setting)


def tell(
    store: Store, case: Case, project: str, embedder: Embedder, seen: dict[str, tuple[FloatMatrix, bytes]]
) -> list[float]:
    """Store a case's turns and learn from them in their order; returns the seconds that learning took, turn by turn."""
    conversation = store.new_conversation(project, "told", at=case.turns[0][2])
    ids = store.add_turns([NewTurn(conversation, role, text, at=at) for role, text, at in case.turns])
    turns = store.turns_by_ids(ids)
    new = [t for t in turns if _key(t) not in seen]
    seen |= {_key(t): made[1:] for t, made in zip(new, traces(new, embedder), strict=True)}
    store.put_traces([(t.id, *seen[_key(t)]) for t in turns])
    times: list[float] = []
    items: list[MemoryItem] = []
    for turn in turns:
        started = time.perf_counter()
        items += learn_from_turn(store, turn, now=turn.created_at, project=project).items
        times.append(time.perf_counter() - started)
    embed(store, items, embedder)
    return times


def _found(question: str, store: Store, embedder: Embedder, project: str) -> list[Piece]:
    """What the program finds for a question, as `secondme memory search` shows it and answers rest on it."""
    return ranked(question, store, embedder, Scope(project), k=K)[0][:K]


def asked_of(question: str, store: Store, embedder: Embedder, project: str) -> tuple[Weighed | None, frozenset[int]]:
    """What a search of turns finds for a question, and the turns that what is known about it was learned from."""
    found = recall_turns(question, store, embedder, project=project, k=K)
    hits = recall_items(question, store, embedder, project=project, k=K)
    return found.weighed, frozenset(s.ref_id for h in hits for s in h.item.spans if s.kind == "turn")


def _key(turn: Turn) -> str:
    return f"{turn.role}: {turn.text}"


def _is_kept(store: Store, found: Sequence[Piece], old: str) -> bool:
    items: list[MemoryItem] = store.item_history(found[0].ref_id) if found and found[0].kind == "item" else []
    return any(holds(i.text, old) for i in items) or any(holds(s.text, old) for s in found)


def holds(text: str, value: str) -> bool:
    """Whether the words of `value` stand in `text` in a row."""
    wanted, there = words(value), words(text)
    return any(there[n : n + len(wanted)] == wanted for n in range(len(there) - len(wanted) + 1)) if wanted else False
