"""The steps of the set-up, in order. Each looks whether its work is already done before it does any."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boot import llama, machine
from boot.console import ChildFailed, Console, SetupFailed
from boot.lockfile import Pin, pin_of, read_pins
from boot.state import State, inputs_key, tree_key
from secondme.paths import cache_dir, models_dir

LOCKS = {"run": ("runtime.txt", "build.txt"), "dev": ("dev.txt",)}
MLX = ("mlx", "mlx-metal", "mlx-lm")
MLX_LOCK = "packaging/lock/mlx.txt"
SOURCE_PEER = "hnswlib"
NO_REGISTRY = re.compile(
    r"NewConnectionError|Temporary failure in name resolution|ConnectTimeoutError|Max retries exceeded|ProxyError|"
    r"No matching distribution found|Could not find a version|Network is unreachable"
)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded")
# What compilers, CMake and Python say; pip's own last words only point at these.
REASON = re.compile(r"\w*Error: |.*\berror: (?!subprocess-exited|metadata-generation|failed-wheel)|CMake Error|fatal: ")
WRONG_HASH = re.compile(r"DO NOT MATCH THE HASHES")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the steps work. `environment` is that of the programs they call."""

    root: Path
    venv: Path
    state: State
    console: Console
    environment: dict[str, str]

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def kernels(self) -> Path:
        return self.root / "secondme" / "kernels"


def set_up(root: Path, venv: Path, goal: str, console: Console, *, extras: Collection[str] = ()) -> None:
    """Bring `venv` to `goal`, `run` or `dev`, perhaps with `, no models`. Of the `extras`, `mlx` and the `peers` that
    benchmarks compare with are added to the environment; `kvpress`, `mem0` and `mlx-lm` get one each of their own.

    Goes on in the environment's own Python once there is one, because only that one surely has pip. Raises SetupFailed
    and other SecondMeErrors.
    """
    started = time.monotonic()
    site = Site(root, venv, State.read(venv), console, _environment(venv))
    wheel = llama.wanted_wheel(pin_of(llama.PROJECT, root / "packaging/lock/runtime.txt"))
    if Path(sys.prefix).resolve() != venv.resolve() or not _has_pip(site.python):
        _check_machine(site, wheel)
        _create_environment(site)
        console.end_progress()
        os.execv(site.python, [str(site.python), *sys.argv])  # noqa: S606  # this program again, as pip's owner
    site.state.drop_missing()
    _install_packages(site, goal.split(",")[0])
    _install_runtime(site, wheel)
    _build_kernels(site)
    _link_project(site)
    if "no models" not in goal:
        _pull_models(site)
    site.state.mark(f"all: {goal}", inputs_key(root))
    for extra in (*extras, "mlx") if goal.startswith("dev") else extras:
        INSTALLERS[extra](site)
        site.state.mark(f"all: {extra}", inputs_key(root))
    console.say(f"ready after {_duration(time.monotonic() - started)}")


def explain(error: ChildFailed, doing: str) -> SetupFailed:
    """The failure of a package or build tool as one line and its remedy."""
    text = "\n".join(error.tail)
    if NO_SPACE.search(text):
        return SetupFailed(f"the disk is full while {doing}", hint="free some space, then run the same command again")
    if WRONG_HASH.search(text):
        return SetupFailed(
            f"a package is not the one that was locked, while {doing}",
            hint="a proxy or mirror may have changed it; try another one, and do not install it by hand",
        )
    if NO_REGISTRY.search(text):
        return SetupFailed(
            f"the package registry cannot be reached, or lacks a package, while {doing}",
            hint="connect to the network, or name a mirror in PIP_INDEX_URL, then run the same command again",
        )
    last = next((line.strip() for line in reversed(error.tail) if REASON.match(line.strip())), "")
    return SetupFailed(f"{error.message} while {doing}", hint=last[:200] or error.hint)


def _check_machine(site: Site, wheel: llama.WantedWheel) -> None:
    needs = {site.root: 0.2 if site.venv.exists() else 0.7, models_dir(): 0.4}
    if not wheel.cached():
        needs[cache_dir() / "wheels"] = wheel.space_gb
    machine.require_space(needs)
    machine.require_compiler()


