"""The runtime's wheel cache and its build, on a source archive of the same make but a hundredth of the size.

Everything is real, pip, scikit-build-core, CMake, ninja and the compiler, but the four C files that are compiled.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pytest

from boot import llama
from boot.console import ChildFailed, Console, SetupFailed
from boot.lockfile import Pin
from secondme.paths import cache_dir

PYPROJECT = """\
[build-system]
requires = ["scikit-build-core"]
build-backend = "scikit_build_core.build"
[project]
name = "llama_cpp_python"
version = "0.3.36"
[tool.scikit-build]
wheel.packages = ["llama_cpp"]
wheel.py-api = "py3"
"""
# As in the real one: the install step names a library that only LLAMA_BUILD_COMMON makes, and that target `llama` does
# not need.
CMAKE = """\
cmake_minimum_required(VERSION 3.20)
project(small LANGUAGES C)
set(LLAMA_BUILD_COMMON ON CACHE BOOL "" FORCE)
if(GGML_CUDA)
  message(FATAL_ERROR "no CUDA toolkit")
endif()
add_library(llama SHARED a.c b.c c.c d.c)
install(TARGETS llama LIBRARY DESTINATION llama_cpp/lib)
if(LLAMA_BUILD_COMMON)
  add_library(llama-common SHARED a.c)
  install(TARGETS llama-common LIBRARY DESTINATION llama_cpp/lib)
