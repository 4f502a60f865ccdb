"""A turn is stored and learned from, by rules and at once: the next sentence may ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secondme.types import Learned, MemoryItem, Role

if TYPE_CHECKING:
    from secondme.assistant.parts import Parts
    from secondme.memory.store import Store


@dataclass(frozen=True, slots=True)
class Said:
    """A turn to be stored in a conversation of `project`; `speaker` is who said it if that is not the owner, `at` when,
    in Unix seconds, None for now."""

    conversation_id: int
    role: Role
    text: str
    project: str
    speaker: str = ""
    at: float | None = None


def tell(parts: Parts, said: Said) -> tuple[int, Learned]:
    """Store a turn; returns its id, and what was learned if it is the owner's. Raises StoreError as `add_turn` does."""
    with parts.store.batch():  # one watermark for the turn and what is learned from it
        return _told(parts, said)


def _told(parts: Parts, said: Said) -> tuple[int, Learned]:
    from secondme.reflect.learn import learn_from_turn
    from secondme.reflect.screen import screen_turn

    store = parts.store
    turn_id = store.add_turn(said.conversation_id, said.role, said.text, (), speaker=said.speaker, at=said.at)
    turn = store.turns_by_ids([turn_id])[0]
    screen_turn(store, turn, said.project)
    if said.role != "user" or said.speaker:
        return turn_id, Learned()
    if parts.config.learn_with_model:
        parts.unread.append((turn_id, said.project))
    found = learn_from_turn(store, turn, now=turn.created_at, project=said.project)
    if secrets := [item for item in found.items if item.kind == "vault"]:
        _keep_out_of_title(store, said.conversation_id, secrets)
    return turn_id, Learned(found.items, found.closed, found.pending, found.confirmed)


def _keep_out_of_title(store: Store, conversation_id: int, secrets: list[MemoryItem]) -> None:
    """A conversation is called by its first words, which lists show: a secret among them is taken out."""
    row = next((c for c in store.conversations() if c.id == conversation_id), None)
    if row is None:
        return
    title = row.title
    for item in secrets:
        title = title.replace(item.value, "***") if item.value else title
    if title != row.title:
        store.rename_conversation(conversation_id, title)
