"""mlx-lm's own loop, in a process of an environment of its own: it needs transformers, which the program does not."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from secondme.bench.mlx import Timed, timed
from secondme.errors import BackendUnavailable, UsageError

VARIABLE = "SECONDME_MLX_LM_PYTHON"
_ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = _ROOT / "build" / "mlx-lm"
"""Where `make bench PEERS=mlx-lm` puts the environment."""

_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from secondme.bench.mlx.worker import main; sys.exit(main(sys.argv[1:]))"
)
"""The program's folder comes last on the path, so that the child's own packages are the ones it finds."""

_RUN_S = 900.0
"""Longer than any run that is worth its figure."""


def python() -> Path:
    """The Python of the peer's environment. Raises UsageError if there is none."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else ENVIRONMENT / "bin" / "python"
    if not path.exists():
        raise UsageError(
            f"there is no {path}" if named else "mlx-lm is not installed",
            hint=f"run: make bench PEERS=mlx-lm; or name the Python of an environment that has it in {VARIABLE}",
        )
    return path


class Peer:
    """Waits for the process to have loaded the model. Raises BackendUnavailable if it does not; close it."""

    def __init__(self, python: Path, folder: Path, *, as_float32: bool) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        numbers = "float32" if as_float32 else "stored"
        command = [str(python), "-c", _START, str(_ROOT), str(folder.resolve()), numbers]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
                cwd=tempfile.gettempdir(),
                env=environment,
            )
        except OSError as error:
            self._complaints.close()
            raise self._failed("mlx-lm's Python does not start", "") from error
        try:
            self.version = str(self._answer()["ready"])
        except BaseException:
            self.close()
            raise

    def measure(self, tokens: list[int], n_decode: int) -> Timed:
        """One run. Raises BackendUnavailable if the process ends or takes too long."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"tokens": tokens, "n_decode": n_decode}) + "\n")
            self._child.stdin.flush()
        except OSError:
            pass  # it has ended, which shows when its answer is read
        answer = self._answer()
        return timed(float(answer["began"]), [float(moment) for moment in answer["said"]], len(tokens))

    def close(self) -> None:
        self._child.kill()
        self._child.communicate()
        self._complaints.close()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        timer = threading.Timer(_RUN_S, self._child.kill)
        timer.start()
        try:
            line = self._child.stdout.readline()
        finally:
            timer.cancel()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            self._complaints.seek(0)
            said = self._complaints.read().decode("utf-8", "replace").split("\n")
            last = next((text.strip() for text in reversed(said) if text.strip()), "")
            raise self._failed("mlx-lm's process ended without an answer", last) from None
        return answer

    def _failed(self, message: str, last_line: str) -> BackendUnavailable:
        hint = f"{last_line[:160]}; " if last_line else ""
        return BackendUnavailable(message, hint=f"{hint}install it anew with: make bench PEERS=mlx-lm")
