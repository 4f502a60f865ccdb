"""Which of the owner's statements holds now where no rule read the newer one; nobody else's word ever does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from secondme.chat.direct import fact
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.recall.gather import Evidence, Scope, gather, ranked
from secondme.recall.pieces import Piece
from secondme.recall.standing import standing, tells
from secondme.recall.standing.cues import became, begins_as_asked, is_over, is_own, is_recent, looks_back, people
from secondme.recall.standing.order import passed_on
from secondme.recall.standing.recall import Compared, compare, statements
from secondme.recall.standing.weights import SHIPPED, read, shipped, write
from secondme.recall.turns import recall_turns
from secondme.reflect.learn import learn_from_turn
from secondme.runtime.echo import HashEmbedder
from secondme.runtime.traces import traces
from secondme.types import MemoryItem, NewItem, Span, Trust

START = 1_795_000_000.0
DAY = 86400.0
SCOPE = Scope("default")


@pytest.fixture
def hashed(store: Store) -> HashEmbedder:
    embedder = HashEmbedder()
    store.set_embedder(embedder.fingerprint, embedder.n_dims)
    return embedder


def tell(
    store: Store, embedder: HashEmbedder, *texts: str, day: int = 0, last: dict[str, str] | None = None
) -> list[int]:
    """One conversation of the owner's, a turn a day, that rules learn from; `last` is who said the last turn."""
    talk = store.new_conversation("default", "talk")
    ids = []
    for n, text in enumerate(texts):
        more = (last or {}) if n == len(texts) - 1 else {}
        role, speaker = more.get("role", "user"), more.get("speaker", "")
        ids.append(store.add_turn(talk, role, text, [], at=START + (day + n) * DAY, speaker=speaker))  # type: ignore[arg-type]
    turns = store.turns_by_ids(ids)
    store.put_traces(traces(turns, embedder))
    for turn in turns:
        learn_from_turn(store, turn, now=turn.created_at)
    return ids


def first(store: Store, embedder: HashEmbedder, question: str) -> str:
    return ranked(question, store, embedder, SCOPE)[0][0].text


ROWING = (
    "My rowing club is the Ravens on the canal.",
    "The soup was salty.",
    "so the Ravens folded and my rowing club is the Otters now, same canal",
)


def test_a_newer_turn_leads_and_the_older_one_stays_as_history(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, *ROWING)
    question = "Which rowing club is mine on the canal?"
    found = gather(question, store, hashed, SCOPE)
    assert found.lead is not None and found.pieces[0] is found.lead and "Otters" in found.lead.text
    assert sum("Ravens on the canal" in p.text for p in found.pieces) >= 1
    assert found.pieces.count(found.lead) == 1
    assert "Otters" in first(store, hashed, question)


def test_a_sure_fact_does_not_answer_before_a_newer_turn_that_no_rule_read(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, "I live in Aachen.", "It rained all day.")
    before = gather("Where do I live?", store, hashed, SCOPE)
    assert fact(before) and before.depth == 1
    tell(store, hashed, "as of today the place where I live is no longer Aachen, boxes live in Ghent too", day=9)
    after = gather("Where do I live?", store, hashed, SCOPE)
    assert after.lead is not None and "Ghent" in after.lead.text
    assert not fact(after) and any("I live in Aachen" in p.text for p in after.items)


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("so the Ravens folded and my rowing club is the Otters now, same canal", {"speaker": "Ben"}),
        ("so the Ravens folded and my rowing club is the Otters now, same canal", {"role": "assistant"}),
        ("is my rowing club the Otters on the canal now?", {}),
        ("Here is the mail I got:\n\nmy rowing club is the Otters now, same canal", {}),
    ],
)
def test_what_is_not_the_owners_own_word_takes_nothings_place(
    store: Store, hashed: HashEmbedder, text: str, who: dict[str, str]
) -> None:
    tell(store, hashed, ROWING[0], "The soup was salty.", text, last=who)
    found = gather("Which rowing club is mine on the canal?", store, hashed, SCOPE)
    assert found.lead is not None and "Ravens" in found.lead.text


def test_what_he_reports_of_others_takes_no_place_of_what_he_said_himself(store: Store, hashed: HashEmbedder) -> None:
    tell(
        store, hashed, "I live in Aachen.", "It rained all day.", "Voicemail from Ben. I live in Ghent now. Call back."
    )
    found = gather("Where do I live?", store, hashed, SCOPE)
    assert found.pieces[0].text.startswith("I live in Aachen")


