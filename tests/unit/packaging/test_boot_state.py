"""What the set-up remembers, and what makes it look again."""

from __future__ import annotations

from pathlib import Path

import pytest

from boot.lockfile import pin_of, read_pins
from boot.state import State, inputs_key, tree_key

LOCK = """\
anyio==4.1.0 ; sys_platform != 'emscripten' \\
    --hash=sha256:{a}
llama_cpp-Python==0.3.36 \\
    --hash=sha256:{b} \\
    --hash=sha256:{c}
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{a}
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:{b}
""".format(a="a" * 64, b="b" * 64, c="c" * 64)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    for name in ("pyproject.toml", "packaging/lock/runtime.txt", "native/src/dot.cpp", "models/a.toml"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")
    (root / ".venv").mkdir()
    return root


def test_pins_are_read_with_hashes_names_normalized_and_forks_kept(tmp_path: Path) -> None:
    path = tmp_path / "lock.txt"
    path.write_text(LOCK, "utf-8")
    pins = read_pins(path, path)
    assert [(pin.name, pin.version) for pin in pins] == [
        ("anyio", "4.1.0"),
        ("llama-cpp-python", "0.3.36"),
        ("numpy", "2.4.6"),
        ("numpy", "2.5.5"),
    ]
    assert pin_of("llama-cpp-python", path).hashes == ("b" * 64, "c" * 64)
    assert "".join(pin.text + "\n" for pin in pins) == LOCK
    with pytest.raises(ValueError, match="too many"):
        pin_of("numpy", path)


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "packaging/lock/runtime.txt", "native/src/dot.cpp", "models/a.toml"]
)
def test_any_changed_input_changes_the_key(tree: Path, name: str) -> None:
    before = inputs_key(tree)
    assert inputs_key(tree) == before
    (tree / name).write_text("changed", "utf-8")
    assert inputs_key(tree) != before


def test_a_moved_models_folder_changes_the_key(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs_key(tree)
    monkeypatch.setenv("SECONDME_MODELS", str(tree / "elsewhere"))
    assert inputs_key(tree) != before


def test_renaming_a_file_or_moving_bytes_between_files_changes_the_key(tree: Path) -> None:
    (tree / "native/a").write_text("xy", "utf-8")
    (tree / "native/b").write_text("z", "utf-8")
    before = tree_key(tree, "native")
    (tree / "native/a").write_text("x", "utf-8")
    (tree / "native/b").write_text("yz", "utf-8")
    moved = tree_key(tree, "native")
    (tree / "native/b").rename(tree / "native/c")
    assert len({before, moved, tree_key(tree, "native")}) == 3


def test_compiled_python_does_not_change_the_key(tree: Path) -> None:
    before = tree_key(tree, "packaging")
    (tree / "packaging/lock/__pycache__").mkdir()
    (tree / "packaging/lock/__pycache__/x.pyc").write_bytes(b"x")
    assert tree_key(tree, "packaging") == before


def test_done_steps_are_remembered_until_forgotten(tree: Path) -> None:
    state = State.read(tree / ".venv")
    assert not state.is_done("kernels", "k")
    state.mark("kernels", "k")
    again = State.read(tree / ".venv")
    assert again.is_done("kernels", "k") and not again.is_done("kernels", "other")
    again.forget("kernels")
    assert not State.read(tree / ".venv").is_done("kernels", "k")


def test_complete_means_same_inputs_and_all_files_there(tree: Path) -> None:
    state = State.read(tree / ".venv")
    needed = tree / "model.gguf"
    needed.write_bytes(b"x")
    state.require(needed)
    state.mark("all: run", "k")
    assert State.read(tree / ".venv").is_complete("run", "k")
    assert not state.is_complete("run", "other")
    assert not state.is_complete("dev", "k")
    needed.unlink()
    again = State.read(tree / ".venv")
    assert not again.is_complete("run", "k")
    again.drop_missing()
    again.mark("all: run, no models", "k")
    assert again.is_complete("run, no models", "k") and not again.is_complete("run", "k")


@pytest.mark.parametrize(
    ("reached", "enough_for"),
    [
        ("dev", {"dev", "run", "dev, no models", "run, no models"}),
        ("run", {"run", "run, no models"}),
        ("dev, no models", {"dev, no models", "run, no models"}),
        ("run, no models", {"run, no models"}),
    ],
)
def test_a_larger_goal_answers_for_a_smaller_one(tree: Path, reached: str, enough_for: set[str]) -> None:
    state = State.read(tree / ".venv")
    state.mark(f"all: {reached}", "k")
    goals = ("dev", "run", "dev, no models", "run, no models")
    assert {goal for goal in goals if state.is_complete(goal, "k")} == enough_for


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"done": 3, "files": []}', '{"files": []}'])
def test_a_damaged_record_means_nothing_is_done(tree: Path, damage: str) -> None:
    path = tree / ".venv" / "secondme-setup.json"
    path.write_text(damage, "utf-8")
    state = State.read(tree / ".venv")
    assert state.done == {} and state.files == []
    state.mark("kernels", "k")
    assert State.read(tree / ".venv").is_done("kernels", "k")
