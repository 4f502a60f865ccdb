"""The way to MLX: imported when a model is loaded, used from one thread, and without what we do not need of mlx-lm.

MLX is not thread-safe: a lazy array belongs to a stream, and a stream to the thread that made it. So all of it runs on
one thread of its own, which every generator and reader of the process hands its work to.
"""

from __future__ import annotations

import importlib.util
import platform
import queue
import sys
import threading
import types
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, TypeVar

from secondme.errors import BackendUnavailable, ModelError

_T = TypeVar("_T")

ARCHITECTURES: Mapping[str, str] = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "phi3": "phi3",
    "smollm3": "smollm3",
    "gemma3_text": "gemma3_text",
}
"""The modules of mlx-lm by `model_type` of a config.json. A file only chooses from these; it names no module."""

_CACHE_BYTES = 256 << 20
"""Freed buffers that MLX may keep for the next block."""


@lru_cache(maxsize=1)
def core() -> Any:
    """`mlx.core`. Raises BackendUnavailable where there is none."""
    if sys.platform == "darwin" and platform.machine() != "arm64":
        raise BackendUnavailable(
            "MLX runs on Apple Silicon, and this Mac has an Intel processor", hint="use --backend llama.cpp"
        )
    try:
        mx = import_module("mlx.core")
    except ImportError as error:
        raise BackendUnavailable(
            "MLX is not installed", hint="install it: make chat BACKEND=mlx; or use --backend llama.cpp"
        ) from error
    mx.set_cache_limit(_CACHE_BYTES)
    if mx.metal.is_available():
        # What is wired is not paged out between two questions; beyond the recommended size macOS would refuse.
        most = int(mx.device_info()["max_recommended_working_set_size"])
        mx.set_wired_limit(most)
        mx.set_memory_limit(most)
    return mx


def nn() -> Any:
    """`mlx.nn`. Raises BackendUnavailable."""
    core()
    return import_module("mlx.nn")


def lm(module: str) -> Any:
    """`mlx_lm.<module>`, without the package's own `__init__`: that loads transformers and a hub's client.

    Raises BackendUnavailable.
    """
    core()
    if "mlx_lm" not in sys.modules:
        spec = importlib.util.find_spec("mlx_lm")
        if spec is None or spec.submodule_search_locations is None:
            raise BackendUnavailable(
                "mlx-lm is not installed", hint="install it: make chat BACKEND=mlx; or use --backend llama.cpp"
            )
        package = types.ModuleType("mlx_lm")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["mlx_lm"] = package
    return import_module(f"mlx_lm.{module}")


def architecture(model_type: str) -> Any:
    """mlx-lm's module of a kind of model. Raises ModelError for one that is not known, BackendUnavailable."""
    name = ARCHITECTURES.get(model_type)
    if name is None:
        raise ModelError(
            f"models of the type {model_type} are not known to this program",
            hint=f"it runs: {', '.join(sorted(ARCHITECTURES))}; or choose a GGUF model",
        )
    return lm(f"models.{name}")


def on_metal() -> bool:
    """Whether there is a graphics processor. Raises BackendUnavailable."""
    return bool(core().metal.is_available())


def build_identity() -> str:
    """What a cache's numbers depend on beside the model. Raises BackendUnavailable."""
    device = "metal" if on_metal() else "cpu"
    return f"mlx {version('mlx')}, mlx-lm {version('mlx-lm')}, {device}"


class _Worker:
    """One thread, and what it is to do in order."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="secondme-mlx", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], _T]) -> _T:
        if threading.current_thread() is self._thread:
            return work()
        future: Future[_T] = Future()
        self._work.put((future, work))
        return future.result()

    def _run(self) -> None:
        while True:
            future, work = self._work.get()
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the work came from
                future.set_exception(error)
            del future, work  # nothing of the owner's stays while it waits


@lru_cache(maxsize=1)
def _worker() -> _Worker:
    return _Worker()


def on_worker(work: Callable[[], _T]) -> _T:
    """What `work` gives, done on MLX's thread; waits for what others gave it to do before."""
    return _worker().do(work)