def _create_environment(site: Site) -> None:
    if _has_pip(site.python):
        return
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupFailed(
            f"this Python cannot make environments: its module {missing[0]} is missing",
            hint=f"on Debian and Ubuntu: sudo apt-get install python{version}-venv; elsewhere install Python anew",
        )
    site.console.say(f"making an environment in {os.path.relpath(site.venv)}")
    base = getattr(sys, "_base_executable", sys.executable)
    try:
        # --clear: what is there has no working pip, or belongs to a Python that is gone.
        site.console.run([base, "-m", "venv", "--clear", site.venv])
    except ChildFailed as error:
        raise explain(error, "making the environment") from error


def _install_packages(site: Site, goal: str) -> None:
    locks = [f"packaging/lock/{name}" for name in LOCKS[goal]]
    key = tree_key(site.root, *locks)
    if site.state.is_done(f"packages: {goal}", key):
        return
    pins = [pin for pin in _pins(site, *locks) if pin.name != llama.PROJECT]
    if machine.too_old_for_mlx():
        site.console.say("notice: MLX needs macOS 14 or newer; without it llama.cpp runs the model")
    site.console.say(f"installing {len(pins)} locked packages")
    _pip_install(site, pins, goal)
    site.state.mark(f"packages: {goal}", key)
    if goal == "dev":  # a superset by the way it is locked
        site.state.mark("packages: run", tree_key(site.root, *(f"packaging/lock/{name}" for name in LOCKS["run"])))
        site.state.mark("packages: mlx", tree_key(site.root, MLX_LOCK))


def _pins(site: Site, *locks: str) -> list[Pin]:
    """All pins of the locks that this machine can install, as far as their own markers do not say it."""
    pins = read_pins(*(site.root / lock for lock in locks))
    return [pin for pin in pins if pin.name not in MLX] if machine.too_old_for_mlx() else pins


def _install_mlx(site: Site) -> None:
    """MLX where it is not the default. On a Mac there is nothing to add: it has MLX, or MLX has no builds for it."""
    key = tree_key(site.root, MLX_LOCK)
    if site.state.is_done("packages: mlx", key):
        return
    pins = _pins(site, MLX_LOCK)
    site.console.say(f"installing {len(pins)} locked packages for MLX")
    _pip_install(site, pins, "mlx")
    site.state.mark("packages: mlx", key)


def _install_peers(site: Site) -> None:
    """What benchmarks compare with. The one that is source is built last, by what the others brought, and not by
    whatever the registry holds on the day."""
    lock = "packaging/lock/bench.txt"
    key = tree_key(site.root, lock)
    if site.state.is_done("packages: bench", key):
        return
    pins = read_pins(site.root / lock)
    site.console.say(f"installing {len(pins)} locked packages to compare with")
    _pip_install(site, [pin for pin in pins if pin.name != SOURCE_PEER], "bench")
    machine.require_compiler()
    _pip_install(site, [pin for pin in pins if pin.name == SOURCE_PEER], "bench-source", "--no-build-isolation")
    site.state.mark("packages: bench", key)


def _install_kvpress(site: Site) -> None:
    """kvpress and torch want other versions than the program does, so they get an environment of their own."""
    try:
        _install_apart(site, "kvpress", 2.5)
    except SetupFailed as error:
        said = error.__cause__.tail if isinstance(error.__cause__, ChildFailed) else ()
        if not any("No matching distribution found for torch==" in line for line in said):
            raise
        raise SetupFailed(
            "the package registry lacks torch's CPU build for this Python",
            hint="use Python 3.11 and name the index of torch's CPU wheels in PIP_EXTRA_INDEX_URL; or name the Python "
            "of an environment that has kvpress in SECONDME_PEERS_PYTHON",
        ) from error


def _install_mem0(site: Site) -> None:
    """mem0ai brings many packages that the program does not want, so it gets an environment of its own."""
    _install_apart(site, "mem0", 0.5)


def _install_mlx_lm(site: Site) -> None:
    """mlx-lm's own loop needs transformers, which the program leaves out, so it gets an environment of its own."""
    _install_apart(site, "mlx-lm", 0.5)


def _install_apart(site: Site, name: str, gigabytes: float) -> None:
    """The packages of a lock in an environment of that name under `build`, once for each state of the lock."""
    lock, folder = f"packaging/lock/{name}.txt", site.root / "build" / name
    own = replace(site, venv=folder, state=State.read(folder), environment=_environment(folder))
    key = tree_key(site.root, lock)
    if own.state.is_done(f"packages: {name}", key):
        return
    machine.require_space({site.root: gigabytes})
    _create_environment(own)
    pins = read_pins(site.root / lock)
    site.console.say(f"installing {len(pins)} locked packages to compare with")
    _pip_install(own, pins, name)
    own.state.mark(f"packages: {name}", key)


