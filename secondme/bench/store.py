"""What trust costs: opening and destroying the keys, sealed files, encrypted search, and the watermark.

Each figure is measured on real stores in a temporary folder; each peer is the same work without the thing in question,
in the same run.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apsw

from secondme.bench.rows import Row, interleave
from secondme.crypto.keys import StoreKeys
from secondme.crypto.stream import CHUNK_BITS, open_sealed, seal
from secondme.memory.database import Database, connect
from secondme.memory.guard import Guard
from secondme.memory.store import Store

KEYS = StoreKeys.derived(bytes(32))
BATCH = 20
SYLLABLES = "ta ri mo ke lun sha wen dor bi gal ost fen nu pra vel zi".split()
WORDS = ["".join(word) for word in itertools.product(SYLLABLES, repeat=3)]
"""Made up; the nth is used 1/n as often as the first, as in natural language (Zipf's law)."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured: runs of each case, passages in the stores, bytes sealed, transactions."""

    n_runs: int
    n_passages: int
    n_sealed_bytes: int
    n_transactions: int


SIZES = Sizes(5, 20_000, 128 << 20, 600)
QUICK = Sizes(2, 200, 2 << 20, 10)


def run(sizes: Sizes) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _sealed(folder, sizes)
        yield from _watermark(folder, sizes)
        yield _encrypted_over_plain(folder, sizes)
        yield from _keys(folder, sizes)


# Sealed files --------------------------------------------------------------------------------------------------


def _sealed(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Gigabytes of plaintext a second, each chunk checked; the file is in the page cache, as on a second reading."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    path, key, chunk = folder / "sealed", os.urandom(32), 1 << CHUNK_BITS
    seal((os.urandom(chunk) for _ in range(sizes.n_sealed_bytes >> CHUNK_BITS)), path, key, b"bench")
    reader = open_sealed(path, key, b"bench")
    aead, nonce, into, raw = AESGCM(key), bytes(12), bytearray(chunk), bytearray(chunk + 16)
    encrypted = aead.encrypt(nonce, into, None)

    def ours() -> None:
        for offset in range(0, reader.size, chunk):
            reader.read_into(offset, into)

    def cipher_alone() -> None:
        for _ in range(reader.n_chunks):
            aead.decrypt_into(nonce, encrypted, None, into)

    def plain() -> None:
        with path.open("rb", buffering=0) as file:
            while file.readinto(raw):
                pass

    # The best of the runs: what else the machine does can only slow one down.
    times = interleave([_timed(f) for f in (ours, cipher_alone, plain)], sizes.n_runs)
    rate, of_cipher, of_plain = (reader.size / 1e9 / min(t) for t in times)
    reader.close()
    unit, n = "GB/s", sizes.n_runs
    yield Row("store", "sealed_read_gb_per_s", rate, unit, n, "AES-256-GCM alone", of_cipher, rate / of_cipher)
    yield Row("store", "sealed_read_over_plain", rate, unit, n, "plain read", of_plain, rate / of_plain)


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return once


# The watermark -------------------------------------------------------------------------------------------------


class Unguarded(Guard):
    """A store without a watermark: what one with it is measured against."""

    def acknowledge(self, connection: apsw.Connection) -> None:
        pass

    def checkpoint(self, connection: apsw.Connection) -> None:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


def _watermark(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Milliseconds that the watermark adds to a small transaction, by itself and in a batch.

    The fastest tenth of either is compared: each waits for the disk, and on a shared one for whoever else uses it.
    """
    guarded = Store.open(folder / "guarded.db", KEYS, folder / "witness")
    Store.open(folder / "unguarded.db", KEYS).close()
    path = folder / "unguarded.db"
    guard = Unguarded(path, KEYS)
    unguarded = Store(Database(connect(path, KEYS.db), path, guard))
    n = sizes.n_transactions
    say = [_timed(_turns(store, 1)) for store in (guarded, unguarded)]
    with_it, without = (_fastest_tenth(times) for times in interleave(say, n))
    say_many = [_timed(_turns(store, BATCH, batched=store is guarded)) for store in (guarded, unguarded)]
    batched, alone = (_fastest_tenth(times) / BATCH for times in interleave(say_many, max(2, n // BATCH)))
    guarded.close()
    unguarded.close()
    yield Row("store", "watermark_ms", 1000 * (with_it - without), "ms", n)
    yield Row("store", "watermark_batched_ms", 1000 * (batched - alone), "ms", n)


def _fastest_tenth(times: list[float]) -> float:
    """Where the fastest tenth ends; of a few, the fastest."""
    return sorted(times)[len(times) // 10]


def _turns(store: Store, n: int, *, batched: bool = False) -> Callable[[], None]:
    conversation = store.new_conversation("default", "bench")

    def add() -> None:
        for i in range(n):
            store.add_turn(conversation, "user", f"What does the ledger say about winter {i}?", ())

    def add_batched() -> None:
        with store.batch():
            add()

    return add_batched if batched else add


# Search --------------------------------------------------------------------------------------------------------


def _encrypted_over_plain(folder: Path, sizes: Sizes) -> Row:
    """Mean milliseconds of a recall, the best run of each question, against the same pages without encryption.

    A question costs next to nothing to embed here, so that the store alone is compared.
    """
    from secondme.recall.retrieve import retrieve
    from secondme.runtime.echo import HashEmbedder

    path, plain_path = folder / "encrypted.db", folder / "plain.db"
    encrypted = Store.open(path, KEYS)
    fill(encrypted, sizes.n_passages)
    encrypted.close()
    shutil.copyfile(path, plain_path)
    encrypted = Store.open(path, KEYS)
    plain = Store(Database(_decrypted(plain_path), plain_path, Unguarded(plain_path, KEYS)))
    embedder = HashEmbedder()

    def asking(store: Store, question: str) -> Callable[[], float]:
        return _timed(lambda: retrieve(question, store, embedder))

    questions = [f"what have {' and '.join(words)} to do with topic {i}?" for i, words in enumerate(_asked_for(20))]
    asked = [asking(store, question) for question in questions for store in (encrypted, plain)]
    best = [1000 * min(times) for times in interleave(asked, sizes.n_runs)]
    for question in questions:
        if retrieve(question, encrypted, embedder).hits != retrieve(question, plain, embedder).hits:
            raise RuntimeError("the unencrypted copy answers otherwise")
    encrypted.close()
    plain.close()
    ours, peer = statistics.mean(best[::2]), statistics.mean(best[1::2])
    return Row("store", "encrypted_over_plain", ours, "ms", sizes.n_passages, "unencrypted", peer, peer / ours)


def _decrypted(path: Path) -> apsw.Connection:
    """The store at `path`, decrypted in its place page by page, and opened with the settings of an encrypted one."""
    import sqlite_vec

    settings = ("temp_store", "mmap_size", "cache_size", "synchronous", "secure_delete", "foreign_keys")
    encrypted = connect(path, KEYS.db)
    values = {name: encrypted.pragma(name) for name in settings}
    encrypted.pragma("journal_mode", "delete")
    encrypted.execute("pragma rekey = ''").get  # noqa: B018
    encrypted.close()
    with path.open("rb") as file:
        if file.read(15) != b"SQLite format 3":
            raise RuntimeError("the copy is still encrypted")
    plain = apsw.Connection(str(path))
    for name, value in {"locking_mode": "exclusive", "journal_mode": "wal", **values}.items():
        plain.pragma(name, value)
    plain.enable_load_extension(True)
    plain.load_extension(sqlite_vec.loadable_path())
    return plain


def _asked_for(n: int) -> list[list[str]]:
    """Three words for each question, from common to rare."""
    chance = random.Random(8)
    return [[WORDS[chance.randrange(*ranks)] for ranks in ((10, 50), (50, 400), (400, 4000))] for _ in range(n)]


def fill(store: Store, n_passages: int) -> None:
    """Store `n_passages` of a hundred words each, fifty to a source, with random vectors of 384 dimensions."""
    import numpy as np

    from secondme.types import Chunk, FileStamp, SourceFile

    chance, random_vectors = random.Random(7), np.random.default_rng(7)
    often = list(itertools.accumulate(1 / n for n in range(1, len(WORDS) + 1)))
    store.set_embedder("bench", 384)
    with store.batch():
        for first in range(0, n_passages, 50):
            chunks: list[Chunk] = []
            at = 0
            for i in range(min(50, n_passages - first)):
                text = f"On topic {first + i}: {' '.join(chance.choices(WORDS, cum_weights=often, k=100))}."
                chunks.append(Chunk(i, text, at, at + len(text), i + 1, i + 1, None, ()))
                at += len(text)
            stamp = FileStamp(at, 0, first)
            source = SourceFile(f"/bench/{first}.txt", "default", "text/plain", "", first.to_bytes(32), stamp)
            vectors = random_vectors.standard_normal((len(chunks), 384)).astype(np.float32)
            store.put_source(source, chunks, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


# Keys ----------------------------------------------------------------------------------------------------------

# Seconds from a fresh process to an open store, as its owner waits for it: imports, keys, and the check of every page.
_OPEN = """
import sys, time
started = time.perf_counter()
from secondme.assistant import Assistant, Credentials
from secondme.config import Config
from secondme.errors import NoKey
assistant = Assistant(Config(), Credentials(passphrase=sys.argv[1] or None))
try:
    assistant.unlock()
    print(time.perf_counter() - started)
except NoKey:
    print("no keyring")
    sys.exit()
if len(sys.argv) > 2:
    from secondme.bench.store import fill
    fill(assistant.store, int(sys.argv[2]))
assistant.close()
"""


def _keys(folder: Path, sizes: Sizes) -> Iterator[Row]:
    """Opening by the keyring, where there is one, and by a passphrase; `n` is the number of passages in the store."""
    from secondme.crypto.destroy import destroy_keys

    destroyed: list[float] = []
    for case, passphrase in (("unlock_s", ""), ("unlock_passphrase_s", "a passphrase of the benchmark")):
        home = folder / case
        destroy = _timed(partial(destroy_keys, home / "data", home / "state"))
        try:
            if _open(home, passphrase, fill_with=sizes.n_passages) is None:
                continue
            times = [_open(home, passphrase) or 0.0 for _ in range(sizes.n_runs)]
            yield Row("store", case, statistics.median(times), "s", sizes.n_passages)
        finally:
            # With the entry in the owner's keyring, if there is one.
            destroyed.append(destroy())
    yield Row("store", "destroy_keys_s", max(destroyed), "s", sizes.n_passages)


def _open(home: Path, passphrase: str, *, fill_with: int | None = None) -> float | None:
    """Seconds until the store in `home` is open; None without a keyring."""
    environment = os.environ | {"SECONDME_HOME": str(home)}
    command = [sys.executable, "-c", _OPEN, passphrase, *([] if fill_with is None else [str(fill_with)])]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return None if done.stdout.strip() == "no keyring" else float(done.stdout)
