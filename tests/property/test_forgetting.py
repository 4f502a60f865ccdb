"""What was forgotten never comes back by itself, whatever files are written, renamed, cut anew, added and followed."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from secondme.ingest.pipeline import IngestOptions, ingest
from secondme.memory import wordings
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.memory.tombstones import wording
from secondme.runtime.echo import HashEmbedder
from tests.fault.soak import n
from tests.storing import KEY

# Each has a word of its own, by which the index finds it, and which no other word is stemmed to.
KEYWORDS = ["aardwolf", "bandicoot", "capybara", "dugong", "echidna", "fossa", "gerenuk", "hutia", "indri", "jerboa"]
SENTENCES = [f"We saw the {word} at gate {i} on day {i * 7} of the long walk." for i, word in enumerate(KEYWORDS)]
NAMES = st.sampled_from(["a.txt", "b.md", "sub/c.txt"])
GLUE = st.sampled_from([" ", "\n", "\n\n", "\n- "])
WAYS = st.sampled_from(["follow", "follow", "add the folder", "add", "again"])
WHAT = st.sampled_from(["passage", "file"])
CONTENTS = st.lists(st.tuples(st.integers(0, len(SENTENCES) - 1), GLUE), min_size=1, max_size=9)


class Short(HashEmbedder):
    """With a context so short that a few sentences fill a passage."""

    @property
    def n_ctx(self) -> int:
        return 64


class Forgetting(RuleBasedStateMachine):
    """`gone` maps each forgotten sentence to how it was forgotten: by itself, or with its file; `hidden` are paths."""

    @initialize(contents=st.lists(CONTENTS, min_size=3, max_size=3), data=st.data(), what=WHAT, by_index=st.booleans())
    def begin(
        self, contents: Sequence[Sequence[tuple[int, str]]], data: st.DataObject, what: str, by_index: bool
    ) -> None:
        # What lives on elsewhere is found by the word index in a large memory, by looking through it in a small one.
        wordings._PASSAGES_A_QUERY = 0 if by_index else 20
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        self.docs = root / "docs"
        (self.docs / "sub").mkdir(parents=True)
        self.store = Store.open(root / "store.db", KEY)
        self.embedder = Short(32)
        self.gone: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.clock = 1_000_000_000
        for name, content in zip(("a.txt", "b.md", "sub/c.txt"), contents, strict=True):
            self._write(name, content)
        self._bring("follow", "a.txt")
        self._forget(data, what)

    def teardown(self) -> None:
        wordings._PASSAGES_A_QUERY = 20
        if hasattr(self, "store"):
            self.store.close()
            self._folder.cleanup()

    # Files change, and memory is brought in step -------------------------------------------------------------

    @rule(name=NAMES, content=CONTENTS, how=WAYS)
    def write(self, name: str, content: Sequence[tuple[int, str]], how: str) -> None:
        self._write(name, content)
        self._bring(how, name)

    def _write(self, name: str, content: Sequence[tuple[int, str]]) -> None:
        path = self.docs / name
        path.write_text("".join(SENTENCES[i] + glue for i, glue in content))
        self.clock += 10  # no two versions look alike, however fast they follow one another
        os.utime(path, (self.clock, self.clock))

    @rule(name=NAMES, other=NAMES, how=WAYS)
    def rename(self, name: str, other: str, how: str) -> None:
        if (self.docs / name).exists():
            (self.docs / name).rename(self.docs / other)
        self._bring(how, other)

    @rule(name=NAMES, how=WAYS)
    def delete(self, name: str, how: str) -> None:
        (self.docs / name).unlink(missing_ok=True)
        self._bring(how, name)

    def _bring(self, how: str, name: str) -> None:
        if how == "follow":
            self._take_in([self.docs], within=[self.docs])
        elif how == "add the folder":
            self._take_in([self.docs])
        elif (self.docs / name).exists():
            self._add_file(self.docs / name, again=how == "again")

    def _add_file(self, path: Path, *, again: bool) -> None:
        asked = again or self.store.tombstones().hides_path("default", str(path))
        self._take_in([path], again=again)
        self.hidden.discard(str(path))
        said = wording(path.read_text())
        for sentence in [s for s in self.gone if wording(s) in said]:
            if asked and (again or self.gone[sentence] == "file"):
                del self.gone[sentence]

    def _take_in(self, paths: list[Path], within: Sequence[Path] = (), *, again: bool = False) -> None:
        for _ in ingest(paths, self.store, self.embedder, IngestOptions(again=again), within=within):
            pass

    # Out of it -----------------------------------------------------------------------------------------------

    @rule(data=st.data(), what=WHAT)
    def forget(self, data: st.DataObject, what: str) -> None:
        self._forget(data, what)

    def _forget(self, data: st.DataObject, what: str) -> None:
        chunks = [c for s in self.store.sources() for c in self.store.source_chunks(s.id)]
        if not chunks:
            return
        chosen = data.draw(st.sampled_from(chunks))
        before = self._sentences()
        whole = (Target(sources=(chosen.source_id,)), Target(paths=((chosen.project, chosen.path),)))
        self.store.forget(Target(passages=(chosen.id,)) if what == "passage" else whole[chosen.id % 2])
        self._note(before, what)
        if what == "file":
            self.hidden.add(chosen.path)

    def _note(self, before: set[str], how: str) -> None:
        for sentence in before - self._sentences():
            self.gone[sentence] = how

    def _sentences(self) -> set[str]:
        """Sentences that are whole in some passage."""
        said = [wording(c.chunk.text) for s in self.store.sources() for c in self.store.source_chunks(s.id)]
        return {s for s in SENTENCES if any(wording(s) in text for text in said)}

    # Always --------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_comes_back(self) -> None:
        if not hasattr(self, "store"):
            return
        assert not self.gone.keys() & self._sentences()
        assert not self.hidden & {s.path for s in self.store.sources()}
        for sentence in self.gone:
            (word,) = [k for k in KEYWORDS if k in sentence]
            found = self.store.chunks([i for i, _ in self.store.search_text(f'"{word}"', 100, None)])
            assert not [c for c in found if wording(sentence) in wording(c.chunk.text)]

    @invariant()
    def what_stays_is_where_it_says(self) -> None:
        """A passage's bytes are those of its file, but for what is blanked."""
        if not hasattr(self, "store"):
            return
        for source in self.store.sources():
            path = Path(source.path)
            chunks = self.store.source_chunks(source.id)
            assert source.n_chunks == len(chunks)
            if path.exists() and path.stat().st_mtime_ns == source.stamp.mtime_ns:
                data = path.read_bytes()
                for stored in chunks:
                    there = data[stored.chunk.byte_start : stored.chunk.byte_end].decode()
                    words = re.findall(r"\S+", stored.chunk.text)
                    assert len(there) == len(stored.chunk.text) and set(words) <= set(re.findall(r"\S+", there))


TestForgetting = Forgetting.TestCase
TestForgetting.settings = settings(
    max_examples=n(30, 2000), stateful_step_count=n(12, 40), deadline=None, suppress_health_check=list(HealthCheck)
)
