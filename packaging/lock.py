"""Write the lock files anew from pyproject.toml: `make lock`, or `make lock UPGRADE=1` for newer versions.

One resolution: `dev.txt` holds everything, `runtime.txt` and `build.txt` are parts of it, so that an environment for
running becomes one for testing without changing a version; `bench.txt` is what benchmarks compare with, and agrees with
`dev.txt` where they meet. They hold for every platform and Python that the project supports, with the hashes of all
their files. `mlx.txt` is what the extra of that name adds to `runtime.txt`. `kvpress.txt`, `mem0.txt` and `mlx-lm.txt`
are each for an environment of its own; the first alone has torch: its CPU build, without the graphics processor's
libraries, which are neither needed nor free. Needs `uv`, which a throw-away environment provides.
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
UNUSED = ("protobuf", "sentencepiece", "transformers")
"""What mlx-lm declares and only its own loading and conversion of models needs. The program loads models itself, from
mlx-lm's modules of layers, so nobody downloads these 130 MB for it."""
APART = ("kvpress.txt", "mem0.txt", "mlx-lm.txt")
PARTS = {
    "dev.txt": ("pyproject.toml", "--extra", "mlx", "--group", "pyproject.toml:build", "--group", "pyproject.toml:dev"),
    "runtime.txt": ("pyproject.toml", "--constraint", "packaging/lock/dev.txt"),
    "mlx.txt": ("pyproject.toml", "--extra", "mlx", "--constraint", "packaging/lock/dev.txt"),
    "build.txt": ("--group", "pyproject.toml:build", "--constraint", "packaging/lock/dev.txt"),
    "bench.txt": ("--group", "pyproject.toml:bench", "--constraint", "packaging/lock/dev.txt"),
    "kvpress.txt": ("--group", "pyproject.toml:kvpress"),
    "mem0.txt": ("--group", "pyproject.toml:mem0"),
    "mlx-lm.txt": ("--group", "pyproject.toml:mlx-lm", "--constraint", "packaging/lock/dev.txt"),
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
    unused = ROOT / "build" / "unused.txt"
    unused.write_text("\n".join(UNUSED) + "\n", "utf-8")
    for name, what in PARTS.items():
        upgrade = ("--upgrade",) if options.upgrade and name == "dev.txt" else ()
        # The parts start from nothing, or pins that were dropped from the whole would linger in them.
        if name != "dev.txt":
            (LOCKS / name).unlink(missing_ok=True)
        excludes = () if name in APART else ("--excludes", unused)
        command = [uv, *COMPILE, *PLAIN, *upgrade, *excludes, *what, "--output-file", LOCKS / name]
        subprocess.run(command, cwd=ROOT, check=True)
        text = (LOCKS / name).read_text("utf-8")
        if name == "kvpress.txt":
            (LOCKS / name).write_text(cpu_only(text), "utf-8")
        if name == "mlx.txt":
            (LOCKS / name).write_text(added(text, (LOCKS / "runtime.txt").read_text("utf-8")), "utf-8")
        print(f"wrote {(LOCKS / name).relative_to(ROOT)}")
    return 0


def cpu_only(lock: str) -> str:
    """The lock with torch's CPU builds, and without what only its others need."""
    kept = [entry for entry in _entries(lock) if not re.match(r"nvidia-|cuda-|triton==", entry)]
    torch = re.compile(r"torch==[^+\s]+(?= )")
    return "".join(
        TORCH_ON_LINUX + torch.sub(lambda m: f"{m[0]} ; sys_platform == 'darwin'", entry)
        if torch.match(entry)
        else entry
        for entry in kept
    )


def added(lock: str, smaller: str) -> str:
    """The entries of a lock that a smaller one lacks, or has for fewer machines."""
    there = set(_entries(smaller))
    return "".join(entry for entry in _entries(lock) if entry not in there)


def _entries(lock: str) -> list[str]:
    return re.split(r"(?m)^(?=[A-Za-z0-9])", lock)


def _uv() -> Path:
    venv = ROOT / "build" / "uv"
    if not (venv / "bin" / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return venv / "bin" / "uv"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
