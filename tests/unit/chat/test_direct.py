"""Questions to memory itself: which are recognised, and what is told from the store alone."""

from __future__ import annotations

import pytest

from secondme.chat.cite import cited
from secondme.chat.direct import (
    KEPT_APART,
    NOTHING_BEHIND,
    NOTHING_KNOWN,
    Asked,
    acknowledge,
    is_statement,
    tell,
)
from secondme.memory.store import Store
from secondme.recall.pieces import of_item, of_turn
from secondme.types import Learned, NewItem, Span, Trust, Turn

DAY = 86400.0
MAY = 1_746_100_800.0  # in May 2025


def know(
    store: Store, attribute: str, value: str, *, at: float = MAY, text: str = "", spans: tuple[Span, ...] = ()
) -> int:
    wording = text or f"Your {attribute} is {value}."
    new = NewItem(
        "semantic", wording, subject="owner", attribute=attribute, value=value, slot=f"owner|{attribute}",
        trust=Trust.CONVERSATION, made_by="rule:is/1", valid_from=at, spans=spans,
    )  # fmt: skip
    return store.add_item(new).id


@pytest.mark.parametrize(
    "question",
    [
        "What do you know about me?",
        "so what have you learned about me",
        "Tell me everything you know about me.",
        "Who am I?",
        "what do you remember about me so far?",
        "Can you tell me what you know about me?",
        "What do you know?",
    ],
)
def test_what_is_known_of_the_owner_is_listed_with_its_items(store: Store, question: str) -> None:
    first = know(store, "home", "Oslo")
    second = know(store, "employer", "Acme")
    told = tell(Asked(question, None), store)
    assert told is not None and told.found
    assert "Your home is Oslo." in told.text and "Your employer is Acme." in told.text
    assert {c.item_id for c in told.citations} == {first, second}
    assert all(c.kind == "item" and f"[{c.n}]" in told.text for c in told.citations)


def test_what_is_known_of_somebody_else(store: Store) -> None:
    know(store, "home", "Oslo")
    store.add_item(NewItem("semantic", "Your sister Anna plays the harp.", subject="anna", attribute="plays"))
    told = tell(Asked("What do you know about Anna?", None), store)
    assert told is not None and "harp" in told.text and "Oslo" not in told.text


def test_nothing_known_is_said(store: Store) -> None:
    told = tell(Asked("What do you know about me?", None), store)
    assert told is not None and (told.text, told.found, told.citations) == (NOTHING_KNOWN, False, ())


@pytest.mark.parametrize(
    "question",
    [
        "Where did I use to live?",
        "What was my old home?",
        "Where did I live before?",
        "what city did I live in previously",
    ],
)
def test_what_was_so_before(store: Store, question: str) -> None:
    know(store, "home", "Oslo")
    know(store, "home", "Bergen", at=MAY + 40 * DAY)
    know(store, "employer", "Acme")
    told = tell(Asked(question, None), store)
    assert told is not None
    assert "Your home is Oslo (until 10 June 2025)." in told.text
    assert "Bergen" not in told.text and "Acme" not in told.text


def test_a_question_about_before_that_memory_cannot_tell_is_left_to_recall(store: Store) -> None:
    know(store, "home", "Oslo")
    assert tell(Asked("Where did I use to live?", None), store) is None
    assert tell(Asked("What was the harvest before the flood?", None), store) is None


@pytest.mark.parametrize(
    "question", ["Why do you think so?", "how do you know that?", "What makes you say that", "says who?"]
)
def test_why_tells_the_words_behind_the_last_answer(store: Store, question: str) -> None:
    conversation = store.new_conversation("default", "t")
    text = "By the way, I moved to Oslo."
    turn_id = store.add_turn(conversation, "user", text, ())
    item = know(store, "home", "Oslo", spans=(Span("turn", turn_id, 12, len(text)),))
    told = tell(Asked("What do you know about me?", None), store)
    assert told is not None and told.citations[0].item_id == item
    last = Turn(turn_id + 1, conversation, "assistant", told.text, MAY, told.citations)
    because = tell(Asked(question, None, last), store)
    assert because is not None and '"I moved to Oslo."' in because.text and "you said on" in because.text


