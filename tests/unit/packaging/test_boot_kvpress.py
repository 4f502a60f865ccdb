"""MLX's packages and the peers' own environments: made once for each state of a lock. And no torch to be had."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from boot import machine, steps
from boot.console import ChildFailed, Console, SetupFailed
from boot.lockfile import read_pins
from boot.state import State

ROOT = Path(__file__).resolve().parents[3]
DEV_LOCK = "packaging/lock/dev.txt"
LACKING = "ERROR: No matching distribution found for torch==2.13.0+cpu"


@dataclass
class Clone:
    """A clone whose pip is not called: `installed` are the environments that it would have filled."""

    site: steps.Site
    tail: tuple[str, ...] = ()
    installed: list[tuple[Path, int]] = field(default_factory=list)

    def create(self, site: steps.Site) -> None:
        site.venv.mkdir(parents=True, exist_ok=True)

    def install(self, site: steps.Site, pins: Sequence[object], _name: str) -> None:
        if self.tail:
            error = ChildFailed("pip failed", self.tail)
            raise steps.explain(error, "installing packages") from error
        self.installed.append((site.venv, len(pins)))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    shutil.copytree(ROOT / "packaging" / "lock", tmp_path / "packaging" / "lock")
    venv = tmp_path / ".venv"
    venv.mkdir()
    made = Clone(steps.Site(tmp_path, venv, State(venv / "state.json"), Console(tmp_path / "log"), {}))
    monkeypatch.setattr(steps, "_create_environment", made.create)
    monkeypatch.setattr(steps, "_pip_install", made.install)
    monkeypatch.setattr(machine, "require_space", lambda needs: None)
    return made


@pytest.mark.parametrize("name", ["kvpress", "mem0", "mlx_lm"])
def test_it_is_made_beside_the_build_and_only_once(clone: Clone, name: str) -> None:
    for _ in range(2):
        getattr(steps, f"_install_{name}")(clone.site)
    ((folder, n_pins),) = clone.installed
    assert folder == clone.site.root / "build" / name.replace("_", "-") and n_pins > 30
    assert not clone.site.state.done


def test_mlx_is_added_to_the_environment_once_for_each_lock(clone: Clone) -> None:
    for _ in range(2):
        steps._install_mlx(clone.site)
    assert [folder for folder, _ in clone.installed] == [clone.site.venv]
    with (clone.site.root / steps.MLX_LOCK).open("a") as lock:
        lock.write("# changed\n")
    steps._install_mlx(clone.site)
    assert len(clone.installed) == 2


def test_a_mac_too_old_for_mlx_is_set_up_without_it(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    steps._install_packages(clone.site, "run")
    monkeypatch.setattr(sys, "platform", "darwin")
    n_pins = []
    for version in ("13.7.1", "14.0"):
        monkeypatch.setattr(platform, "mac_ver", lambda version=version: (version, ("", "", ""), "arm64"))
        clone.site.state.forget("packages: run")
        steps._install_packages(clone.site, "run")
        n_pins.append(clone.installed[-1][1])
    assert n_pins == [clone.installed[0][1] - len(steps.MLX), clone.installed[0][1]]


def test_what_tests_need_holds_mlx(clone: Clone) -> None:
    steps._install_packages(clone.site, "dev")
    steps._install_mlx(clone.site)
    assert len(clone.installed) == 1
    mlx, dev = ({(p.name, p.version) for p in read_pins(clone.site.root / lock)} for lock in (steps.MLX_LOCK, DEV_LOCK))
    assert mlx and mlx <= dev


def test_an_interrupted_installation_of_mlx_is_not_taken_for_done(clone: Clone) -> None:
    clone.tail = ("ERROR: No space left on device",)
    with pytest.raises(SetupFailed, match="disk is full"):
        steps._install_mlx(clone.site)
    clone.tail = ()
    steps._install_mlx(clone.site)
    assert len(clone.installed) == 1


def test_another_lock_fills_it_anew(clone: Clone) -> None:
    steps._install_kvpress(clone.site)
    with (clone.site.root / "packaging" / "lock" / "kvpress.txt").open("a") as lock:
        lock.write("# changed\n")
    steps._install_kvpress(clone.site)
    assert len(clone.installed) == 2


def test_a_registry_without_torchs_cpu_build_is_said_to_be_that(clone: Clone) -> None:
    clone.tail = ("ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu", LACKING)
    with pytest.raises(SetupFailed, match="lacks torch's CPU build") as error:
        steps._install_kvpress(clone.site)
    assert "PIP_EXTRA_INDEX_URL" in str(error.value.hint) and "SECONDME_PEERS_PYTHON" in str(error.value.hint)
    clone.tail = ("ERROR: No space left on device",)
    with pytest.raises(SetupFailed, match="disk is full"):
        steps._install_kvpress(clone.site)
    clone.tail = ()
    steps._install_kvpress(clone.site)
    assert len(clone.installed) == 1
