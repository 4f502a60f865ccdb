"""Work on a store, one small step after another, and what the store must hold after each: the proofs' common ground.

A step is one method of the store on names that are fixed beforehand, so that the work can go on from any state it is
found in. `plan(seed, n)` draws the steps, `states(plan)` is what memory holds after each of them, `do` makes one real,
and `held` looks at a real store in the same terms.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.paths import private_dir
from secondme.types import FileStamp, MemoryItem, NewItem, Span, WatchedFolder
from tests.storing import KEY, N_DIMS, put, source_of, unit_vectors

WITNESS = "state/witness"
STORE = "data/store.db"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """`verb` is a key of `_VERBS`; `name` and `more` are what it works on. A batch ends with a step not `in_batch`."""

    verb: str
    name: str = ""
    more: tuple[str, ...] = ()
    in_batch: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What memory holds, by names: passages by path, reasons of skips, sizes of touched files, turns by title, and by
    their texts the items, with the title of the talk that they were learned from, or ""."""

    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skips: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, int] = field(default_factory=dict)
    talks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    items: dict[str, str] = field(default_factory=dict)
    n_notes: int = 0


def open_store(root: Path) -> Store:
    """Open, or make, the store of a folder laid out as the program does: data here, the witness there."""
    private_dir((root / STORE).parent)
    return Store.open(root / STORE, KEY, root / WITNESS)


# The plan ------------------------------------------------------------------------------------------------------


def plan(seed: int, n_steps: int) -> list[Step]:
    """Steps of every kind, drawn so that each finds what it works on."""
    chance = random.Random(seed)
    steps: list[Step] = []
    state = State()
    n_left_in_batch = 0
    while len(steps) < n_steps:
        step = _draw(chance, state, len(steps))
        if step.verb == "reopen":
            n_left_in_batch = 0
            steps[-1:] = [replace(last, in_batch=False) for last in steps[-1:]]
        elif n_left_in_batch == 0 and chance.random() < 0.1:
            n_left_in_batch = chance.randint(2, 5)
        n_left_in_batch = max(0, n_left_in_batch - 1)
        step = replace(step, in_batch=n_left_in_batch > 0)
        steps.append(step)
        state = after(state, step)
    return steps


def _draw(chance: random.Random, state: State, n: int) -> Step:
    texts = tuple(f"step {n} line {i} " * chance.randint(1, 60) for i in range(chance.randint(0, 4)))
    file = chance.choice(sorted(state.files)) if state.files else ""
    talk = chance.choice(sorted(state.talks)) if state.talks else ""
    folder = chance.choice(sorted(state.folders)) if state.folders else ""
    item = chance.choice(sorted(state.items)) if state.items else ""
    choices = [Step("put", f"/{n}", texts), Step("put", f"/{n}", texts), Step("skip", f"/bad {n}", (f"reason {n}",))]
    choices += [Step("talk", f"talk {n}"), Step("folder", f"/folder {n}"), Step("note"), Step("compact")]
    choices += [Step("learn", f"item {n}"), *([Step("unlearn", item), Step("use", item)] if item else [])]
    choices += [Step("reopen"), Step("reindex", str(n))] if chance.random() < 0.3 else []
    if file:
        others = tuple(chance.sample(sorted(state.files), min(2, len(state.files))))
        choices += [Step("put", file, texts), Step("touch", file, (str(n),)), Step("move", file, (f"/moved {n}",))]
        choices += [
            Step("forget", file),
            Step("remove", file),
            Step("remove several", "", others),
            Step("skip", file, (f"reason {n}",)),
        ]
    if talk:
        choices += [Step("turn", talk, texts[:1] or ("",)), Step("turn", talk, (f"turn {n}",))]
        choices += [Step("learn", f"item {n}", (talk,))] if state.talks[talk] else []
        choices += [Step("retitle", talk, (f"renamed {n}",)), Step("end talk", talk)]
    if folder:
        choices.append(Step("leave folder", folder))
    return chance.choice(choices)


def states(steps: Sequence[Step]) -> list[State]:
    """What memory holds before the first step and after each."""
    found = [State()]
    for step in steps:
        found.append(after(found[-1], step))
    return found


def after(state: State, step: Step) -> State:
    return _VERBS[step.verb][0](state, step)


# Doing it ------------------------------------------------------------------------------------------------------


def do(store: Store, step: Step) -> None:
    _VERBS[step.verb][1](store, step)


def work(root: Path, steps: Sequence[Step], start: int) -> Iterator[int]:
    """Do the steps from number `start` on and yield the number of those done whenever all of them count."""
    store = open_store(root)
    yield start
    with ExitStack() as batch:
        is_open = False
        for n, step in enumerate(steps[start:], start=start + 1):
            if step.verb == "reopen":
                store.close()
                store = open_store(root)
            else:
                if step.in_batch and not is_open:
                    batch.enter_context(store.batch())
                    is_open = True
                do(store, step)
            if not step.in_batch:
                batch.close()
                is_open = False
                yield n
    yield len(steps)
    store.close()


def held(store: Store) -> State:
    """What a real store holds."""
    sources = store.sources()
    return State(
        files={s.path: tuple(c.chunk.text for c in store.source_chunks(s.id)) for s in sources if not s.skip_reason},
        skips={s.path: s.skip_reason for s in sources if s.skip_reason},
        stamps={s.path: s.stamp.size_bytes for s in sources if s.stamp.size_bytes != 10},
        talks={c.title: tuple(t.text for t in store.turns(c.id)) for c in store.conversations()},
        folders=frozenset(f.path for f in store.folders()),
        items={item.text: _talk_of(store, item) for item in store.items()},
        n_notes=sum(op.kind == "shown" for op in store.log()),
    )


