"""Recall over a real store: words and vectors together, and the gate."""

from __future__ import annotations

import pytest

from secondme.memory.store import Store
from secondme.recall.fuse import zscore_fusion
from secondme.recall.retrieve import embed_question, retrieve
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
