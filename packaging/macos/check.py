"""The parts of `verify.sh` that look into the program: each prints what it saw and ends with 1 if it was not right.

python packaging/macos/check.py facts             versions and sizes of this machine; no names, no paths
python packaging/macos/check.py metal             MLX computes on the graphics processor, within its limits
python packaging/macos/check.py llama             llama.cpp was built for the graphics processor
python packaging/macos/check.py keychain          a random key goes into the Keychain, comes back, and goes away
python packaging/macos/check.py samples DIR       writes the files that are asked about
python packaging/macos/check.py paragraphs FILE   writes what `bench cartridges` reads
python packaging/macos/check.py doctor            every line of `secondme doctor`, and that it chose MLX
python packaging/macos/check.py answer FILE       what `secondme ask --json` printed is an answer with its citation
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from secondme.runtime.mlx_check import MlxState

PACKAGES = ("llama-cpp-python", "mlx", "mlx-lm", "tokenizers", "numpy")
SAMPLES = {
    "boat.md": "# The boat\n\nThe boat of the harbour master is called Merrow. It was painted green in May.\n",
    "garden.txt": "The garden behind the mill has eleven pear trees and one quince.\n",
    "tower.txt": "The clock of the town hall runs four minutes slow. Nobody has set it for years.\n",
}
QUESTION, SOURCE = "What is the boat of the harbour master called?", "boat.md"


class Wrong(Exception):
    """Something is not as it should be on a Mac."""


def facts() -> None:
    from secondme import __version__

    print(f"secondme {__version__}, Python {platform.python_version()} for {platform.machine()}")
    print(f"macOS {platform.mac_ver()[0] or 'none: ' + platform.system()}, {_sysctl('machdep.cpu.brand_string')}")
    print(f"{int(_sysctl('hw.memsize') or 0) / 2**30:.0f} GB of memory, {os.cpu_count()} cores")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))


def metal() -> None:
    """The model says a few words, so that the memory which is reported is that of real work."""
    from secondme.config import load_config
    from secondme.runtime.base import DecodedText, Sampling
    from secondme.runtime.load import load_generator
    from secondme.runtime.mlx_check import try_mlx
    from secondme.runtime.mlx_lib import core, on_worker

    state = try_mlx()
    print(f"a quantized product is right on {state.device}")
    generator = load_generator(replace(load_config(), backend="mlx", context_tokens=512))
    try:
        print(f"{generator.info.name} on {generator.info.backend}, {generator.info.device}")
        for _ in generator.prefill(generator.tokenize("The lighthouse keeper wrote down")):
            pass
        n_tokens = sum(isinstance(e, DecodedText) for e in generator.decode(Sampling(max_tokens=16)))
        active, peak = on_worker(lambda: (core().get_active_memory(), core().get_peak_memory()))
    finally:
        generator.close()
    print(f"{n_tokens} tokens decoded; {active / 1e6:.0f} MB in use, {peak / 1e6:.0f} MB at most")
    print(f"limits: {state.most_bytes / 1e9:.1f} of {state.memory_bytes / 1e9:.1f} GB of memory; set by the owner:")
    print(f"  iogpu.wired_limit_mb {_sysctl('iogpu.wired_limit_mb') or 'is not there'}")
    if not n_tokens:
        raise Wrong("the model said nothing")
    require_within(state, peak)


def require_within(state: MlxState, peak_bytes: int) -> None:
    """Raises Wrong unless MLX has a limit, which leaves room for the rest of the machine, and kept it."""
    if not state.most_bytes:
        raise Wrong("MLX does not run on Metal here")
    if not peak_bytes <= state.most_bytes < state.memory_bytes:
        raise Wrong("the limits of memory are not kept")


def llama() -> None:
    import llama_cpp.llama_cpp as lib

    if not lib.llama_supports_gpu_offload():
        raise Wrong("this build of llama.cpp knows no graphics processor")
    print("llama.cpp knows the graphics processor")


def keychain() -> None:
    """Under a name of its own, which is gone afterwards: no key of the owner's is looked at."""
    from secondme.crypto import keychain

    name = keychain.backend_name()
    if name is None:
        raise Wrong("no system keyring answers")
    entry, key = f"verify {secrets.token_hex(8)}", secrets.token_bytes(32)
    stored = keychain.store(entry, key)
    came_back = keychain.fetch(entry) == key
    removed = keychain.remove(entry)
    gone = keychain.fetch(entry) is keychain.Missing.NO_ENTRY
    print(f"{name}: stored {stored}, came back equal {came_back}, removed {removed}, gone {gone}")
    if not (stored and came_back and removed and gone):
        raise Wrong("the keyring does not keep keys")


def samples(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in SAMPLES.items():
        (folder / name).write_text(text, "utf-8")


def paragraphs(file: Path) -> None:
    from tests.asking_cartridges import write_paragraphs

    write_paragraphs(file, 3)


def doctor() -> None:
    command = [sys.executable, "-m", "secondme", "doctor", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
    for name, line in lines.items():
        print(f"{line['status']:8}{name}" + (f": {line['detail']}" if name in ("backend", "mlx", "kernels") else ""))
    if done.returncode:
        raise Wrong("a check failed: secondme doctor")
    if "mlx runs the language model" not in lines["backend"]["detail"]:
        raise Wrong("MLX is not what runs the model by default")


def answer(file: Path) -> None:
    try:
        row = json.loads(file.read_text("utf-8"))
        paths = {Path(citation["path"]).name for citation in row["citations"]}
        timings = row["timings"]
        n_tokens: int = timings["n_answer_tokens"]
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong("there is no answer") from error
    times = (
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in timings.items()
    )
    print(", ".join(times))
    if not (row["found"] and row["answer"].strip() and SOURCE in paths):
        raise Wrong("the answer does not rest on the file that tells it")
    if row["notes"] or not n_tokens:
        raise Wrong("the model did not run as it was asked to")


CHECKS: dict[str, Callable[[], None]] = {
    "facts": facts,
    "metal": metal,
    "llama": llama,
    "keychain": keychain,
    "doctor": doctor,
}
WITH_PATH: dict[str, Callable[[Path], None]] = {"samples": samples, "paragraphs": paragraphs, "answer": answer}


def main(arguments: list[str]) -> int:
    match arguments:
        case [name] if name in CHECKS:
            run = CHECKS[name]
        case [name, path] if name in WITH_PATH:
            run = lambda: WITH_PATH[name](Path(path))  # noqa: E731
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    try:
        run()
    except Wrong as error:
        print(f"wrong: {error}")
        return 1
    return 0


def _sysctl(name: str) -> str:
    """One fact that macOS tells; "" elsewhere."""
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