def _talk_of(store: Store, item: MemoryItem) -> str:
    """Where an item was learned; what finds it by words finds it too."""
    assert item.id in {i for i, _ in store.search_items(f'"{item.text}"', 1000, None)}
    (turn,) = store.turns_by_ids([span.ref_id for span in item.spans]) or (None,)
    return next((c.title for c in store.conversations() if turn is not None and c.id == turn.conversation_id), "")


def _source_id(store: Store, path: str) -> int:
    found = store.source("default", path)
    assert found is not None
    return found.id


def _talk_id(store: Store, title: str) -> int:
    return next(c.id for c in store.conversations() if c.title == title)


# Each verb, on the model and on the store -----------------------------------------------------------------------


def _without(table: Mapping[str, T], *names: str) -> dict[str, T]:
    return {name: value for name, value in table.items() if name not in names}


def _put(state: State, step: Step) -> State:
    files = _without(state.files, step.name) | {step.name: step.more}
    return replace(state, files=files, stamps=_without(state.stamps, step.name))


def _skip(state: State, step: Step) -> State:
    gone = _removed(state, (step.name,))
    return replace(gone, skips=state.skips | {step.name: step.more[0]})


def _removed(state: State, names: Sequence[str]) -> State:
    return replace(state, files=_without(state.files, *names), stamps=_without(state.stamps, *names))


def _move(state: State, step: Step) -> State:
    gone = _removed(state, (step.name,))
    return replace(gone, files=gone.files | {step.more[0]: state.files[step.name]})


def _turn(state: State, step: Step) -> State:
    return replace(state, talks=state.talks | {step.name: (*state.talks[step.name], step.more[0])})


def _retitle(state: State, step: Step) -> State:
    items = {text: step.more[0] if talk == step.name else talk for text, talk in state.items.items()}
    talks = _without(state.talks, step.name) | {step.more[0]: state.talks[step.name]}
    return replace(state, talks=talks, items=items)


def _end_talk(state: State, step: Step) -> State:
    items = {text: talk for text, talk in state.items.items() if talk != step.name}
    return replace(state, talks=_without(state.talks, step.name), items=items)


def _learn(store: Store, step: Step) -> None:
    """An item, of the last turn of a talk if one is named."""
    turns = [store.turns(_talk_id(store, title))[-1] for title in step.more]
    store.add_item(NewItem("semantic", step.name, slot=step.name, spans=tuple(Span("turn", t.id, 0, 0) for t in turns)))


def _item_id(store: Store, text: str) -> int:
    return next(item.id for item in store.items() if item.text == text)


def _reindex(store: Store, step: Step) -> None:
    found = [c.id for source in store.sources() for c in store.source_chunks(source.id)]
    store.replace_vectors(zip(found, unit_vectors(len(found), seed=int(step.name)), strict=True), "test", N_DIMS)


def _stamp(size_bytes: int) -> FileStamp:
    return FileStamp(size_bytes, 20, 2**64 - 1)


_VERBS: dict[str, tuple[Callable[[State, Step], State], Callable[[Store, Step], object]]] = {
    "put": (_put, lambda store, step: put(store, step.name, step.more)),
    "skip": (_skip, lambda store, step: store.put_skip(source_of(step.name), step.more[0])),
    "touch": (
        lambda state, step: replace(state, stamps=state.stamps | {step.name: 1000 + int(step.more[0])}),
        lambda store, step: store.touch_source(_source_id(store, step.name), _stamp(1000 + int(step.more[0]))),
    ),
    "move": (_move, lambda store, step: store.move_source(_source_id(store, step.name), step.more[0], _stamp(10))),
    "remove": (
        lambda state, step: _removed(state, (step.name,)),
        lambda store, step: store.remove_source(_source_id(store, step.name)),
    ),
    "forget": (
        lambda state, step: _removed(state, (step.name,)),
        lambda store, step: store.forget(Target(paths=(("default", step.name),))),
    ),
    "remove several": (
        lambda state, step: _removed(state, step.more),
        lambda store, step: store.remove_sources([_source_id(store, name) for name in step.more]),
    ),
    "talk": (
        lambda state, step: replace(state, talks=state.talks | {step.name: ()}),
        lambda store, step: store.new_conversation("default", step.name),
    ),
    "turn": (
        _turn,
        lambda store, step: store.add_turn(_talk_id(store, step.name), "user", step.more[0], ()),
    ),
    "retitle": (
        _retitle,
        lambda store, step: store.rename_conversation(_talk_id(store, step.name), step.more[0]),
    ),
    "end talk": (
        _end_talk,
        lambda store, step: store.delete_conversation(_talk_id(store, step.name)),
    ),
    "folder": (
        lambda state, step: replace(state, folders=state.folders | {step.name}),
        lambda store, step: store.add_folder(WatchedFolder(step.name, "default", True, 1.0)),
    ),
    "leave folder": (
        lambda state, step: replace(state, folders=state.folders - {step.name}),
        lambda store, step: store.remove_folder(step.name, "default"),
    ),
    "learn": (
        lambda state, step: replace(state, items=state.items | {step.name: step.more[0] if step.more else ""}),
        _learn,
    ),
    "unlearn": (
        lambda state, step: replace(state, items=_without(state.items, step.name)),
        lambda store, step: store.forget(Target(items=(_item_id(store, step.name),))),
    ),
    "use": (lambda state, _: state, lambda store, step: store.use_items([_item_id(store, step.name)])),
    "note": (
        lambda state, _: replace(state, n_notes=state.n_notes + 1),
        lambda store, _: store.note("shown", ["store"]),
    ),
    "reindex": (lambda state, _: state, _reindex),
    "compact": (lambda state, _: state, lambda store, _: store.compact_wal()),
    "reopen": (lambda state, _: state, lambda store, _: store.close()),
}
