"""Conversations, files and what was learned as Markdown, to be read without any program; no import takes from it."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Iterable, Sequence

from secondme.memory.item_transfer import PortableItem
from secondme.memory.portable import (
    PortableConversation,
    PortablePassage,
    PortableProject,
    PortableSource,
    PortableTurn,
)
from secondme.types import Citation

_OTHER = re.compile("[^a-z0-9]+")
_MAX_SLUG = 40
NAME = re.compile(r"markdown/(conversations|memories|sources)/[a-z0-9-]{1,40}-[0-9a-f]{16}\.md\Z")
"""All names that members of an export's `markdown/` have."""


def source_name(source: PortableSource) -> str:
    name = source.path.replace("\\", "/").rsplit("/", 1)[-1]
    return f"markdown/sources/{_slug(name)}-{source.uid.hex()[:16]}.md"


def conversation_name(conversation: PortableConversation) -> str:
    return f"markdown/conversations/{_slug(conversation.title)}-{conversation.uid.hex()[:16]}.md"


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _OTHER.sub("-", plain).strip("-")[:_MAX_SLUG].strip("-") or "untitled"


def source_markdown(source: PortableSource, passages: Sequence[PortablePassage]) -> bytes:
    """The whole text as it was read, below what is known about the file."""
    head = {"title": source.title, "path": source.path, "project": source.project, "trust": source.trust.value}
    return _bytes(_front_matter(head) + "".join(p.chunk.text for p in passages) + "\n")


def conversation_markdown(conversation: PortableConversation, turns: Sequence[PortableTurn]) -> bytes:
    head = {
        "title": conversation.title,
        "project": conversation.project,
        "created": _when(conversation.created_at),
        "updated": _when(conversation.updated_at),
    }
    parts = [_front_matter(head), f"# {' '.join(conversation.title.split())}\n"]
    for turn in turns:
        name = " ".join(turn.speaker.split()) or turn.role
        parts.append(f"\n## {name} ({_when(turn.created_at)})\n\n{turn.text}\n")
        if turn.citations:
            parts.append("\n")
        parts += [f"- [{c.citation.n}] {_place(c.citation)}\n" for c in turn.citations]
    return _bytes("".join(parts))


def items_name(project: PortableProject) -> str:
    return f"markdown/memories/{_slug(project.name)}-{project.uid.hex()[:16]}.md"


def items_markdown(project: str, items: Iterable[PortableItem]) -> bytes:
    """What was learned in a project, kind by kind, with since when and until when it is said to be so."""
    parts = [_front_matter({"project": project})]
    by_kind: dict[str, list[PortableItem]] = {}
    for item in items:
        by_kind.setdefault(item.kind, []).append(item)
    for kind in sorted(by_kind):
        parts.append(f"## {kind}\n\n")
        parts += [_item(item) for item in by_kind[kind]]
        parts.append("\n")
    return _bytes("".join(parts))


def _item(item: PortableItem) -> str:
    said = [item.text, item.value] if item.kind == "vault" else [item.text]
    until = "" if item.valid_to is None else f", until {_when(item.valid_to)}"
    state = "" if item.state == "active" else f", {item.state}"
    words = ": ".join(" ".join(text.split()) for text in said)
    return f"- {words} (since {_when(item.valid_from)}{until}{state}, made by {item.made_by})\n"


def _front_matter(values: dict[str, str]) -> str:
    """YAML, of which JSON strings are a part."""
    return "".join(["---\n", *(f"{name}: {json.dumps(value)}\n" for name, value in values.items()), "---\n\n"])


def _place(citation: Citation) -> str:
    if citation.kind != "passage":
        return f"{'said' if citation.kind == 'turn' else 'known since'} {_when(citation.at)}"
    return f"`{' '.join(citation.path.split())}`, line {citation.line_start}"


def _when(seconds: float) -> str:
    """UTC to the second, so that every machine writes the same."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "unknown"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