def test_what_does_not_answer_takes_no_place_of_a_sure_fact(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, "I live in Aachen.", "It rained all day.", "Soup is fine.")
    assert fact(gather("Where do I live?", store, hashed, SCOPE))


def test_what_the_owner_typed_himself_is_replaced_by_nothing_said(store: Store, hashed: HashEmbedder) -> None:
    typed = NewItem("semantic", "I live in Aachen.", "default", "owner", "home", "Aachen", slot="owner|home")
    item = store.add_item(replace(typed, trust=Trust.OWNER, valid_from=START))
    tell(store, hashed, "as of today the place where I live is no longer Aachen, boxes live in Ghent too", day=9)
    found = gather("Where do I live?", store, hashed, SCOPE)
    assert _refs(found)[0] == ("item", item.id)


def _refs(found: Evidence) -> list[tuple[str, int]]:
    return [(p.kind, p.ref_id) for p in found.pieces]


def test_of_the_past_what_held_before_leads(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, *ROWING)
    assert first(store, hashed, "Which rowing club was mine on the canal before?") == ROWING[0]


def test_the_conversation_under_way_does_not_lead(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, ROWING[0])
    talk = store.turns_by_ids(tell(store, hashed, ROWING[2], day=9))[0].conversation_id
    found = gather(
        "Which rowing club is mine on the canal?", store, hashed, Scope("default", exclude_conversation=talk)
    )
    assert found.lead is not None and "Otters" not in found.lead.text


def test_weights_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("w") / "w.json"
    write(shipped(), path)
    again = read(path)
    assert again.holding.names == shipped().holding.names and again.least == pytest.approx(shipped().least)
    assert np.allclose(again.answering.weights, shipped().answering.weights, rtol=1e-3)
    assert again.correcting.names == shipped().correcting.names
    path.write_text(SHIPPED.read_text("utf-8").replace('"format": 2', '"format": 9'), "utf-8")
    with pytest.raises(ValueError, match="format"):
        read(path)


def test_cues() -> None:
    assert begins_as_asked("best way to tag notes") and begins_as_asked("ok, how long is a mile")
    assert not begins_as_asked("My cat is Tom.")
    assert is_recent("from now on it's Tom") and not is_recent("it is Tom")
    assert became("they put me on the late shift") and not became("it rained all night")
    assert is_over("closed till May") and not is_over("open till May")
    assert people("My neighbour and Sister Ann") == {"neighbour", "sister"}
    assert looks_back("I do miss the old one") and not looks_back("I have a new one")
    assert is_own("it took me an hour") and is_own("my bike broke") and not is_own("my sister lives in Ulm")


@pytest.mark.parametrize(
    ("text", "is_telling"),
    [
        ("sold the lute, play the zither instead. anyway what's a good name for a boat?", True),
        ("I play the zither in a cellar - any tips for cold hands?", True),
        ("how do I tune my new zither?", True),
        ("how long is a zither?", False),
        ("Right then. What is a zither?", False),
        ("Explain the zither to me.", False),
        ("We play the zither.", True),
    ],
)
def test_a_turn_that_tells_and_asks_tells(store: Store, hashed: HashEmbedder, text: str, *, is_telling: bool) -> None:
    turn = store.turns_by_ids(tell(store, hashed, text))[0]
    assert tells(turn, "Which boat is the best?") is is_telling


DENTIST = (
    "I live in Antwerp, near the river.",
    "The next appointment at my dentist is on 3 December at 9:15.",
    "The soup was salty.",
    "The dentist called, they moved my appointment to 10 December.",
)


def compared(store: Store, embedder: HashEmbedder, question: str) -> Compared:
    found = recall_turns(question, store, embedder, project="default", k=5)
    assert found.weighed is not None
    told = statements(found.weighed, store, (), None)
    assert told is not None
    return compare(told, shipped())


def test_a_correction_goes_to_its_own_matter(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, *DENTIST)
    found = compared(store, hashed, "Where do I live?")
    said = [found.told.turns[n].text for n in found.tied.places]
    assert said == list(DENTIST)
    assert int(np.argmax(found.corrected[:, 3])) == 1
    assert first(store, hashed, "Where do I live?") == "I live in Antwerp."