def test_why_tells_the_turn_that_taught_nothing_before_what_it_corrected(store: Store) -> None:
    conversation = store.new_conversation("default", "t")
    ids = [store.add_turn(conversation, "user", text, (), at=MAY) for text in ("I moved to Oslo.", "Make that Bergen.")]
    item = store.item(know(store, "home", "Oslo", spans=(Span("turn", ids[0], 0, 16),)))
    assert item is not None
    pieces = (of_turn(store.turns_by_ids(ids[1:])[0], 1.0), of_item(item, 1.0, MAY))
    cites = tuple(cited(n, piece, {}, project="default", marked=True) for n, piece in enumerate(pieces, 1))
    because = tell(Asked("Why do you think so?", "default", Turn(9, conversation, "assistant", "", MAY, cites)), store)
    assert because is not None
    first, second = because.text.split("\n")
    assert first.startswith("You said on ") and first.endswith(': "Make that Bergen.". [1]')
    assert '"I moved to Oslo."' in second and [c.kind for c in because.citations] == ["turn", "item"]


def test_why_can_name_what_it_is_about(store: Store) -> None:
    know(store, "home", "Oslo")
    told = tell(Asked("Why do you think that I live in Oslo?", None), store)
    assert told is not None and "Learned by the rule is/1" in told.text


def test_why_without_anything_behind_it(store: Store) -> None:
    told = tell(Asked("Why do you think so?", None), store)
    assert told is not None and (told.text, told.found) == (NOTHING_BEHIND, False)


def test_a_secret_is_told_by_its_whole_name_only_and_never_in_the_text(store: Store) -> None:
    secret = store.add_item(
        NewItem("vault", "wifi password", attribute="wifi password", value="hunter2", slot="vault|wifi password")
    )
    told = tell(Asked("What is my Wifi password?", None), store)
    assert told is not None and told.secrets == (secret,)
    assert told.text == f"{KEPT_APART}wifi password." and told.citations == ()
    assert tell(Asked("What is my password?", None), store) is None
    assert tell(Asked("Which wifi is good?", None), store) is None
    about = tell(Asked("What do you know about me?", None), store)
    assert about is not None and "hunter2" not in about.text


def test_other_projects_are_not_told(store: Store) -> None:
    store.add_item(NewItem("semantic", "You live in Oslo.", project="work", subject="owner", attribute="home"))
    told = tell(Asked("What do you know about me?", "default"), store)
    assert told is not None and not told.found


@pytest.mark.parametrize(
    "question",
    ["When was the lamp lit?", "Why is the sky blue?", "What do you think about bread?", "How do I bake bread?", ""],
)
def test_other_questions_are_left_alone(store: Store, question: str) -> None:
    know(store, "home", "Oslo")
    assert tell(Asked(question, None), store) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("I live in Oslo.", True),
        ("I live in Oslo! And I work at Acme", True),
        ("I live in Oslo. Where is that?", False),
        ("where do I live", False),
        ("Tell me about Oslo", False),
        ("", False),
        ("...", False),
    ],
)
def test_statements(text: str, is_one: bool) -> None:
    assert is_statement(text) is is_one


def test_what_was_learned_is_acknowledged_without_secrets(store: Store) -> None:
    home = store.item(know(store, "home", "Oslo"))
    secret = store.add_item(NewItem("vault", "pin", attribute="pin", value="1234"))
    assert home is not None
    text = acknowledge(Learned((home, secret), (home,), (home,)))
    assert "Remembered: Your home is Oslo." in text and "Kept as a secret: pin." in text
    assert "No longer so: Your home is Oslo." in text and "memory review" in text and "1234" not in text
