"""What the set-up finds out about the machine, with real programs standing on a PATH of the test's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from boot import machine
from boot.console import SetupFailed


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CC", "CXX", "CUDACXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "CUDA_BIN", str(folder / "cuda"))
    monkeypatch.setattr(machine, "DRIVER_GPUS", folder / "gpus")
    return folder


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


def test_this_machine_has_a_compiler() -> None:
    machine.require_compiler()


def test_no_compiler_is_said_with_its_remedy(tools: Path) -> None:
    with pytest.raises(SetupFailed, match="no C and C\\+\\+ compiler") as caught:
        machine.require_compiler()
    assert caught.value.hint is not None and "install" in caught.value.hint


def test_a_c_compiler_alone_is_not_enough(tools: Path) -> None:
    script(tools, "cc", "exit 0")
    with pytest.raises(SetupFailed, match="no C and C\\+\\+ compiler"):
        machine.require_compiler()


def test_a_compiler_that_does_not_compile_is_found_out(tools: Path) -> None:
    script(tools, "cc", "exit 0")
    script(tools, "c++", "exit 1")
    with pytest.raises(SetupFailed, match="cannot build a small C\\+\\+17 program"):
        machine.require_compiler()


def test_a_named_compiler_that_is_not_there_is_said(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tools, "cc", "exit 0")
    monkeypatch.setenv("CXX", "/nowhere/c++ -O2")
    with pytest.raises(SetupFailed, match="/nowhere/c\\+\\+ cannot be run"):
        machine.require_compiler()


@pytest.mark.parametrize(
    ("tool", "line"), [("apt-get", "build-essential"), ("dnf", "gcc-c++"), ("pacman", "base-devel")]
)
def test_the_hint_names_this_systems_installer(tools: Path, tool: str, line: str) -> None:
    assert line not in machine.compiler_hint()
    script(tools, tool, "exit 0")
    assert line in machine.compiler_hint()


def test_a_cuda_compiler_without_a_gpu_is_no_gpu(tools: Path) -> None:
    script(tools, "nvcc", "exit 0")
    script(tools, "nvidia-smi", "echo 'No devices were found'; exit 6")
    assert machine.cuda_gpu() == ""


def test_a_gpu_without_a_compiler_is_no_gpu(tools: Path) -> None:
    script(tools, "nvidia-smi", "echo 'NVIDIA H200, 9.0'")
    assert machine.cuda_gpu() == ""


def test_both_together_are(tools: Path) -> None:
    script(tools, "nvcc", "exit 0")
    script(tools, "nvidia-smi", "echo 'NVIDIA H200, 9.0'; echo 'NVIDIA H200, 9.0'")
    assert machine.cuda_gpu() == "NVIDIA H200, 9.0"


def test_a_driver_without_its_tool_still_tells_of_a_gpu(tools: Path) -> None:
    script(tools, "nvcc", "exit 0")
    assert machine.cuda_gpu() == ""
    (tools / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert machine.cuda_gpu() == "nvidia"


def test_space_is_added_up_per_disk(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free / 1e9
    machine.require_space({tmp_path: 0.001, tmp_path / "not" / "there": 0.001})
    with pytest.raises(SetupFailed, match="GB are free") as caught:
        machine.require_space({tmp_path: free * 0.6, tmp_path / "not" / "there": free * 0.6})
    assert caught.value.hint is not None and "SECONDME_HOME" in caught.value.hint


def test_the_cpu_is_told_by_what_compilers_may_use() -> None:
    identity = machine.cpu_identity()
    assert identity == machine.cpu_identity() != ""
    assert "arch_capabilities" not in identity
    for flag in ("avx2", "avx512_vnni", "fma", "sse4_2", "bmi1", "f16c", "amx_tile", "popcnt", "sha_ni", "avx_vnni"):
        assert machine.ISA_FLAG.match(flag), flag
    for flag in ("hypervisor", "mtrr", "rtm", "stibp", "md_clear", "constant_tsc", "tsc_adjust"):
        assert not machine.ISA_FLAG.match(flag), flag


def test_jobs_are_at_least_one_and_at_most_the_usable_cores() -> None:
    assert 1 <= machine.build_jobs() <= (os.cpu_count() or 1)
