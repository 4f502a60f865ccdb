"""Build the wheel and the sdist, look into them, install each into a clean environment and run the program there.

    python packaging/check_dist.py            pip, pipx and uv, with wheel and sdist
    python packaging/check_dist.py --quick    the wheel with pip only

The model runtime comes from the wheel cache that `bootstrap.py` filled, as for an owner who has run `make chat` once;
all else comes from the package registry, as it does for everybody.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

from boot.llama import PROJECT, wanted_wheel
from boot.lockfile import pin_of

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from secondme.paths import models_dir  # noqa: E402  # the source tree is not on the path before

DIST = ROOT / "dist"
SDIST_NEEDS = ("pyproject.toml", "README.md", "LICENSE", "Makefile", "native/CMakeLists.txt", "packaging/bootstrap.py")
SDIST_ROOMS = ("secondme/", "native/", "models/", "packaging/", "tests/")


class CheckFailed(Exception):
    """Something in the distributions is not as it should be."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="try the wheel with pip only")
    options = parser.parse_args(arguments)
    try:
        wheel, sdist = build(DIST)
        check_wheel(wheel)
        check_sdist(sdist)
        with tempfile.TemporaryDirectory(prefix="secondme-dist-") as folder:
            try_with_pip(wheel, Path(folder))
            if not options.quick:
                try_with_pip(sdist, Path(folder))
                for distribution in (wheel, sdist):
                    try_with_tools(distribution, Path(folder))
    except (CheckFailed, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("distributions: all checks passed")
    return 0


def build(out: Path, *settings: str) -> tuple[Path, Path]:
    """Make the sdist, and the wheel from that sdist; `settings` go to the build backend."""
    shutil.rmtree(out, ignore_errors=True)
    config = [f"-C{setting}" for setting in settings]
    _run([sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *config, ROOT], quiet=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    for path in (wheel, sdist):
        print(f"built {path.name}, {path.stat().st_size / 1e6:.2f} MB")
    return wheel, sdist


def check_wheel(wheel: Path, *, compiled: bool = True) -> None:
    """Raises CheckFailed unless the wheel holds every file of the package, the manifests, the licence, and no more."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = {path for path in _tracked() if path.startswith("secondme/")}
    manifests = {path.replace("models/", "secondme/_models/") for path in _tracked() if path.startswith("models/")}
    _need("the wheel", names, tracked | manifests)
    extensions = {name for name in names if name.endswith(".so")}
    if len(extensions) != int(compiled):
        raise CheckFailed(f"the wheel holds {sorted(extensions)} instead of one extension")
    metadata = {name for name in names if ".dist-info/" in name}
    for ending in ("/licenses/LICENSE", "/entry_points.txt", "/METADATA"):
        if not any(name.endswith(ending) for name in metadata):
            raise CheckFailed(f"the wheel lacks {ending}")
    if extra := names - tracked - manifests - extensions - metadata:
        raise CheckFailed(f"the wheel holds what is not part of it: {sorted(extra)[:5]}")


def check_sdist(sdist: Path) -> None:
    """Raises CheckFailed unless the sdist can build everything and holds nothing that was built."""
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    sources = {
        path for path in _tracked() if path.startswith(("secondme/", "native/", "models/", "packaging/", "tests/"))
    }
    _need("the sdist", names, sources.union(SDIST_NEEDS))
    if built := [
        name for name in names if name.endswith((".so", ".pyc")) or name.startswith((".ci", ".venv", "build/"))
    ]:
        raise CheckFailed(f"the sdist holds what was built: {sorted(built)[:5]}")


def try_with_pip(distribution: Path, folder: Path) -> None:
    venv = folder / f"pip-{distribution.suffix}"
    started = time.monotonic()
    _run([sys.executable, "-m", "venv", venv])
    _run([venv / "bin" / "pip", "install", "--quiet", "--find-links", _wheels(), distribution])
    _try_program(venv / "bin" / "secondme", f"pip, {distribution.name}", started)


def try_with_tools(distribution: Path, folder: Path) -> None:
    """`pipx install` and `uv tool install`, each in folders of their own."""
    tools = ROOT / "build" / "tools"
    if not (tools / "bin" / "pipx").exists() or not (tools / "bin" / "uv").exists():
        _run([sys.executable, "-m", "venv", "--clear", tools])
        _run([tools / "bin" / "pip", "install", "--quiet", "pipx", "uv"])
    place = folder / f"tools-{distribution.suffix}"
    python = ["--python", sys.executable]
    started = time.monotonic()
    moved = {"PIPX_HOME": place / "pipx", "PIPX_BIN_DIR": place / "pipx-bin", "PIPX_MAN_DIR": place / "man"}
    _run(
        [tools / "bin/pipx", "install", *python, f"--pip-args=--find-links={_wheels()}", distribution],
        moved,
        quiet=True,
    )
    _try_program(place / "pipx-bin" / "secondme", f"pipx, {distribution.name}", started)
    started = time.monotonic()
    moved = {"UV_TOOL_DIR": place / "uv", "UV_TOOL_BIN_DIR": place / "uv-bin"}
    _run([tools / "bin/uv", "tool", "install", *python, "--find-links", _wheels(), distribution], moved, quiet=True)
    _try_program(place / "uv-bin" / "secondme", f"uv tool, {distribution.name}", started)


def _try_program(program: Path, what: str, started: float) -> None:
    installed_s = time.monotonic() - started
    with tempfile.TemporaryDirectory() as home:
        # Away from the clone, with a new home and the owner's models: nothing may come from the source tree.
        moved = {"SECONDME_HOME": Path(home), "SECONDME_MODELS": models_dir()}
        _run([program, "--version"], moved, quiet=True)
        _run([program, "doctor"], moved, quiet=True)
    print(f"{what}: installed in {installed_s:.0f} s; --version and doctor pass")


def _wheels() -> Path:
    wheel = wanted_wheel(pin_of(PROJECT, ROOT / "packaging/lock/runtime.txt"))
    if not wheel.cached():
        raise CheckFailed("the model runtime is not in the wheel cache; run make chat first")
    return wheel.folder


def _run(command: list[str | Path], moved: dict[str, Path] | None = None, *, quiet: bool = False) -> None:
    """Run away from the clone. A failing program's output is shown even if `quiet`."""
    keep = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = {**keep, **{name: str(path) for name, path in (moved or {}).items()}}
    words = [str(word) for word in command]
    result = subprocess.run(words, env=environment, cwd="/", check=False, text=True, capture_output=quiet)
    if result.returncode:
        print(result.stdout or "", result.stderr or "", sep="", file=sys.stderr)
        raise CheckFailed(f"{' '.join(words[:4])} ... failed (exit status {result.returncode})")


def _tracked() -> set[str]:
    """Files that belong to the project: those git knows, and new ones it does not ignore."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    output = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    return {line for line in output.splitlines() if (ROOT / line).exists()}


def _need(what: str, names: set[str], needed: set[str]) -> None:
    if missing := needed - names:
        raise CheckFailed(f"{what} lacks {len(missing)} files, such as {sorted(missing)[:5]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
