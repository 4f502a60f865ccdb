"""Conversations as ChatGPT exports them (`conversations.json`): a tree of messages for each.

An edit or a second answer makes a branch; taken is the one that was open last, from `current_node` to the root. Left
out is what the owner did not see: system and tool messages, hidden ones, calls of tools, and pictures.
"""

from __future__ import annotations

from collections.abc import Iterator

from secondme.exchange.incoming import Json, Said, Talk, title_of, to_seconds
from secondme.types import Role

FORM = "chatgpt"
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant"}
_TEXT_TYPES = ("text", "multimodal_text")


def recognizes(data: Json) -> bool:
    return isinstance(data, list) and any(isinstance(c, dict) and isinstance(c.get("mapping"), dict) for c in data)


def talks(data: Json) -> Iterator[Talk]:
    """The conversations that hold any text; what is not one is passed over."""
    for conversation in data:
        if not isinstance(conversation, dict) or not isinstance(conversation.get("mapping"), dict):
            continue
        talk_id = conversation.get("conversation_id") or conversation.get("id")
        said = tuple(_said(conversation["mapping"], conversation.get("current_node")))
        if isinstance(talk_id, str) and said:
            title = conversation.get("title")
            yield Talk(
                talk_id,
                title_of(title),
                to_seconds(conversation.get("create_time")),
                to_seconds(conversation.get("update_time")),
                said,
            )


def _said(mapping: dict[str, Json], current: Json) -> Iterator[Said]:
    for node_id in _path(mapping, current):
        message = mapping[node_id].get("message")
        if not isinstance(message, dict):
            continue
        text = _text(message)
        author = _inner(message, "author", "role")
        role = _ROLES.get(author) if isinstance(author, str) else None
        if text and role and _is_shown(message):
            message_id = message.get("id")
            yield Said(
                message_id if isinstance(message_id, str) else node_id,
                role,
                text,
                to_seconds(message.get("create_time")),
            )


def _path(mapping: dict[str, Json], current: Json) -> list[str]:
    """Node ids from the root to `current`, or to the newest message where that is missing."""
    node = current if isinstance(current, str) and current in mapping else _newest(mapping)
    path: list[str] = []
    seen: set[str] = set()
    while isinstance(node, str) and node not in seen and isinstance(mapping.get(node), dict):
        path.append(node)
        seen.add(node)
        node = mapping[node].get("parent")
    return path[::-1]


def _newest(mapping: dict[str, Json]) -> str | None:
    def time_of(node_id: str) -> float:
        node = mapping[node_id]
        message = node.get("message") if isinstance(node, dict) else None
        return (to_seconds(message.get("create_time")) if isinstance(message, dict) else None) or 0.0

    return max(mapping, key=time_of, default=None)


def _is_shown(message: dict[str, Json]) -> bool:
    hidden = _inner(message, "metadata", "is_visually_hidden_from_conversation")
    return hidden is not True and message.get("recipient", "all") == "all" and message.get("weight", 1) != 0


def _text(message: dict[str, Json]) -> str:
    parts = _inner(message, "content", "parts")
    if _inner(message, "content", "content_type") not in _TEXT_TYPES or not isinstance(parts, list):
        return ""
    return "\n\n".join(part for part in parts if isinstance(part, str) and part.strip())


def _inner(message: dict[str, Json], outer: str, name: str) -> Json:
    found = message.get(outer)
    return found.get(name) if isinstance(found, dict) else None
