"""A new claim against what memory holds: whether it is new, known, takes the place of something, or cannot be decided.

What cannot be decided waits for the owner (`pending`), linked as contradicting what holds: two values in one turn, a
claim against what the owner typed himself, one that goes further back than what holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from secondme.memory.store import Store
from secondme.reflect.claims import Claim
from secondme.reflect.slots import overlaps, same_value, slot, slot_of
from secondme.reflect.values import looks_like
from secondme.reflect.wording import sentence
from secondme.text.attributes import attribute, head, is_many, takes
from secondme.text.terms import QUESTION_WORDS, fold, words
from secondme.types import OWNER, MemoryItem, Trust

Action = Literal["add", "confirm", "past", "pending", "nothing"]

TRUST_ORDER = {trust: n for n, trust in enumerate((Trust.IMPORTED, Trust.DOCUMENT, Trust.CONVERSATION, Trust.OWNER))}

BACK_DATED_S = 366 * 86400.0
"""A change may be told so long after it happened; one further back than what holds is for the owner to decide."""

_CHANGES = frozenset(
    {
        "move-to",
        "join",
        "switch",
        "move-from",
        "renamed",
        "changed",
        "not-but",
        "it-is",
        "leave-job",
        "leave-home",
        "give-up",
        "break-up",
    }
)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with `claim`, whose attribute, subject and wording are settled now.

    add: it holds from `since` on. past: it held, until `until`. confirm: `against` says so already. pending: the owner
    decides between it and `against`. `closes` are items of other slots that it takes the place of.
    """

    action: Action
    claim: Claim
    slot: str = ""
    against: MemoryItem | None = None
    closes: tuple[MemoryItem, ...] = ()
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What claims are held against: items of the project.

    `recent` are those made from the turns just before, newest last; `fresh` the ids of those from this very turn.
    """

    store: Store
    project: str
    recent: Sequence[MemoryItem]
    fresh: frozenset[int] = frozenset()

    def now(self, *, slot: str | None = None, subject: str | None = None) -> list[MemoryItem]:
        return self.store.items(self.project, slot=slot, subject=subject, holding=True, states=("active", "archived"))

    def ever(self, slot: str) -> list[MemoryItem]:
        return self.store.items(self.project, slot=slot, states=("active", "archived"))


def decide(held: Held, claim: Claim, at: float, *, trust: Trust = Trust.CONVERSATION) -> Decision:
    """Hold `claim`, said at Unix time `at`, against what is known."""
    settled = settle(held, claim)
    if settled is None:
        return Decision("nothing", claim)
    claim = settled
    name = slot_of(claim)
    if claim.says == "held":
        return _past(held, claim, name, at)
    if claim.says == "ends":
        return _ending(held, claim, name, at)
    if not name:
        return Decision("add", claim, "", since=claim.since if claim.since is not None else at)
    current = next((i for i in held.now(slot=name)), None)
    closes = _rivals(held, claim, name)
    if current is None:
        return Decision("add", claim, name, None, closes, claim.since if claim.since is not None else at)
    if same_value(current.value, claim.value) and (current.attribute == claim.attribute):
        return Decision("confirm", claim, name, current, closes)
    decision = _superseding(claim, name, current, closes, at, trust)
    changes = claim.corrects or claim.rule in _CHANGES
    if current.id in held.fresh and not changes and is_rival(current.value, claim.value):
        return replace(decision, action="pending")
    return decision


def _superseding(
    claim: Claim, name: str, current: MemoryItem, closes: tuple[MemoryItem, ...], at: float, trust: Trust
) -> Decision:
    since = claim.since if claim.since is not None else at
    undecided = TRUST_ORDER[trust] < TRUST_ORDER[current.trust]
    if since < current.valid_from:
        undecided = undecided or current.valid_from - since > BACK_DATED_S
        since = max(at, current.valid_from)
    return Decision("pending" if undecided else "add", claim, name, current, closes, since)


def is_rival(current: str, value: str) -> bool:
    """Whether two values exclude each other; "nurse" and "a nurse at night" do not."""
    return bool(current) and not overlaps(current, value)


def _past(held: Held, claim: Claim, name: str, at: float) -> Decision:
    known = held.ever(name) if name else []
    until = claim.until if claim.until is not None else at
    for item in known:
        if item.value and same_value(item.value, claim.value):
            if item.holds and not any(other.holds and other.id != item.id for other in known):
                return _ends(claim, name, item, until)
            return Decision("nothing", claim, name, item)
    oldest = min((i.valid_from for i in known), default=at)
    until = min(until, oldest)
    since = claim.since if claim.since is not None and claim.since < until else until - 86400.0
    return Decision("past", claim, name, None, (), since, until)


def _ending(held: Held, claim: Claim, name: str, at: float) -> Decision:
    known = held.ever(name) if name else []
    until = min(claim.until, at) if claim.until is not None else at
    current = next((i for i in known if i.holds), None)
    if current is not None and (not claim.value or (current.value and overlaps(current.value, claim.value))):
        return _ends(claim, name, current, until)
    if claim.denied or not claim.value or any(same_value(i.value, claim.value) for i in known):
        return Decision("nothing", claim, name)
    if current is None and not known:
        return Decision("add", replace(claim, value=""), name, None, (), until)
    return _past(held, replace(claim, says="held", text=_reworded(claim, "held")), name, at)


def _ends(claim: Claim, name: str, item: MemoryItem, until: float) -> Decision:
    """The statement that it is over takes the slot, so that it can be shown, found and undone like any other."""
    text = claim.text if claim.value else _reworded(replace(claim, value=item.value, name=""), "ends")
    since = max(until, item.valid_from + 0.001)
    return Decision("add", replace(claim, value="", text=text, says="ends"), item.slot or name, item, (), since)


def _reworded(claim: Claim, says: Literal["ends", "held"]) -> str:
    return sentence(claim.subject, claim.attribute, claim.value, says, name=claim.name)


# What a claim is about -----------------------------------------------------------------------------------------


def settle(held: Held, claim: Claim) -> Claim | None:
    """The claim with its subject and attribute found out; None if it cannot be told what it is about."""
    if claim.rule == "leave-job":  # one leaves a firm, a town or a club
        item = next((i for i in held.now(subject=OWNER) if i.value and overlaps(i.value, claim.value)), None)
        if item is not None and item.attribute in ("home", "school", "team", "gym"):
            claim = replace(claim, attribute="")
    if not claim.attribute:
        found = _meant(held, claim)
        if found is None:
            return None
        claim = found
    if claim.subject != OWNER:
        claim = replace(claim, subject=_known_as(held, claim.subject))
    if attribute(claim.attribute) is None and claim.attribute and (claim.corrects or takes(claim.attribute) == "date"):
        claim = _same_matter(held, claim)
    return claim


def _meant(held: Held, claim: Claim) -> Claim | None:
    if claim.replaces or claim.says == "ends":
        said = claim.replaces or claim.value
        candidates = [
            i for i in [*(i for i in held.recent[::-1] if i.holds), *held.now()] if i.slot or i.kind != "episodic"
        ]
        if claim.subject != OWNER:
            known_as = {claim.subject, _known_as(held, claim.subject)}
            candidates = [i for i in candidates if i.subject in known_as]
        item = next((i for i in candidates if i.value and i.attribute and overlaps(i.value, said)), None)
        if item is not None:
            return _about(claim, item)
        if claim.says == "ends":
            return None if claim.rule != "give-up" else _worded(replace(claim, attribute="gave up", says="holds"))
        if claim.rule == "move-from":
            return _worded(replace(claim, attribute="home"))
        return _worded(replace(claim, attribute="uses")) if claim.rule == "switch" else None
    fitting = [i for i in held.recent[::-1] if i.attribute and i.value and _fits(i, claim.value)]
    if claim.rule == "switch":
        return (
            _worded(replace(claim, attribute="uses"))
            if not fitting or not fitting[0].holds
            else _about(claim, fitting[0])
        )
    return _about(claim, fitting[0]) if fitting else None


def _fits(item: MemoryItem, value: str) -> bool:
    sort = takes(item.attribute)
    return item.kind == "semantic" and looks_like(sort, value) and (sort != "thing" or len(value.split()) <= 4)


def _about(claim: Claim, item: MemoryItem) -> Claim:
    """`claim` speaks of what `item` speaks of."""
    name = "" if item.subject == OWNER else item.text.split("'s ")[0] if "'s " in item.text else f"My {item.subject}"
    value = item.value if claim.says == "ends" else claim.value
    return _worded(
        replace(claim, subject=item.subject, attribute=item.attribute, value=value, name=name, replaces=item.value)
    )


def _worded(claim: Claim) -> Claim:
    return replace(claim, text=sentence(claim.subject, claim.attribute, claim.value, claim.says, name=claim.name))


def _known_as(held: Held, subject: str) -> str:
    """One subject for a person: "my wife" and "Anna" are `partner`, "my sister" is `kate` where there is one sister."""
    known = attribute(subject)
    people = [i for i in held.now(subject=OWNER) if i.value and (a := attribute(i.attribute)) and a.takes == "name"]
    if known is not None and known.many:
        named = {fold(i.value) for i in people if i.attribute == known.name}
        return named.pop() if len(named) == 1 else subject
    for item in people:
        if fold(item.value) == subject and not is_many(item.attribute) and item.attribute not in ("name", "nickname"):
            return item.attribute
    return subject


def _same_matter(held: Held, claim: Claim) -> Claim:
    """ "The deadline was moved" speaks of the project deadline, if there is no other."""
    if held.now(slot=slot_of(claim)):
        return claim
    wanted = _content(claim.attribute)
    fitting = {
        i.attribute
        for i in held.now(subject=claim.subject)
        if i.value
        and head(i.attribute) == head(claim.attribute)
        and ((w := _content(i.attribute)) <= wanted or wanted <= w)
    }
    if len(fitting) != 1:
        return claim
    return replace(claim, attribute=fitting.pop())


def _content(name: str) -> frozenset[str]:
    return frozenset(w for w in words(name) if w not in QUESTION_WORDS)


def _rivals(held: Held, claim: Claim, name: str) -> tuple[MemoryItem, ...]:
    """Of an attribute with several values, what a correction takes the place of: the value named, or the only one."""
    if not claim.replaces and not (claim.corrects and not claim.several):
        return ()
    if name == slot(claim.subject, claim.attribute, "", kind=claim.kind):
        return ()
    others = [
        i for i in held.now(subject=claim.subject) if i.attribute == claim.attribute and i.value and i.slot != name
    ]
    if claim.replaces:
        return tuple(i for i in others if overlaps(i.value, claim.replaces))[:1]
    return tuple(others) if len(others) == 1 and claim.attribute not in ("likes", "uses", "speaks", "allergy") else ()
