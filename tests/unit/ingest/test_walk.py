from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from secondme.ingest import reasons
from secondme.ingest.ignore import CACHE_TAG
from secondme.ingest.walk import Blind, Found, LeftOut, is_own, ruled_out_by_owner, rules_above, walk
from secondme.paths import data_dir, state_dir


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(root: Path) -> list[str]:
    return [os.path.relpath(e.path, root) for e in walk(root) if isinstance(e, Found)]


def left_out(root: Path) -> dict[str, str]:
    return {os.path.relpath(e.path, root): e.reason for e in walk(root) if isinstance(e, LeftOut)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    return folder


def test_files_come_sorted_with_a_folders_own_first(root: Path) -> None:
    make(root, "b.txt", "a/z.txt", "a/b/c.txt", "c/d.txt", "a.txt")
    assert found(root) == ["a.txt", "b.txt", "a/z.txt", "a/b/c.txt", "c/d.txt"]


def test_hidden_temporary_and_generated_files_are_passed_over(root: Path) -> None:
    make(root, ".hidden", ".git/config", "x.txt~", "#x#", ".x.swp", "~$x.docx", "x.tmp", "4913", "keep.txt", "a.min.js")
    make(root, "node_modules/a.js", "__pycache__/a.py", "env/pyvenv.cfg", "env/lib/a.py", "package-lock.json")
    assert found(root) == ["keep.txt"]
    assert left_out(root) == {}


def test_build_output_is_passed_over_only_beside_a_build_system(root: Path) -> None:
    make(root, "build/a.txt", "project/package.json", "project/build/a.js", "project/src/a.js")
    assert found(root) == ["build/a.txt", "project/package.json", "project/src/a.js"]


def test_tagged_caches_are_passed_over(root: Path) -> None:
    make(root, "cache/a.txt", "fake/a.txt", "fake/" + CACHE_TAG)
    (root / "cache" / CACHE_TAG).write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert [name for name in found(root) if name.endswith("a.txt")] == ["fake/a.txt"]


def test_the_owners_ignore_file(root: Path) -> None:
    make(
        root, "a.log", "sub/b.log", "sub/c.txt", "drafts/d.txt", "sub/drafts/e.txt", "sub/only.txt", "only.txt", "dir.x"
    )
    (root / ".secondmeignore").write_text("# comment\n*.log\ndrafts/\n/sub/only.txt\ndir.x/\n\n")
    assert found(root) == ["dir.x", "only.txt", "sub/c.txt"]
    (root / "sub" / ".secondmeignore").write_text("c.*\n")
    assert found(root) == ["dir.x", "only.txt"]


def test_links_are_never_a_way_out(root: Path, tmp_path: Path) -> None:
    make(tmp_path, "outside/secret.txt")
    make(root, "a/real.txt")
    (root / "loop").symlink_to(root)
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "secret.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (root / "again.txt").symlink_to(root / "a" / "real.txt")
    (root / "gone.txt").symlink_to(root / "nothing")
    (root / "self.txt").symlink_to(root / "self.txt")
    assert found(root) == ["a/real.txt"]
    assert left_out(root) == {
        "secret.txt": reasons.OUTSIDE_LINK,
        "gone.txt": reasons.BROKEN_LINK,
        "self.txt": reasons.BROKEN_LINK,
    }


def test_what_is_no_regular_file_is_named_and_not_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "socket.txt"))
        assert left_out(root) == {"pipe.txt": reasons.NOT_REGULAR, "socket.txt": reasons.NOT_REGULAR}
    assert found(root) == []


def test_names_of_any_bytes_are_found(root: Path) -> None:
    names = [b"new\nline.txt", b"\xff\xfe.txt", b"\x1b[31mred.txt", b"quote'\".txt", b"dir\xff/a.txt"]
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert sorted(os.fsencode(n) for n in found(root)) == sorted(names)


def test_a_folder_that_cannot_be_listed_is_blind(root: Path) -> None:
    make(root, "a/b.txt")
    assert list(walk(root / "a" / "b.txt")) == [Blind(str(root / "a" / "b.txt"))]
    assert list(walk(root / "missing")) == []


def test_a_deep_tree_needs_no_stack(root: Path) -> None:
    folder = root
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    make(folder, "a.txt")
    assert len(found(root)) == 1


def test_the_programs_own_folders_are_left_alone(tmp_path: Path) -> None:
    make(data_dir(), "notes.txt")
    make(tmp_path, "mine.txt")
    assert found(tmp_path) == ["mine.txt"]
    assert is_own(data_dir()) and is_own(data_dir() / "notes.txt")
    state_dir().mkdir(parents=True)
    assert is_own(state_dir() / "device.key")
    assert not is_own(tmp_path)
    (tmp_path / "link").symlink_to(data_dir())
    assert is_own(tmp_path / "link" / "notes.txt")


def test_rules_hold_for_single_paths_within_a_root(root: Path) -> None:
    make(root, "a/b.txt", ".git/c.txt", "node_modules/d.js", "sub/e.log", "sub/f.txt")
    (root / "sub" / ".secondmeignore").write_text("*.log\n")
    assert rules_above(root, [root]) == ()
    assert rules_above(root / "a" / "b.txt", [root]) is not None
    assert rules_above(root / "sub" / "f.txt", [root]) is not None
    assert rules_above(root / "sub" / "deleted.txt", [root]) is not None
    for name in (".git/c.txt", ".git", "node_modules/d.js", "sub/e.log", "a/.hidden", "a/b.txt~"):
        assert rules_above(root / name, [root]) is None, name
    assert ruled_out_by_owner(root / "sub" / "e.log", root)
    assert not ruled_out_by_owner(root / "a" / ".hidden", root)
