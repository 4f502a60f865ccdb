"""The store against a dict: after any run of changes both hold, find and forget the same, and the log tells it all.

A kill is played by going on with a copy of the folder as it lay there while the store was open.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from secondme.memory import oplog
from secondme.memory.digests import OF_KIND
from secondme.memory.forgetting import Target
from secondme.memory.redaction import REMOVED_ANSWER
from secondme.memory.rows import Row
from secondme.memory.store import Store
from secondme.types import FileStamp, StoredChunk, StoredSource
from tests.fault.soak import n as count
from tests.storing import KEY, N_DIMS, chunks_of, citation_of, holding, source_of, unit_vectors

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
    uid: bytes = b""


@dataclass
class Said:
    """A turn; `cites` is the passage that an answer rests on."""

    text: str
    cites: int | None = None
    place: Place | None = None


@dataclass
class Talk:
    project: str
    title: str
    uid: bytes
    said: dict[int, Said] = field(default_factory=dict)


@dataclass
class Model:
    files: dict[Place, Expected] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    talks: dict[int, Talk] = field(default_factory=dict)
    hidden: set[Place] = field(default_factory=set)

    def forget(self, place: Place) -> None:
        old = self.files.pop(place, None)
        self.gone += old.marks if old else []


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def make(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "data" / "store.db"
        self.witness = Path(self.folder.name) / "witness"
        self.path.parent.mkdir()
        self.open()
        self.store.set_embedder("test", N_DIMS)
        self.model = Model()
        self.n_marks = self.n_said = 0

    def open(self) -> None:
        self.store = Store.open(self.path, KEY, self.witness)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(place=st.builds(Place, PROJECTS, PATHS), words=COMMON, n=N_TEXTS)
    def put(self, place: Place, words: list[str], n: int) -> None:
        before = self.model.files.get(place)
        texts, marks = self.put_into_store(place, words, n)
        self.model.forget(place)
        self.model.files[place] = Expected(texts, marks, uid=before.uid if before else self.uid("source", place))

    def put_into_store(self, place: Place, words: list[str], n: int) -> tuple[list[str], list[str]]:
        marks = [f"mark{self.n_marks + i:06d}x" for i in range(n)]
        self.n_marks += n
        texts = [" ".join([*words, mark]) for mark in marks]
        self.store.put_source(
            source_of(place.path, project=place.project), chunks_of(texts), unit_vectors(n, seed=self.n_marks)
        )
        return texts, marks

    @rule(places=st.lists(st.builds(Place, PROJECTS, PATHS), min_size=1, max_size=3, unique=True), n=N_TEXTS)
    def put_several(self, places: list[Place], n: int) -> None:
        with self.store.batch():
            for place in places:
                self.put(place, ["plum"], n)

    @rule(place=st.builds(Place, PROJECTS, PATHS))
    def skip(self, place: Place) -> None:
        before = self.model.files.get(place)
        self.store.put_skip(source_of(place.path, project=place.project), "a reason")
        self.model.forget(place)
        uid = before.uid if before else self.uid("source", place)
        self.model.files[place] = Expected([], [], skipped=True, uid=uid)

    @rule(data=st.data(), new_path=PATHS, title=st.sampled_from([None, "pear", "caf\u00e9"]))
    def move(self, data: st.DataObject, new_path: str, title: str | None) -> None:
        if not self.model.files:
            return
        place, source = self.draw_source(data)
        self.store.move_source(source.id, new_path, FileStamp(1, 2, 3), title=title)
        moved = self.model.files.pop(place)
        moved.title = moved.title if title is None else title
        self.model.forget(Place(place.project, new_path))
        self.model.files[Place(place.project, new_path)] = moved

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if not self.model.files:
            return
        place, source = self.draw_source(data)
        self.store.remove_source(source.id)
        self.model.forget(place)

    def draw_source(self, data: st.DataObject) -> tuple[Place, StoredSource]:
        place = data.draw(st.sampled_from(sorted(self.model.files)))
        source = self.store.source(place.project, place.path)
        assert source is not None
        return place, source

    # Opening ---------------------------------------------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def killed(self) -> None:
        self.go_on_with(self.copied())

    @rule(place=st.builds(Place, PROJECTS, PATHS))
    def killed_within_a_batch(self, place: Place) -> None:
        """What was not acknowledged is as if it had not been."""
        with self.store.batch():
            self.put_into_store(place, ["apple"], 2)
            copy = self.copied()
        self.go_on_with(copy)

    def copied(self) -> Path:
        copy = self.path.parent.with_name("copy")
        shutil.copytree(self.path.parent, copy)
        shutil.copy(self.witness, copy / "witness")
        return copy

    def go_on_with(self, copy: Path) -> None:
        self.store.close()
        shutil.rmtree(self.path.parent)
        shutil.move(copy / "witness", self.witness)
        shutil.move(copy, self.path.parent)
        self.open()

    # Forgetting ------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def forget_a_file(self, data: st.DataObject) -> None:
        if not self.model.files:
            return
        place, source = self.draw_source(data)
        self.forget(Target(sources=(source.id,)), {place})

    @rule(project=PROJECTS, path=st.sampled_from(["/d", "/d/a.txt", "/e", "/nowhere"]))
    def forget_a_path(self, project: str, path: str) -> None:
        going = {p for p in self.model.files if p.project == project and (p.path + "/").startswith(path + "/")}
        self.forget(Target(paths=((project, path),)), going)

    @rule(data=st.data())
    def forget_a_passage(self, data: st.DataObject) -> None:
        held = sorted(place for place, e in self.model.files.items() if e.texts)
        if not held:
            return
        place = data.draw(st.sampled_from(held))
        expected = self.model.files[place]
        n = data.draw(st.integers(0, len(expected.texts) - 1))
        (chunk,) = self._with(expected.marks[n])
        self.forget(Target(passages=(chunk.id,)), set())
        self.model.gone.append(expected.marks.pop(n))
        expected.texts.pop(n)

    @rule(data=st.data())
    def forget_a_conversation(self, data: st.DataObject) -> None:
        if self.model.talks:
            talk = data.draw(st.sampled_from(sorted(self.model.talks)))
            self.forget(Target(conversations=(talk,)), set())
            del self.model.talks[talk]

    def forget(self, target: Target, places: set[Place]) -> None:
        """Forget; answers that rested on a passage that went must have gone, and no others."""
        shown = self.store.forget(target)
        assert self.store.forgetting(target).is_empty
        for place in places:
            self.model.forget(place)
            self.model.hidden.add(place)
        left = {t.id: t.text for talk in self.store.conversations() for t in self.store.turns(talk.id)}
        for said in (s for talk in self.model.talks.values() for s in talk.said.items() if s[0] in left):
            turn_id, turn = said
            if turn.cites in shown.passages or turn.place in places:
                assert left[turn_id] == REMOVED_ANSWER
            elif turn.cites is None or self.store.chunk(turn.cites):
                assert left[turn_id] == turn.text
            # Otherwise it cites what an earlier version said, of which only the log knows whose it was.
            turn.text = left[turn_id]

    # Conversations ---------------------------------------------------------------------------------------------

    @rule(project=PROJECTS, title=st.sampled_from(["a talk", "caf\u00e9", "\udcff"]))
    def talk(self, project: str, title: str) -> None:
        talk = self.store.new_conversation(project, title)
        self.model.talks[talk] = Talk(project, title, self.uid("conversation", talk))

    @rule(data=st.data(), is_answer=st.booleans())
    def say(self, data: st.DataObject, is_answer: bool) -> None:
        if not self.model.talks:
            return
        talk = data.draw(st.sampled_from(sorted(self.model.talks)))
        self.n_said += 1
        said = Said(f"turn {self.n_said}")
        held = [place for place, e in sorted(self.model.files.items()) if e.texts]
        if is_answer and held:
            place, source = self.draw_source_of(data, held)
            said = replace(said, cites=self.store.source_chunks(source.id)[0].id, place=place)
            citations = (replace(citation_of(place.path, "words", said.cites or 0), project=place.project),)
            turn = self.store.add_turn(talk, "assistant", said.text, citations)
        else:
            turn = self.store.add_turn(talk, "user", said.text, ())
        self.model.talks[talk].said[turn] = said

    def draw_source_of(self, data: st.DataObject, places: list[Place]) -> tuple[Place, StoredSource]:
        place = data.draw(st.sampled_from(places))
        source = self.store.source(place.project, place.path)
        assert source is not None
        return place, source

    @rule(data=st.data(), title=st.sampled_from(["renamed", "again"]))
    def rename(self, data: st.DataObject, title: str) -> None:
        if self.model.talks:
            talk = data.draw(st.sampled_from(sorted(self.model.talks)))
            self.store.rename_conversation(talk, title)
            self.model.talks[talk].title = title

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.model.talks:
            talk = data.draw(st.sampled_from(sorted(self.model.talks)))
            self.store.delete_conversation(talk)
            del self.model.talks[talk]

    # What must always hold -------------------------------------------------------------------------------------

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

    @invariant()
    def holds_the_same_conversations(self) -> None:
        held = {
            c.id: (c.project, c.title, {t.id: t.text for t in self.store.turns(c.id)})
            for c in self.store.conversations()
        }
        assert held == {
            i: (t.project, t.title, {j: s.text for j, s in t.said.items()}) for i, t in self.model.talks.items()
        }

    @invariant()
    def names_stay_the_same(self) -> None:
        for place, expected in self.model.files.items():
            assert self.uid("source", place) == expected.uid
        for talk, said in self.model.talks.items():
            assert self.uid("conversation", talk) == said.uid
        uids = [e.uid for e in self.model.files.values()] + [t.uid for t in self.model.talks.values()]
        assert len(set(uids)) == len(uids) and {len(uid) for uid in uids} <= {16}

    def uid(self, table: str, item: Place | int) -> bytes:
        if isinstance(item, Place):
            source = self.store.source(*item)
            assert source is not None
            item = source.id
        with self.store._database.reading() as connection:
            return bytes(connection.execute(f"select uid from {table} where id = ?", (item,)).get)

    @invariant()
    def the_log_vouches_for_every_record(self) -> None:
        with self.store._database.reading() as connection:
            assert oplog.verify(connection, KEY.store_id) == oplog.head(connection)
            vouched = oplog.last_digests(connection)
            found: dict[str, bytes] = {}
            for kind, digest in OF_KIND.items():
                rows: list[Row] = connection.execute(f"select id from {kind}").fetchall()
                found |= {f"{kind}:{i}": digest(connection, i) for (i,) in rows}
        assert found == vouched

    @invariant()
    def what_was_forgotten_stays_hidden(self) -> None:
        tombstones = self.store.tombstones()
        for place in self.model.hidden:
            assert tombstones.hides_path(place.project, place.path)

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
    max_examples=count(8, 1000),
    stateful_step_count=count(14, 40),
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
