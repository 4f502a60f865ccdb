"""Recall of turns over a real store: what bears on a question, and what must never come back."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondme.memory.conversations import NewTurn
from secondme.memory.store import Store
from secondme.recall.turns import recall_turns
from secondme.recall.turns.asked import ask
from secondme.recall.turns.pool import Pool, pool_of
from secondme.recall.turns.recall import weigh
from secondme.recall.turns.said import LOOKS, looks
from secondme.recall.turns.speakers import speakers_named
from secondme.recall.turns.weights import Linear, Weights, read, shipped, write
from secondme.recall.turns.words import Counted, Spoken
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.traces import traces
from secondme.text.terms import QUESTION_WORDS, fold, stem
from secondme.types import NewItem, Span, Turn

AT = datetime(2030, 5, 4, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0
TOLD = (
    ("Ruth", "The ferry to Arran was late again, so we missed the sheepdog trial."),
    ("Emil", "Oh no! Did you at least see the lighthouse?"),
    ("Ruth", "Yes, and I bought a barometer from the keeper's widow."),
    ("Emil", "My sister Greta plays the oboe in Leipzig now."),
    ("Ruth", "Lovely. I planted quince trees behind the shed."),
)


@pytest.fixture
def filled(store: Store, hashed: HashEmbedder) -> Store:
    store.set_embedder(hashed.fingerprint, hashed.n_dims)
    for n, project in enumerate(("default", "default", "other")):
        conversation = store.new_conversation(project, f"day {n}", at=AT + 40 * n * DAY)
        words = (
            TOLD if n != 1 else (("Emil", "I sold the motorbike and joined a choir."), ("Ruth", "What do you sing?"))
        )
        store.add_turns(
            [NewTurn(conversation, "user", t, (), who, AT + 40 * n * DAY + i) for i, (who, t) in enumerate(words)]
        )
    trace(store, hashed)
    return store


def trace(store: Store, hashed: HashEmbedder) -> None:
    while turns := store.turns_without_trace():
        store.put_traces(traces(turns, hashed))


def found(store: Store, hashed: HashEmbedder, question: str, **options: object) -> list[Turn]:
    given: dict[str, object] = {"project": "default", "k": 5, "now": AT + 100 * DAY} | options
    return [hit.turn for hit in recall_turns(question, store, hashed, **given).hits]  # type: ignore[arg-type]


def test_the_turn_that_answers_comes_first(filled: Store, hashed: HashEmbedder) -> None:
    assert "barometer" in found(filled, hashed, "From whom did Ruth buy the barometer?")[0].text
    assert "oboe" in found(filled, hashed, "Which instrument does Greta play, the oboe?")[0].text


def test_another_project_and_an_excluded_conversation_are_not_read(filled: Store, hashed: HashEmbedder) -> None:
    inside = {c.id for c in filled.conversations("default")}
    turns = found(filled, hashed, "Who bought the barometer?", k=50)
    assert turns and {t.conversation_id for t in turns} <= inside
    first = turns[0].conversation_id
    rest = found(filled, hashed, "Who bought the barometer?", k=50, exclude_conversation=first)
    assert first not in {t.conversation_id for t in rest}


def test_what_was_forgotten_does_not_come_back(filled: Store, hashed: HashEmbedder) -> None:
    gone = found(filled, hashed, "Who bought the barometer?")[0].conversation_id
    filled.delete_conversation(gone)
    assert all("barometer" not in t.text for t in found(filled, hashed, "Who bought the barometer?", k=50))


def test_secrets_are_stars(filled: Store, hashed: HashEmbedder) -> None:
    turn = found(filled, hashed, "Who bought the barometer?")[0]
    at = turn.text.encode().index(b"barometer")
    span = Span("turn", turn.id, at, at + 9)
    filled.add_item(NewItem("vault", "the device", spans=(span,), value="barometer"))
    again = next(t for t in found(filled, hashed, "What was bought from the keeper's widow?", k=9) if t.id == turn.id)
    assert again.text == turn.text.replace("barometer", "*" * 9)


def test_nothing_said_is_nothing_found(store: Store, hashed: HashEmbedder) -> None:
    store.set_embedder(hashed.fingerprint, hashed.n_dims)
    recalled = recall_turns("What did I say?", store, hashed, project="default", k=3)
    assert recalled.hits == () and not recalled.found


def test_turns_without_a_trace_are_found_by_their_words(filled: Store, hashed: HashEmbedder) -> None:
    conversation = filled.new_conversation("default", "late", at=AT + 90 * DAY)
    filled.add_turn(conversation, "user", "The zither needs new strings.", (), speaker="Emil", at=AT + 90 * DAY)
    assert found(filled, hashed, "What does the zither need?")[0].text.startswith("The zither")


@pytest.mark.parametrize("question", ["", "?", "?!", "\0", "when", "Ruth", "a" * 3000, "\ud800", "it's “so”"])
def test_any_text_can_be_asked(filled: Store, hashed: HashEmbedder, question: str) -> None:
    assert len(found(filled, hashed, question, k=4)) <= 4


def test_the_month_asked_for_counts(filled: Store, hashed: HashEmbedder) -> None:
    weighed = weigh("What did Ruth do in May 2030?", filled, hashed, ("default", None, AT + 100 * DAY), shipped())
    assert weighed is not None
    days = weighed.columns["day_in"]
    said = [datetime.fromtimestamp(t.created_at).month == 5 for t in weighed.pool.turns]
    assert days.tolist() == [float(x) for x in said] and any(said) and not all(said)


def test_the_one_asked_about_is_told_from_others(filled: Store, hashed: HashEmbedder) -> None:
    names = speakers_named("What did Ruth plant?", filled, "default")
    assert "Ruth" in names
    asked = ask("What did Ruth plant?", names, datetime.fromtimestamp(AT), filled, hashed)
    assert asked.names == ("ruth",) and "ruth" not in asked.stems


def test_captions_and_questions_are_seen() -> None:
    text = "Nice! [shares a photo of Bonn?]"
    assert looks([text], Spoken([text]))[0, -4:].tolist() == [1.0, 0.0, 0.0, 1.0]


# Words ---------------------------------------------------------------------------------------------------------

SAID = st.lists(
    st.text("aAsS thE I'\u2019-_.,?\"5 12\u00e9\u0130\u03a3\u00b2\u4e2d\U0001f600\n\x00", max_size=24)
    | st.lists(
        st.sampled_from(
            ["love", "In 1999", "the ferries", "Ruth's", "caf\u00e9", "July,", "ferry", "I'm", "20 2019", "_"]
        ),
        max_size=8,
    ).map(" ".join),
    min_size=1,
    max_size=9,
)


def _one_by_one(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", fold(text).replace("\u2019", "'").replace("'s", ""))


@given(texts=SAID)
@settings(max_examples=150, deadline=None)
def test_words_of_many_texts_are_those_of_each(texts: list[str]) -> None:
    spoken = Spoken(texts)
    spelled = list(spoken.codes)
    found: list[list[str]] = [[] for _ in texts]
    for text, word in zip(spoken.of.tolist(), spoken.at.tolist(), strict=True):
        found[text].append(spelled[word])
    assert found == [_one_by_one(text) for text in texts]
    assert spoken.heads == [words[:2] for words in found] and len(spoken) == len(texts)


@given(texts=SAID)
@settings(max_examples=150, deadline=None)
def test_looks_are_counted_word_by_word(texts: list[str]) -> None:
    table = dict(zip(LOOKS, looks(texts, Spoken(texts)).T, strict=True))
    for n, text in enumerate(texts):
        words = _one_by_one(text)
        years = [w for w in words if w.isdigit() and w[0] <= "9" and len(w) == 4 and w[:2] in ("19", "20")]
        digits = [w for w in words if w.isdigit() and w[0] <= "9"]
        assert table["first_person"][n] == min(4, sum(w in ("i", "im") for w in words))
        assert table["number"][n] == min(3, len(digits))
        assert table["time"][n] == min(2, len(years) + words.count("july"))
        assert table["liking"][n] == table["reason"][n] == min(1, words.count("love"))
        assert table["commas"][n] == min(4, text.count(","))


@given(texts=SAID, stems=st.sets(st.sampled_from(["ferry", "love", "cafe", "ruth", "s", "5", "absent"])))
@settings(max_examples=150, deadline=None)
def test_words_of_content_are_counted_as_by_hand(texts: list[str], stems: set[str]) -> None:
    turns = [Turn(i + 1, 1, "user", text, AT, ()) for i, text in enumerate(texts)]
    asked: Any = SimpleNamespace(stems=tuple(stems), names=("ruth",))
    pool: Any = SimpleNamespace(turns=turns)
    counted = Counted(asked, pool)
    lists = [[w for w in _one_by_one(text) if w not in QUESTION_WORDS] for text in texts]
    assert counted.lengths.tolist() == [max(1, len(words)) for words in lists]
    assert counted.stems.tolist() == [[sum(stem(w) == s for w in words) for words in lists] for s in asked.stems]
    spread = Counter(w for words in lists for w in set(words))
    values = np.arange(len(counted.spelled), dtype=np.float64)
    for n, words in enumerate(lists):
        said = counted.said_by(n)
        assert {counted.spelled[w] for w in said.tolist()} == set(words) and len(said) == len(set(words))
        assert counted.summed(values)[n] == sum(said.tolist())
        new = [counted.spelled[w] for w in counted.beyond(said, asked).tolist()]
        assert set(new) == {w for w in words if stem(w) not in stems and w != "ruth"}
    for word, n_turns in spread.items():
        code = counted.codes[word]
        assert counted.spread[code] == n_turns
        assert counted.rarity[code] == math.log1p(len(texts) / n_turns)


# Pool and weights ----------------------------------------------------------------------------------------------


def _pool(conversations: list[int], store: Store) -> Pool:
    turns = [Turn(i + 1, c, "user", "x", AT, ()) for i, c in enumerate(sorted(conversations))]
    return pool_of(turns, store)


@given(conversations=st.lists(st.integers(1, 4), min_size=1, max_size=12), offset=st.integers(-5, 5).filter(bool))
@settings(max_examples=60, deadline=None)
def test_neighbours_are_of_the_same_conversation(conversations: list[int], offset: int) -> None:
    class _Empty:
        def traces(self, ids: list[int]) -> dict[int, tuple[object, bytes]]:
            return {}

    pool = _pool(conversations, _Empty())  # type: ignore[arg-type]
    values = np.arange(len(pool), dtype=np.float32)
    whose = sorted(conversations)
    expected = [
        float(i + offset) if 0 <= i + offset < len(whose) and whose[i + offset] == whose[i] else -1.0
        for i in range(len(whose))
    ]
    assert pool.shifted(values, offset, -1.0).tolist() == expected
    assert pool.highest(values).tolist() == [float(max(i for i, c in enumerate(whose) if c == mine)) for mine in whose]


def _f(values: list[float]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array(values, np.float32)


def test_weights_survive_their_file(tmp_path: Path) -> None:
    part = Linear(("a", "b"), _f([1.5, -2]), _f([0, 1]), _f([1, 4]), 0.25)
    weights = Weights(part, part, part, "made by hand", {"00ff": Weights(part, part, part, "")})
    write(weights, tmp_path / "w.json")
    again = read(tmp_path / "w.json")
    columns = {"a": np.array([1, 2], np.float32), "b": np.array([3, 5], np.float32)}
    assert again.first.scores(columns).tolist() == part.scores(columns).tolist() == [0.75, 1.25]
    assert again.held_out["00ff"].gate.bias == 0.25
    assert json.loads((tmp_path / "w.json").read_text())["command"] == "made by hand"


def test_weights_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="format"):
        read(tmp_path / "w.json")
