"""Which runtime is chosen, on every kind of machine, and what is said where the wanted one is not to be had."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from secondme.config import BACKENDS
from secondme.errors import BackendUnavailable
from secondme.runtime import backend
from secondme.runtime.backend import Choice, choose, how_to_get_mlx, why_no_mlx
from secondme.runtime.manifest import Format

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes this process believe that it runs elsewhere; `missing` are packages that are not installed there."""

    def become(system: str, processor: str, missing: tuple[str, ...] = (), macos: str = "15.1") -> None:
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        monkeypatch.setattr(platform, "mac_ver", lambda: (macos if system == "darwin" else "", ("", "", ""), processor))
        monkeypatch.setattr(backend, "find_spec", lambda name: None if name in missing else name)

    return become


MLX = ("mlx", "mlx_lm", "tokenizers")


def test_apple_silicon_runs_through_mlx_and_others_through_llama_cpp(machine: Machine) -> None:
    machine("darwin", "arm64")
    assert choose("auto", "gguf", "m") == Choice("mlx", "the default on Apple Silicon", may_fall_back=True)
    for system, processor in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "x86_64")):
        machine(system, processor)
        assert choose("auto", "gguf", "m") == Choice("llama.cpp", "the default on this machine")


@pytest.mark.parametrize("lost", MLX)
def test_apple_silicon_without_mlx_falls_back_and_tells_what_is_missing(machine: Machine, lost: str) -> None:
    machine("darwin", "arm64", (lost,))
    assert choose("auto", "gguf", "m") == Choice("llama.cpp", f"not installed: {lost}", is_second=True)


def test_what_is_asked_for_is_chosen_and_never_replaced(machine: Machine) -> None:
    for system, processor in (("linux", "x86_64"), ("darwin", "arm64")):
        machine(system, processor)
        assert choose("mlx", "gguf", "m") == Choice("mlx", "it was asked for")
        assert choose("llama.cpp", "gguf", "m") == Choice("llama.cpp", "it was asked for")


def test_an_mlx_folder_runs_through_mlx_wherever_that_is(machine: Machine) -> None:
    for system, processor in (("linux", "x86_64"), ("darwin", "arm64")):
        machine(system, processor)
        for wanted in ("auto", "mlx"):
            choice = choose(wanted, "mlx", "m")
            assert choice.backend == "mlx" and not choice.may_fall_back


def test_llama_cpp_does_not_read_an_mlx_folder(machine: Machine) -> None:
    machine("linux", "x86_64")
    with pytest.raises(BackendUnavailable, match=r"^tiny is a folder for MLX, which llama\.cpp does") as error:
        choose("llama.cpp", "mlx", "tiny")
    assert "secondme models list" in str(error.value.hint)


@pytest.mark.parametrize(("format_", "otherwise"), [("gguf", "--backend llama.cpp"), ("mlx", "choose a GGUF model")])
def test_where_mlx_is_missing_the_hint_tells_how_to_get_it_and_what_else_there_is(
    machine: Machine, format_: Format, otherwise: str
) -> None:
    for system, processor, command in (
        ("linux", "x86_64", "make chat BACKEND=mlx,"),
        ("darwin", "arm64", "make chat,"),
    ):
        machine(system, processor, MLX)
        with pytest.raises(BackendUnavailable, match="not installed: mlx, mlx_lm, tokenizers") as error:
            choose("mlx", format_, "tiny")
        assert command in str(error.value.hint) and otherwise in str(error.value.hint)


@pytest.mark.parametrize(("format_", "otherwise"), [("gguf", "--backend llama.cpp"), ("mlx", "choose a GGUF model")])
def test_an_intel_mac_is_not_told_to_install_what_it_cannot_run(
    machine: Machine, format_: Format, otherwise: str
) -> None:
    machine("darwin", "x86_64", MLX)
    with pytest.raises(BackendUnavailable, match="Apple Silicon, and this Mac") as error:
        choose("mlx", format_, "tiny")
    assert otherwise in str(error.value.hint) and "install" not in str(error.value.hint)


def test_a_system_too_old_for_mlx_runs_with_llama_cpp_and_is_not_told_to_install(machine: Machine) -> None:
    machine("darwin", "arm64", MLX, macos="13.7.1")
    assert choose("auto", "gguf", "m") == Choice("llama.cpp", "MLX needs macOS 14 or newer", is_second=True)
    assert how_to_get_mlx() == ""
    with pytest.raises(BackendUnavailable, match="MLX needs macOS 14") as error:
        choose("mlx", "gguf", "tiny")
    assert error.value.hint == "run tiny with llama.cpp: --backend llama.cpp"
    machine("darwin", "arm64", macos="14.0")
    assert choose("auto", "gguf", "m").backend == "mlx"


def test_every_setting_gives_a_choice_or_an_error_with_a_hint(machine: Machine) -> None:
    formats: tuple[Format, ...] = ("gguf", "mlx")
    for system, processor in (("linux", "x86_64"), ("darwin", "x86_64"), ("darwin", "arm64")):
        for missing in ((), MLX):
            machine(system, processor, missing)
            for wanted in BACKENDS:
                for format_ in formats:
                    try:
                        assert choose(wanted, format_, "m").backend in BACKENDS
                    except BackendUnavailable as error:
                        assert error.hint and error.message[0] != " "


def test_here_mlx_is_installed_and_choosing_does_not_load_it() -> None:
    assert why_no_mlx() == ""
    code = (
        "import sys; from secondme.runtime.backend import choose; choose('mlx', 'gguf', 'm')\n"
        "print(*{'mlx.core', 'mlx_lm', 'tokenizers', 'llama_cpp', 'numpy'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
