"""Whether the fusion learned from one kind of conversation is of use in another: an owner's chats with an assistant.

The chats are made from templates with a seed: in each the owner tells a few things with names, places and times, among
talk that tells nothing; the assistant answers at length. Questions are asked in the first person, in other words than
were used. The peer is the plain fusion of the same features, which learned nothing.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from secondme.bench.recall import Tools
from secondme.bench.rows import Row
from secondme.crypto.keys import StoreKeys
from secondme.memory.conversations import NewTurn
from secondme.memory.store import Store
from secondme.recall.turns.gate import bearing
from secondme.recall.turns.recall import weigh
from secondme.recall.turns.weights import shipped
from secondme.runtime.traces import traces

SEED = 7
N_CHATS = 90
N_FEW = 15
_DAY_S = 86_400.0
_FIRST = datetime(2031, 3, 3, 18, tzinfo=UTC).timestamp()
_KEY = StoreKeys.derived(bytes(32))

_PEOPLE = "Ilse Bram Odile Tarek Wanda Jonas Mirela Piet Sanne Kofi Lucia Henrik Aiko Dario Fenna Goran".split()
_PLACES = "Lisbon Graz Oslo Nantes Turin Bergen Ghent Kyoto Riga Porto Malmo Cork Split Basel Sofia Leeds".split()
_THINGS = """telescope cello kayak greenhouse motorbike sewing-machine projector typewriter bread-oven chess-clock
accordion tent""".split()
_DISHES = "lentil soup,plum cake,mushroom risotto,fish stew,rye bread,onion tart,noodle salad,bean chili".split(",")
_JOBS = "surveyor,nurse,pastry chef,translator,glazier,bus driver,archivist,physiotherapist".split(",")
_TOLD: tuple[tuple[str, str], ...] = (
    ("I met {person} in {place} last weekend, we had not seen each other for years.", "Who did I run into in {place}?"),
    ("I finally bought a {thing}, second hand, it stands in the hall now.", "Did I ever get a {thing}?"),
    ("{person} has started work as a {job} and is happy about it.", "What does {person} do for a living?"),
    ("For {person}'s birthday I cooked {dish}, nobody left anything.", "What did I make when {person} had a birthday?"),
    ("My train from {place} was cancelled, so {person} put me up.", "Where did I sleep as the {place} train fell out?"),
    ("We decided on {place} for the holidays, {person} is coming along.", "Who comes with me on holiday to {place}?"),
    ("The {thing} broke on Tuesday, {person} thinks it can be repaired.", "What happened to my {thing}?"),
    ("{person} gave me the recipe for {dish}, it needs a day of rest.", "Whose recipe for {dish} do I have?"),
    ("I promised {person} to lend out the {thing} until the end of the month.", "To whom did I promise the {thing}?"),
    ("I turned the offer from {place} down, the rent there is too high.", "Why did I not take the job in {place}?"),
)  # fmt: skip
_IDLE = (
    "How long do I boil an egg so that the middle stays soft?",
    "Can you shorten this sentence for me, it sounds too stiff.",
    "What would be a good name for a folder with old invoices?",
    "I cannot sleep, tell me something calming.",
    "Which is correct, fewer items or less items?",
    "Thanks, that helps a lot.",
    "Explain to me again how a heat pump works.",
    "I am tired today, nothing much happened.",
)
_REPLIES = (
    "That sounds like quite a day. Tell me if you want me to keep it in mind for later.",
    "Good to know. Is there anything you would like to do about it?",
    "I see. If it helps, I can make a short list of what to do next.",
    "Here is a short answer: it depends on the size, but six to seven minutes is a good start for most people.",
    "Happy to help. Let me know if another wording would suit you better.",
)


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns as (role, text), the places of those that tell something, and the questions about them."""

    turns: tuple[tuple[str, str], ...]
    asked: tuple[tuple[int, str], ...]


def chats(seed: int = SEED, n: int = N_CHATS) -> list[Chat]:
    """Made-up chats; the same seed gives the same ones."""
    chance = random.Random(seed)
    return [_chat(chance) for _ in range(n)]


