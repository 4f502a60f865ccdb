"""Lists of memories as mem0 gives them out: claims of others, which wait for the owner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secondme.errors import UnsupportedFormat
from secondme.exchange.memories import MAX_MEMORY
from secondme.exchange.recognize import recognize
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.types import Trust
from tests.exchanging import exported, imported

LISTED: list[Any] = [
    {
        "id": "m-1",
        "memory": " Lives in\n Oslo ",
        "created_at": "2026-01-02T03:04:05+00:00",
        "hash": "x",
        "user_id": "u",
    },
    {"id": "m-2", "memory": "Likes tea", "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-06-01T00:00:00Z"},
    {"id": "m-2", "memory": "Likes tea"},
    {"memory": "Has no id \udcff"},
    {"id": "m-3", "memory": "x" * (MAX_MEMORY + 1)},
    {"id": "m-4", "memory": "  "},
    {"id": "m-5", "memory": 5},
    "something else",
]


def written(folder: Path, data: Any, **how: Any) -> Path:
    path = folder / "memories.json"
    path.write_text(json.dumps(data, **how))
    return path


@pytest.mark.parametrize("data", [LISTED, {"results": LISTED, "relations": []}, {"memories": LISTED}])
def test_memories_wait_for_the_owner(store: Store, tmp_path: Path, data: Any) -> None:
    path = written(tmp_path, data, indent=2 if data is LISTED else None)
    assert recognize(path).form == "mem0"
    done = imported(store, path, project="work")
    assert (done.form, done.new.n_items, done.n_left_out) == ("mem0", 3, 1)
    assert store.items("work") == []
    found = {item.text: item for item in store.items("work", states=None)}
    assert set(found) == {"Lives in Oslo", "Likes tea", "Has no id ?"}
    assert {(i.trust, i.made_by, i.kind, i.state) for i in found.values()} == {
        (Trust.IMPORTED, "import:mem0", "semantic", "pending")
    }
    assert found["Lives in Oslo"].valid_from == 1_767_323_045 and found["Likes tea"].valid_from == 1_748_736_000
    origin = store.provenance("item", found["Likes tea"].id).origin
    assert origin == {"from": "mem0", "id": "m-2", "created_at": 1_735_689_600}
    assert {c.status for c in store.check(read_data=True)} == {"ok"}
    assert imported(store, path, project="work").n_known == 3


def test_a_memory_that_was_forgotten_does_not_come_back(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path, LISTED)
    imported(store, path)
    exported(store, tmp_path / "own.tar")
    item = next(i for i in store.items(states=None) if i.text == "Likes tea")
    store.forget(Target(items=(item.id,)))
    for again in (path, tmp_path / "own.tar"):
        done = imported(store, again)
        assert (done.new.n_items, done.n_forgotten) == (0, 1)
    assert imported(store, path, again=True).new.n_items == 1


@pytest.mark.parametrize("data", [{}, {"results": {}}, {"results": []}, {"memory": "one"}, [{"memory": ""}], [[]]])
def test_what_holds_no_memories_is_refused(tmp_path: Path, data: Any) -> None:
    with pytest.raises(UnsupportedFormat):
        recognize(written(tmp_path, data))
