"""The program where MLX is not installed, as on a Linux machine that did not ask for it: all works but that."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRA = ("mlx", "tokenizers", "transformers", "llguidance", "sentencepiece")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """What is installed, without the extra."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.lower().startswith((*EXTRA, "__")) and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder


def run(packages: Path, code: str) -> subprocess.CompletedProcess[str]:
    """In a Python that sees those packages and the sources only."""
    paths = (
        f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + {[str(ROOT), str(packages)]}\n"
    )
    command = [sys.executable, "-S", "-E", "-c", paths + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=packages)


def main(packages: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(packages, f"from secondme.cli.main import main; raise SystemExit(main({list(words)}))")


def test_the_default_model_runs_and_nothing_of_mlx_is_looked_for(
    packages: Path, smollm2_path: Path, minilm_path: Path
) -> None:
    done = main(packages, "doctor", "--json")
    checks = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done
    assert checks["backend"]["detail"] == "llama.cpp runs the language model: the default on this machine"
    assert "mlx" not in checks
    code = (
        "from secondme.config import Config\n"
        "from secondme.runtime.load import load_generator\n"
        "generator = load_generator(Config(context_tokens=64, threads=1))\n"
        "print(generator.info.backend, sorted(n for n in sys.modules if n.startswith('mlx')))"
    )
    assert run(packages, code).stdout == "llama.cpp []\n"


def test_asking_for_mlx_ends_in_a_line_and_how_to_get_it(packages: Path, smollm2_path: Path) -> None:
    code = (
        "from secondme.cli.output import render_errors\n"
        "from secondme.config import Config\n"
        "from secondme.runtime.load import load_generator\n"
        "raise SystemExit(render_errors(lambda: load_generator(Config(backend='mlx')) and 0))"
    )
    done = run(packages, code)
    error, hint = done.stderr.splitlines()
    assert done.returncode == 69
    assert error == "error: MLX cannot be used (not installed: mlx, mlx_lm, tokenizers)"
    assert hint.startswith(
        "hint: install it with: make chat BACKEND=mlx, or without a clone: pip install 'secondme[mlx]'"
    )
    assert hint.endswith("run smollm2-135m-instruct with llama.cpp: --backend llama.cpp")
    failed = [line for line in main(packages, "doctor", "--backend", "mlx").stdout.splitlines() if "FAILED" in line]
    assert len(failed) == 1 and failed[0].startswith("FAILED  backend: MLX cannot be used")
