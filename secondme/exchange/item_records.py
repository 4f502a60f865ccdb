"""What was learned as the objects of `items.jsonl`, and its links as those of `edges.jsonl`, and back.

What comes back was validated by its schema.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from secondme.memory.item_transfer import PortableItem, PortableLink, PortableSpan
from secondme.types import Trust

Record = dict[str, Any]

_TIMES = ("created_at", "valid_from", "valid_to", "told_to", "used_at", "strength_days")
_OTHER = frozenset({"uid", "continues", "trust", "spans", *_TIMES})
# What an item has here and in an export alike.
_SAME = tuple(f.name for f in fields(PortableItem) if f.name not in _OTHER)


def item_record(item: PortableItem) -> Record:
    record = {name: getattr(item, name) for name in (*_SAME, *_TIMES)}
    return record | {
        "type": "item",
        "uid": item.uid.hex(),
        "continues": None if item.continues is None else item.continues.hex(),
        "trust": item.trust.value,
        "spans": [
            {"kind": s.kind, "of": s.of.hex(), "byte_start": s.byte_start, "byte_end": s.byte_end} for s in item.spans
        ],
    }


def to_item(record: Record) -> PortableItem:
    times: Record = {name: None if record[name] is None else float(record[name]) for name in _TIMES}
    spans = (PortableSpan(s["kind"], bytes.fromhex(s["of"]), s["byte_start"], s["byte_end"]) for s in record["spans"])
    return PortableItem(
        uid=bytes.fromhex(record["uid"]),
        continues=None if record["continues"] is None else bytes.fromhex(record["continues"]),
        trust=Trust(record["trust"]),
        spans=tuple(spans),
        **times,
        **{name: record[name] for name in _SAME},
    )


def link_record(link: PortableLink) -> Record:
    return {"from": link.from_uid.hex(), "to": link.to_uid.hex(), "kind": link.kind, "weight": link.weight}


def to_link(record: Record) -> PortableLink:
    ends = (bytes.fromhex(record["from"]), bytes.fromhex(record["to"]))
    return PortableLink(*ends, record["kind"], float(record["weight"]))
