"""What is known: told by the owner, corrected, decided about, looked through, and forgotten again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondme.errors import UsageError
from secondme.text.terms import fold
from secondme.types import ItemKind, ItemState, Learned, MemoryItem, NewItem

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts
    from secondme.memory.forgetting import Forgetting, Target
    from secondme.memory.item_rows import Origin
    from secondme.recall.reasons import Reason

CORE: tuple[ItemKind, ...] = ("core",)
SHOWN: tuple[ItemKind, ...] = ("core", "semantic", "episodic", "procedural", "vault", "topic")
"""All kinds but lessons, which hold no words."""

OPEN: tuple[ItemState, ...] = ("pending", "quarantined")
"""States of what waits for the owner's word."""

MAX_TEXT = 2000
"""Characters of one memory; longer texts are documents."""

MAX_CORE = 800
"""Characters of the whole profile: about 200 tokens, which every prompt carries."""

MAX_NAME = 80

HINT = "secondme memory list shows what is known"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items are wanted. `past` adds those that hold no longer, `faded` those that were archived."""

    kinds: tuple[ItemKind, ...] = SHOWN
    past: bool = False
    faded: bool = False
    at: float | None = None


class Memories:
    """Items as their owner deals with them. Thread-safe, as the store is."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # Looking ---------------------------------------------------------------------------------------------------

    def several(self, project: str | None = None, wanted: Filter = Filter()) -> list[MemoryItem]:
        """Items, those stored last first."""
        return list(self.each(project, wanted))

    def each(self, project: str | None = None, wanted: Filter = Filter()) -> Iterator[MemoryItem]:
        """The same, read a page at a time."""
        states: tuple[ItemState, ...] = ("active", "archived") if wanted.faded else ("active",)
        is_all = wanted.past or wanted.at is not None
        now = time.time()
        for item in self._parts.store.each_item(project, kinds=wanted.kinds, states=states, at=wanted.at):
            if is_all or item.valid_to is None or item.valid_to > now:
                yield item

    def one(self, item_id: int) -> MemoryItem:
        """Raises UsageError if there is no such item."""
        item = self._parts.store.item(item_id)
        if item is None:
            raise UsageError(f"there is no memory m{item_id}", hint=HINT)
        return item

    def history(self, item_id: int) -> list[MemoryItem]:
        """All that was said to be so in its place, and its versions, oldest first. Raises UsageError as `one` does."""
        self.one(item_id)
        return self._parts.store.item_history(item_id)

    def why(self, item: MemoryItem) -> list[Reason]:
        """Where it was said, as far as that is still in memory."""
        from secondme.recall.masking import masks
        from secondme.recall.reasons import reasons

        return reasons(item, self._parts.store, masks(self._parts.store, item.project))

    # Telling ---------------------------------------------------------------------------------------------------

    def add(self, text: str, *, project: str, kind: ItemKind | None = None, at: float | None = None) -> Learned:
        """Remember what the owner tells: as the claims that the rules find in it, else as it stands.

        `at` is since when it is so, None for now. Raises UsageError for an empty or too long text.
        """
        from secondme.assistant.telling import told

        self._parts.check_name(project)
        new = NewItem(kind or "semantic", checked(text), project=project, valid_from=at)
        if kind is not None:
            return Learned((self._parts.store.add_item(new),))
        return told(self._parts.store, new)

    def add_secret(self, name: str, value: str, *, project: str) -> MemoryItem:
        """Keep a secret, to be found by its name only; a later one of the name takes its place."""
        from secondme.assistant.telling import secret

        self._parts.check_name(project)
        name, value = checked(name, MAX_NAME, "the name"), checked(value, what="the secret")
        return self._parts.store.add_item(secret(name, value, project))

    def edit(self, item_id: int, text: str) -> MemoryItem:
        """Put the owner's wording in the place of an item's; both stay in its history. Returns the new one."""
        from secondme.assistant.telling import reworded

        old = self.one(item_id)
        text = checked(text)
        return self._parts.store.change_item(item_id, reworded(old, text))

    def close(self, item_id: int, at: float | None = None) -> MemoryItem:
        """It is so no longer."""
        self.one(item_id)
        return self._parts.store.close_item(item_id, at)

    # Deciding --------------------------------------------------------------------------------------------------

    def open(self, project: str | None = None) -> list[MemoryItem]:
        """What waits for the owner's word, oldest first: claims to decide about, and words that were set aside."""
        found = self._parts.store.items(project, kinds=SHOWN, states=OPEN)[::-1]
        return [item for item in found if item.state == "pending" or not item.n_harmful]

    def approve(self, item_id: int) -> MemoryItem | None:
        """A claim holds from now on; words set aside are harmless, and are read again: then None.

        Raises UsageError if it waits for no decision.
        """
        from secondme.reflect.quarantine import release

        item = self._waiting(item_id)
        if item.state == "quarantined":
            release(self._parts.store, item_id)
            return None
        return self._parts.store.set_item_state(item_id, "active")

    def reject(self, item_id: int) -> None:
        """Forget a claim; words that were set aside stay so, and are asked about no more.

        Raises UsageError if it waits for no decision.
        """
        if self._waiting(item_id).state == "pending":
            self.forget([item_id])
        else:
            self._parts.store.rate_item(item_id, helpful=False)

    def _waiting(self, item_id: int) -> MemoryItem:
        item = self.one(item_id)
        if item.state not in OPEN:
            raise UsageError(f"m{item_id} waits for no decision", hint="secondme memory review shows what does")
        return item

    # Forgetting ------------------------------------------------------------------------------------------------

    def forget(self, ids: Sequence[int]) -> Forgetting:
        """Take items out; what they closed holds again. Raises UsageError if one is not there, and takes none out."""
        from secondme.memory.forgetting import Target

        for item_id in ids:
            self.one(item_id)
        return self._forget(Target(items=tuple(ids)))

    def undo_learned(self, learned: Learned) -> list[MemoryItem]:
        """Forget what a turn taught, as if it had never been said; returns what it had closed and holds again."""
        there = self._parts.store.items_by_ids([i.id for i in (*learned.items, *learned.pending)])
        if there:
            self.forget([i.id for i in there])
        return [i for i in self._parts.store.items_by_ids([i.id for i in learned.closed]) if i.holds]

    def undo(self, kind: Origin, ref_id: int) -> Forgetting:
        """Take out all that was learned from a turn, conversation, passage or source, which stay themselves."""
        from secondme.memory.forgetting import Target

        return self._forget(Target(learned_from=((kind, ref_id),)))

    def _forget(self, target: Target) -> Forgetting:
        gone = self._parts.store.forget(target)
        self._parts.opener.put_away()
        return gone

    # The profile -----------------------------------------------------------------------------------------------

    def core(self, project: str) -> dict[str, str]:
        """The blocks of the profile by their names, in the order in which they were begun."""
        return {item.attribute: item.text for item in self._core(project)}

    def _core(self, project: str) -> list[MemoryItem]:
        return sorted(self._parts.store.items(project, kinds=CORE, holding=True), key=lambda i: i.id)

    def set_core(self, project: str, blocks: Mapping[str, str]) -> bool:
        """Make the profile consist of `blocks`; earlier versions stay in its history. False if nothing changes.

        Raises UsageError if it would be too long.
        """
        self._parts.check_name(project)
        wanted = {checked(name, MAX_NAME, "a block's name"): checked(text) for name, text in blocks.items()}
        size = sum(map(len, wanted.values()))
        if size > MAX_CORE:
            raise UsageError(
                f"the profile would have {size} characters and has room for {MAX_CORE}",
                hint="every prompt carries it: keep what always matters, and add the rest with secondme memory add",
            )
        before = self._core(project)
        gone = [item for item in before if item.attribute not in wanted]
        changed = {name: text for name, text in wanted.items() if self.core(project).get(name) != text}
        for item in gone:
            self._parts.store.close_item(item.id)
        self._parts.store.add_items([_block(project, name, text) for name, text in changed.items()])
        return bool(gone or changed)


def _block(project: str, name: str, text: str) -> NewItem:
    return NewItem("core", text, project=project, attribute=name, slot=f"core|{fold(name)}", strength_days=3650.0)


def checked(text: str, limit: int = MAX_TEXT, what: str = "the text") -> str:
    """`text` without space at its ends. Raises UsageError if nothing is left, or too much."""
    text = text.strip()
    if not text:
        raise UsageError(f"{what} is empty", hint="say what is to be remembered")
    if len(text) > limit:
        raise UsageError(f"{what} has more than {limit} characters", hint="add it as a file: secondme add FILE")
    return text
