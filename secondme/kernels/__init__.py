"""The native kernels' face: what this machine can run, and calls that take NumPy arrays without copying them.

The extension is compiled from `native/` and picks the best instruction set when it loads; `SECONDME_ISA` picks another
(`serial`, `avx2`, ...; `numpy` is the reference). Where it is not built, the NumPy reference answers, exactly but
slower, so a missing extension or instruction set is never an error. Callers must not care which of these runs.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from secondme.errors import ConfigError
from secondme.kernels import reference

if TYPE_CHECKING:
    from types import ModuleType

Int8Vector = NDArray[np.int8]
Int8Matrix = NDArray[np.int8]
Int32Vector = NDArray[np.int32]

REFERENCE = "numpy"
MAX_DIMS = 131_071
"""Longest row whose int32 sum is exact when every element is -128; see native/include/dot/dot.h."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What runs here.

    isa: the kernels in use; `numpy` is the reference.
    isas: all that run here, best first; `numpy` is always last.
    features: instruction sets of this CPU that kernels exist or are planned for.
    extension: path of the compiled extension, or None if the reference stands in for it.
    note: why the extension is not in use; empty if it is.
    """

    isa: str
    isas: tuple[str, ...]
    features: tuple[str, ...]
    extension: str | None
    note: str


def capabilities() -> Capabilities:
    """Raises ConfigError if SECONDME_ISA names kernels that do not run here."""
    native, note = _load()
    features = tuple(name for name, here in native.features().items() if here) if native else ()
    return Capabilities(_chosen(), _available(), features, native.__file__ if native else None, note)


def dot_i8(query: Int8Vector, rows: Int8Matrix, *, isa: str | None = None) -> Int32Vector:
    """Exact dot products of `query` [d] with every row of `rows` [n, d], as int32 [n].

    Nothing is copied: rows may lie anywhere and at any distance, but the elements of one row must be adjacent.
    `isa` picks one of `capabilities().isas` for tests and benchmarks. Raises TypeError for other element types,
    ValueError for shapes that do not fit, d > MAX_DIMS, scattered elements or an unknown `isa`, and ConfigError if
    SECONDME_ISA names kernels that do not run here.
    """
    if query.dtype != np.int8 or rows.dtype != np.int8:
        raise TypeError(f"int8 arrays are needed, not {query.dtype} and {rows.dtype}")
    if query.ndim != 1 or rows.ndim != 2 or query.shape[0] != rows.shape[1] or query.shape[0] > MAX_DIMS:
        raise ValueError(f"shapes do not fit: query {query.shape}, rows {rows.shape}; d is at most {MAX_DIMS}")
    if isa is not None and isa not in _available():
        raise ValueError(f"no {isa} kernels here; there are {', '.join(_available())}")
    name = isa or _chosen()
    native, _ = _load()
    if native is None or name == REFERENCE:
        return reference.dot_i8(query, rows)
    out = np.empty(rows.shape[0], np.int32)
    native.dot_i8(query, rows, out, name)
    return out


def disagreeing() -> tuple[str, ...]:
    """Kernels whose results differ from the reference on this machine: the self-test behind `secondme doctor`."""
    random = np.random.default_rng(11)
    rows = random.integers(-128, 128, (64, 771), np.int8)
    rows[:2] = -128
    expected = reference.dot_i8(rows[0], rows)
    return tuple(isa for isa in capabilities().isas if not np.array_equal(dot_i8(rows[0], rows, isa=isa), expected))


@cache
def _available() -> tuple[str, ...]:
    native, _ = _load()
    return (*native.isas(), REFERENCE) if native else (REFERENCE,)


@cache
def _chosen() -> str:
    wanted, isas = os.environ.get("SECONDME_ISA", ""), _available()
    if wanted and wanted not in isas:
        raise ConfigError(
            f"SECONDME_ISA asks for kernels that do not run here: {wanted}", hint=f"choose one of {', '.join(isas)}"
        )
    return wanted or isas[0]


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("secondme.kernels._native"), ""
    except ModuleNotFoundError:
        return None, "the extension is not built"
    except ImportError as error:
        return None, f"the extension does not load: {error}"
