"""Write the lock files anew from pyproject.toml: `make lock`, or `make lock UPGRADE=1` for newer versions.

One resolution: `dev.txt` holds everything, `runtime.txt` and `build.txt` are parts of it, so that an environment for
running becomes one for testing without changing a version; `bench.txt` is what benchmarks compare with, and agrees with
`dev.txt` where they meet. They hold for every platform and Python that the project supports, with the hashes of all
their files. `kvpress.txt` and `mem0.txt` are each for an environment of its own; the former alone has torch:
its CPU build, without the graphics processor's libraries, which are neither needed nor free. Needs `uv`, which a
throw-away environment provides.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "packaging" / "lock"
COMPILE = ("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes")
PLAIN = ("--no-emit-index-url", "--no-header", "--no-annotate")
PARTS = {
    "dev.txt": ("pyproject.toml", "--group", "pyproject.toml:build", "--group", "pyproject.toml:dev"),
    "runtime.txt": ("pyproject.toml", "--constraint", "packaging/lock/dev.txt"),
    "build.txt": ("--group", "pyproject.toml:build", "--constraint", "packaging/lock/dev.txt"),
    "bench.txt": ("--group", "pyproject.toml:bench", "--constraint", "packaging/lock/dev.txt"),
    "kvpress.txt": ("--group", "pyproject.toml:kvpress"),
    "mem0.txt": ("--group", "pyproject.toml:mem0"),
}
TORCH_ON_LINUX = (
    "torch==2.13.0+cpu ; sys_platform == 'linux' and platform_machine == 'x86_64' \\\n"
    "    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b\n"
)
"""The CPU build for CPython 3.11. It has an index of its own, which is for whoever installs it to name."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="take newer versions where pyproject.toml allows them")
    options = parser.parse_args(arguments)
    uv = _uv()
    for name, what in PARTS.items():
        upgrade = ("--upgrade",) if options.upgrade and name == "dev.txt" else ()
        # The parts start from nothing, or pins that were dropped from the whole would linger in them.
        if name != "dev.txt":
            (LOCKS / name).unlink(missing_ok=True)
        subprocess.run([uv, *COMPILE, *PLAIN, *upgrade, *what, "--output-file", LOCKS / name], cwd=ROOT, check=True)
        if name == "kvpress.txt":
            (LOCKS / name).write_text(cpu_only((LOCKS / name).read_text("utf-8")), "utf-8")
        print(f"wrote {(LOCKS / name).relative_to(ROOT)}")
    return 0


def cpu_only(lock: str) -> str:
    """The lock with torch's CPU builds, and without what only its others need."""
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", lock)
    kept = [entry for entry in entries if not re.match(r"nvidia-|cuda-|triton==", entry)]
    torch = re.compile(r"torch==[^+\s]+(?= )")
    return "".join(
        TORCH_ON_LINUX + torch.sub(lambda m: f"{m[0]} ; sys_platform == 'darwin'", entry)
        if torch.match(entry)
        else entry
        for entry in kept
    )


def _uv() -> Path:
    venv = ROOT / "build" / "uv"
    if not (venv / "bin" / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return venv / "bin" / "uv"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
