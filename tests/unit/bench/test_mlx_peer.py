"""The process of mlx-lm: what it is asked, and what is said when it fails; short programs stand in for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from secondme.bench.mlx import peer, timed
from secondme.bench.mlx.peer import Peer
from secondme.errors import BackendUnavailable, UsageError

ANSWERING = """
import json, sys
print(json.dumps({"ready": "1.2"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    said = [2.0 + 0.5 * i for i in range(asked["n_decode"])]
    print(json.dumps({"began": 1.0, "said": said}), flush=True)
"""
FAILING = "import sys; sys.exit('no such model')"
LEAVING = 'print(\'{"ready": "1.2"}\', flush=True)'


def opened(program: str, monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setattr(peer, "_START", program)
    return Peer(Path(sys.executable), Path("folder"), as_float32=True)


def test_speeds_are_those_of_the_prompt_and_of_what_follows_the_first_token() -> None:
    assert timed(10.0, [12.0, 12.5, 13.0], 100) == (50.0, 2.0)
    with pytest.raises(UsageError):
        timed(10.0, [12.0], 100)


def test_a_run_is_asked_for_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    child = opened(ANSWERING, monkeypatch)
    try:
        assert child.version == "1.2"
        assert child.measure([1, 2, 3], 5) == (3.0, 2.0)
        assert child.measure([1], 3) == (1.0, 2.0)
    finally:
        child.close()


def test_a_process_that_does_not_load_the_model_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        opened(FAILING, monkeypatch)
    assert "no such model" in str(caught.value.hint) and "make bench PEERS=mlx-lm" in str(caught.value.hint)


def test_a_process_that_ends_between_two_runs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    child = opened(LEAVING, monkeypatch)
    try:
        with pytest.raises(BackendUnavailable, match="ended without an answer"):
            child.measure([1], 2)
    finally:
        child.close()


def test_a_python_that_is_none_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="does not start"):
        Peer(tmp_path / "python", tmp_path, as_float32=False)


def test_the_environment_is_looked_for_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "ENVIRONMENT", tmp_path)
    monkeypatch.delenv(peer.VARIABLE, raising=False)
    with pytest.raises(UsageError, match="not installed"):
        peer.python()
    monkeypatch.setenv(peer.VARIABLE, sys.executable)
    assert peer.python() == Path(sys.executable)
