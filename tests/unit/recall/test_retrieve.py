"""Recall over a real store: words and vectors together, and the gate."""

from __future__ import annotations

import numpy as np
import pytest

from secondme.memory import vectors
from secondme.memory.store import Store
from secondme.recall import retrieve as retrieve_module
from secondme.recall.fuse import zscore_fusion
from secondme.recall.retrieve import embed_question, retrieve, retrieve_by, telling
from secondme.runtime.echo import HashEmbedder
from secondme.types import Chunk, FileStamp, SourceFile

TEXTS = (
    "The lamp of the lighthouse was lit in 1886 by the keeper Reed.",
    "Bread needs flour, water, salt and twelve hours of rest.",
    "The harbour master writes down every ship that passes at night.",
)


@pytest.fixture
def filled(store: Store, hashed: HashEmbedder) -> Store:
    store.set_embedder(hashed.fingerprint, hashed.n_dims)
    for n, text in enumerate(TEXTS):
        chunk = Chunk(0, text, 0, len(text), 1, 1, None, ())
        project = "other" if n == 2 else "default"
        source = SourceFile(f"/n/{n}.txt", project, "text/plain", f"note {n}", bytes([n]), FileStamp(1, 1, n))
        store.put_source(source, [chunk], hashed.embed([text]))
    return store


def test_the_passage_that_answers_comes_first(filled: Store, hashed: HashEmbedder) -> None:
    found = retrieve("When was the lighthouse's lamp lit?", filled, hashed)
    assert found.found
    assert found.hits[0].chunk.chunk.text == TEXTS[0]
    assert found.hits[0].text_rank == 1


def test_another_project_is_not_read(filled: Store, hashed: HashEmbedder) -> None:
    found = retrieve("Which ship passes the harbour at night?", filled, hashed, project="default")
    assert TEXTS[2] not in [h.chunk.chunk.text for h in found.hits]
    assert retrieve("Which ship passes the harbour at night?", filled, hashed, project=None).found


def test_the_gate_stops_what_memory_does_not_hold(filled: Store, hashed: HashEmbedder) -> None:
    assert not retrieve("Who won the chess tournament in Reykjavik?", filled, hashed).found


def test_where_too_many_passages_have_a_word_those_are_ranked_that_have_two(
    store: Store, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"harbour {n}" for n in range(9)] + [f"lighthouse {n}" for n in range(7)] + ["lighthouse of the harbour"]
    chunks = [Chunk(n, text, n, n + 1, 1, 1, None, ()) for n, text in enumerate([*texts, *"abcdefghijklmnopqrstu"])]
    store.set_embedder(hashed.fingerprint, hashed.n_dims)
    source = SourceFile("/n.txt", "default", "text/plain", "", b"n", FileStamp(1, 1, 1))
    store.put_source(source, chunks, hashed.embed([c.text for c in chunks]))
    df = {"harbour": 10, "lighthouse": 8}

    def ranked(asked: list[str]) -> list[str]:
        found = retrieve_module._by_words(store, asked, df, None)
        assert found == sorted(found, key=lambda hit: (-hit[1], hit[0]))
        return [c.chunk.text for c in store.chunks([i for i, _ in found])]

    asked = ["lighthouse", "harbour"]
    every = ranked(asked)
    assert set(every) == set(texts) and every[0] == texts[-1]
    monkeypatch.setattr(retrieve_module, "MOST_RANKED", 17)
    assert ranked(asked) == [t for t in every if "lighthouse" in t]
    monkeypatch.setattr(retrieve_module, "MOST_RANKED", 7)
    assert ranked(asked) == [texts[-1]]
    store.remove_sources([s.id for s in store.sources()])
    store.put_source(source, chunks[:16], hashed.embed([c.text for c in chunks[:16]]))
    assert set(ranked(asked)) == set(texts[9:16])  # none has both
    assert ranked([]) == [] and len(ranked(["lighthouse"])) == 7


