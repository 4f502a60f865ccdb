"""What was learned is there as long as something it rests on is, whatever is forgotten, undone, changed or deleted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.types import NewItem, Span
from tests.fault.soak import n
from tests.storing import KEY, holding, put

# Each has a word of its own, by which it is found, and which no other word is stemmed to.
WORDS = ["aardwolf", "bandicoot", "capybara", "dugong", "echidna", "fossa", "gerenuk", "hutia"]
VERBS = ["forget", "undo", "change", "remove", "delete", "forget item"]


class Life:
    """Two files of two passages, two talks of two turns, and items; `rests` maps an item's word to its places."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder / "store.db", KEY)
        self.talks = [self.store.new_conversation("default", f"talk {i}") for i in range(2)]
        self.turns = {i: [self.store.add_turn(i, "user", f"turn {i} {k}", ()) for k in range(2)] for i in self.talks}
        self.files = [put(self.store, f"/{i}", [f"passage {i} {k}\n" for k in range(2)]) for i in range(2)]
        self.rests: dict[str, set[tuple[str, int]]] = {}
        self.typed: set[str] = set()
        self.ids: dict[str, int] = {}

    def places(self) -> list[tuple[str, int]]:
        passages = [("passage", c.id) for source in self.store.sources() for c in self.store.source_chunks(source.id)]
        return [*passages, *(("turn", t.id) for i in self.talks for t in self.store.turns(i))]

    def learn(self, word: str, data: st.DataObject) -> None:
        places = set(data.draw(st.lists(st.sampled_from(self.places()), max_size=3), word))
        spans = tuple(Span(kind, i, 0, 12 if kind == "passage" else 4) for kind, i in sorted(places))  # type: ignore[arg-type]
        slot = data.draw(st.sampled_from(["", "a|b"]), "slot")
        new = NewItem(
            "semantic", f"{word} item", slot=slot, spans=spans, valid_from=data.draw(st.sampled_from([1.0, 2.0]))
        )
        self.ids[word] = self.store.add_item(new).id
        self.rests[word] = places
        if not places:
            self.typed.add(word)

    def go(self, verb: str, data: st.DataObject) -> None:
        kind, ref = data.draw(st.sampled_from([(k, i) for k in ("source", "conversation") for i in range(2)]), verb)
        ref = (self.files if kind == "source" else self.talks)[ref]
        if verb == "forget item":
            word = data.draw(st.sampled_from(WORDS), "word")
            self.store.forget(Target(items=(self.ids[word],)))
            self.rests.pop(word, None)
        elif verb == "delete":
            self.lose("turn", self.turns[self.talks[0]])
            self.store.delete_conversation(self.talks[0])
        elif verb in ("change", "remove"):
            self.change(data.draw(st.integers(0, 1), "file"), again=verb == "change")
        else:
            self.lose("passage" if kind == "source" else "turn", self.held(kind, ref))
            named = ((kind, ref),)
            target = Target(learned_from=named) if verb == "undo" else Target(**{f"{kind}s": (ref,)})  # type: ignore[arg-type]
            self.store.forget(target)

    def held(self, kind: str, ref: int) -> list[int]:
        return [c.id for c in self.store.source_chunks(ref)] if kind == "source" else self.turns[ref]

    def change(self, i: int, *, again: bool) -> None:
        """Store a file anew without its first passage, or take it out."""
        old = self.held("source", self.files[i])
        if not old:
            return
        if not again:
            self.lose("passage", old)
            self.store.remove_source(self.files[i])
            return
        texts = [c.chunk.text for c in self.store.source_chunks(self.files[i])][1:]
        put(self.store, f"/{i}", texts)
        (new,) = self.held("source", self.files[i]) or (None,)
        self.lose("passage", old[:1])
        for places in self.rests.values():
            if len(old) > 1 and ("passage", old[1]) in places:
                places.remove(("passage", old[1]))
                places.add(("passage", new or 0))

    def lose(self, kind: str, ids: list[int]) -> None:
        for places in self.rests.values():
            places.difference_update((kind, i) for i in ids)
        self.rests = {word: places for word, places in self.rests.items() if places or word in self.typed}

    def is_right(self) -> None:
        found = {
            item.text.split()[0]: {(s.kind, s.ref_id) for s in item.spans} for item in self.store.items(states=None)
        }
        assert found == self.rests
        for word in WORDS:
            assert bool(self.store.search_items(word, 1, None)) == (word in self.rests)
            with self.store._database.reading() as connection:
                assert bool(holding(connection, word.encode())) == (word in self.rests)
        assert {c.status for c in self.store.check(read_data=True)} == {"ok"}


@given(data=st.data())
@settings(max_examples=n(15, 1000), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_learned_is_there_as_long_as_what_it_rests_on(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder))
        for word in WORDS:
            life.learn(word, data)
        for verb in data.draw(st.lists(st.sampled_from(VERBS), max_size=5), "verbs"):
            life.go(verb, data)
            life.is_right()
        life.store.close()
