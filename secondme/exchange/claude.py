"""Conversations as Claude exports them (`conversations.json`): a list of messages for each, text in blocks."""

from __future__ import annotations

from collections.abc import Iterator

from secondme.exchange.incoming import Json, Said, Talk, title_of, to_seconds
from secondme.types import Role

FORM = "claude"
_ROLES: dict[str, Role] = {"human": "user", "assistant": "assistant"}


def recognizes(data: Json) -> bool:
    return isinstance(data, list) and any(
        isinstance(c, dict) and isinstance(c.get("chat_messages"), list) for c in data
    )


def talks(data: Json) -> Iterator[Talk]:
    """The conversations that hold any text; what is not one is passed over."""
    for conversation in data:
        if not isinstance(conversation, dict) or not isinstance(conversation.get("chat_messages"), list):
            continue
        talk_id, title = conversation.get("uuid"), conversation.get("name")
        said = tuple(_said(conversation["chat_messages"]))
        if isinstance(talk_id, str) and said:
            yield Talk(
                talk_id,
                title_of(title),
                to_seconds(conversation.get("created_at")),
                to_seconds(conversation.get("updated_at")),
                said,
            )


def _said(messages: list[Json]) -> Iterator[Said]:
    for n, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        sender, message_id = message.get("sender"), message.get("uuid")
        role = _ROLES.get(sender) if isinstance(sender, str) else None
        text = "\n\n".join([part for part in (_text(message), *_attached(message)) if part])
        if role and text:
            yield Said(
                message_id if isinstance(message_id, str) else str(n), role, text, to_seconds(message.get("created_at"))
            )


def _text(message: dict[str, Json]) -> str:
    """The blocks of text, without thinking and the use of tools; older exports have `text` alone."""
    blocks = message.get("content")
    if isinstance(blocks, list):
        found = [
            b["text"] for b in blocks if isinstance(b, dict) and b.get("type") == "text" and _is_text(b.get("text"))
        ]
        if found:
            return "\n\n".join(found)
    whole = message.get("text")
    return str(whole) if _is_text(whole) else ""


def _attached(message: dict[str, Json]) -> Iterator[str]:
    """What was pasted or attached as text."""
    attachments = message.get("attachments")
    for attachment in attachments if isinstance(attachments, list) else ():
        if isinstance(attachment, dict) and _is_text(attachment.get("extracted_content")):
            yield attachment["extracted_content"]


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value.strip())
