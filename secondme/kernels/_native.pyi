from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

def features() -> dict[str, bool]: ...
def isas() -> list[str]: ...
def isa() -> str | None: ...
def dot_i8(query: NDArray[np.int8], rows: NDArray[np.int8], out: NDArray[np.int32], isa: str) -> None: ...
def scan_u8(
    query: NDArray[np.int8],
    page: NDArray[np.uint8],
    wanted: int,
    threshold: int,
    scores: NDArray[np.int32],
    isa: str,
) -> int: ...
def hamming_b1(
    query: NDArray[np.uint8],
    page: NDArray[np.uint8],
    wanted: int,
    threshold: int,
    distances: NDArray[np.int32],
    isa: str,
) -> int: ...
def rescore_f32(query: NDArray[np.float32], rows: NDArray[np.float32], out: NDArray[np.float32], isa: str) -> None: ...
def rescore_i16(
    query: NDArray[np.int16],
    high: NDArray[np.uint8],
    low: NDArray[np.int8],
    out: NDArray[np.int64],
    isa: str,
) -> None: ...
def maxsim_i8(query: bytes, packs: Sequence[bytes], n_tag: int, out: NDArray[np.int32], isa: str) -> None: ...
def encode_q8(q: NDArray[np.int8]) -> bytes: ...
def decode_q8(data: NDArray[np.uint8], out: NDArray[np.int8], isa: str) -> None: ...
def encode_scales(words: NDArray[np.uint16]) -> bytes: ...
def decode_scales(data: NDArray[np.uint8], out: NDArray[np.uint16], isa: str) -> None: ...
def encode_rows(z: NDArray[np.int16], table_of: NDArray[np.uint8], classes: NDArray[np.uint8]) -> bytes: ...
def decode_rows(
    data: NDArray[np.uint8],
    table_of: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    out: NDArray[np.int16],
    isa: str,
) -> None: ...
def decode_head(
    data: NDArray[np.uint8],
    table_of: NDArray[np.uint8],
    classes: NDArray[np.uint8],
    steps: NDArray[np.float32],
    centroids: NDArray[np.float32],
    matrix: NDArray[np.float32],
    mean: NDArray[np.float32],
    out: NDArray[np.float32],
    isa: str,
) -> None: ...
def add_told(
    rows: NDArray[np.float32],
    mean: NDArray[np.float32],
    matrix: NDArray[np.float32],
    out: NDArray[np.float32],
    isa: str,
) -> None: ...
def rotate_f32(
    x: NDArray[np.float32],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    halves: bool,
    heads: int,
    out: NDArray[np.float32],
) -> None: ...
def rotate_f16(
    x: NDArray[np.uint16],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    halves: bool,
    heads: int,
    out: NDArray[np.uint16],
    isa: str,
) -> None: ...
def place_keys(
    rows: NDArray[np.float32],
    cos: NDArray[np.float32],
    sin: NDArray[np.float32],
    which: NDArray[np.int32],
    halves: bool,
    out: NDArray[np.uint16],
    isa: str,
) -> None: ...
def place_values(rows: NDArray[np.float32], out: NDArray[np.uint16], isa: str) -> None: ...
def columns_16(rows: NDArray[np.uint16], out: NDArray[np.uint16]) -> None: ...
def finite_f16(words: NDArray[np.uint16]) -> bool: ...
def gather_rows(cells: NDArray[np.uint16], tokens: NDArray[np.int32], out: NDArray[np.float32], isa: str) -> None: ...
def hadamard_f32(x: NDArray[np.float32], size: int, out: NDArray[np.float32]) -> None: ...
def quantize_q8_0(x: NDArray[np.float32], q: NDArray[np.int8], scales: NDArray[np.uint16], isa: str) -> None: ...
def dequantize_q8_0(q: NDArray[np.int8], scales: NDArray[np.uint16], out: NDArray[np.float32], isa: str) -> None: ...
def coefficient_slots(out: NDArray[np.uint16]) -> None: ...
def level_slots(centre: int, clipped: bool, out: NDArray[np.uint16]) -> None: ...
def read_seconds(buffer: NDArray[np.uint8], way: int) -> float: ...
def dot_seconds(n_dims: int, n_rounds: int, isa: str) -> float: ...
def scan_seconds(n_dims: int, n_rounds: int, isa: str) -> float: ...
def search_seconds(index: VectorIndex, query: NDArray[np.float32], k: int, n_rounds: int) -> float: ...
def reader_seconds(index: VectorIndex, queries: NDArray[np.float32], k: int, out: NDArray[np.float64]) -> None: ...

class Filter:
    def __init__(
        self,
        *,
        projects: list[int] | None = None,
        sources: list[int] | None = None,
        least_trust: int = 0,
        since: int = ...,
        until: int = ...,
    ) -> None: ...

class VectorIndex:
    def __init__(
        self,
        n_dims: int,
        *,
        fine: bool,
        signs: bool,
        lock: bool,
        isa: str | None,
        n_remembered: int = 0,
        flat_limit: int = 100_000,
        least_recall: float = 0.98,
    ) -> None: ...
    def add_f32(
        self,
        ids: NDArray[np.int64],
        rows: NDArray[np.float32],
        project: NDArray[np.generic],
        source: NDArray[np.generic],
        trust: NDArray[np.generic],
        time: NDArray[np.generic],
    ) -> None: ...
    def add_i8(
        self,
        ids: NDArray[np.int64],
        rows: NDArray[np.int8],
        project: NDArray[np.generic],
        source: NDArray[np.generic],
        trust: NDArray[np.generic],
        time: NDArray[np.generic],
    ) -> None: ...
    def remove(self, ids: NDArray[np.int64]) -> int: ...
    def clear(self) -> None: ...
    def search(
        self,
        query: NDArray[np.float32],
        ids: NDArray[np.int64],
        scores: NDArray[np.float32],
        filter: Filter | None = None,
        mode: int = 0,
        oversample: int = 4,
        threads: int = 1,
        slack: float = 0.0,
        probes: int = 0,
    ) -> int: ...
    def candidates(
        self,
        query: NDArray[np.float32],
        ids: NDArray[np.int64],
        scores: NDArray[np.float32],
        filter: Filter | None = None,
        mode: int = 0,
        threads: int = 1,
        probes: int = 0,
    ) -> int: ...
    def candidates_each(
        self,
        queries: list[NDArray[np.float32]],
        ids: list[NDArray[np.int64]],
        scores: list[NDArray[np.float32]],
        filter: Filter | None = None,
    ) -> list[int]: ...
    def maintain(self, budget_us: int) -> bool: ...
    def measure_recall(self, n_sample: int, k: int, probes: int = 0) -> float: ...
    def version(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...
