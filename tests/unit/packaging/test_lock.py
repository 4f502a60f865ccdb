"""The lock files say what pyproject.toml says, for every platform, with hashes, and agree with each other."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from boot.lockfile import Pin, pin_of, read_pins
from lock import TORCH_ON_LINUX, UNUSED, added, cpu_only

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "packaging" / "lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WANTED = {
    "runtime.txt": PROJECT["project"]["dependencies"],
    "build.txt": PROJECT["dependency-groups"]["build"],
    "bench.txt": PROJECT["dependency-groups"]["bench"],
    "kvpress.txt": PROJECT["dependency-groups"]["kvpress"],
    "mem0.txt": PROJECT["dependency-groups"]["mem0"],
    "mlx.txt": PROJECT["project"]["optional-dependencies"]["mlx"],
    "mlx-lm.txt": PROJECT["dependency-groups"]["mlx-lm"],
    "dev.txt": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["mlx"],
        *PROJECT["dependency-groups"]["build"],
        *PROJECT["dependency-groups"]["dev"],
    ],
}


def pinned(name: str) -> dict[str, list[Pin]]:
    found: dict[str, list[Pin]] = {}
    for pin in read_pins(LOCKS / name):
        found.setdefault(pin.name, []).append(pin)
    return found


@pytest.mark.parametrize("name", WANTED)
def test_every_requirement_is_locked_to_a_version_it_allows(name: str) -> None:
    pins = pinned(name)
    for requirement in map(Requirement, WANTED[name]):
        versions = [pin.version for pin in pins[canonicalize_name(requirement.name)]]
        assert versions and all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("name", WANTED)
def test_every_pin_has_hashes(name: str) -> None:
    assert all(pin.hashes for pin in read_pins(LOCKS / name))


@pytest.mark.parametrize("name", ["runtime.txt", "build.txt", "mlx.txt"])
def test_the_parts_are_parts_of_the_whole(name: str) -> None:
    files = [{(pin.name, pin.version, pin.hashes) for pin in read_pins(LOCKS / n)} for n in (name, "dev.txt")]
    assert files[0] <= files[1]


def test_what_benchmarks_compare_with_changes_no_version() -> None:
    of_tests = {(pin.name, pin.version, pin.hashes) for pin in read_pins(LOCKS / "dev.txt")}
    shared = [pin for pin in read_pins(LOCKS / "bench.txt") if pin.name in pinned("dev.txt")]
    assert {"numpy", "tqdm"} <= {pin.name for pin in shared}
    assert {(pin.name, pin.version, pin.hashes) for pin in shared} <= of_tests


def test_what_benchmarks_compare_with_is_no_requirement() -> None:
    peers = {"faiss-cpu", "hnswlib", "numkong", "usearch"}
    assert peers <= pinned("bench.txt").keys()
    assert not peers & pinned("dev.txt").keys()


def test_torch_is_wanted_by_nothing_else_and_without_a_graphics_processor() -> None:
    assert not {"torch", "kvpress", "transformers"} & {*pinned("dev.txt"), *pinned("bench.txt")}
    assert {pin.version for pin in pinned("kvpress.txt")["torch"]} == {"2.13.0", "2.13.0+cpu"}
    assert not [name for name in pinned("kvpress.txt") if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_other_memories_are_wanted_by_nothing_else() -> None:
    assert not {"mem0ai", "bm25s", "qdrant-client", "posthog"} & {*pinned("dev.txt"), *pinned("bench.txt")}
    assert {"mem0ai", "bm25s", "pystemmer"} <= pinned("mem0.txt").keys()


APPLE = {"sys_platform": "darwin", "platform_machine": "arm64", "os_name": "posix"}
INTEL_MAC = {"sys_platform": "darwin", "platform_machine": "x86_64", "os_name": "posix"}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "os_name": "posix"}
MLX = {"mlx", "mlx-lm", "tokenizers"}


def installed(machine: dict[str, str], *names: str) -> set[str]:
    """What those locks install on a machine: the last entry of a package counts, as for pip's caller."""
    markers = {
        pin.name: Requirement(pin.text.partition(" \\")[0]).marker for pin in read_pins(*map(LOCKS.joinpath, names))
    }
    return {name for name, marker in markers.items() if marker is None or marker.evaluate({**machine})}


def test_mlx_is_there_on_apple_silicon_and_on_linux_for_who_asks() -> None:
    assert installed(APPLE, "runtime.txt") >= MLX | {"mlx-metal", "llama-cpp-python"}
    assert not installed(LINUX, "runtime.txt") & {*MLX, "mlx-cpu", "mlx-metal"}
    assert installed(LINUX, "runtime.txt", "mlx.txt") - installed(LINUX, "runtime.txt") == MLX | {"mlx-cpu"}
    assert installed(APPLE, "runtime.txt", "mlx.txt") == installed(APPLE, "runtime.txt")
    assert not installed(INTEL_MAC, "runtime.txt", "mlx.txt") & MLX


def test_what_mlx_lm_declares_and_nothing_here_imports_is_left_out() -> None:
    for name in ("runtime.txt", "mlx.txt", "dev.txt"):
        assert not pinned(name).keys() & set(UNUSED)
    assert pinned("mlx-lm.txt").keys() >= {"mlx", "mlx-lm", *UNUSED}
    assert {pin.version for pin in pinned("mlx-lm.txt")["mlx"]} == {pin.version for pin in pinned("dev.txt")["mlx"]}


def test_an_extras_lock_holds_only_what_it_adds() -> None:
    hashed = " \\\n    --hash=sha256:" + "ab" * 32 + "\n"
    base, wider = "anyio==4.1" + hashed, "mlx==0.3 ; sys_platform != 'win32'" + hashed
    assert added(base + wider, base + "mlx==0.3 ; sys_platform == 'darwin'" + hashed) == wider
    assert added(base, base) == ""


def test_torchs_own_lock_entries_are_replaced_by_those_of_its_cpu_builds() -> None:
    hashed = " \\\n    --hash=sha256:" + "ab" * 32 + "\n"
    lock = "sympy==1.0" + hashed + "torch==9.9" + hashed + "triton==3.0 ; sys_platform == 'linux'" + hashed
    lock += "nvidia-cublas==13.1 ; sys_platform == 'linux'" + hashed + "xxhash==4.1" + hashed
    rest = "torch==9.9 ; sys_platform == 'darwin'" + hashed
    assert cpu_only(lock) == "sympy==1.0" + hashed + TORCH_ON_LINUX + rest + "xxhash==4.1" + hashed


def test_build_requirements_are_in_the_build_group() -> None:
    groups = {Requirement(line).name: Requirement(line).specifier for line in PROJECT["dependency-groups"]["build"]}
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert groups[requirement.name] == requirement.specifier


def test_the_runtime_comes_as_one_source_archive() -> None:
    assert len(pin_of("llama-cpp-python", LOCKS / "runtime.txt").hashes) == 1
