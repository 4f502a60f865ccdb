"""Where the calibrations of models lie: the owner's own beside the models, and those that come with the program."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from secondme.cartridges.calibration import Calibration, read_calibration
from secondme.durable import replace_file
from secondme.errors import CartridgeIncompatible
from secondme.paths import models_dir
from secondme.runtime.kv import KvIdentity

SUFFIX = ".smkc"
SHIPPED = Path(__file__).parent / "shipped"


def path_of(weights: str) -> Path:
    """Where the calibration that the owner makes of a model is put; `weights` is the sha256 (hex) of its file."""
    return models_dir() / "calibrations" / f"{weights}{SUFFIX}"


def calibration_of(identity: KvIdentity) -> Calibration | None:
    """The model's calibration, the owner's before the shipped one; None where there is none that fits."""
    for path in (path_of(identity.weights), SHIPPED / f"{identity.weights}{SUFFIX}"):
        try:
            stamp = path.stat()
            found = _read(path, stamp.st_mtime_ns, stamp.st_size)
            found.check_fits(identity)
        except (OSError, CartridgeIncompatible):
            continue
        return found
    return None


def put_calibration(path: Path, data: bytes) -> None:
    """Write a calibration's file as a whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)


@lru_cache(maxsize=2)
def _read(path: Path, _mtime_ns: int, _size: int) -> Calibration:
    return read_calibration(path)