def _chat(chance: random.Random) -> Chat:
    turns: list[tuple[str, str]] = []
    asked: list[tuple[int, str]] = []
    for _ in range(chance.randint(4, 8)):
        if chance.random() < 0.4:
            told, question = chance.choice(_TOLD)
            names = {
                "person": chance.choice(_PEOPLE),
                "place": chance.choice(_PLACES),
                "thing": chance.choice(_THINGS),
                "dish": chance.choice(_DISHES),
                "job": chance.choice(_JOBS),
            }
            asked.append((len(turns), question.format(**names)))
            turns.append(("user", told.format(**names)))
        else:
            turns.append(("user", chance.choice(_IDLE)))
        turns.append(("assistant", chance.choice(_REPLIES)))
    return Chat(tuple(turns), tuple(asked))


def rows(tools: Tools) -> Iterator[Row]:
    """`transfer/recall@k`, and `transfer/few/...` for stores of two chats, with the plain fusion as the peer.

    `transfer/found` is the share of these questions, all of which have an answer, that the gate lets through.
    """
    for name, made in (("transfer", [chats()]), ("transfer/few", [chats(SEED + n, 2) for n in range(N_FEW)])):
        asked = [rank for one in made for rank in _asked_of(one, tools)]
        for k in (10, 5, 1):
            ours = 100 * float(np.mean([r.ours < k for r in asked]))
            plain = 100 * float(np.mean([r.plain < k for r in asked]))
            ratio = ours / max(plain, 1e-9)
            yield Row("recall", f"{name}/recall@{k}", ours, "%", len(asked), "plain fusion", plain, ratio)
        found = 100 * float(np.mean([r.found for r in asked]))
        yield Row("recall", f"{name}/found", found, "%", len(asked))


@dataclass(frozen=True, slots=True)
class Rank:
    """How many turns stand before the first that answers, by the learned fusion and by the plain one."""

    ours: int
    plain: int
    found: bool


def _asked_of(made: Sequence[Chat], tools: Tools) -> list[Rank]:
    with tempfile.TemporaryDirectory(prefix="secondme-bench-") as folder:
        store = Store.open(Path(folder) / "transfer.db", _KEY)
        try:
            return _ranks(made, store, tools)
        finally:
            store.close()


def _ranks(made: Sequence[Chat], store: Store, tools: Tools) -> list[Rank]:
    embedder = tools.embedder
    store.set_embedder(embedder.fingerprint, embedder.n_dims)
    asked: list[tuple[int, str]] = []
    for day, chat in enumerate(made):
        at = _FIRST + day * _DAY_S
        conversation = store.new_conversation("default", f"chat {day}", at=at)
        new = [
            NewTurn(conversation, "user" if role == "user" else "assistant", text, (), "", at + 60 * i)
            for i, (role, text) in enumerate(chat.turns)
        ]
        ids = store.add_turns(new)
        asked += [(ids[place], question) for place, question in chat.asked]
    while turns := store.turns_without_trace():
        store.put_traces(traces(turns, embedder, cancelled=tools.cancelled))
    now = _FIRST + len(made) * _DAY_S
    told: dict[str, set[int]] = {}
    for turn_id, question in asked:
        told.setdefault(question, set()).add(turn_id)
    return [_rank(ids, question, store, tools, now) for question, ids in told.items()]


def _rank(relevant: set[int], question: str, store: Store, tools: Tools, now: float) -> Rank:
    weighed = weigh(question, store, tools.embedder, ("default", None, now), shipped())
    assert weighed is not None, "there are turns"
    passed = bearing(weighed.gate, shipped().gate) >= 0
    answers = np.array([t.id in relevant for t in weighed.pool.turns])
    if not answers.any():
        return Rank(len(answers), len(answers), passed)
    ours, plain = (
        int((values > values[answers].max()).sum()) for values in (weighed.scores, weighed.columns["plain_fusion"])
    )
    return Rank(ours, plain, passed)
