"""Errors are rendered once, without the owner's text; keys come from a descriptor."""

from __future__ import annotations

import os
import signal

import pytest

from secondme.cli.ask import citation_line
from secondme.cli.output import read_key, render_errors
from secondme.errors import NoKey, StoreLocked, UsageError
from tests.tui.driving import HOSTILE, citation, is_harmless


def test_an_error_and_its_hint_are_two_harmless_lines(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise StoreLocked(f"in use by {HOSTILE}", hint="close it\nnow")

    assert render_errors(fail) == StoreLocked.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 2
    assert err.startswith("error: in use by")
    assert is_harmless(err.replace("\n", ""))


def test_an_unexpected_exception_shows_no_text_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> int:
        raise ValueError("the owner's diary")

    monkeypatch.setenv("SECONDME_DEBUG", "1")
    assert render_errors(fail) == 70
    err = capsys.readouterr().err
    assert "ValueError" in err
    assert "test_output.py" in err
    assert "diary" not in err


def test_ctrl_c_is_an_orderly_end(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise KeyboardInterrupt

    assert render_errors(fail) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal here")
def test_being_asked_to_lock_is_an_orderly_end_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    tidied: list[str] = []

    def verb() -> int:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            pytest.fail("the signal came to nothing")
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGUSR1)  # impatience does not interrupt the tidying
            tidied.append("up")
            raise

    assert render_errors(verb) == 130
    assert tidied == ["up"]
    assert "memory was asked to lock" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGUSR1) == before


@pytest.mark.parametrize(
    ("data", "expected"), [(b"secret\nrest", "secret"), (b"secret\r\n", "secret"), ("päss".encode(), "päss")]
)
def test_a_key_is_the_first_line(data: bytes, expected: str) -> None:
    assert read_key(_piped(data)) == expected


def test_keys_that_are_none() -> None:
    with pytest.raises(NoKey):
        read_key(_piped(b"\n"))
    with pytest.raises(UsageError):
        read_key(_piped(b"\xff\xfe\n"))
    with pytest.raises(UsageError):
        read_key(987)


def _piped(data: bytes) -> int:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return read


def test_a_citation_is_one_harmless_line() -> None:
    line = citation_line(citation(HOSTILE, HOSTILE, path=f"/x/{HOSTILE}\n2"))
    assert is_harmless(line)
    assert "\n" not in line
