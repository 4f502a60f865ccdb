"""Memories as mem0 lists them (`get_all`): objects with a `memory`, an `id`, and `created_at` or `updated_at`.

Whatever wrote them, they are claims of others until the owner says otherwise: each waits for the owner's approval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from secondme.exchange.incoming import Json, derived_uid, origin, to_seconds
from secondme.memory.item_transfer import PortableItem
from secondme.types import Trust

FORM = "mem0"
MAX_MEMORY = 10_000
"""Longest memory that is taken, in characters: a longer one is a document."""


def listed(data: Json) -> list[Json]:
    """The list itself, or what a response holds under `results` or `memories`; [] if there is none."""
    if isinstance(data, dict):
        data = data.get("results", data.get("memories"))
    return data if isinstance(data, list) else []


def recognizes(data: Json) -> bool:
    return any(_text(one) for one in listed(data))


def items(data: Json, project: str, now: float) -> Iterator[PortableItem | str]:
    """The memories in order, each once; the id of one that is too long. What is not one is passed over."""
    seen: set[str] = set()
    for one in listed(data):
        text = _text(one)
        if not text:
            continue
        given = one.get("id")
        original = given if isinstance(given, str) and given else hashlib.sha256(text.encode()).hexdigest()
        if len(text) > MAX_MEMORY:
            yield original
        elif original not in seen:
            seen.add(original)
            yield _item(one, text, original, project, now)


def _item(one: Json, text: str, original: str, project: str, now: float) -> PortableItem:
    times = [at for name in ("updated_at", "created_at") if (at := to_seconds(one.get(name))) is not None]
    since = times[0] if times else now
    return PortableItem(
        uid=derived_uid(FORM, "item", original),
        project=project,
        kind="semantic",
        slot="",
        subject="",
        attribute="",
        value="",
        text=text,
        trust=Trust.IMPORTED,
        made_by=f"import:{FORM}",
        state="pending",
        created_at=now,
        valid_from=since,
        used_at=now,
        origin=origin(FORM, original, created_at=times[-1] if times else None),
    )


def _text(one: Json) -> str:
    """On one line; half characters mean nothing to anybody."""
    text = one.get("memory") if isinstance(one, dict) else None
    return " ".join(text.split()).encode("utf-8", "replace").decode() if isinstance(text, str) else ""