def test_an_empty_memory_finds_nothing(store: Store, hashed: HashEmbedder) -> None:
    found = retrieve("anything at all?", store, hashed)
    assert (found.hits, found.found) == ((), False)


def test_a_question_longer_than_the_embedder_is_read_whole() -> None:
    small = HashEmbedder()
    question = "harbour " * 5000 + "lighthouse"
    vector = embed_question(question, small)
    assert vector.shape == (small.n_dims,)
    assert abs(float(vector @ vector) - 1) < 1e-5


def test_fusion_counts_an_absent_id_like_the_last() -> None:
    fused = zscore_fusion(([(1, 3.0), (2, 1.0)], [(1, 0.9), (3, 0.1)]))
    assert fused[1] == 2.0
    assert fused[2] == fused[3] == -2.0
    assert zscore_fusion(([], [])) == {}


def test_telling_words_are_the_rarest_within_what_the_index_can_look_through(monkeypatch: pytest.MonkeyPatch) -> None:
    df = {"ship": 90, "lamp": 3, "harbour": 40, "unknown": 0, "night": 60}
    monkeypatch.setattr(retrieve_module, "OCCURRENCES", 50)
    assert telling(list(df), df) == ["lamp", "harbour"]
    monkeypatch.setattr(retrieve_module, "OCCURRENCES", 1)
    assert telling(list(df), df) == ["lamp", "harbour"]
    monkeypatch.setattr(retrieve_module, "OCCURRENCES", 1000)
    assert telling(list(df), df) == ["lamp", "harbour", "night", "ship"]


def put(store: Store, texts: dict[str, tuple[float, ...]]) -> None:
    """Passages with vectors of the test's choice."""
    for n, (text, vector) in enumerate(texts.items()):
        chunk = Chunk(0, text, 0, len(text), 1, 1, None, ())
        source = SourceFile(f"/n/{n}.txt", "default", "text/plain", "", bytes([n]), FileStamp(1, 1, n))
        store.put_source(source, [chunk], np.array([vector], np.float32))


def test_passages_near_the_leaders_rise_above_others_equally_near_the_question(store: Store) -> None:
    """Three passages lead together; of two others at one angle to the question, the one on their side goes first."""
    store.set_embedder("test", 4)
    put(
        store,
        {
            "lamp lamp lit in the tower": (0.8, 0.6, 0.0, 0.0),
            "lamp lit in the tower again": (0.78, 0.62, 0.05, 0.0),
            "lit lamp of the tower, again": (0.79, 0.61, 0.0, 0.05),
            "on their side": (0.6, 0.8, 0.0, 0.0),
            "on the far side": (0.6, -0.8, 0.0, 0.0),
            "elsewhere": (0.0, 0.0, 0.0, 1.0),
        },
    )
    question = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
    order = [h.chunk.chunk.text for h in retrieve_by("lamp lit tower", question, store).hits]
    assert order.index("on their side") < order.index("on the far side")
    assert set(order[:3]) == {t for t in order if "lamp" in t}


def test_passages_without_vectors_are_found_by_their_words(filled: Store, hashed: HashEmbedder) -> None:
    with filled._database.writing() as connection:
        for i in (1, 2, 3):
            vectors.delete(connection, i)
    found = retrieve("When was the lighthouse's lamp lit?", filled, hashed)
    assert (found.hits[0].chunk.chunk.text, found.hits[0].similarity, found.found) == (TEXTS[0], None, True)


def test_vectors_come_in_the_order_asked_for(filled: Store, hashed: HashEmbedder) -> None:
    ids, rows = filled.chunk_vectors([3, 99, 1])
    assert ids.tolist() == [3, 1]
    assert np.allclose(rows, hashed.embed([TEXTS[2], TEXTS[0]]))


def test_an_empty_store_has_no_vectors(store: Store) -> None:
    ids, rows = store.chunk_vectors([1, 2])
    assert (len(ids), len(rows)) == (0, 0)
