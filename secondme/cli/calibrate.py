"""`secondme models calibrate`: makes the calibration that a model's cartridges need."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.cli.output import ProgressLine, say, settings
from secondme.errors import ModelError, SecondMeError, UsageError

if TYPE_CHECKING:
    from secondme.cartridges.calibrating import Calibrated
    from secondme.runtime.base import Generator

_N_CTX = 2048


def calibrate(args: argparse.Namespace) -> int:
    """Print the SHA-256 of the file that was written."""
    from secondme.runtime.catalog import resolve
    from secondme.runtime.load import load_generator

    texts = _texts(args.text)
    found = resolve(args.name, kind="generator")
    config = dataclasses.replace(settings(args), model=args.name, context_tokens=_N_CTX)
    generator = load_generator(config, say=say)
    try:
        made = _made(generator, found.path, texts)
    finally:
        generator.close()
    path = _written(made, Path(args.out) if args.out else None)
    if not made.used_gradients:
        say("the weights of this kind of model cannot be looked into: cartridges will be somewhat larger")
    say(f"{len(made.data) / 1e6:.1f} MB in {path}")
    print(made.calibration.digest)
    return 0


def _texts(names: list[str]) -> list[str]:
    """What the files hold, in order of their paths. Raises UsageError."""
    paths: list[Path] = []
    for name in names:
        path = Path(name)
        paths += sorted(p for p in path.rglob("*.txt") if p.is_file()) if path.is_dir() else [path]
    if not paths:
        raise UsageError("there are no texts", hint="name files, or a folder with .txt files: --text PATH")
    try:
        return [path.read_text("utf-8") for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("a text cannot be read", hint="name readable UTF-8 files: --text PATH") from error


def _made(generator: Generator, path: Path, texts: list[str]) -> Calibrated:
    from secondme.cartridges.calibrating import CalibrationProgress, calibrate, recipe_for
    from secondme.runtime.gguf_weights import read_llama_weights

    try:
        weights = read_llama_weights(path) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise ModelError("the model's weights cannot be read", hint="secondme models verify tells more") from error
    line = ProgressLine()
    reader = generator.reader(_N_CTX)
    try:
        for event in calibrate(reader, [generator.tokenize(t) for t in texts], recipe_for(generator, weights)):
            if not isinstance(event, CalibrationProgress):
                return event
            line.show(f"calibrating: {event.n_done / event.n_total:4.0%}")
    finally:
        line.clear()
        reader.close()
    raise AssertionError("the last event is the calibration")


def _written(made: Calibrated, out: Path | None) -> Path:
    from secondme.cartridges.calibrations import path_of, put_calibration

    path = out or path_of(made.calibration.weights)
    try:
        put_calibration(path, made.data)
    except OSError as error:
        raise SecondMeError(f"cannot write {path}: {error.strerror}", hint="check its rights and the disk") from error
    return path
