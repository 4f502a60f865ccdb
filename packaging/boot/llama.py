"""llama-cpp-python, built once for this machine and kept as a wheel that every clone installs.

It comes as source only, and its default build takes several times as long: it makes every tool, server and example.
Here one library is built, tuned to this CPU (and GPU, where there is one). The build folder outlives interruptions,
so a second run compiles only what is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from boot import machine
from boot.console import ChildFailed, Console, SetupFailed
from boot.lockfile import Pin
from secondme.errors import DownloadFailed
from secondme.paths import cache_dir

PROJECT = "llama-cpp-python"
FLAGS = (
    "-DLLAVA_BUILD=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_OPENMP=OFF",  # its threads spin at barriers: with other work on the machine that stalls for minutes
    "-DCMAKE_INSTALL_LIBDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_INCLUDEDIR=llama_cpp/include",
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",
)
CUDA_FLAG = "-DGGML_CUDA=on"
METAL_FLAGS = ("-DGGML_METAL=ON", "-DGGML_METAL_EMBED_LIBRARY=ON")
"""On a Mac. The kernels' source goes into the library: beside it, as a file, no installation would take it along."""
# The install step names this library even when it was not asked for; switched off, it does not.
PATCH_FILE = "CMakeLists.txt"
PATCH = ("set(LLAMA_BUILD_COMMON ON CACHE", "set(LLAMA_BUILD_COMMON OFF CACHE")
STEP = re.compile(r"\s*\[(\d+)/(\d+)\]")


@dataclass(frozen=True, slots=True)
class WantedWheel:
    """The build this machine needs. `gpu` is "" for a CPU build; `key` tells builds apart."""

    version: str
    sha256: str
    flags: tuple[str, ...]
    gpu: str
    cpu: str
    platform: str

    @property
    def key(self) -> str:
        told = json.dumps([self.version, self.sha256, self.flags, self.gpu, self.cpu, self.platform])
        return f"{PROJECT}-{self.version}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    @property
    def space_gb(self) -> float:
        """What a build takes on disk while it runs; CUDA's objects are many and large."""
        return 4.0 if self.gpu else 0.6

    @property
    def folder(self) -> Path:
        return cache_dir() / "wheels" / self.key

    def cached(self) -> Path | None:
        return next(iter(sorted(self.folder.glob("*.whl"))), None)


def wanted_wheel(pin: Pin, *, gpu: str | None = None) -> WantedWheel:
    """The wheel for this machine; `gpu` overrides what is found. Words in CMAKE_ARGS are added to the flags."""
    gpu = machine.cuda_gpu() if gpu is None else gpu
    extra = tuple(shlex.split(os.environ.get("CMAKE_ARGS", "")))
    metal = METAL_FLAGS if sys.platform == "darwin" else ()
    flags = (*FLAGS, *metal, *((CUDA_FLAG,) if gpu else ()), *extra)
    return WantedWheel(pin.version, pin.hashes[0], flags, gpu, machine.cpu_identity(), machine.platform_identity())


