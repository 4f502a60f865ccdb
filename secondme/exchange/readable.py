"""Conversations and files as Markdown, for reading without any program; an import takes nothing from it."""

from __future__ import annotations

import json
import re
import time
import unicodedata
from collections.abc import Sequence

from secondme.memory.portable import PortableConversation, PortablePassage, PortableSource, PortableTurn

_OTHER = re.compile("[^a-z0-9]+")
_MAX_SLUG = 40
NAME = re.compile(r"markdown/(conversations|sources)/[a-z0-9-]{1,40}-[0-9a-f]{16}\.md\Z")
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
        parts.append(f"\n## {turn.role} ({_when(turn.created_at)})\n\n{turn.text}\n")
        if turn.citations:
            parts.append("\n")
        parts += [f"- [{c.citation.n}] {_place(c.citation.path, c.citation.line_start)}\n" for c in turn.citations]
    return _bytes("".join(parts))


def _front_matter(values: dict[str, str]) -> str:
    """YAML, of which JSON strings are a part."""
    return "".join(["---\n", *(f"{name}: {json.dumps(value)}\n" for name, value in values.items()), "---\n\n"])


def _place(path: str, line: int) -> str:
    return f"`{' '.join(path.split())}`, line {line}"


def _when(seconds: float) -> str:
    """UTC to the second, so that every machine writes the same."""
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "unknown"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
