"""The conversion of a model for MLX, killed at any point, failing at any call, and wanted by several at once.

A folder that is there is whole; what was half done is cleared away by the next attempt.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault.iolog import environment
from tests.fault.killing import HAS_SHIM, Operation, Say, failures, rounds
from tests.fault.soak import n
from tests.tiny_mlx import MIXED_K, TinyMlx, write_tiny_gguf

pytestmark = pytest.mark.soak

RUN = """
import sys
from tests.fault.test_mlx_conversion import disturb
disturb(*sys.argv[1:])
"""
CONVERT = """
import sys
from pathlib import Path
from secondme.runtime.mlx_convert import converted
print("ready", flush=True)
sys.stdin.readline()
folder = converted(Path(sys.argv[1]), sys.argv[2])
print(folder, *(path.stat().st_ino for path in sorted(folder.iterdir())))
"""


def _prepare(folder: Path) -> None:
    write_tiny_gguf(folder / "model.gguf", dataclasses.replace(MIXED_K, n_layers=1))


def _convert(folder: Path, say: Say) -> None:
    from secondme.runtime.mlx_convert import converted

    os.environ["SECONDME_MODELS"] = str(folder / "models")
    source = folder / "model.gguf"
    converted(source, hashlib.sha256(source.read_bytes()).hexdigest())
    say("converted")


def _look(folder: Path, said: list[str], has_ended: bool) -> None:
    from secondme.runtime.mlx_folder import read_folder

    os.environ["SECONDME_MODELS"] = str(folder / "models")
    models = folder / "models" / "mlx"
    found = sorted(path.name for path in models.iterdir() if path.is_dir()) if models.exists() else []
    whole = [name for name in found if not name.startswith(".")]
    assert len(whole) == 1 or not (said or has_ended)
    assert not has_ended or found == whole, found
    for name in whole:
        read = read_folder(models / name)
        assert read.origin is not None and len(read.origin.files) == 4


def disturb(what: str, folder: str, n_times: str) -> None:
    """Runs in a child; prints the tally."""
    work = rounds if what == "kill" else failures
    tally = work(Operation(_prepare, _convert, _look), Path(folder), random.Random(1), int(n_times))
    print(json.dumps(dataclasses.asdict(tally)))


@pytest.mark.parametrize("what", ["kill", pytest.param("fail", marks=pytest.mark.skipif(not HAS_SHIM, reason="shim"))])
def test_a_conversion_is_whole_or_not_at_all(tmp_path: Path, what: str) -> None:
    n_times, root = n(3, 1000), tmp_path.resolve()
    seen = environment(root) if HAS_SHIM else os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", RUN, what, str(root / "work"), str(n_times)]
    done = subprocess.run(command, capture_output=True, text=True, env=seen, timeout=n(120, 40_000))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_killed"] >= (n_times if what == "kill" else 1)


def test_several_at_once_convert_once(tmp_path: Path) -> None:
    source = write_tiny_gguf(tmp_path / "model.gguf", TinyMlx())
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    seen = os.environ | {"SECONDME_MODELS": str(tmp_path / "models")}
    command = [sys.executable, "-c", CONVERT, str(source), sha256]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=seen) for _ in range(3)
    ]
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
    said = set()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        out, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        said.add(out)
    assert len(said) == 1
