"""`--backend`: every verb that loads the language model has it, and it comes before the settings."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib import import_module
from pathlib import Path

import pytest

from secondme.cli.output import settings
from secondme.errors import UsageError
from tests.commanding import Commands

LOADING = [
    ["ask", "who?"],
    ["chat"],
    ["bench"],
    ["doctor"],
    ["project", "open", "trip"],
    ["cartridge", "build"],
    ["models", "calibrate", "a-model", "--text", "a.txt"],
]


def parsed(*words: str) -> Namespace:
    parser = ArgumentParser(allow_abbrev=False)
    import_module(f"secondme.cli.{words[0]}").register(parser.add_subparsers())
    return parser.parse_args(words)


@pytest.mark.parametrize("words", LOADING, ids=lambda words: words[0])
def test_the_option_comes_before_the_setting(home: Path, words: list[str]) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text('backend = "llama.cpp"\nthreads = 3\n')
    assert settings(parsed(*words)).backend == "llama.cpp"
    asked = settings(parsed(*words, "--backend", "mlx"))
    assert (asked.backend, asked.threads) == ("mlx", 3)
    assert settings(parsed(*words, "--backend", "auto")).backend == "auto"
    with pytest.raises(UsageError, match="there is no backend metal"):
        settings(parsed(*words, "--backend", "metal"))


@pytest.mark.parametrize("words", [["cartridge", "ls"], ["cartridge", "verify"]], ids=lambda words: words[1])
def test_verbs_without_the_option_take_the_setting(words: list[str]) -> None:
    assert settings(parsed(*words)).backend == "auto"


def test_an_unknown_backend_is_said_before_memory_is_opened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path
) -> None:
    said = Commands(capsys).fails("ask", "who?", "--backend", "metal", code=2, key=None)
    assert said == "error: there is no backend metal\nhint: there are: auto, llama.cpp, mlx\n"
    assert not home.exists()
