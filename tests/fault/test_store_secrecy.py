"""Nothing that was stored is readable on the disk, and nothing that was forgotten is left, even for the key's owner."""

from __future__ import annotations

import base64
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondme.memory.store import Store
from secondme.memory.vectors import quantize
from secondme.types import FileStamp, WatchedFolder
from tests.storing import KEY, chunks_of, citation_of, source_of, unit_vectors

ROOT = Path(__file__).parents[2]
N_DIMS = 64

MARKERS = {
    "text": "zebraquartz in the text",
    "title": "yellowquokka in a title",
    "heading": "xylophonequest in a heading",
    "path": "/home/wombatquill/notes.txt",
    "reason": "vixenquarry as a reason",
    "folder": "/home/umbrellaquay",
    "project": "tangoquiver",
    "conversation": "silverquince the title",
    "question": "rubyquest asked",
    "answer": "quailquorum answered",
    "quote": "pandaquota cited",
    "fingerprint": "otterquirk model",
}


def fill(store: Store) -> None:
    """Put every marker where it belongs."""
    m = MARKERS
    store.set_embedder(m["fingerprint"], N_DIMS)
    source = source_of(m["path"], project=m["project"], title=m["title"])
    store.put_source(source, chunks_of([m["text"]] * 3, headings=(m["heading"],)), unit_vectors(3, N_DIMS))
    store.put_skip(source_of(m["path"] + ".bin", project=m["project"]), m["reason"])
    store.add_folder(WatchedFolder(m["folder"], m["project"], True, 1.0))
    conversation = store.new_conversation(m["project"], m["conversation"])
    store.add_turn(conversation, "user", m["question"], ())
    store.add_turn(conversation, "assistant", m["answer"], (citation_of(m["path"], m["quote"]),))
    assert store.search_text("zebraquartz", 5, m["project"])
    assert store.search_vectors(unit_vectors(1, N_DIMS)[0], 3, m["project"])


