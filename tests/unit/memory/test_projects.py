"""Projects by name: listed, made empty, and told apart by what they hold."""

from __future__ import annotations

import pytest

from secondme.errors import UsageError
from secondme.memory.store import Store
from secondme.types import Chunk, FileStamp, SourceFile


def put(store: Store, project: str, path: str, text: str) -> int:
    import numpy as np

    store.set_embedder("e", 2)
    chunk = Chunk(0, text, 0, len(text), 1, 1, None, ())
    source = SourceFile(path, project, "text/plain", "t", text.encode(), FileStamp(1, 1, 1))
    return store.put_source(source, [chunk], np.array([[1, 0]], np.float32))


def test_an_empty_project_is_listed_after_those_that_were_used(store: Store) -> None:
    store.new_project("empty")
    put(store, "old", "/o", "a")
    store.new_conversation("new", "talk")
    assert [p.name for p in store.projects()] == ["new", "old", "empty"]
    assert [(p.n_sources, p.n_conversations) for p in store.projects()] == [(0, 1), (1, 0), (0, 0)]
    assert store.project("empty") is not None and store.project("none") is None
    assert store.log()[-1].kind == "conversation-new" and "project-new" in [op.kind for op in store.log()]
    assert all(check.status == "ok" for check in store.check(read_data=True))


def test_a_name_is_given_once(store: Store) -> None:
    store.new_project("sea")
    with pytest.raises(UsageError, match="already"):
        store.new_project("sea")
    assert [p.name for p in store.projects()] == ["sea"]


def test_the_version_follows_the_projects_own_texts(store: Store) -> None:
    assert store.project_version("sea") is None
    first = put(store, "sea", "/a", "one")
    seen = [store.project_version("sea")]
    put(store, "lake", "/b", "other")
    store.new_conversation("sea", "talk")
    assert store.project_version("sea") == seen[0]
    put(store, "sea", "/a", "two")
    seen.append(store.project_version("sea"))
    put(store, "sea", "/c", "three")
    seen.append(store.project_version("sea"))
    store.remove_source(first)
    seen.append(store.project_version("sea"))
    assert len(set(seen)) == 4 and None not in seen
    store.forget_project("sea")
    assert store.project_version("sea") is None


def test_the_prefix_is_kept_under_its_own_key(store: Store) -> None:
    assert store.kept_prefix("a") is None
    store.keep_prefix("a", b"cells of a")
    assert store.kept_prefix("a") == b"cells of a" and store.kept_prefix("b") is None
    store.keep_prefix("b", b"cells of b")
    assert store.kept_prefix("a") is None and store.kept_prefix("b") == b"cells of b"
