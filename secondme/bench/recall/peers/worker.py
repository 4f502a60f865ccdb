"""The child process: runs under the Python of the peers' environment, which has bm25s and mem0ai.

    python -c "...; main([folder])"    reads folder/request.json, writes folder/answers.json, progress to stdout

Needs no network: mem0ai gets our vectors, is not asked to call a model, and its telemetry is off.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from secondme.bench.recall.peers.exchange import DEPTH, Answer, Conversation, read_request, read_vectors, write_answers

_QUIET = {
    "MEM0_TELEMETRY": "False",
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
_MEM0_TOP = 10  # what its figures are of; it takes longer for more
_NO_KEY = "none"  # mem0ai wants one for the services that it is never asked to call

Vectors = list[list[float]]


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0])
    os.environ.update(_QUIET, MEM0_DIR=str(folder / "mem0"))
    logging.disable(logging.WARNING)  # mem0ai says at length which optional parts it lacks
    request = read_request(folder)
    answers = []
    for name in request.peers:
        answer = Answer(name, [], [], [])
        for number, conversation in enumerate(request.conversations):
            print(f"{name}: conversation {number + 1} of {len(request.conversations)}", flush=True)
            _PEERS[name](folder, conversation, read_vectors(folder, number, request.n_dims), answer)
        answers.append(answer)
    write_answers(folder, answers)
    return 0


def _bm25s(_folder: Path, conversation: Conversation, _vectors: Vectors, answer: Answer) -> None:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")

    def terms(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False)

    started = time.perf_counter()
    index = bm25s.BM25()
    index.index(terms(conversation.turns), show_progress=False)
    answer.write_s.append((time.perf_counter() - started) / len(conversation.turns))
    rankings: list[list[int]] = []
    for question in conversation.questions:
        started = time.perf_counter()
        k = min(DEPTH, len(conversation.turns))
        places, scores = index.retrieve(terms([question]), k=k, show_progress=False)
        answer.search_s.append(time.perf_counter() - started)
        pairs = zip(places[0].tolist(), scores[0].tolist(), strict=True)
        rankings.append([place for place, score in pairs if score > 0])
    answer.rankings.append(rankings)


def _mem0(folder: Path, conversation: Conversation, vectors: Vectors, answer: Answer) -> None:
    number = len(answer.rankings)
    memory = _memory(folder / f"mem0-{number}", len(vectors[0]))
    memory.embedding_model = _given(dict(zip((*conversation.turns, *conversation.questions), vectors, strict=True)))
    owner = {"user_id": f"conversation-{number}"}
    for place, turn in enumerate(conversation.turns):
        started = time.perf_counter()
        memory.add([{"role": "user", "content": turn}], **owner, metadata={"place": place}, infer=False)
        answer.write_s.append(time.perf_counter() - started)
    rankings: list[list[int]] = []
    for question in conversation.questions:
        started = time.perf_counter()
        found = memory.search(question, filters=owner, top_k=_MEM0_TOP)
        answer.search_s.append(time.perf_counter() - started)
        rankings.append([result["metadata"]["place"] for result in found["results"]])
    answer.rankings.append(rankings)


def _memory(folder: Path, n_dims: int) -> Any:
    """mem0ai over its default vector store, in a folder."""
    from mem0 import Memory

    store = {"path": str(folder / "qdrant"), "embedding_model_dims": n_dims, "on_disk": True}
    return Memory.from_config(
        {
            "embedder": {"provider": "openai", "config": {"api_key": _NO_KEY, "embedding_dims": n_dims}},
            "llm": {"provider": "openai", "config": {"api_key": _NO_KEY}},
            "vector_store": {"provider": "qdrant", "config": store},
            "history_db_path": str(folder / "history.db"),
        }
    )


def _given(vectors: dict[str, list[float]]) -> Any:
    """An embedding model of mem0ai's kind that knows the vectors of all texts already."""
    from mem0.embeddings.base import EmbeddingBase

    class Given(EmbeddingBase):  # type: ignore[misc]  # the checker does not see mem0ai
        def embed(self, text: str, memory_action: str | None = None) -> list[float]:
            return vectors[text]

    return Given()


_PEERS: dict[str, Callable[[Path, Conversation, Vectors, Answer], None]] = {"bm25s": _bm25s, "mem0": _mem0}
