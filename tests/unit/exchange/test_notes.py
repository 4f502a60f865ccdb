"""Folders of Markdown and lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondme.errors import ParseFailed, UnsupportedFormat, UsageError
from secondme.exchange.importing import ImportLeftOut, ImportRequest, import_
from secondme.exchange.incoming import read_bounded, to_seconds
from secondme.exchange.recognize import recognize
from secondme.ingest.pipeline import ingest
from secondme.memory.forgetting import Target
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from secondme.types import IngestDone, Trust
from tests.exchanging import imported

NOTES = {
    "Home.md": "---\ntitle: My home\ntags: [house, garden]\n---\n# Home\nSee [[Tree]] and [[deep/Wall|the wall]]. "
    "[[Tree#Age]]\n```\n[[Lake]]\n```\nNot `[[Lake]]`.\n",
    "Tree.md": '---\ntags:\n  - tree\n  - "old"\n---\nThe quince was planted in 1931. [[home]] [[Nowhere]] [[Tree]]\n',
    "deep/Wall.md": "Painted walls. ![[Tree]]\n",
    "deep/Tree.md": "Another tree.\n",
    "Lake.md": "Water.\n",
    "empty.md": "",
    ".obsidian/app.json": "{}",
    "picture.png": "no text",
}


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    folder = tmp_path / "My Vault"
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def links(store: Store) -> set[tuple[str, str]]:
    """Stored links, as the names of files."""
    with store.portable() as portable:
        names = {s.uid: Path(s.path).name for s in portable.sources()}
        return {(names[e.from_uid], names[e.to_uid]) for e in portable.edges() if e.kind == "links_to"}


def test_a_vault_becomes_files_with_their_links(store: Store, vault: Path) -> None:
    done = imported(store, vault, project="notes")
    assert (done.form, done.new.n_files, done.new.n_links, done.n_left_out) == ("markdown", 5, 4, 1)
    sources = store.sources("notes")
    assert {(Path(s.path).name, s.title, s.trust) for s in sources if "deep" not in s.path} == {
        ("Home.md", "My home", Trust.IMPORTED),
        ("Tree.md", "Tree.md", Trust.IMPORTED),
        ("Lake.md", "Lake.md", Trust.IMPORTED),
    }
    assert links(store) == {
        ("Home.md", "Tree.md"),
        ("Home.md", "Wall.md"),
        ("Tree.md", "Home.md"),
        ("Wall.md", "Tree.md"),
    }
    home = next(s for s in sources if s.title == "My home")
    assert "".join(c.chunk.text for c in store.source_chunks(home.id)) == NOTES["Home.md"]
    assert [store.chunks([i])[0].path for i, _ in store.search_text("quince", 5, "notes")] == [str(vault / "Tree.md")]


def test_tags_and_the_original_id_are_kept(store: Store, vault: Path) -> None:
    imported(store, vault)
    with store.portable() as portable:
        origins = {Path(s.path).relative_to(vault).as_posix(): s.origin for s in portable.sources()}
    assert origins["Home.md"] == {"from": "markdown", "id": "My Vault/Home.md", "tags": ["house", "garden"]}
    assert origins["Tree.md"] == {"from": "markdown", "id": "My Vault/Tree.md", "tags": ["tree", "old"]}
    assert origins["deep/Wall.md"] == {"from": "markdown", "id": "My Vault/deep/Wall.md"}


def test_a_note_that_cannot_be_read_is_told_and_the_rest_comes(store: Store, vault: Path) -> None:
    (vault / "binary.md").write_bytes(bytes(range(256)) * 9)
    request = ImportRequest(recognize(vault), "default", embedder=HashEmbedder())
    left_out = [e.path for e in import_(store, request) if isinstance(e, ImportLeftOut)]
    assert sorted(Path(p).name for p in left_out) == ["binary.md", "empty.md"]


def test_a_second_import_changes_nothing_and_an_edit_is_told(store: Store, vault: Path) -> None:
    imported(store, vault)
    n_steps = len(store.log())
    again = imported(store, vault)
    assert (again.new.n_files, again.new.n_links, again.n_known, again.n_kept) == (0, 0, 5, 0)
    assert len(store.log()) == n_steps
    (vault / "Lake.md").write_text("Shallow water.\n")
    assert imported(store, vault).n_kept == 1
    assert not store.search_text("shallow", 5, None)


def test_adding_the_vault_later_finds_it_known(store: Store, vault: Path) -> None:
    imported(store, vault)
    store.set_embedder(HashEmbedder().fingerprint, HashEmbedder().n_dims)
    done = list(ingest([vault], store, HashEmbedder()))[-1]
    assert isinstance(done, IngestDone) and done.n_unchanged == 5


def test_what_was_forgotten_does_not_come_back_unless_it_is_asked_for(store: Store, vault: Path) -> None:
    imported(store, vault)
    tree = store.source("default", str(vault / "Tree.md"))
    wall = store.source("default", str(vault / "deep" / "Wall.md"))
    assert tree is not None and wall is not None
    store.forget(Target(sources=(tree.id,)))
    store.forget(Target(passages=(store.source_chunks(wall.id)[0].id,)))
    store.remove_source(wall.id)
    done = imported(store, vault)
    assert (done.n_forgotten, done.new.n_files, done.new.n_passages) == (1, 1, 0)
    assert not store.search_text("quince OR painted", 5, None)
    back = imported(store, vault, again=True)
    assert (back.new.n_files, back.n_forgotten) == (1, 0)
    assert store.search_text("quince", 5, None)


def test_a_folder_without_notes_is_refused(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "a.txt").write_text("text")
    with pytest.raises(UsageError, match="Markdown"):
        imported(store, folder)


# JSONL -------------------------------------------------------------------------------------------------------------


def lines(path: Path, *values: object) -> Path:
    path.write_text("\n".join(json.dumps(v) for v in values) + "\n\n", "utf-8")
    return path


def test_lines_become_files(store: Store, tmp_path: Path) -> None:
    path = lines(
        tmp_path / "notes.jsonl",
        {
            "text": "The quince was planted.",
            "id": "n1",
            "title": "A  tree",
            "created_at": "2020-01-02T03:04:05Z",
            "tags": ["t"],
        },
        {"text": "No more than a text.", "other": [1]},
        {"text": "half \ud83d", "id": 7, "created_at": 1577934245, "title": 3, "tags": 4},
    )
    done = imported(store, path)
    assert (done.form, done.new.n_files, done.new.n_passages) == ("jsonl", 3, 3)
    first = store.source("default", "import:jsonl/n1")
    assert first is not None
    assert (first.title, first.trust, first.stamp.mtime_ns) == ("A tree", Trust.IMPORTED, 1577934245 * 10**9)
    with store.portable() as portable:
        origins = [s.origin for s in portable.sources()]
    assert {"from": "jsonl", "id": "n1", "created_at": 1577934245.0, "tags": ["t"]} in origins
    assert imported(store, path).n_known == 3
    changed = imported(
        store, lines(tmp_path / "2.jsonl", {"text": "Another.", "id": "n1"}, {"text": "Another.", "id": "n9"})
    )
    assert (changed.new.n_files, changed.n_kept) == (1, 1)


def test_the_same_id_twice_in_a_file_comes_once(store: Store, tmp_path: Path) -> None:
    done = imported(store, lines(tmp_path / "a.jsonl", *({"text": t, "id": "x"} for t in ("one", "two", "one"))))
    assert (done.new.n_files, done.new.n_passages, done.n_known, done.n_kept) == (1, 1, 1, 1)


@pytest.mark.parametrize("bad", [{"no": "text"}, {"text": ""}, {"text": 3}, [1], "x", None])
def test_one_bad_line_stops_everything_and_is_named(store: Store, tmp_path: Path, bad: object) -> None:
    with pytest.raises(ParseFailed, match="line 2 ") as raised:
        imported(store, lines(tmp_path / "a.jsonl", {"text": "good"}, bad))
    assert "good" not in raised.value.message
    assert store.sources() == []


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"plain words", b"{}", b'{"text": 1}', bytes(600), b"-----BEGIN AGE ENCRYPTED FILE-----"]
)
def test_what_is_none_of_the_formats_is_refused(store: Store, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(UnsupportedFormat) as raised:
        imported(store, path)
    assert raised.value.hint


def test_what_is_not_there_is_told(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        imported(store, tmp_path / "nothing")
    with pytest.raises(UsageError, match="neither"):
        imported(store, Path("/dev/null"))


def test_a_line_without_end_is_refused_without_holding_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lines(tmp_path / "a.jsonl", {"text": "good"}, {"text": "long " * 100})
    monkeypatch.setattr("secondme.exchange.lines.MAX_LINE", 100)
    with pytest.raises(ParseFailed, match="line 2 is too long"):
        imported(store, path)


def test_a_text_that_is_too_long_is_left_out_or_named(
    store: Store, vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.exchange.vault.MAX_TEXT", 20)
    monkeypatch.setattr("secondme.exchange.lines.MAX_TEXT", 20)
    assert imported(store, vault).n_left_out == 4
    with pytest.raises(ParseFailed, match="line 1 "):
        imported(store, lines(tmp_path / "a.jsonl", {"text": "long " * 10}))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (1.5, 1.5),
        ("2020-01-02T03:04:05Z", 1577934245.0),
        ("2020-01-02 04:04:05+01:00", 1577934245.0),
        ("2020-01-02T03:04:05", 1577934245.0),
        (True, None),
        (None, None),
        (-1, None),
        (1e300, None),
        (float("inf"), None),
        ("soon", None),
        ("0001-01-01T00:00:00+23:59", None),
        ([5], None),
    ],
)
def test_times_in_all_their_spellings(value: object, expected: float | None) -> None:
    assert to_seconds(value) == expected


def test_a_file_that_is_too_large_or_out_of_reach_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(2_000_000))
    with pytest.raises(ParseFailed, match="larger than 1 MB"):
        read_bounded(tmp_path / "a", 1_000_000)
    with pytest.raises(UsageError, match="ENOENT"):
        read_bounded(tmp_path / "b", 1)
