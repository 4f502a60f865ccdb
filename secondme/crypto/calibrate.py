"""How hard a new passphrase is made to guess: as much work as this machine does in about 0.75 s.

Argon2id's time grows with memory times passes, so one short measurement tells what any other choice takes. OWASP's and
RFC 9106's advice is a floor here (64 MiB, 3 passes, 4 lanes); a fast machine gets more passes first, which cost no
memory, and then more memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from secondme.crypto.keyslots import MAX_ITERATIONS, MAX_MEMORY_KIB, Kdf
from secondme.crypto.slots import stretch

TARGET_S = 0.75
SALT_BYTES = 16
_N_PROBES, _PROBING_S = 6, 0.8


@dataclass(frozen=True, slots=True)
class Work:
    """Argon2id's work factors, without the salt: memory in KiB, passes, lanes."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def kdf(self) -> Kdf:
        """These factors with a new salt."""
        return Kdf(os.urandom(SALT_BYTES), self.memory_kib, self.iterations, self.lanes)


FLOOR = Work()


def measured(work: Work) -> float:
    """Seconds that stretching a passphrase takes here."""
    start = time.perf_counter()
    stretch("calibration", work.kdf())
    return time.perf_counter() - start


def calibrated(measure: Callable[[Work], float] = measured) -> Work:
    """Work of about TARGET_S on this machine, never less than FLOOR. Measures for about _PROBING_S.

    Raises StoreError if the memory for it is not free.
    """
    probe = Work(iterations=1)
    probes_s = [measure(probe)]
    while len(probes_s) < _N_PROBES and sum(probes_s) < _PROBING_S:
        probes_s.append(measure(probe))
    # The fastest: what else the machine does meanwhile must not weaken the passphrase.
    pass_s = min(probes_s)
    n_passes = round(TARGET_S / max(pass_s, 1e-6))
    if n_passes <= MAX_ITERATIONS:
        return Work(iterations=max(FLOOR.iterations, n_passes))
    wanted_kib = FLOOR.memory_kib * n_passes // MAX_ITERATIONS
    return Work(min(wanted_kib, MAX_MEMORY_KIB), MAX_ITERATIONS)
