"""kill -9 at random points of every operation that takes more than one step.

Nothing that was acknowledged is lost, the store opens, and what was half done is taken back or goes on to its end. The
work is described in `operations.py`, the killing in `killing.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault.iolog import environment
from tests.fault.killing import HAS_SHIM
from tests.fault.operations import OPERATIONS
from tests.fault.soak import n

pytestmark = pytest.mark.soak

KILL = """
import dataclasses, json, random, sys
from pathlib import Path
from tests.fault.killing import rounds
from tests.fault.operations import OPERATIONS
tally = rounds(OPERATIONS[sys.argv[1]], Path(sys.argv[2]), random.Random(1), int(sys.argv[3]))
print(json.dumps(dataclasses.asdict(tally)))
"""


@pytest.mark.parametrize("name", OPERATIONS)
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, name: str) -> None:
    n_kills = n(5, 1000)
    root = tmp_path.resolve()
    command = [sys.executable, "-c", KILL, name, str(root / "kill"), str(n_kills)]
    seen = environment(root) if HAS_SHIM else os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, env=seen, timeout=n(120, 40_000))
    assert done.returncode == 0, done.stderr
    tally = json.loads(done.stdout)
    assert n_kills <= tally["n_killed"] < tally["n_rounds"] * 2
