"""Write the lock files anew from pyproject.toml: `make lock`, or `make lock UPGRADE=1` for newer versions.

One resolution: `dev.txt` holds everything, `runtime.txt` and `build.txt` are parts of it, so that an environment for
running becomes one for testing without changing a version; `bench.txt` is what benchmarks compare with, and agrees with
`dev.txt` where they meet. They hold for every platform and Python that the project supports, with the hashes of all
their files. Needs `uv`, which a throw-away environment provides.
"""

from __future__ import annotations

import argparse
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
}


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
        print(f"wrote {(LOCKS / name).relative_to(ROOT)}")
    return 0


def _uv() -> Path:
    venv = ROOT / "build" / "uv"
    if not (venv / "bin" / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "--quiet", "uv"], check=True)
    return venv / "bin" / "uv"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
