"""Every nth write, fsync, open, rename and the like failing, once and from then on, in every call of the store.

Each trial is one call with one failing system call in it (`trials.py`, in a child under the shim). The call must end
well or with one of our errors, in our words; what was acknowledged must be there at once, for a process that dies on
the spot, and after closing and opening again; and the store must go on once the fault is gone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fault.iolog import run_under
from tests.fault.operations import OPERATIONS
from tests.fault.soak import n

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is an LD_PRELOAD library"),
]

TRY = """
import json, random, sys
from pathlib import Path
from tests.fault.trials import Bench, go_through
n_tried, calls, bad = 0, set(), []
bench = Bench(Path(sys.argv[1]))
for trial, complaint in go_through(bench, random.Random(1), float(sys.argv[2])):
    n_tried += 1
    calls.add(trial.call)
    if complaint:
        bad.append(f"{trial}: {complaint}")
print(json.dumps([n_tried, bench.n_raised, len(calls), bad]))
"""


def test_a_failing_system_call_is_one_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    out = run_under(TRY, str(tmp_path / "bench"), str(n(5, 1000) / 1000), root=tmp_path, timeout=n(120, 20_000))
    n_tried, n_raised, n_calls, bad = json.loads(out)
    assert bad == []
    assert n_tried > n(50, 10_000) and n_calls > n(10, 21)
    # Most faults cannot be hidden from the caller: that they are not is the sign that they happened.
    assert n_raised > n_tried / 2


OPERATE = """
import dataclasses, json, random, sys
from pathlib import Path
from tests.fault.killing import failures
from tests.fault.operations import OPERATIONS
chance, tried = random.Random(1), {}
for name in sys.argv[3:]:
    tally = failures(OPERATIONS[name], Path(sys.argv[1]) / name, chance, int(sys.argv[2]))
    tried[name] = tally.n_killed
print(json.dumps(tried))
"""


def test_a_failing_system_call_tears_no_operation_of_several_steps(tmp_path: Path) -> None:
    """As in `test_kill.py`: what was said is there, and the operation can be carried to its end."""
    n_failures, names = n(3, 400), list(OPERATIONS)[:: n(3, 1)]
    out = run_under(OPERATE, str(tmp_path), str(n_failures), *names, root=tmp_path, timeout=n(120, 40_000))
    n_raised = json.loads(out)
    # A wipe goes on whatever happens, and says it in its report.
    assert n_raised.keys() == set(names) and n_raised.get("wipe", 0) == 0
    assert sum(n_raised.values()) > n_failures * len(names) / 4