class Builder:
    """Installs the wanted wheel with `python` of the environment, building it first where the cache has none."""

    def __init__(self, wheel: WantedWheel, python: Path, environment: dict[str, str], console: Console) -> None:
        self.wheel = wheel
        self.python = python
        self.environment = environment
        self.console = console

    def install(self) -> None:
        """Raises ChildFailed, SetupFailed and DownloadFailed."""
        kept = self.wheel.cached()
        if kept:
            self.console.say("installing the model runtime that was built for this machine before")
            if self._try(kept):
                return
            self.console.say("the kept build does not load; building it again")
            shutil.rmtree(self.wheel.folder)
        self.build()
        built = self.wheel.cached()
        if not built or not self._try(built):
            shutil.rmtree(self.wheel.folder, ignore_errors=True)
            reason = import_error(self.python)
            raise SetupFailed(f"the model runtime was built but does not load: {reason}", hint="the log tells more")
        shutil.rmtree(self._build_dir(), ignore_errors=True)

    def build(self) -> None:
        with self._only_one():
            if self.wheel.cached():
                return
            if not self.wheel.gpu:
                self._compile(self.wheel.flags)
                return
            try:
                self._compile(self.wheel.flags)
            except ChildFailed:
                self.console.say("notice: the build for the GPU failed; building for the CPU instead")
                shutil.rmtree(self._build_dir() / "build", ignore_errors=True)
                self._compile(tuple(flag for flag in self.wheel.flags if flag != CUDA_FLAG))

    def _compile(self, flags: tuple[str, ...]) -> None:
        machine.require_compiler()
        machine.require_space({self._build_dir(): self.wheel.space_gb})
        source = self._source()
        jobs = machine.build_jobs()
        environment = {**self.environment, "CMAKE_ARGS": shlex.join(flags), "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)}
        compiler = machine.nvcc()
        if CUDA_FLAG in flags and compiler:
            environment["CUDACXX"] = compiler
        out = self._build_dir() / "out"
        shutil.rmtree(out, ignore_errors=True)
        self.console.say(f"building the model runtime for {self._target(flags)}; it is kept for later")
        pip: list[str | Path] = [self.python, "-m", "pip", "wheel", source, "--no-deps", "--no-build-isolation"]
        settings: list[str | Path] = [
            "-C",
            f"build-dir={self._build_dir() / 'build'}",
            "-C",
            "build.targets=llama",
            "-v",
            "-w",
            out,
        ]
        started = time.monotonic()
        for line in self.console.stream([*pip, *settings], environment):
            step = STEP.match(line)
            if step:
                self.console.progress(_progress(int(step[1]), int(step[2]), time.monotonic() - started))
        self._keep(next(out.glob("*.whl")), flags)
        self.console.say(f"built the model runtime in {time.monotonic() - started:.0f} s")

    def _source(self) -> Path:
        """The unpacked and patched source; made once, complete or not at all."""
        source = self._build_dir() / "source"
        if source.exists():
            return source
        archive = self._download()
        self.console.progress("unpacking the runtime's source")
        part = self._build_dir() / "source.part"
        shutil.rmtree(part, ignore_errors=True)
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):  # from 3.11.4 on; the archive's hash was checked in any case
                tar.extractall(part, filter="data")
            else:
                tar.extractall(part)  # noqa: S202
        (unpacked,) = part.iterdir()
        cmake = unpacked / PATCH_FILE
        text = cmake.read_text("utf-8")
        if text.count(PATCH[0]) != 1:
            raise SetupFailed("the runtime's source is not as expected", hint="update secondme, then try again")
        cmake.write_text(text.replace(*PATCH), "utf-8")
        unpacked.rename(source)
        part.rmdir()
        return source

    def _download(self) -> Path:
        archive = self._build_dir() / f"{PROJECT}-{self.wheel.version}.tar.gz"
        if archive.exists():  # it appears under this name only after its hash was right
            return archive
        # Not at the top: only now is there a Python with pip, which knows where the packages are.
        from secondme.runtime.registry import WheelPin, fetch_wheel

        self.console.say("downloading the source of the model runtime")
        pin = WheelPin(PROJECT, self.wheel.version, self.wheel.sha256, suffix=".tar.gz")
        try:
            for event in fetch_wheel(pin, archive):
                total = f" of {event.total_bytes / 1e6:.0f}" if event.total_bytes else ""
                self.console.progress(f"{event.n_bytes / 1e6:.0f}{total} MB of the runtime's source")
        except DownloadFailed as error:  # its hint is about models
            hint = "connect to the network, then run the same command again; what arrived is kept"
            raise SetupFailed(error.message, hint=hint) from error
        return archive

    def _keep(self, wheel: Path, flags: tuple[str, ...]) -> None:
        """Put the wheel into the cache as a whole: a folder appears by rename, never half filled."""
        part = self.wheel.folder.with_name(self.wheel.key + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        shutil.copy2(wheel, part / wheel.name)
        facts = {"flags": flags, "gpu": self.wheel.gpu, "cpu": self.wheel.cpu, "platform": self.wheel.platform}
        (part / "build.json").write_text(json.dumps(facts, indent=1), "utf-8")
        shutil.rmtree(self.wheel.folder, ignore_errors=True)
        part.rename(self.wheel.folder)

    def _try(self, wheel: Path) -> bool:
        pip: list[str | Path] = [self.python, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall"]
        try:
            self.console.run([*pip, wheel], self.environment)
        except ChildFailed:
            return False
        reason = import_error(self.python)
        self.console.log(f"import llama_cpp: {reason or 'ok'}")
        return not reason

    def _build_dir(self) -> Path:
        return cache_dir() / "build" / self.wheel.key

    @staticmethod
    def _target(flags: tuple[str, ...]) -> str:
        return "this GPU" if {CUDA_FLAG, METAL_FLAGS[0]} & {*flags} else "this CPU"

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        """Two set-ups at once would build in the same folder; the second waits and then finds the wheel."""
        self._build_dir().mkdir(parents=True, exist_ok=True)
        path = self._build_dir().with_name(self.wheel.key + ".lock")
        with path.open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self.console.progress("waiting for another set-up that builds the same")
                    time.sleep(0.5)
            yield


def import_error(python: Path) -> str:
    """Why the runtime does not load in a fresh interpreter: the last line of the reason, or "" if it does."""
    result = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, text=True, check=False)
    lines = result.stderr.strip().splitlines()
    return "" if result.returncode == 0 else (lines[-1] if lines else f"ended with status {result.returncode}")


def _progress(n_done: int, n_total: int, elapsed_s: float) -> str:
    left_s = elapsed_s / max(1, n_done) * (n_total - n_done)
    left = "less than a minute left" if left_s < 50 else f"about {left_s / 60:.0f} min left"
    return f"[{n_done}/{n_total}] building the runtime" + (f", {left}" if n_done > 3 else "")
