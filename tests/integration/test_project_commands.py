"""`secondme project` and `secondme cartridge` where nobody sits at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondme.paths import config_file, data_dir
from secondme.projects import plan
from tests.commanding import Commands, add, make_keys

LAMP = "The lamp of the lighthouse at Skarholm was lit in 1886 by the keeper Reed."


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.setattr(plan, "TEXT_S", 0.0)
    monkeypatch.setattr(plan, "PATIENCE_S", 0.0)
    make_keys()
    config_file().parent.mkdir(parents=True)
    config_file().write_text('cartridge_tier = "T0"\ncontext_tokens = 512\n')
    return Commands(capsys)


def rows(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_projects_are_made_listed_and_destroyed(commands: Commands, tmp_path: Path) -> None:
    assert commands.run("project", "new", "sea").out == "made: sea\n"
    assert "already" in commands.fails("project", "new", "sea", code=2)
    for name in ("", "a\x1b[31mb", "x" * 81):
        assert "\x1b" not in commands.fails("project", "new", name, code=2)
    (tmp_path / "lamp.txt").write_text(LAMP)
    add(tmp_path / "lamp.txt", project="lake")
    assert [r["name"] for r in rows(commands.run("project", "ls", "--json").out)] == ["lake", "sea"]
    assert "lake  1 file, 0 conversations, 0 cartridges" in commands.run("project", "ls").out
    assert "no terminal" in commands.fails("project", "rm", "lake", code=2)
    report = tmp_path / "report.json"
    done = commands.run("project", "rm", "lake", "--yes", "--report", str(report))
    assert done.code == 0 and report.exists(), done
    assert [r["name"] for r in rows(commands.run("project", "ls", "--json").out)] == ["sea"]
    assert "no project" in commands.fails("project", "rm", "lake", "--yes", code=2)
    assert "no project" in commands.fails("project", "status", "lake", code=2)
    assert "needs a terminal" in commands.fails("project", "open", "sea", code=2)
    assert "no project" in commands.fails("cartridge", "ls", "--project", "lake", code=2)


def test_cartridges_are_built_listed_verified_and_cleared_away(
    commands: Commands, tmp_path: Path, smollm2_path: Path
) -> None:
    (tmp_path / "lamp.txt").write_text(LAMP)
    add(tmp_path / "lamp.txt", project="sea")
    assert commands.run("cartridge", "verify").err == "there are no cartridges\n"
    status = commands.run("project", "status", "sea")
    assert "found by search" in status.out and "1 document to be prepared as T0" in status.out
    assert "secondme cartridge build --project sea" in status.err
    built = rows(commands.run("cartridge", "build", "--project", "sea", "--json").out)
    assert [r["event"] for r in built] == ["BuildStarted", "CartridgeStored", "BuildsDone"]
    assert commands.run("cartridge", "build").err == "nothing was to be built\n"
    (row,) = rows(commands.run("cartridge", "ls", "--json").out)
    assert row["tier"] == "T0" and row["complete"] and row["project"] == "sea"
    assert float(str(row["disk_ratio"])) > 1.5
    (status_row,) = rows(commands.run("project", "status", "sea", "--json").out)
    assert (status_row["n_pending"], status_row["n_cartridges"]) == (0, 1)
    assert commands.run("cartridge", "verify").out.startswith("ok: sea  ")
    (path,) = (data_dir() / "cartridges").rglob("*.smkv")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    error = commands.fails("cartridge", "verify", code=76)
    assert "lamp.txt" in error and LAMP not in error
    (checked,) = rows(commands.run("cartridge", "verify", "--json").out)
    assert checked["ok"] is False and checked["reason"]
    path.unlink()
    assert rows(commands.run("cartridge", "gc", "--json").out) == [{"n_files": 0, "n_rows": 1}]
    assert commands.run("cartridge", "ls").out == ""