endif()
"""
INIT = """\
import ctypes, pathlib
answer = ctypes.CDLL(next((pathlib.Path(__file__).parent / "lib").glob("libllama.*"))).d()
"""
SOURCE = {"pyproject.toml": PYPROJECT, "CMakeLists.txt": CMAKE, "llama_cpp/__init__.py": INIT}
SOURCE |= {f"{name}.c": f"int {name}(void) {{ return 42; }}\n" for name in "abcd"}


class Place(NamedTuple):
    """An environment, its builder, and what was shown."""

    builder: llama.Builder
    shown: Callable[[], str]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Place]:
    """Makes environments that can build and install, but see nothing else of the one that runs the tests."""
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    monkeypatch.setenv("SECONDME_HOME", str(tmp_path / "home"))
    n_made = 0

    def make(gpu: str = "", path: str | None = None) -> Place:
        nonlocal n_made
        n_made += 1
        venv = tmp_path / f"venv{n_made}"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (packages,) = venv.glob("lib/python*/site-packages")
        installed = next(p for p in map(Path, sys.path) if (p / "pip").is_dir() and (p / "scikit_build_core").is_dir())
        for name in ("pip", "scikit_build_core", "packaging", "pathspec"):
            (packages / name).symlink_to(installed / name)
        bin_path = path if path is not None else f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        variables = {"PATH": bin_path, "VIRTUAL_ENV": str(venv), "HOME": str(tmp_path)}
        console = Console(tmp_path / "build" / f"log{n_made}")
        wheel = llama.wanted_wheel(Pin(llama.PROJECT, "0.3.36", ("0" * 64,), ""), gpu=gpu)
        builder = llama.Builder(wheel, venv / "bin" / "python", variables, console)
        return Place(builder, lambda: console.log_path.read_text("utf-8"))

    return make


def bring_source(builder: llama.Builder, changes: dict[str, str] | None = None) -> Path:
    """Put the archive where a finished download would be; returns the build folder."""
    folder = cache_dir() / "build" / builder.wheel.key
    folder.mkdir(parents=True)
    with tarfile.open(folder / "llama-cpp-python-0.3.36.tar.gz", "w:gz") as tar:
        for name, text in {**SOURCE, **(changes or {})}.items():
            entry = tarfile.TarInfo(f"llama_cpp_python-0.3.36/{name}")
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text.encode()))
    return folder


def imported(builder: llama.Builder) -> str:
    command = [str(builder.python), "-c", "import llama_cpp; print(llama_cpp.answer)"]
    return str(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def test_built_once_kept_and_installed_again_without_a_compiler(environment: Callable[..., Place]) -> None:
    """On a machine with a GPU whose build fails, so that the fallback is kept as well."""
    first = environment(gpu="NVIDIA H200, 9.0")
    build_dir = bring_source(first.builder)
    assert llama.CUDA_FLAG in first.builder.wheel.flags
    first.builder.install()
    assert imported(first.builder) == "42"
    assert "notice: the build for the GPU failed; building for the CPU instead" in first.shown()
    assert not build_dir.exists()
    facts = json.loads((first.builder.wheel.folder / "build.json").read_text("utf-8"))
    assert set(facts) == {"flags", "gpu", "cpu", "platform"}
    assert llama.CUDA_FLAG not in facts["flags"]

    second = environment(gpu="NVIDIA H200, 9.0", path="/nowhere")
    second.builder.install()
    assert imported(second.builder) == "42"
    assert "was built for this machine before" in second.shown()
    assert "pip wheel" not in second.shown()


def test_a_kept_wheel_that_does_not_load_is_built_again_and_a_failed_build_goes_on(
    environment: Callable[..., Place],
) -> None:
    place = environment()
    folder = bring_source(place.builder, {"d.c": "int d(void) { return broken; }\n"})
    place.builder.wheel.folder.mkdir(parents=True)
    (place.builder.wheel.folder / "llama_cpp_python-0.3.36-py3-none-any.whl").write_bytes(b"cut off")
    with pytest.raises(ChildFailed) as caught:
        place.builder.install()
    assert "does not load; building it again" in place.shown()
    assert any("error:" in line for line in caught.value.tail)
    assert place.builder.wheel.cached() is None

    (folder / "source" / "d.c").write_text("int d(void) { return 42; }\n", "utf-8")
    seen = len(place.shown())
    place.builder.install()
    assert imported(place.builder) == "42"
    assert "/2]" in place.shown()[seen:]  # the mended file and the link, not all five steps


def test_a_source_that_is_not_as_expected_is_refused(environment: Callable[..., Place]) -> None:
    place = environment()
    bring_source(place.builder, {"CMakeLists.txt": CMAKE.replace("COMMON ON CACHE", "COMMON  ON CACHE")})
    with pytest.raises(SetupFailed, match="not as expected"):
        place.builder.install()


def test_a_second_set_up_waits_for_the_first(environment: Callable[..., Place]) -> None:
    place = environment()
    folder = bring_source(place.builder)
    with folder.with_name(folder.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        worker = threading.Thread(target=place.builder.build)
        worker.start()
        time.sleep(0.3)
        assert worker.is_alive()
        place.builder.wheel.folder.mkdir(parents=True)  # the first one finished
        (place.builder.wheel.folder / "llama_cpp_python-0.3.36-py3-none-any.whl").touch()
        fcntl.flock(lock, fcntl.LOCK_UN)
        worker.join(timeout=10)
    assert not worker.is_alive()
    assert "pip wheel" not in place.shown()


def test_builds_for_other_machines_flags_and_versions_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pin = Pin(llama.PROJECT, "0.3.36", ("0" * 64,), "")
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    here = llama.wanted_wheel(pin, gpu="")
    others = [
        llama.wanted_wheel(pin, gpu="NVIDIA H200, 9.0"),
        llama.wanted_wheel(Pin(pin.name, "0.3.37", pin.hashes, ""), gpu=""),
        llama.wanted_wheel(Pin(pin.name, pin.version, ("1" * 64,), ""), gpu=""),
    ]
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_BLAS=ON")
    others.append(llama.wanted_wheel(pin, gpu=""))
    monkeypatch.delenv("CMAKE_ARGS")
    monkeypatch.setattr("boot.machine.cpu_identity", lambda: "another")
    others.append(llama.wanted_wheel(pin, gpu=""))
    assert len({here.key, *(other.key for other in others)}) == 6
    assert "-DGGML_BLAS=ON" in others[3].flags


@pytest.mark.parametrize(("system", "target"), [("darwin", "this GPU"), ("linux", "this CPU")])
def test_a_mac_gets_a_build_for_its_graphics_processor(
    monkeypatch: pytest.MonkeyPatch, system: str, target: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    flags = llama.wanted_wheel(Pin(llama.PROJECT, "0.3.36", ("0" * 64,), ""), gpu="").flags
    assert ({*llama.METAL_FLAGS} <= {*flags}) == (system == "darwin")
    assert llama.Builder._target(flags) == target


@pytest.mark.parametrize(
    ("n_done", "elapsed_s", "left"),
    [
        (2, 1.0, ""),
        (12, 11.0, ", about 1 min left"),
        (39, 300.0, ", about 5 min left"),
        (70, 70.0, ", less than a minute left"),
    ],
)
def test_progress_tells_the_time_that_is_left(n_done: int, elapsed_s: float, left: str) -> None:
    assert llama._progress(n_done, 78, elapsed_s) == f"[{n_done}/78] building the runtime{left}"
