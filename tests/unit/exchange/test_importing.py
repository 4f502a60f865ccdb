"""What an import does to a memory that holds something already, and the vectors that come after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.config import Config
from secondme.errors import Cancelled, ConfigError
from secondme.exchange.importing import ImportRequest, import_
from secondme.exchange.recognize import recognize
from secondme.ingest.reindex import embed_missing, reindex
from secondme.memory.store import Store
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.types import EmbedProgress, IngestDone
from tests.exchanging import exported, imported
from tests.storing import KEY, chunks_of, citation_of, put, source_of, texts_found, unit_vectors


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "other.db", KEY)
    yield opened
    opened.close()


@pytest.fixture
def bundle(other: Store, tmp_path: Path) -> Path:
    put(other, "/a", ["apple one", "apple two"])
    put(other, "/b", ["plum"])
    conversation = other.new_conversation("default", "A talk")
    other.add_turn(conversation, "assistant", "so [1]", (citation_of(chunk_id=2), citation_of(chunk_id=3)))
    exported(other, tmp_path / "e.tar")
    return tmp_path / "e.tar"


def cited(store: Store) -> list[int]:
    return [c.chunk_id for talk in store.conversations() for t in store.turns(talk.id) for c in t.citations]


def test_the_file_that_is_here_stays(store: Store, bundle: Path) -> None:
    put(store, "/c", ["something before"])
    put(store, "/a", ["apple zero", "apple two"])
    done = imported(store, bundle)
    assert (done.new.n_files, done.new.n_passages, done.n_kept, done.n_known) == (1, 1, 1, 0)
    assert sorted(texts_found(store, "apple")) == ["apple two", "apple zero"]
    # A citation finds the passage of the present file where it says the same, and the imported one by its new number.
    ids = {c.chunk.text: c.id for s in store.sources() for c in store.source_chunks(s.id)}
    assert cited(store) == [ids["apple two"], ids["plum"]]


def test_a_citation_of_what_is_not_here_leads_nowhere(store: Store, bundle: Path) -> None:
    put(store, "/a", ["other"])
    imported(store, bundle)
    assert cited(store)[0] == 0 and store.chunks([0]) == []


def test_another_project_of_the_same_name_is_the_same(store: Store, bundle: Path, tmp_path: Path) -> None:
    put(store, "/mine", ["pear"])
    imported(store, bundle)
    assert len({s.project for s in store.sources()}) == 1
    exported(store, tmp_path / "both.tar")
    assert imported(store, tmp_path / "both.tar").n_known == 4


def test_a_dry_run_tells_and_changes_nothing(store: Store, bundle: Path) -> None:
    before = store.log()
    done = imported(store, bundle, dry_run=True)
    assert done.dry_run and (done.new.n_files, done.new.n_turns) == (2, 1)
    assert store.log() == before and store.sources() == []
    assert imported(store, bundle).new == done.new


@pytest.mark.parametrize("after", [0, 3, 9])
def test_stopped_nothing_is_imported(store: Store, bundle: Path, after: int) -> None:
    polls = iter(range(1000))
    request = ImportRequest(recognize(bundle), "default")
    with pytest.raises(Cancelled):
        list(import_(store, request, cancelled=lambda: next(polls) == after))
    assert store.sources() == [] and store.conversations() == []


def test_every_record_is_in_the_log(store: Store, bundle: Path) -> None:
    imported(store, bundle)
    for subject in ("source:1", "source:2", "conversation:1", "turn:1"):
        (op, *_) = store.log(subject)
        assert (op.kind, op.actor) == ("imported", "import:secondme") and op.digest
    counts = {"projects": 1, "files": 2, "passages": 3, "conversations": 1, "turns": 1}
    assert store.log("store")[-1].detail == {"form": "secondme", **counts}


def test_words_find_at_once_what_vectors_find_later(store: Store, bundle: Path, hashed: HashEmbedder) -> None:
    imported(store, bundle)
    assert texts_found(store, "plum") == ["plum"]
    assert (store.n_unembedded(), len(store.unembedded())) == (3, 3)
    assert store.search_vectors(hashed.embed(["plum"])[0], 5, None) == []
    events = list(embed_missing(store, hashed))
    assert events[-1] == EmbedProgress(3, 3)
    assert (store.n_unembedded(), store.unembedded()) == (0, [])
    nearest, _ = store.search_vectors(hashed.embed(["plum"])[0], 1, None)[0]
    assert store.chunks([nearest])[0].chunk.text == "plum"
    assert {c.status for c in store.check(read_data=True)} == {"ok"}
    assert list(embed_missing(store, hashed)) == []


def test_what_was_embedded_is_kept_when_it_is_stopped(store: Store, tmp_path: Path, hashed: HashEmbedder) -> None:
    other = Store.open(tmp_path / "large.db", KEY)
    put(other, "/large", [f"passage {i}" for i in range(150)])
    exported(other, tmp_path / "large.tar")
    other.close()
    imported(store, tmp_path / "large.tar")
    embedded: list[EmbedProgress] = []
    with pytest.raises(Cancelled):
        for event in embed_missing(store, hashed, cancelled=lambda: len(embedded) == 2):
            embedded.append(event)
    assert store.n_unembedded() == 150 - 128
    done = list(reindex(store, hashed))[-1]
    assert isinstance(done, IngestDone) and done.n_chunks == 22
    assert store.n_unembedded() == 0
    full = list(reindex(store, hashed))[-1]
    assert isinstance(full, IngestDone) and full.n_chunks == 150


def test_vectors_of_another_model_are_not_mixed(store: Store, bundle: Path, hashed: HashEmbedder) -> None:
    put(store, "/mine", ["pear"])
    imported(store, bundle)
    with pytest.raises(ConfigError):
        list(embed_missing(store, hashed))
    list(reindex(store, hashed))
    assert store.n_unembedded() == 0


def test_adding_files_finishes_what_an_import_left(
    bundle: Path, tmp_path: Path, hashed: HashEmbedder, echo: EchoGenerator
) -> None:
    with Assistant(Config(), Credentials(passphrase="pass"), embedder=hashed, generator=echo) as assistant:
        imported(assistant.store, bundle)
        (tmp_path / "new.txt").write_text("pear")
        first, *_ = assistant.ingest([tmp_path / "new.txt"])
        assert first == EmbedProgress(3, 3)
        assert assistant.store.n_unembedded() == 0


def test_vectors_are_added_once_and_for_what_is_there(store: Store) -> None:
    first = put(store, "/a", ["apple"])
    store.add_vectors([(store.source_chunks(first)[0].id, unit_vectors(1)[0]), (99, unit_vectors(1)[0])])
    assert store.stats().n_vectors == 1


def test_imported_files_are_replaced_and_removed_like_others(store: Store, bundle: Path) -> None:
    imported(store, bundle)
    store.set_embedder("test", 8)
    store.put_source(source_of("/a"), chunks_of(["cherry"]), unit_vectors(1))
    plum = store.source("default", "/b")
    assert plum is not None
    store.remove_source(plum.id)
    assert (texts_found(store, "apple OR plum"), texts_found(store, "cherry")) == ([], ["cherry"])
    assert store.n_unembedded() == 0
