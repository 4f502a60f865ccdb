"""Fixtures of all tests: a home of their own, the real models, a real store.

Models are installed before the tests run (`make test` does it); no test fetches anything but from loopback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from secondme.memory.store import Store
from secondme.paths import models_dir
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from tests.storing import KEY

# Read before any test moves SECONDME_HOME: the real models stay where the owner's are.
MODELS = models_dir()

# The same examples at every run of continuous integration; new ones are looked for on developers' machines.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home below the test's own folder, with the installed models, and no keyring of the machine's owner."""
    folder = tmp_path / "home"
    monkeypatch.setenv("SECONDME_HOME", str(folder))
    monkeypatch.setenv("SECONDME_MODELS", str(MODELS))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    # Without an address, D-Bus clients look for a bus here and may even start one.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    return folder


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    return _model("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def smollm2_mlx(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a folder for MLX, converted for this run."""
    from secondme.runtime.installed import file_digest
    from secondme.runtime.mlx_convert import convert_gguf

    folder = tmp_path_factory.mktemp("mlx") / "smollm2"
    convert_gguf(smollm2_path, folder, sha256=file_digest(smollm2_path))
    return folder


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    return _model("all-minilm-l6-v2")


def _model(name: str) -> Path:
    from secondme.runtime.catalog import resolve

    before = os.environ.get("SECONDME_MODELS")
    os.environ["SECONDME_MODELS"] = str(MODELS)
    try:
        return resolve(name).path
    finally:
        if before is None:
            del os.environ["SECONDME_MODELS"]
        else:
            os.environ["SECONDME_MODELS"] = before


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store.db", KEY)
    yield opened
    opened.close()


@pytest.fixture
def echo() -> EchoGenerator:
    return EchoGenerator()


@pytest.fixture
def hashed() -> HashEmbedder:
    return HashEmbedder()
