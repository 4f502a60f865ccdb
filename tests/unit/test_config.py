"""Settings are read strictly: a typing error must not be taken for a wish."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.config import BACKENDS, Config, load_config
from secondme.errors import ConfigError


def test_no_file_means_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.toml") == Config()


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('model = "qwen3-4b"\nthreads = 4\ngpu_layers = -1\nvector_index_mb = -1\n', "utf-8")
    assert load_config(path) == Config(model="qwen3-4b", threads=4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_backend_is_chosen_by_its_name(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'backend = "{backend}"\n', "utf-8")
    assert load_config(path).backend == backend
    assert Config().backend == "auto"


@pytest.mark.parametrize(
    "text",
    [
        'mdoel = "x"',
        'threads = "four"',
        "threads = true",
        "threads = -1",
        "gpu_layers = -2",
        "threads = ",
        "\xff",
        "idle_lock_minutes = -1",
        "vector_index_mb = -2",
        'cartridge_tier = "T9"',
        'cartridge_tier = ""',
        'backend = "llamacpp"',
        'backend = ""',
        'cartridge_build_in_background = "yes"',
    ],
)
def test_what_is_no_setting_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.hint
    assert caught.value.exit_code == 78


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_config(tmp_path)
