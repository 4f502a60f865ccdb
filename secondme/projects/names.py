"""What a project may be called: a name is typed in a shell, and shown in lists and on one line."""

from __future__ import annotations

from secondme.errors import UsageError
from secondme.sanitize import clean_line, clean_text

MAX_CHARS = 80


def check_name(name: str) -> str:
    """The name for a new project, without spaces around it. Raises UsageError for one that cannot be shown or typed."""
    name = name.strip()
    if not name:
        raise UsageError("a project needs a name", hint="use: secondme project new NAME")
    if len(name) > MAX_CHARS:
        raise UsageError(f"a project's name has at most {MAX_CHARS} characters", hint="choose a shorter one")
    if clean_line(clean_text(name)) != name:
        raise UsageError("a project's name holds a character that cannot be shown", hint="leave it out")
    if name.startswith("-"):
        raise UsageError("a project's name does not begin with a dash", hint="choose another one")
    return name
