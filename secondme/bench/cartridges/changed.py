"""What one changed file of many costs: its own cartridge, and no other's."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from secrets import token_hex

import numpy as np

from secondme.bench.cartridges.documents import Recipe, documents
from secondme.bench.cartridges.prompts import Tokenizer
from secondme.bench.rows import Row
from secondme.cartridges.build import Stop
from secondme.cartridges.events import BuildsDone, BuildSkipped
from secondme.cartridges.files import Shelf
from secondme.cartridges.tiers import TierName
from secondme.crypto.keys import Keys
from secondme.crypto.unlock import unlock
from secondme.errors import CartridgeIncompatible
from secondme.memory.store import Store
from secondme.projects.builder import build_pending
from secondme.projects.library import Library, model_at_hand, outlook
from secondme.runtime.base import Generator
from secondme.types import CancelCheck, Chunk, FileStamp, SourceFile

N_FILES = 20
FEW_FILES = 3
TOKENS_EACH = 240
PROJECT = "bench"


def texts(path: Path, tokenizer: Tokenizer, n_files: int) -> list[str]:
    """Short texts for as many files, of the paragraphs in the file at `path`."""
    recipe = Recipe(n_documents=N_FILES, n_tokens=TOKENS_EACH, n_questions=0, n_facts=0)
    return [d.text for d in islice(documents(path, tokenizer, recipe), n_files)]


def row(texts: Sequence[str], generator: Generator, tier: TierName, cancelled: CancelCheck) -> Row | None:
    """`changed_file/<n>`: seconds of building after one of the files changed, over those of building all of them.

    None where the machine reads the files so soon that the program makes no cartridges of them.
    """
    with tempfile.TemporaryDirectory(prefix="secondme-bench-") as name, _keys(Path(name)) as keys:
        store = Store.open(Path(name) / "store.db", keys.store)
        shelf = Shelf(store, keys)
        try:
            store.set_embedder("bench", 1)
            library = Library(store, shelf, generator, tier)
            _put(store, texts)
            all_s = _build_seconds(library, len(texts), cancelled)
            changed = len(texts) // 2
            _put(store, [f"{texts[changed]} One sentence more."], first=changed)
            one_s = _build_seconds(library, 1, cancelled) if all_s is not None else None
        finally:
            shelf.close()
            store.close()
    if all_s is None or one_s is None:
        return None
    return Row("cartridges", f"changed_file/{len(texts)}", one_s / all_s, "of all", len(texts))


def _keys(folder: Path) -> Keys:
    return unlock(folder, passphrase=token_hex(16))


def _put(store: Store, texts: Sequence[str], *, first: int = 0) -> None:
    for i, text in enumerate(texts, first):
        size = len(text.encode())
        digest = text.encode()[-32:].ljust(32, b" ")
        file = SourceFile(f"/{i}.txt", PROJECT, "text/plain", f"File {i}", digest, FileStamp(size, 0, 0))
        chunk = Chunk(0, text, 0, size, 1, 1 + text.count("\n"), None, ())
        store.put_source(file, [chunk], np.ones((1, 1), np.float32))


def _build_seconds(library: Library, n_expected: int, cancelled: CancelCheck) -> float | None:
    """Raises CartridgeIncompatible unless as many cartridges were built; None where the plan wants none."""
    if outlook(library, PROJECT, model_at_hand(library)).plan.as_text:
        return None
    began = time.perf_counter()
    for event in build_pending(library, [PROJECT], Stop(cancelled)):
        if isinstance(event, BuildSkipped):
            raise CartridgeIncompatible(event.reason, hint=event.hint)
        if isinstance(event, BuildsDone) and event.n_built != n_expected:
            raise CartridgeIncompatible(
                f"{event.n_built} cartridges were built, not {n_expected}", hint="this is a fault of the program"
            )
    return time.perf_counter() - began