def _pip_install(site: Site, pins: Sequence[Pin], name: str, *options: str) -> None:
    """Install exactly `pins`, checked by their hashes; `name` tells their list in the build folder from others."""
    wanted = site.console.log_path.with_name(f"requirements-{name}.txt")
    wanted.write_text("".join(pin.text + "\n" for pin in pins), "utf-8")
    pip: list[str | Path] = [site.python, "-m", "pip", "install", "--progress-bar", "off", "--prefer-binary", *options]
    n_seen = 0
    try:
        for line in site.console.stream([*pip, "--require-hashes", "--no-deps", "-r", wanted], site.environment):
            n_seen += line.startswith(("Collecting ", "Requirement already satisfied", "Ignoring "))
            doing = "unpacking" if line.startswith("Installing collected") else "getting"
            silent = "; the registry does not answer, trying again" if "Retrying (" in line else ""
            site.console.progress(f"[{n_seen}/{len(pins)}] {doing} packages{silent}")
    except ChildFailed as error:
        raise explain(error, "installing packages") from error


def _install_runtime(site: Site, wheel: llama.WantedWheel) -> None:
    if site.state.is_done("llama.cpp", wheel.key) and not llama.import_error(site.python):
        return
    site.state.forget("llama.cpp")
    try:
        llama.Builder(wheel, site.python, site.environment, site.console).install()
    except ChildFailed as error:
        raise explain(error, "building the model runtime") from error
    site.state.mark("llama.cpp", wheel.key)


def _build_kernels(site: Site) -> None:
    soabi = str(sysconfig.get_config_var("SOABI"))
    key = hashlib.sha256(f"{tree_key(site.root, 'native')} {soabi}".encode()).hexdigest()
    if site.state.is_done("kernels", key) and any(site.kernels.glob("_native.*.so")):
        return
    machine.require_compiler()
    site.console.say("building the vector kernels")
    folder = site.root / "build" / "native" / soabi
    configure: list[str | Path] = ["cmake", "--fresh", "-S", site.root / "native", "-B", folder, "-G", "Ninja"]
    here = [f"-DPython_EXECUTABLE={site.python}", f"-DSECONDME_OUTPUT_DIR={site.kernels}", "-DCMAKE_BUILD_TYPE=Release"]
    try:
        site.console.run([*configure, *here], site.environment)
        for line in site.console.stream(["cmake", "--build", folder], site.environment):
            step = re.match(r"\[(\d+)/(\d+)\]", line)
            if step:
                site.console.progress(f"{step[0]} building the vector kernels")
    except ChildFailed as error:
        raise explain(error, "building the vector kernels") from error
    site.state.mark("kernels", key)
    site.state.require(*site.kernels.glob("_native.*.so"))


def _link_project(site: Site) -> None:
    key = tree_key(site.root, "pyproject.toml")
    command = site.python.with_name("secondme")
    if site.state.is_done("project", key) and command.exists():
        return
    pip: list[str | Path] = [site.python, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    try:
        site.console.run([*pip, "--editable", site.root], site.environment)
    except ChildFailed as error:
        raise explain(error, "installing secondme itself") from error
    site.state.mark("project", key)
    site.state.require(command)


def _pull_models(site: Site) -> None:
    """The program itself fetches and verifies them; its own progress and errors are what is shown."""
    site.console.end_progress()
    site.console.log("$ secondme models pull")
    command = [str(site.python), "-m", "secondme", "models", "pull"]
    status = subprocess.run(command, env=site.environment, cwd=site.root, check=False).returncode
    if status:
        raise SystemExit(status)  # it has said why
    from secondme.config import load_config
    from secondme.runtime.catalog import needed_models, resolve

    site.state.require(*(resolve(name).path for name in needed_models(load_config())))


INSTALLERS = {
    "mlx": _install_mlx,
    "peers": _install_peers,
    "kvpress": _install_kvpress,
    "mem0": _install_mem0,
    "mlx-lm": _install_mlx_lm,
}


def _environment(venv: Path) -> dict[str, str]:
    """The environment's tools come first; settings that send packages elsewhere are switched off."""
    keep = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET")}
    path = f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**keep, "PATH": path, "VIRTUAL_ENV": str(venv), "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _has_pip(python: Path) -> bool:
    command = [str(python), "-m", "pip", "--version"]
    return python.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