def test_what_corrects_is_said_later_and_shares_one_certainty(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, *DENTIST, *ROWING, "no wait, the Herons", "is the soup salty?")
    corrected = compared(store, hashed, "Which rowing club is mine?").corrected
    assert (corrected >= 0).all() and (corrected.sum(axis=0) <= 1 + 1e-6).all()
    assert not np.tril(corrected).any()


def test_what_is_had_is_passed_on_by_corrections_and_lost_by_none() -> None:
    likely = np.array([0.9, 0.1, 0.2], np.float32)
    chain = np.array([[0, 0.8, 0], [0, 0, 0.5], [0, 0, 0]], np.float32)
    assert passed_on(likely, chain) == pytest.approx([0.9, 0.72, 0.36])
    assert passed_on(likely, np.zeros((3, 3), np.float32)) == pytest.approx(likely)


def test_nothing_said_is_nothing_that_stands(store: Store, hashed: HashEmbedder) -> None:
    found: Evidence = gather("Where do I live?", store, hashed, SCOPE)
    pieces: tuple[Piece, ...] = found.pieces
    assert found.lead is None and pieces == ()


def test_only_a_search_shows_what_is_merely_near(
    store: Store, hashed: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = replace(shipped(), least=-1e9)
    monkeypatch.setattr("secondme.recall.standing.recall.shipped", lambda: lenient)
    tell(store, hashed, "My rowing club is the Ravens.", "The soup was salty.")
    question = "Which dentist filled a tooth?"
    answer = gather(question, store, hashed, SCOPE)
    assert not answer.found and answer.lead is None and not answer.pieces
    assert ranked(question, store, hashed, SCOPE)[0]


def test_a_topic_that_sums_up_both_stands_for_neither(store: Store, hashed: HashEmbedder) -> None:
    ids = tell(store, hashed, *ROWING)
    turns = store.turns_by_ids(ids)
    spans = tuple(Span("turn", t.id, 0, len(t.text.encode())) for t in turns)
    text = "rowing, club, canal, Ravens: " + " / ".join(t.text for t in turns)
    made = NewItem("topic", text, project="default", trust=Trust.CONVERSATION, made_by="rule:topics", spans=spans)
    store.add_item(made, actor="rule:topics")
    found = gather("Which rowing club is mine on the canal?", store, hashed, SCOPE)
    assert any(isinstance(p.source, MemoryItem) and p.source.kind == "topic" for p in found.pieces)
    assert found.lead is not None and found.lead.kind == "turn" and "Otters" in found.lead.text


def test_what_is_told_of_another_by_name_holds_nothing(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, "We have two kids, Nour is 8 and Elias is 5.", "Elias had his birthday yesterday, he is 6 now.")
    assert first(store, hashed, "How old is Nour?").startswith("We have two kids")
    assert "6" in first(store, hashed, "How old is Elias?")


def test_where_nothing_is_told_of_whom_is_asked_nothing_holds(store: Store, hashed: HashEmbedder) -> None:
    tell(store, hashed, "Elias is 6 years old.")
    found = recall_turns("How old is Nour?", store, hashed, project="default", k=5)
    assert found.weighed is not None and standing(found.weighed, store) is None


def test_where_all_that_comes_near_only_asks_nothing_holds(store: Store, hashed: HashEmbedder) -> None:
    texts = [f"Where is the zither hall number {n}?" for n in range(20)]
    tell(store, hashed, *texts, "I had soup.")
    found = recall_turns("Where is the zither hall?", store, hashed, project="default", k=5)
    assert found.weighed is not None
    stands = standing(found.weighed, store)
    assert stands is None or stands.now.text == "I had soup."


def test_what_was_taken_back_takes_no_place(store: Store, hashed: HashEmbedder) -> None:
    taken_back = tell(store, hashed, "I live in Oslo.", "The soup was salty.", "I moved to Bergen.")[2]
    assert "Bergen" in first(store, hashed, "Where do I live?")
    store.forget(Target(learned_from=(("turn", taken_back),)))
    assert store.undone_turns([taken_back, taken_back - 1, taken_back - 2]) == {taken_back}
    assert "Oslo" in first(store, hashed, "Where do I live?")
