"""The error tree, its exit codes and its drawing in the docstring."""

from __future__ import annotations

import inspect
import re

from secondme import errors


def _classes() -> list[type[errors.SecondMeError]]:
    return [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.SecondMeError)]


def test_every_error_is_drawn_in_the_tree() -> None:
    drawn = set(re.findall(r"\b[A-Z]\w+", errors.__doc__ or ""))
    assert {c.__name__ for c in _classes()} <= drawn


def test_exit_codes_are_failures() -> None:
    for each in _classes():
        assert 0 < each.exit_code < 256
    assert errors.NoKey.exit_code == 78


def test_message_and_hint_are_kept() -> None:
    error = errors.StoreLocked("in use by process 7", hint="close it")
    assert (error.message, error.hint, str(error)) == ("in use by process 7", "close it", "in use by process 7")
