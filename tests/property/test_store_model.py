"""The store against a dict: after any run of changes both hold, find and forget the same."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from secondme.memory.store import Store
from secondme.types import FileStamp, StoredChunk
from tests.storing import KEY, N_DIMS, chunks_of, holding, source_of, unit_vectors

PATHS = st.sampled_from(["/d/a.txt", "/d/b.txt", "/d/sub/a.txt", "/e/new\nline.txt", "/e/\udcff.txt"])
PROJECTS = st.sampled_from(["one", "two"])
# Words that no stemmer joins. Each text gets one of its own, so that what must be gone is known.
COMMON = st.lists(st.sampled_from(["apple", "quince", "plum", "caf\u00e9"]), max_size=3)
N_TEXTS = st.integers(0, 3)


class Place(NamedTuple):
    project: str
    path: str


@dataclass
class Expected:
    texts: list[str]
    marks: list[str]
    skipped: bool = False
    title: str = ""


@dataclass
class Model:
    files: dict[Place, Expected] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def forget(self, place: Place) -> None:
        old = self.files.pop(place, None)
        self.gone += old.marks if old else []


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store.db"
        self.store = Store.open(self.path, KEY)
        self.store.set_embedder("test", N_DIMS)
        self.model = Model()
        self.n_marks = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(place=st.builds(Place, PROJECTS, PATHS), words=COMMON, n=N_TEXTS)
    def put(self, place: Place, words: list[str], n: int) -> None:
        marks = [f"mark{self.n_marks + i:06d}x" for i in range(n)]
        self.n_marks += n
        texts = [" ".join([*words, mark]) for mark in marks]
        self.store.put_source(
            source_of(place.path, project=place.project), chunks_of(texts), unit_vectors(n, seed=self.n_marks)
        )
        self.model.forget(place)
        self.model.files[place] = Expected(texts, marks)

    @rule(place=st.builds(Place, PROJECTS, PATHS))
    def skip(self, place: Place) -> None:
        self.store.put_skip(source_of(place.path, project=place.project), "a reason")
        self.model.forget(place)
        self.model.files[place] = Expected([], [], skipped=True)

    @rule(data=st.data(), new_path=PATHS, title=st.sampled_from([None, "pear", "caf\u00e9"]))
    def move(self, data: st.DataObject, new_path: str, title: str | None) -> None:
        if not self.model.files:
            return
        place = data.draw(st.sampled_from(sorted(self.model.files)))
        source = self.store.source(place.project, place.path)
        assert source is not None
        self.store.move_source(source.id, new_path, FileStamp(1, 2, 3), title=title)
        moved = self.model.files.pop(place)
        moved.title = moved.title if title is None else title
        self.model.forget(Place(place.project, new_path))
        self.model.files[Place(place.project, new_path)] = moved

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if not self.model.files:
            return
        place = data.draw(st.sampled_from(sorted(self.model.files)))
        source = self.store.source(place.project, place.path)
        assert source is not None
        self.store.remove_source(source.id)
        self.model.forget(place)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.path, KEY)

    @rule()
    def embed_again(self) -> None:
        chunks = [c for s in self.store.sources() for c in self.store.source_chunks(s.id)]
        vectors = unit_vectors(len(chunks), seed=self.n_marks + 1)
        self.store.replace_vectors(((c.id, v) for c, v in zip(chunks, vectors, strict=True)), "again", N_DIMS)

    @invariant()
    def lists_the_same_files(self) -> None:
        listed = {
            Place(s.project, s.path): (
                [c.chunk.text for c in self.store.source_chunks(s.id)],
                s.skip_reason is not None,
            )
            for s in self.store.sources()
        }
        assert listed == {place: (e.texts, e.skipped) for place, e in self.model.files.items()}

    @invariant()
    def finds_the_same_passages(self) -> None:
        for project in ("one", "two", None):
            here = [e for p, e in self.model.files.items() if project in (p.project, None)]
            for word in ("apple", "plum"):
                found = self.store.chunks([i for i, _ in self.store.search_text(word, 100, project)])
                expected = [t for e in here for t in e.texts if word in t]
                assert sorted(c.chunk.text for c in found) == sorted(expected)
            n_titled = len(self.store.search_text("title : pear", 100, project))
            assert n_titled == sum(len(e.texts) for e in here if e.title == "pear")
            n_found = len(self.store.search_vectors(unit_vectors(1)[0], 100, project))
            assert n_found == sum(len(e.texts) for e in here)
        for mark in [m for e in self.model.files.values() for m in e.marks][-4:]:
            assert [c.chunk.text.split()[-1] for c in self._with(mark)] == [mark]

    @invariant()
    def never_finds_what_is_gone(self) -> None:
        for mark in self.model.gone[-4:]:
            assert self._with(mark) == []
            assert self.store.term_df([mark]) == {mark: 0}

    @rule()
    def nothing_of_what_is_gone_is_left_anywhere(self) -> None:
        with self.store._database.reading() as connection:
            for mark in self.model.gone[-4:]:
                # The index shares the beginnings of neighbouring words.
                assert holding(connection, mark[-5:].encode()) == [], mark
        assert {c.status for c in self.store.check(read_data=True)} == {"ok"}

    def _with(self, mark: str) -> list[StoredChunk]:
        return self.store.chunks([i for i, _ in self.store.search_text(mark, 10, None)])


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=12,
    stateful_step_count=14,
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
