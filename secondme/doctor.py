"""The self-test that ships with the program: every part is tried for real, in a temporary folder, without a key.

Each check is a function that yields `Check` lines; a check that raises becomes a failed line, so that one broken part
never hides the others.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from secondme.config import Config
from secondme.errors import BackendUnavailable, ModelNotFound, SecondMeError
from secondme.types import Check

MIN_FREE_GB = 1.0
MARKER = "a sentence that must not be readable on the disk"


def examine(config: Config) -> Iterator[Check]:
    """All checks in order. Raises nothing: what goes wrong is a line."""
    checks: list[tuple[str, Callable[[], Iterator[Check]]]] = [
        ("python", _python),
        ("kernels", _kernels),
        ("cipher", _cipher),
        ("vector extension", _vectors),
        ("vector index", lambda: _vector_index(config)),
        ("runtime", _runtime),
        ("backend", lambda: _backend(config)),
        ("models", lambda: _models(config)),
        ("keyring", _keyring),
        ("keys", _ways),
        ("disk", _disk),
        ("cartridges", _cartridges),
        ("folder watching", _watching),
    ]
    for name, check in checks:
        try:
            yield from check()
        except SecondMeError as error:
            yield Check(name, "failed", error.message, error.hint or "")
        except (ImportError, OSError) as error:
            yield Check(
                name, "failed", f"{type(error).__name__}: {error}", "install secondme again, or run `make chat`"
            )


def _python() -> Iterator[Check]:
    from secondme import __version__

    yield Check("secondme", "ok", f"{__version__} on Python {sys.version.split()[0]}")


def _kernels() -> Iterator[Check]:
    from secondme.kernels import capabilities, disagreeing

    found = capabilities()
    wrong = disagreeing()
    if wrong:
        yield Check(
            "kernels",
            "failed",
            f"{', '.join(wrong)} differ from the reference",
            "set SECONDME_ISA=serial and report this machine's processor",
        )
        return
    status: Literal["ok", "warning"] = "ok" if found.extension else "warning"
    remedy = "" if found.extension else "reinstall with a C++ compiler at hand; until then search is slower"
    yield Check("kernels", status, f"{found.isa} in use, equal to the reference ({', '.join(found.isas)})", remedy)


def _cipher() -> Iterator[Check]:
    """A real store is written and looked at: its text must be there with the key and nowhere without."""
    from secondme.crypto.keys import StoreKeys
    from secondme.errors import WrongPassphrase
    from secondme.memory.store import Store

    keys = StoreKeys.derived(bytes(range(32)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doctor.db"
        store = Store.open(path, keys)
        conversation = store.new_conversation("doctor", MARKER)
        store.close()
        readable = [p.name for p in Path(folder).iterdir() if MARKER.encode() in p.read_bytes()]
        if readable:
            yield Check("cipher", "failed", f"text is readable in {', '.join(readable)}", "do not use this build")
            return
        try:
            Store.open(path, StoreKeys.derived(bytes(32))).close()
        except WrongPassphrase:
            pass
        else:
            yield Check("cipher", "failed", "a wrong key opened the store", "do not use this build")
            return
        store = Store.open(path, keys)
        kept = [c.title for c in store.conversations("doctor") if c.id == conversation] == [MARKER]
        store.close()
    yield Check("cipher", "ok" if kept else "failed", "chacha20: written, unreadable without the key, read back")


def _vectors() -> Iterator[Check]:
    import numpy as np

    from secondme.crypto.keys import StoreKeys
    from secondme.memory.store import Store
    from secondme.types import Chunk, FileStamp, SourceFile

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "doctor.db", StoreKeys.derived(bytes(32)))
        try:
            store.set_embedder("doctor", 8)
            chunks = [Chunk(i, f"{i}", i, i + 1, 1, 1, None, ()) for i in range(8)]
            source = SourceFile("/doctor", "doctor", "text/plain", "", b"doctor", FileStamp(8, 0, 0))
            store.put_source(source, chunks, np.eye(8, dtype=np.float32))
            stored = store.source_chunks(store.sources("doctor")[0].id)
            nearest = store.search_vectors(np.eye(8, dtype=np.float32)[5], 1, "doctor")
        finally:
            store.close()
    right = [i for i, _ in nearest] == [stored[5].id]
    yield Check("vector extension", "ok" if right else "failed", "sqlite-vec keeps eight, and the nearest is found")


def _vector_index(config: Config) -> Iterator[Check]:
    """The index in memory finds what a full scan finds, and is kept out of swap as far as the system allows."""
    import numpy as np

    from secondme.kernels.index import VectorIndex, available
    from secondme.memory.resident import limit_bytes

    limit = limit_bytes(None if config.vector_index_mb < 0 else config.vector_index_mb << 20)
    if not limit or not available():
        reason = "the settings allow it no memory" if available() else "its kernels are not built"
        yield Check("vector index", "ok", f"none: {reason}; searches read the store")
        return
    rows = np.random.default_rng(5).standard_normal((300, 48)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = VectorIndex(rows.shape[1])
    index.add(np.arange(300), rows)
    found, _, exact = index.search(rows[7], 10)
    stats = index.stats()
    index.clear()
    if not exact or found.tolist() != np.argsort(-(rows @ rows[7]), kind="stable")[:10].tolist():
        yield Check("vector index", "failed", "differs from a full scan", "set SECONDME_ISA=numpy and report this")
        return
    room = f"equal to a full scan; up to {limit / 1e6:.0f} MB of memory"
    lockable = _lockable_bytes()
    if stats.locked_bytes < stats.held_bytes or lockable < limit:
        part = "nothing" if stats.locked_bytes < stats.held_bytes else f"{lockable / 1e6:.0f} MB"
        remedy = "raise the limit of locked memory (ulimit -l), or encrypt the swap space"
        yield Check("vector index", "ok", f"{room}, of which {part} can be kept out of swap", remedy)
    else:
        yield Check("vector index", "ok", f"{room}, all kept out of swap")


def _lockable_bytes() -> float:
    if sys.platform == "win32":
        return 0
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    # Linux holds root to no limit.
    return math.inf if soft == resource.RLIM_INFINITY or os.geteuid() == 0 else soft


def _runtime() -> Iterator[Check]:
    import llama_cpp.llama_cpp as lib

    gpu = bool(lib.llama_supports_gpu_offload())
    yield Check("runtime", "ok", f"llama.cpp loads; models run on the {'GPU' if gpu else 'CPU'}")
    if not gpu and _has_nvidia():
        yield Check("gpu", "warning", "there is an NVIDIA GPU, but this build runs on the CPU", _GPU_REMEDY)
    elif not gpu:
        yield Check("gpu", "ok", "none that this build can use; the CPU does the work")


_GPU_REMEDY = "install the CUDA toolkit (nvcc), then run `make clean` and `make chat`: the runtime is built anew"


def _has_nvidia() -> bool:
    return Path("/proc/driver/nvidia/gpus").is_dir() or shutil.which("nvidia-smi") is not None


def _backend(config: Config) -> Iterator[Check]:
    """What would run the language model, and why; MLX is tried if it would, or could."""
    from secondme.runtime.backend import choose, how_to_get_mlx, why_no_mlx
    from secondme.runtime.catalog import find, looks_like_path, resolve

    try:
        named = resolve(config.model) if looks_like_path(config.model) else find(config.model)
        choice = choose(config.backend, named.format, named.name)
    except ModelNotFound as error:  # the models' own check tells more
        yield Check("backend", "failed", error.message, error.hint or "")
        return
    status: Literal["ok", "warning"] = "warning" if choice.is_second else "ok"
    remedy = how_to_get_mlx() if choice.is_second else ""
    yield Check("backend", status, f"{choice.backend} runs the language model: {choice.why}", remedy)
    if not why_no_mlx():
        yield _mlx(is_used=choice.backend == "mlx")


def _mlx(*, is_used: bool) -> Check:
    from importlib.metadata import version

    from secondme.runtime.mlx_check import try_mlx

    try:
        state = try_mlx()
    except BackendUnavailable as error:
        return Check("mlx", "failed" if is_used else "warning", error.message, error.hint or "")
    versions = f"MLX {version('mlx')} with mlx-lm {version('mlx-lm')}"
    room = f"; at most {state.most_bytes / 1e9:.1f} of {state.memory_bytes / 1e9:.1f} GB of memory, none of it swapped"
    return Check("mlx", "ok", f"{versions} computes rightly on {state.device}{room if state.most_bytes else ''}")


def _models(config: Config) -> Iterator[Check]:
    from secondme.runtime.catalog import check_models

    yield from check_models(config)


def _keyring() -> Iterator[Check]:
    from secondme.crypto.keychain import backend_name

    name = backend_name()
    if name:
        yield Check("keyring", "ok", f"{name} keeps the key")
    else:
        yield Check("keyring", "ok", "none on this machine that is safe to use; a passphrase protects the store")


def _ways() -> Iterator[Check]:
    """Whether memory would survive the loss of one way to its keys; no line while there is no memory."""
    from secondme.crypto.manage import status
    from secondme.paths import data_dir

    found = status(data_dir()) if data_dir().is_dir() else None
    if found is None:
        return
    closed = [f"{way.kind}: {way.problem}" for way in found.ways if way.problem]
    if closed:
        yield Check("keys", "warning", "; ".join(closed), "secondme keys status")
    elif len(found.ways) == 1:
        detail = f"the {found.ways[0].kind} alone opens memory, which is lost with it"
        yield Check("keys", "warning", detail, "make a recovery code: secondme keys add-recovery")
    else:
        yield Check("keys", "ok", f"{len(found.ways)} ways open memory: {', '.join(w.kind for w in found.ways)}")


def _disk() -> Iterator[Check]:
    from secondme.paths import data_dir

    folder = data_dir()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not existing.is_dir():
        yield Check("disk", "failed", f"{existing} is not a folder", "move it away, or set SECONDME_HOME")
        return
    if not os.access(existing, os.W_OK):
        yield Check("disk", "failed", f"{existing} is not writable", "change its permissions, or set SECONDME_HOME")
        return
    free_gb = shutil.disk_usage(existing).free / 1e9
    low = free_gb < MIN_FREE_GB
    remedy = "free some space: a full disk stops memory from growing, it loses nothing" if low else ""
    yield Check("disk", "warning" if low else "ok", f"{free_gb:.1f} GB free for {folder}", remedy)


def _cartridges() -> Iterator[Check]:
    """What lies in their folder; which of it belongs to what, only the opened store knows."""
    from secondme.memory import cartridge_files
    from secondme.paths import data_dir

    paths = [path for path, named in cartridge_files.found(data_dir()) if named is not None]
    if paths:
        size_mb = sum(path.stat().st_size for path in paths) / 1e6
        yield Check("cartridges", "ok", f"{len(paths)} of {size_mb:.1f} MB; --read-data verifies them")


def _watching() -> Iterator[Check]:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if not limit.exists():
        return
    n = int(limit.read_text("ascii"))
    low = n < 8192
    remedy = "raise fs.inotify.max_user_watches; folders beyond it are looked through from time to time" if low else ""
    yield Check("folder watching", "warning" if low else "ok", f"up to {n} folders at once", remedy)