def disguises(marker: str) -> Iterator[bytes]:
    """The marker's first word as it might stand in a file: plain, in UTF-16, in base64 at each alignment, in hex."""
    word = max(marker.replace("/", " ").replace(".", " ").split(), key=len)
    for data in (word.encode(), word.encode("utf-16-le")):
        yield data
        yield data.hex().encode()
        yield data.hex().upper().encode()
        for n in range(3):
            encoded = base64.b64encode(bytes(n) + data + bytes(3))
            # The characters at both ends hold bits of the neighbours.
            yield encoded[4 if n else 0 : (n + len(data)) // 3 * 4]


def readable(folder: Path) -> list[tuple[str, str]]:
    """(file, marker) for every marker that is readable in any file below the folder, or in its name."""
    found = []
    for file in [p for p in folder.rglob("*") if p.is_file()]:
        data = file.name.encode() + file.read_bytes()
        for name, marker in MARKERS.items():
            found += [(file.name, name) for disguise in disguises(marker) if disguise in data]
        found += [(file.name, "key")] * (KEY.db in data)
        found += [(file.name, "vector") for row in unit_vectors(3, N_DIMS) if row.tobytes()[:32] in data]
    return found


def test_the_search_for_markers_finds_what_is_readable(tmp_path: Path) -> None:
    text = MARKERS["text"]
    for n, data in enumerate((text.encode(), b"x" + text.encode(), b"xy" + text.encode())):
        (tmp_path / f"{n}").write_bytes(data)
        (tmp_path / f"{n}-utf16").write_bytes(data.decode().encode("utf-16-le"))
        (tmp_path / f"{n}-base64").write_bytes(base64.b64encode(data))
        (tmp_path / f"{n}-base64-of-utf16").write_bytes(base64.b64encode(data.decode().encode("utf-16-le")))
        (tmp_path / f"{n}-hex").write_text(data.hex())
    assert {file for file, _ in readable(tmp_path)} == {p.name for p in tmp_path.iterdir()}


def test_nothing_is_readable_while_open_and_after_closing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db", KEY)
    fill(store)
    assert (tmp_path / "store.db-wal").stat().st_size > 10_000
    assert readable(tmp_path) == []
    store.remove_source(store.sources()[0].id)
    assert readable(tmp_path) == []
    store.close()
    assert readable(tmp_path) == []


CHILD = """
import sys
from pathlib import Path
from secondme.memory.store import Store
from tests.fault.test_store_secrecy import fill
from tests.storing import KEY
store = Store.open(Path(sys.argv[1]), KEY)
fill(store)
print("filled", flush=True)
sys.stdin.read()
"""


def test_nothing_is_readable_after_kill_9_nor_in_the_temporary_folder(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "SQLITE_TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "store.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"filled\n"
        process.send_signal(signal.SIGKILL)
    left = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert {"store.db", "store.db-wal"} <= left
    assert readable(tmp_path) == []
    store = Store.open(tmp_path / "store.db", KEY)
    assert len(store.search_text("zebraquartz", 5, None)) == 3
    store.close()


# Forgotten -----------------------------------------------------------------------------------------------------


def decrypted(store: Store) -> bytes:
    """The whole database as the key's owner sees it: every page, the free ones and the slack between rows as well."""
    with store._database.reading() as connection:
        return connection.serialize("main")


WORD = "kiwiquartzite"
# Words that no stemmer changes and that share no beginning with others, which the index would store but once.
ALONE = [f"{i}x{i * 7919 + 104729}q{i}" for i in range(8)]


@pytest.fixture
def crowded(store: Store) -> Store:
    """A store with neighbours before and after the file that will be forgotten, in every index."""
    store.set_embedder("test", N_DIMS)
    for i in range(30):
        texts = [f"neighbour {i} {j} kiwi{i:03d} quartz " * 8 for j in range(8)]
        store.put_source(source_of(f"/n{i}"), chunks_of(texts), unit_vectors(8, N_DIMS, seed=i))
        if i == 15:
            put_secret(store)
    return store


SECRET_VECTORS = unit_vectors(8, N_DIMS, seed=99)


def put_secret(store: Store, *, text: str = WORD) -> int:
    texts = [f"some words and {text} {j} and {word} more " * 8 for j, word in enumerate(ALONE)]
    source = source_of(f"/{text}/path", title=f"{text} title", content=b"digest of the secret")
    return store.put_source(source, chunks_of(texts, headings=(f"{text} heading",)), SECRET_VECTORS)


def traces(store: Store) -> list[str]:
    """What of the secret file is left in any page."""
    image = decrypted(store)
    wanted = {"word": WORD[5:].encode(), "digest": b"digest of the secret"}
    wanted |= {f"indexed word {i}": word[1:].encode() for i, word in enumerate(ALONE)}
    wanted |= {f"vector {i}": row.tobytes()[64:96] for i, row in enumerate(SECRET_VECTORS)}
    wanted |= {f"coarse vector {i}": row.tobytes() for i, row in enumerate(quantize(SECRET_VECTORS))}
    return [name for name, data in wanted.items() if data in image]


def assert_forgotten(store: Store) -> None:
    assert traces(store) == []
    assert store.search_text(WORD, 5, None) == []
    assert store.term_df([WORD, ALONE[3]]) == {WORD: 0, ALONE[3]: 0}
    assert {c.status for c in store.check(read_data=True)} == {"ok"}
    # The neighbours are all there.
    assert len(store.search_text("kiwi003", 100, None)) == 8
    assert store.stats().n_vectors == store.stats().n_chunks == 240


def test_a_removed_file_leaves_no_trace_in_any_page(crowded: Store) -> None:
    # One or the other vector lies across the border of two pages.
    assert len(traces(crowded)) >= 23
    source = crowded.source("default", f"/{WORD}/path")
    assert source is not None
    crowded.remove_source(source.id)
    assert_forgotten(crowded)
    assert log_size(crowded) == 0


def test_many_files_removed_at_once_leave_no_trace_in_any_page(crowded: Store) -> None:
    # So many that the word index is built anew.
    extra = [f"/x{i}" for i in range(8)]
    for path in extra:
        texts = [f"{path} {WORD} {j} {word} " * 8 for j, word in enumerate(ALONE)]
        crowded.put_source(source_of(path), chunks_of(texts), unit_vectors(8, N_DIMS, seed=5))
    sources = [s for s in crowded.sources() if s.path in {*extra, f"/{WORD}/path"}]
    assert sum(s.n_chunks for s in sources) == 72
    crowded.remove_sources([s.id for s in sources])
    assert_forgotten(crowded)


def log_size(store: Store) -> int:
    path = store._database.path
    return path.with_name(path.name + "-wal").stat().st_size


def test_a_replaced_file_leaves_no_trace_in_any_page(crowded: Store) -> None:
    path = f"/{WORD}/path"
    crowded.put_source(source_of(path, title="new", content=b"new"), [], unit_vectors(0, N_DIMS))
    crowded.move_source(crowded.sources(prefix=path)[0].id, "/elsewhere", FileStamp(1, 2, 3))
    assert_forgotten(crowded)
    assert log_size(crowded) > 0
    crowded.compact_wal()
    assert log_size(crowded) == 0


def test_a_skipped_file_leaves_no_trace_of_its_text(crowded: Store) -> None:
    crowded.put_skip(dataclasses.replace(source_of(f"/{WORD}/path"), content_hash=bytes(32)), "gone bad")
    left = [name for name in traces(crowded) if name != "word"]
    assert left == []
    # Its path stays, and nothing else with the word in it.
    assert decrypted(crowded).count(WORD[5:].encode()) == decrypted(crowded).count(f"/{WORD}/path".encode())


def test_a_file_that_was_moved_over_leaves_no_trace(crowded: Store) -> None:
    other = crowded.source("default", "/n3")
    assert other is not None
    crowded.move_source(other.id, f"/{WORD}/path", other.stamp)
    crowded.move_source(other.id, "/n3", other.stamp)
    assert_forgotten(crowded)


def test_vectors_of_an_earlier_model_are_gone(crowded: Store) -> None:
    chunks = [c.id for s in crowded.sources() for c in crowded.source_chunks(s.id)]
    fresh = unit_vectors(len(chunks), N_DIMS, seed=7)
    crowded.replace_vectors(zip(chunks, fresh, strict=True), "another", N_DIMS)
    assert [name for name in traces(crowded) if "vector" in name] == []
    assert log_size(crowded) == 0


def test_a_deleted_conversation_leaves_no_trace(store: Store) -> None:
    kept = store.new_conversation("default", "kept")
    gone = store.new_conversation("default", f"about {WORD}")
    for i in range(20):
        store.add_turn(kept, "user", f"a question {i} " * 20, ())
        store.add_turn(gone, "assistant", f"{WORD} {i} " * 20, (citation_of("/a", f"{WORD} cited"),))
    assert WORD.encode() in decrypted(store)
    store.delete_conversation(gone)
    assert WORD[5:].encode() not in decrypted(store)
    assert len(store.turns(kept)) == 20
    assert log_size(store) == 0


def test_a_renamed_conversation_forgets_its_old_name(store: Store) -> None:
    conversation = store.new_conversation("default", WORD)
    store.rename_conversation(conversation, "new")
    assert WORD[5:].encode() not in decrypted(store)
