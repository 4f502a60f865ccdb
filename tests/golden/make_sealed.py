"""Writes tests/golden/sealed-1, a sealed file of the first version: python -m tests.golden.make_sealed FILE

Run once for each released format and never again for an old one: later versions must open what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from secondme.crypto.stream import SealedInfo, seal

KEY = bytes(range(32))
CONTEXT = b"golden project\0cartridge\0" + bytes(range(32, 64))
PLAIN = "".join(f"{i} quinces hang over the wall. " for i in range(9)).encode()
CHUNK_BITS = 7


def make(path: Path) -> SealedInfo:
    return seal([PLAIN], path, KEY, CONTEXT, chunk_bits=CHUNK_BITS)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
