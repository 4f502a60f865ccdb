"""A few facts, one of them corrected: what was corrected is told as it is now, and all else as it was."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.bench.recall.updates import KEY, Case, holds, tell
from secondme.memory.store import Store
from secondme.recall.gather import Scope, gather, ranked
from secondme.runtime.base import Embedder
from secondme.runtime.llama_embed import LlamaEmbedder

DAY = 86400.0
START = 1_795_000_000.0

MOVED = (
    "I live in Antwerp, near the river.",
    "My sister Hanna is a vet in Bruges.",
    "The next appointment at my dentist is on 3 December at 9:15.",
    "The dentist called, they moved me to 10 December, same time.",
)
SWITCHED = (
    "I keep my notes in Joplin.",
    "My boss is called Ingvild.",
    "Our stand-up meeting is in room 4.",
    "How do I rename a branch in git?",
    "From this week the stand-up is in room 9.",
    "It has been raining since Monday.",
)
SOLD = (
    "I'm allergic to hazelnuts.",
    "We drive an old Volvo V70.",
    "My brother Leif works on a ferry.",
    "The Volvo went to the scrapyard, and we bought a Dacia Jogger.",
    "I finished painting the hallway.",
)


@pytest.fixture(scope="module")
def embedder(minilm_path: Path) -> Iterator[Embedder]:
    opened = LlamaEmbedder(minilm_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("told", "question", "value"),
    [
        (MOVED, "Where do I live?", "Antwerp"),
        (MOVED, "What does my sister do?", "vet"),
        (MOVED, "When is my appointment at the dentist?", "10 December"),
        (SWITCHED, "Where do I keep my notes?", "Joplin"),
        (SWITCHED, "Who is my boss?", "Ingvild"),
        (SWITCHED, "In which room is the stand-up meeting?", "room 9"),
        (SOLD, "What am I allergic to?", "hazelnuts"),
        (SOLD, "Which car do we have?", "Jogger"),
        (SOLD, "Where does my brother work?", "ferry"),
    ],
)
def test_the_right_statement_comes_first(embedder: Embedder, told: tuple[str, ...], question: str, value: str) -> None:
    turns = tuple(("user", text, START + n * DAY) for n, text in enumerate(told))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "small.db", KEY)
        store.set_embedder(embedder.fingerprint, embedder.n_dims)
        tell(store, Case("small", turns, question, value, ()), "default", embedder, {})  # type: ignore[arg-type]
        found = ranked(question, store, embedder, Scope("default"))[0]
        pieces = gather(question, store, embedder, Scope("default")).pieces
        store.close()
    assert holds(found[0].text, value)
    assert holds(pieces[0].text, value)
