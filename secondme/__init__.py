"""A private second memory that lives on its owner's computer.

`from secondme import Memory` is for scripts; see `secondme/api.py`. It is imported when it is asked for, so that the
command line starts as fast as without it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not imported for it: that takes longer than all else here
if TYPE_CHECKING:
    from secondme.api import Memory as Memory

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "Memory":
        from secondme.api import Memory

        return Memory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
