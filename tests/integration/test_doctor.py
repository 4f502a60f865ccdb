"""The self-test passes on a sound machine, and each broken part is a line of its own with a remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secondme.cli.main import main
from secondme.config import Config
from secondme.crypto import manage
from secondme.crypto.keyslots import FILE, Slot
from secondme.crypto.unlock import unlock
from secondme.doctor import _backend, _vector_index, examine
from secondme.paths import data_dir, private_dir
from secondme.runtime import mlx_check
from secondme.runtime.mlx_check import MlxState
from secondme.runtime.mlx_lib import on_metal
from tests.keyfiles import CHEAP, ENTRY


def test_a_sound_machine_passes(capsys: pytest.CaptureFixture[str], smollm2_path: Path, minilm_path: Path) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = " ".join(c["name"] for c in checks)
    for part in ("secondme", "kernels", "cipher", "vector extension", "vector index", "runtime", "keyring", "disk"):
        assert part in names
    assert not [c for c in checks if c["status"] == "failed"]


def test_the_memory_for_vectors_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(config: Config) -> tuple[str, str]:
        (check,) = _vector_index(config)
        assert check.status == "ok" and bool(check.remedy) == ("of which" in check.detail)
        return check.detail, check.remedy

    assert told(Config(vector_index_mb=0))[0] == "none: the settings allow it no memory; searches read the store"
    monkeypatch.setattr("secondme.doctor._lockable_bytes", lambda: 8e6)
    assert "up to 105 MB of memory, of which 8 MB can be kept" in told(Config(vector_index_mb=100))[0]
    monkeypatch.setattr("secondme.doctor._lockable_bytes", lambda: float("inf"))
    assert told(Config())[0].startswith("equal to a full scan; up to ")
    monkeypatch.setattr("secondme.kernels.index.available", lambda: False)
    assert told(Config())[0] == "none: its kernels are not built; searches read the store"


def test_an_index_that_finds_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> tuple[object, object, bool]:
        return np.arange(10), np.ones(10), True

    monkeypatch.setattr("secondme.kernels.index.VectorIndex.search", wrong)
    assert [(c.name, c.status) for c in examine(Config()) if c.name == "vector index"] == [("vector index", "failed")]


def about(config: Config, name: str) -> tuple[str, str, str]:
    (check,) = (check for check in _backend(config) if check.name == name)
    return check.status, check.detail, check.remedy


def test_the_backend_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert about(Config(backend="mlx"), "backend") == ("ok", "mlx runs the language model: it was asked for", "")
    monkeypatch.setattr("secondme.runtime.backend.is_apple_silicon", lambda: True)
    assert "mlx runs the language model: the default on Apple" in about(Config(), "backend")[1]
    monkeypatch.setattr("secondme.runtime.backend.why_no_mlx", lambda: "not installed: mlx")
    status, detail, remedy = about(Config(), "backend")
    assert status == "warning" and detail == "llama.cpp runs the language model: not installed: mlx"
    assert remedy.startswith("install it with: make chat, ")
    assert [check.name for check in _backend(Config())] == ["backend"]
    assert [c.name for c in examine(Config(backend="mlx")) if c.status == "failed"] == ["backend"]


def test_no_backend_runs_a_model_nobody_knows() -> None:
    status, detail, remedy = about(Config(model="no-such-model"), "backend")
    assert (status, detail) == ("failed", "there is no model named no-such-model") and remedy


def test_mlx_is_tried_and_told_with_its_device_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    status, detail, _ = about(Config(), "mlx")
    assert status == "ok" and detail.startswith("MLX 0.") and "computes rightly on " in detail
    assert ("swapped" in detail) == on_metal()
    state = MlxState("Metal (Apple M2)", 22_900_000_000, 34_400_000_000)
    monkeypatch.setattr("secondme.runtime.mlx_check.try_mlx", lambda: state)
    detail = about(Config(), "mlx")[1]
    assert detail.endswith("rightly on Metal (Apple M2); at most 22.9 of 34.4 GB of memory, none of it swapped")


@pytest.mark.parametrize("bits", [4, 5, 8])
def test_mlx_that_computes_something_else_fails_where_it_is_used(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rightly = mlx_check._unpacked

    def unpacked(*parts: Any) -> np.ndarray:
        return np.asarray(rightly(*parts) + (parts[-1] == bits))

    monkeypatch.setattr(mlx_check, "_unpacked", unpacked)
    assert about(Config(backend="mlx"), "mlx")[:2] == (
        "failed",
        f"MLX multiplies weights of {bits} bits wrongly on this machine",
    )
    assert about(Config(backend="llama.cpp"), "mlx")[0] == "warning"


def test_missing_models_are_named_with_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "none"))
    failed = [c for c in examine(Config()) if c.status == "failed"]
    assert len(failed) == 2
    assert all("models pull" in c.remedy for c in failed)


def test_a_broken_part_does_not_hide_the_others(home: Path, smollm2_path: Path, minilm_path: Path) -> None:
    home.mkdir()
    (home / "data").write_text("a file where the folder should be")
    checks = list(examine(Config()))
    failed = {c.name for c in checks if c.status == "failed"}
    assert failed == {"disk"}
    assert {"kernels", "cipher", "runtime", "folder watching"} <= {c.name for c in checks}


def test_a_memory_with_one_way_to_it_is_warned_of(home: Path) -> None:
    def told() -> list[tuple[str, str]]:
        return [(c.status, c.detail) for c in examine(Config()) if c.name == "keys"]

    assert told() == []
    keys = unlock(private_dir(data_dir()), passphrase="one", work=CHEAP)
    assert told() == [("warning", "the passphrase alone opens memory, which is lost with it")]
    manage.add_recovery(keys, bytes(32))
    assert told() == [("ok", "2 ways open memory: passphrase, recovery")]
    slot = Slot("keyring", ENTRY, bytes(60))
    keys.save(replace(keys.file, slots=(*keys.file.slots, slot)))
    assert told() == [("warning", "keyring: there is no system keyring here")]
    (data_dir() / FILE).write_bytes(b"{}")
    assert told() == [("failed", "the key file is damaged")]


def test_the_command_fails_when_a_check_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECONDME_MODELS", str(tmp_path / "none"))
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "hint: " in out
