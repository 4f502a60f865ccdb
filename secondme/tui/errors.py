"""Renders every error of the terminal app, once: `error:` and `hint:`, without anything the owner wrote.

An unexpected exception is shown by its type and place in this program only, since its message may hold the owner's
text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.errors import SecondMeError
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from textual.app import App

ERROR_SHOWN_S = 12.0


def error_lines(error: BaseException) -> str:
    """Return one or two lines that are safe for a terminal."""
    error = _as_known(error)
    line = f"error: {clean_line(error.message)}"
    return f"{line}\nhint: {clean_line(error.hint)}" if error.hint else line


def show_error(app: App[Any], error: BaseException) -> None:
    """Show an error in the corner, over whatever screen is up."""
    app.notify(error_lines(error), severity="error", timeout=ERROR_SHOWN_S, markup=False)


def unexpected(error: BaseException) -> SecondMeError:
    """Stand in for an exception nobody foresaw, keeping its type and place and dropping its words."""
    return SecondMeError(
        f"unexpected {type(error).__name__}{_place(error)}",
        hint="this is a fault of the program; nothing stored was lost",
    )


def _as_known(error: BaseException) -> SecondMeError:
    return error if isinstance(error, SecondMeError) else unexpected(error)


def _place(error: BaseException) -> str:
    """File and line of the innermost frame; names of files of this program hold nothing of the owner's."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
