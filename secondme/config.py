"""The owner's settings: one frozen dataclass, read from `config.toml`, each with a user who would change it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from secondme.errors import ConfigError
from secondme.paths import config_file

DEFAULT_MODEL = "smollm2-135m-instruct"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"

ANSWERS = ("auto", "write", "quote")
BACKENDS = ("auto", "llama.cpp", "mlx")
CARTRIDGE_TIERS = ("T0", "T1", "T2", "T3", "off")
_MINUS_ONE = frozenset({"gpu_layers", "vector_index_mb"})  # where it means as much as fits


@dataclass(frozen=True, slots=True)
class Config:
    """All settings with their defaults.

    model: manifest name of the language model, or a path to a GGUF file or an MLX folder.
    embedder: manifest name of the embedding model, or a path to a GGUF file.
    backend: what runs the language model: llama.cpp, mlx, or auto, MLX on Apple Silicon and llama.cpp elsewhere.
    context_tokens: context length; 0 means what the model was trained for, within memory.
    threads: threads for the models; 0 means one per usable core.
    gpu_layers: layers kept on the GPU when the build has one; -1 means all.
    max_file_mb: larger files are skipped, with their reason.
    theme: Textual theme of the terminal app.
    idle_lock_minutes: the terminal app locks memory after that long without a key; 0 means never.
    vector_index_mb: memory for the copy of all vectors that makes searches fast; 0 means none is made, -1 as much as an
        eighth of the machine's memory.
    cartridge_tier: how small the saved readings of a project's documents are made: T0 (exact), T1, T2, T3, or off.
    cartridge_build_in_background: whether the terminal app makes those that are missing while nobody waits for it.
    whole_history_tokens: while all that was said in a project's other conversations takes no more, it is read whole
        instead of being searched; 0 means never.
    answers: whether the model writes them (write), or what was found is quoted (quote); auto is quoted where the model
        is small, because then it invents more than it reads.
    learn_with_model: whether the language model reads, in idle time, what rules made nothing of.
    """

    model: str = DEFAULT_MODEL
    embedder: str = DEFAULT_EMBEDDER
    backend: str = "auto"
    context_tokens: int = 0
    threads: int = 0
    gpu_layers: int = -1
    max_file_mb: int = 64
    theme: str = "textual-dark"
    idle_lock_minutes: int = 15
    vector_index_mb: int = -1
    cartridge_tier: str = "T1"
    cartridge_build_in_background: bool = True
    whole_history_tokens: int = 480
    answers: str = "auto"
    learn_with_model: bool = False


def load_config(path: Path | None = None) -> Config:
    """Read the settings; a missing file gives the defaults. Raises ConfigError for anything that is not a setting."""
    path = path or config_file()
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return Config()
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", hint="correct the line, or delete the file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", hint="check its permissions and encoding") from error
    return replace(Config(), **_checked(table, path))


def _checked(table: dict[str, Any], path: Path) -> dict[str, Any]:
    kinds = {f.name: type(getattr(Config(), f.name)) for f in fields(Config)}
    for name, value in table.items():
        if name not in kinds:
            raise ConfigError(f"{path}: unknown setting {name}", hint=f"settings are: {', '.join(sorted(kinds))}")
        if type(value) is not kinds[name]:
            raise ConfigError(f"{path}: {name} must be of type {kinds[name].__name__}", hint="correct the value")
        if isinstance(value, int) and value < (-1 if name in _MINUS_ONE else 0):
            raise ConfigError(f"{path}: {name} must not be negative", hint="correct the value")
    for name, values in (("answers", ANSWERS), ("backend", BACKENDS), ("cartridge_tier", CARTRIDGE_TIERS)):
        if table.get(name, values[0]) not in values:
            raise ConfigError(f"{path}: {name} must be one of {', '.join(values)}", hint="correct the value")
    return table
