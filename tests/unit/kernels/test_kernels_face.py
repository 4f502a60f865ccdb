"""Which kernels are chosen, and what happens without the extension. Each case needs a fresh interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from secondme.kernels import capabilities, disagreeing, dot_i8, reference

ASK = "from secondme.kernels import capabilities; c = capabilities(); print(c.isa, c.extension, c.note, sep='|')"


def fresh(code: str, isa: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SECONDME_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_the_best_is_chosen_when_nothing_is_asked_for() -> None:
    assert fresh(ASK).stdout.split("|")[0] == capabilities().isas[0]


@pytest.mark.parametrize("isa", capabilities().isas)
def test_any_available_one_can_be_asked_for(isa: str) -> None:
    assert fresh(ASK, isa).stdout.split("|")[0] == isa


def test_the_extension_reads_the_same_override() -> None:
    code = "from secondme.kernels import _native; print(_native.isa())"
    assert fresh(code, "serial").stdout.strip() == "serial"
    assert fresh(code, "z80").stdout.strip() == "None"


def test_asking_for_another_names_those_that_run_here() -> None:
    code = (
        "from secondme.errors import ConfigError\nfrom secondme.kernels import dot_i8\nimport numpy as np\n"
        "try:\n    dot_i8(np.zeros(1, np.int8), np.zeros((1, 1), np.int8))\n"
        "except ConfigError as error:\n    print(error.message, error.hint, sep='|')"
    )
    message, hint = fresh(code, "z80").stdout.strip().split("|")
    assert "z80" in message
    assert "serial" in hint and "numpy" in hint


def test_without_the_extension_numpy_answers() -> None:
    code = (
        "import sys\nsys.modules['secondme.kernels._native'] = None\n"
        "import numpy as np\nfrom secondme.kernels import capabilities, dot_i8\n"
        "c = capabilities()\nprint(c.isa, c.isas, c.extension, c.note)\n"
        "print(dot_i8(np.full(3, -128, np.int8), np.full((2, 3), -128, np.int8)))"
    )
    first, second = fresh(code).stdout.splitlines()
    assert first == "numpy ('numpy',) None the extension is not built"
    assert second == "[49152 49152]"


def test_the_self_test_finds_no_difference_here() -> None:
    assert disagreeing() == ()


def test_the_self_test_names_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    true = reference.dot_i8
    monkeypatch.setattr(reference, "dot_i8", lambda query, rows: true(query, rows) + 1)
    assert disagreeing() == capabilities().isas[:-1]


def test_other_threads_run_while_a_kernel_does() -> None:
    query, rows = np.ones(4096, np.int8), np.broadcast_to(np.ones(4096, np.int8), (400_000, 4096))
    started = time.perf_counter()
    worker = threading.Thread(target=dot_i8, args=(query, rows), kwargs={"isa": "serial"})
    worker.start()
    longest, last = 0.0, time.perf_counter()
    while worker.is_alive():
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    elapsed = time.perf_counter() - started
    assert longest < elapsed / 2, f"this thread stood still for {longest:.3f} of {elapsed:.3f} s"
