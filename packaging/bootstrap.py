"""Make this clone ready to run: `make chat` and `make test` call it first, every time.

Steps: a virtual environment, the locked packages, llama.cpp built for this machine, the native kernels, the default
models. Each is remembered when it is done, so an interrupted run goes on where it stopped, and a run with nothing to
do ends before anything heavy is imported. Until the environment exists only the standard library is used.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # older ones do get here, and would fail less clearly further down
    sys.stderr.write(f"error: secondme needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}\n")
    sys.stderr.write("hint: install a newer Python, then name it: make PYTHON=python3.12 chat\n")
    raise SystemExit(1)

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from boot.state import State, inputs_key  # noqa: E402  # the source tree is not on the path before

VENV = ROOT / ".venv"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--bench", action="store_true", help="also the libraries that benchmarks compare with")
    parser.add_argument("--kvpress", action="store_true", help="also kvpress and torch, in an environment of their own")
    parser.add_argument("--mlx", action="store_true", help="also MLX, where llama.cpp is the default")
    parser.add_argument("--mem0", action="store_true", help="also bm25s and mem0ai, in an environment of their own")
    parser.add_argument("--mlx-lm", action="store_true", help="also all of mlx-lm, in an environment of its own")
    parser.add_argument("--no-models", action="store_true", help="leave the default models out")
    options = parser.parse_args(arguments)
    goal = ("dev" if options.dev else "run") + ("" if not options.no_models else ", no models")
    state, key = State.read(VENV), inputs_key(ROOT)
    # Who has MLX keeps it, at the version that the lock names by now.
    wanted = {"mlx": options.mlx or "packages: mlx" in state.done, "peers": options.bench}
    wanted |= {"kvpress": options.kvpress, "mem0": options.mem0, "mlx-lm": options.mlx_lm}
    extras = [name for name in wanted if wanted[name]]
    if state.is_complete(goal, key) and all(state.is_done(f"all: {name}", key) for name in extras):
        return 0

    from boot.console import Console
    from boot.steps import set_up
    from secondme.errors import SecondMeError

    console = Console(ROOT / "build" / "bootstrap.log")
    try:
        set_up(ROOT, VENV, goal, console, extras=extras)
    except SecondMeError as error:
        console.end_progress()
        hint = f"hint: {error.hint}\n" if error.hint else ""
        sys.stderr.write(f"error: {error.message}\n{hint}the full log is {os.path.relpath(console.log_path)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        console.end_progress()
        sys.stderr.write("error: interrupted\nhint: run the same command again; it goes on where it stopped\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
