"""Where things live on this machine.

`SECONDME_HOME` moves everything below one folder (tests and portable installs); otherwise each platform's own places.
Data, the encrypted store and keyslots, is apart from models and caches, so that it can be backed up alone.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

APP = "secondme"

# macOS has no place for state; it must not lie inside the data, and must not be cleaned away as a cache is.
MAC_PLACES = {"State": "Application Support/State"}


def _home_override() -> Path | None:
    value = os.environ.get("SECONDME_HOME")
    return Path(value).expanduser().absolute() if value else None


def _base(xdg: str, fallback: str, mac: str) -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / MAC_PLACES.get(mac, mac) / APP
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA")
        return (Path(root) if root else Path.home() / "AppData" / "Local") / APP / mac
    value = os.environ.get(xdg, "")
    # The XDG base directory specification says to ignore relative values.
    root_path = Path(value) if Path(value).is_absolute() else Path.home() / fallback
    return root_path / APP


def data_dir() -> Path:
    """The folder of the encrypted store and its keyslots."""
    home = _home_override()
    return home / "data" if home else _base("XDG_DATA_HOME", ".local/share", "Application Support")


def config_file() -> Path:
    """The owner's settings, TOML; it need not exist."""
    home = _home_override()
    return (home / "config" if home else _base("XDG_CONFIG_HOME", ".config", "Preferences")) / "config.toml"


def cache_dir() -> Path:
    """What can be had again: models, partial downloads, built wheels."""
    home = _home_override()
    return home / "cache" if home else _base("XDG_CACHE_HOME", ".cache", "Caches")


def state_dir() -> Path:
    """What belongs to this machine and not to the data: the witness of the last step and this device's key."""
    home = _home_override()
    return home / "state" if home else _base("XDG_STATE_HOME", ".local/state", "State")


def models_dir() -> Path:
    """Model files; `SECONDME_MODELS` shares one folder between several homes."""
    value = os.environ.get("SECONDME_MODELS")
    return Path(value).expanduser().absolute() if value else cache_dir() / "models"


def absolute(path: Path) -> Path:
    """`path` from the root on, without `~`, `.` and `..`; links in it stay, so that it reads as the owner wrote it."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  Path.absolute() keeps `..`


def private_dir(path: Path) -> Path:
    """Create `path` readable by its owner alone, so that it survives a power cut, and return it. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        _keep_name(folder)
    return path


def _keep_name(path: Path) -> None:
    """Flush the entry of a new folder; Windows has no handle for its parent, and some parents cannot be read."""
    if os.name != "posix":
        return
    with suppress(PermissionError):
        fd = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
