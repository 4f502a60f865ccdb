"""Work on layers on all cores: NumPy and the kernels let other threads run while they compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from secondme.runtime.threads import usable_cores

_MOST = 8
"""More threads than this wait for memory."""


def each_layer(work: Callable[[int], None], n_layers: int) -> None:
    """Call `work` with 0 .. n_layers - 1, in any order. Raises what the first failing call raises."""
    with ThreadPoolExecutor(min(usable_cores(), _MOST), thread_name_prefix="secondme-layers") as pool:
        for done in [pool.submit(work, number) for number in range(n_layers)]:
            done.result()
