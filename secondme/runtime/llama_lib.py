"""The one place that imports llama.cpp: quiet, initialised once, and told how to wait before OpenMP starts.

The binding's classes are not used, only its low-level functions: they can be cancelled inside a block, keep the
cache exact and copy no logits. The functions carry no types, so the library is `Any` here and nowhere else.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections import deque
from typing import Any

from secondme.errors import BackendUnavailable

_ERROR_LEVEL = 4  # GGML_LOG_LEVEL_ERROR
_LOCK = threading.Lock()
_LIBRARY: list[Any] = []
_CALLBACKS: list[Any] = []  # C holds pointers to them
_ERRORS: deque[str] = deque(maxlen=8)


def library() -> Any:
    """`llama_cpp.llama_cpp`, ready for use. Raises BackendUnavailable."""
    return _LIBRARY[0] if _LIBRARY else _load_library()


def _load_library() -> Any:
    with _LOCK:  # two models may be loaded at once, and C must not keep a callback that Python forgot
        if not _LIBRARY:
            _LIBRARY.append(_ready_library())
        return _LIBRARY[0]


def _ready_library() -> Any:
    # A build with OpenMP would let its threads spin at barriers: a text of 102 tokens took 1,094 ms that way beside
    # two busy processes on two cores, and 44 ms with threads that sleep. It is read when libgomp is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # When an assertion fails, ggml would start a debugger and print what it finds.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        import llama_cpp.llama_cpp as lib
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BackendUnavailable(
            "llama.cpp cannot be loaded", hint="install it again: pip install --force-reinstall llama-cpp-python"
        ) from error
    _CALLBACKS.append(_log_callback(lib))
    lib.llama_log_set(_CALLBACKS[0], None)
    lib.llama_backend_init()
    return lib


def _log_callback(lib: Any) -> Any:
    """Keeps the last errors for messages and drops the rest."""

    def log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
        if level == _ERROR_LEVEL:
            _ERRORS.append(text.decode("utf-8", "replace").strip())

    return lib.llama_log_callback(log)


@functools.cache
def build_identity() -> str:
    """Tells builds apart whose saved states may differ."""
    import llama_cpp

    version = library().llama_version()
    return f"llama-cpp-python {llama_cpp.__version__} {(version or b'').decode('utf-8', 'replace')} {sys.byteorder}"


def forget_errors() -> None:
    """Call before what may fail, so that `last_error` speaks of it."""
    _ERRORS.clear()


def last_error() -> str:
    """The first error logged since `forget_errors`, for a message; one line."""
    return next((" ".join(line.split())[:200] for line in _ERRORS if line), "it gave no reason")


class AbortFlag:
    """Lets another thread stop llama.cpp inside a block.

    llama.cpp asks the callback after every operation, a thousand times a token. A Python callback would need the
    interpreter's lock each time; so the callback is C's own `strlen` on a flag of two bytes: 0 while it is empty.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)

    def set(self) -> None:
        self._flag[0] = b"\x01"

    def clear(self) -> None:
        self._flag[0] = b"\x00"

    def attach(self, ctx: Any) -> None:
        """Have `ctx` ask this flag; the flag must outlive it."""
        lib = library()
        c = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        address = ctypes.cast(c.strlen, ctypes.c_void_p).value
        lib.llama_set_abort_callback(ctx, lib.ggml_abort_callback(address), ctypes.addressof(self._flag))
