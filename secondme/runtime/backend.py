"""Which runtime runs a language model: the one that is asked for, else the one that fits the machine and the model.

Embedders always run with llama.cpp, on every machine: the vectors of a memory come from one runtime only.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from secondme.errors import BackendUnavailable
from secondme.runtime.manifest import Format

Backend = Literal["llama.cpp", "mlx"]

_OLDEST_MACOS = 14
_PACKAGES = ("mlx", "mlx_lm", "tokenizers")


@dataclass(frozen=True, slots=True)
class Choice:
    """`why` is a few words for the owner. `is_second`: another one would have been chosen, had it been there.

    `may_fall_back`: nobody asked for this one by name, and another one reads the model as well.
    """

    backend: Backend
    why: str
    is_second: bool = False
    may_fall_back: bool = False


def choose(wanted: str, format_: Format, name: str) -> Choice:
    """The runtime for a model, by the setting `backend`; `name` is the model's, for messages. Loads nothing.

    Raises BackendUnavailable if that runtime is not here, or does not read this kind of model.
    """
    if format_ == "mlx":
        return _for_folder(wanted, name)
    if wanted == "llama.cpp":
        return Choice("llama.cpp", "it was asked for")
    if wanted == "mlx":
        _require_mlx(f"run {name} with llama.cpp: --backend llama.cpp")
        return Choice("mlx", "it was asked for")
    if not is_apple_silicon():
        return Choice("llama.cpp", "the default on this machine")
    lacking = why_no_mlx()
    if lacking:
        return Choice("llama.cpp", lacking, is_second=True)
    return Choice("mlx", "the default on Apple Silicon", may_fall_back=True)


def _for_folder(wanted: str, name: str) -> Choice:
    if wanted == "llama.cpp":
        raise BackendUnavailable(
            f"{name} is a folder for MLX, which llama.cpp does not read",
            hint="leave --backend out, or choose a GGUF model: secondme models list",
        )
    _require_mlx("choose a GGUF model: secondme models list")
    return Choice("mlx", "it was asked for" if wanted == "mlx" else "the model is an MLX folder")


def is_apple_silicon() -> bool:
    """Whether this is a Mac whose processor MLX is made for, and a Python that was built for it."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


def why_no_mlx() -> str:
    """Why MLX cannot run here, or "". Only looks whether it is installed; loading it may still fail."""
    if sys.platform == "darwin" and not is_apple_silicon():
        return "MLX runs on Apple Silicon, and this Mac, or its Python, is for Intel processors"
    if _macos() and _macos() < _OLDEST_MACOS:
        return f"MLX needs macOS {_OLDEST_MACOS} or newer"
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def how_to_get_mlx() -> str:
    """What installs MLX where it could run and is missing; else ""."""
    if not why_no_mlx() or (sys.platform == "darwin" and not is_apple_silicon()) or 0 < _macos() < _OLDEST_MACOS:
        return ""
    command = "make chat" if is_apple_silicon() else "make chat BACKEND=mlx"
    return f"install it with: {command}, or without a clone: pip install 'secondme[mlx]'"


def _require_mlx(otherwise: str) -> None:
    lacking, remedy = why_no_mlx(), how_to_get_mlx()
    if lacking:
        hint = f"{remedy}; or {otherwise}" if remedy else otherwise
        raise BackendUnavailable(f"MLX cannot be used ({lacking})" if remedy else lacking, hint=hint)


def _macos() -> int:
    """The first number of the version of macOS; 0 elsewhere."""
    number = platform.mac_ver()[0].partition(".")[0]
    return int(number) if number.isdigit() else 0
