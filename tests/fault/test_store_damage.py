"""A damaged or replayed file of the store: refused in our words, or everything acknowledged is there and right.

A store lives, is copied at several moments as if it had been killed there, and closed. Then one of its files at a time
is flipped in a bit, cut, filled with zeros or noise, or put back from an earlier moment, whole or in part.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from secondme.crypto import keyslots
from secondme.crypto.unlock import unlock
from secondme.errors import CorruptRecord, IntegrityError, RolledBack, StoreError
from secondme.memory import oplog
from secondme.memory.pages import PAGE_BYTES, WAL_FRAME, WAL_HEADER
from secondme.memory.store import Store
from tests.fault.soak import n
from tests.keyfiles import CHEAP
from tests.storing import KEY, citation_of, put, unit_vectors

DB, LOG, MARK, WITNESS = "data/store.db", "data/store.db-wal", "data/store.db-watermark", "state/witness"
N_TRIALS = n(40, 10_000)

Image = dict[str, bytes]
"""The files of a store by name; one that is missing is not there."""


def reads(store: Store) -> list[Callable[[], object]]:
    """Everything a store answers. Each is right, or raises CorruptRecord."""
    return [
        lambda: [(s.path, s.title, s.content_hash, s.stamp, s.n_chunks) for s in store.sources()],
        lambda: store.chunks(range(1, 100)),
        lambda: store.search_text("apple", 100, None),
        lambda: store.search_vectors(unit_vectors(1)[0], 30, None),
        lambda: [(c.id, c.title, c.n_turns) for c in store.conversations()],
        lambda: [(t.text, t.citations) for c in (1, 2) for t in store.turns(c)],
        lambda: store.term_df(["apple", "number"]),
        lambda: store.embedder(),
        lambda: [(op.kind, op.subjects, op.digest) for op in store.log()][:N_STEPS],
    ]


@dataclass
class Life:
    """`past` are images of earlier moments, `killed` and `closed` of the present one; `right` is what it answers."""

    past: list[Image] = field(default_factory=list)
    killed: Image = field(default_factory=dict)
    closed: Image = field(default_factory=dict)
    right: list[object] = field(default_factory=list)


N_STEPS = 35
"""The steps of the operation log in every image of the present; what is done after opening adds some."""


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    folder = tmp_path_factory.mktemp("life")
    (folder / "data").mkdir()
    made = Life()
    store = opened(folder)
    first, second = store.new_conversation("default", "A title"), store.new_conversation("default", "Another")
    for i in range(14):
        put(
            store,
            f"/{i % 9}",
            [f"apple number {i} of part {j}, and words to fill the page " * 4 for j in range(5)],
            seed=i,
        )
        store.add_turn(first, "user", f"a question {i}", (citation_of(),))
        if i % 5 == 2:
            store.rename_conversation(second, f"Another, {i}")
        if i == 8:
            store.compact_wal()
        if i < 13:
            made.past.append(image_of(folder))
    made.killed = image_of(folder)
    made.right = [read() for read in reads(store)]
    assert len(store.log()) == N_STEPS
    store.close()
    made.closed = image_of(folder)
    assert len(made.killed[LOG]) > 100_000 and LOG not in made.closed
    return made


def opened(folder: Path) -> Store:
    return Store.open(folder / DB, KEY, folder / WITNESS)


def image_of(folder: Path) -> Image:
    return {name: (folder / name).read_bytes() for name in (DB, LOG, MARK, WITNESS) if (folder / name).exists()}


def lay_out(image: Image, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in image.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def outcome(image: Image, right: list[object], folder: Path, *, go_on: bool = True) -> str:
    """Open the image and read all of it. What comes is right or refused; anything else fails the test.

    With `go_on`, a store that is unharmed must also take in a file and have it when it is opened again.
    """
    lay_out(image, folder)
    try:
        store = opened(folder)
    except (IntegrityError, StoreError) as error:
        assert error.hint
        # The owner, or a repair, finds what was there.
        assert image_of(folder) == image
        return f"refused: {type(error).__name__}"
    noticed = 0
    try:
        for read, expected in zip(reads(store), right, strict=True):
            try:
                assert read() == expected
            except CorruptRecord:
                noticed += 1
        sound = all(check.status == "ok" for check in store.check(read_data=True))
        # The check reads every page, also those that none of the reads needs.
        assert not (noticed and sound)
        if sound:
            with store._database.reading() as connection:
                oplog.verify(connection, KEY.store_id)
            if go_on:
                put(store, "/new", ["quince"])
    finally:
        store.close()
    if not sound:
        return "noticed when read" if noticed else "noticed when checked"
    if go_on:
        again = opened(folder)
        assert again.source("default", "/new")
        again.close()
    return "unharmed"


def refusals(counts: Counter[str]) -> int:
    return sum(count for name, count in counts.items() if name.startswith("refused"))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A bit flipped, most often; else cut short, with a stretch of zeros or noise, or with something at the end."""
    kind, at = chance.randrange(10), chance.randrange(len(data))
    if kind < 6:
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == 6:
        return data[:at]
    stretch = data[at : at + chance.choice((1, 32, 512, 4096))]
    if kind == 7:
        return data[:at] + bytes(len(stretch)) + data[at + len(stretch) :]
    if kind == 8:
        return data[:at] + chance.randbytes(len(stretch)) + data[at + len(stretch) :]
    return data + chance.choice((chance.randbytes(len(stretch)), stretch))


def trials(life: Life, folder: Path, name: str, images: list[Image], seed: int) -> Counter[str]:
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    for i in range(N_TRIALS):
        image = chance.choice(images)
        changed = damaged(image[name], chance)
        if changed != image[name]:
            counts[outcome(image | {name: changed}, life.right, folder, go_on=i % 8 == 0)] += 1
    print(f"{name} damaged: {dict(counts)}")
    return counts


# Damage --------------------------------------------------------------------------------------------------------


def test_damage_to_the_database_is_noticed_or_does_no_harm(life: Life, tmp_path: Path) -> None:
    closed = trials(life, tmp_path / "s", DB, [life.closed], 1)
    # There is no byte but the header's few that says nothing.
    assert closed["unharmed"] <= 0.05 * closed.total()
    killed = trials(life, tmp_path / "s", DB, [life.killed], 2)
    # Pages that the log replaces do not matter.
    assert killed["unharmed"] < killed.total()


def test_each_damaged_page_is_a_failed_line_and_no_error(life: Life, tmp_path: Path) -> None:
    whole = life.closed[DB]
    for page in range(0, len(whole), PAGE_BYTES):
        changed = bytearray(whole)
        changed[page + 2000] ^= 1
        lay_out(life.closed | {DB: bytes(changed)}, tmp_path / "s")
        try:
            store = opened(tmp_path / "s")
        except CorruptRecord:
            continue
        assert "failed" in {check.status for check in store.check(read_data=True)}
        # The quick look may miss it, but is not broken off by it either.
        assert store.check()
        store.close()


def test_damage_to_the_log_is_refused(life: Life, tmp_path: Path) -> None:
    counts = trials(life, tmp_path / "s", LOG, [life.killed], 3)
    # What was only appended is cut off.
    assert refusals(counts) + counts["unharmed"] == counts.total()
    assert counts["unharmed"] < 0.3 * counts.total()


def test_damage_to_the_watermark_is_refused(life: Life, tmp_path: Path) -> None:
    counts = trials(life, tmp_path / "s", MARK, [life.killed, life.closed], 4)
    assert refusals(counts) == counts.total()


def test_damage_to_the_witness_does_no_harm(life: Life, tmp_path: Path) -> None:
    counts = trials(life, tmp_path / "s", WITNESS, [life.killed, life.closed], 5)
    assert counts == {"unharmed": counts.total()}


@pytest.mark.parametrize("name", [DB, LOG, MARK])
def test_a_file_that_is_missing_is_refused(life: Life, tmp_path: Path, name: str) -> None:
    for image in (life.killed, life.closed):
        if name in image:
            left = {k: v for k, v in image.items() if k != name}
            assert outcome(left, life.right, tmp_path / "s").startswith("refused")
            # Without a witness it is so, too.
            del left[WITNESS]
            assert outcome(left, life.right, tmp_path / "s").startswith("refused")


def test_a_damaged_or_older_key_file_is_refused(tmp_path: Path) -> None:
    """The newest one alone opens the store: an older one would let in whoever was locked out since."""
    folder = tmp_path / "data"
    folder.mkdir()
    past = []
    for i in range(5):
        with unlock(folder, passphrase="one", work=CHEAP) as keys:
            if i:
                keys.save(keys.file)
            store = Store.open(folder / "store.db", keys.store, tmp_path / "witness")
            put(store, f"/{i}", ["apple"])
            store.close()
        past.append((folder / keyslots.FILE).read_bytes())
    chance = random.Random(8)
    counts: Counter[str] = Counter()
    *older, newest = past
    for i in range(N_TRIALS):
        old = i % 10 == 0
        changed = chance.choice(older) if old else damaged(newest, chance)
        if changed != newest:
            (folder / keyslots.FILE).write_bytes(changed)
            with pytest.raises((IntegrityError, StoreError)) as caught, unlock(folder, passphrase="one") as keys:
                Store.open(folder / "store.db", keys.store, tmp_path / "witness")
            assert not old or caught.type is RolledBack
            counts[f"refused: {caught.type.__name__}"] += 1
    print(f"{keyslots.FILE} damaged: {dict(counts)}")
    (folder / keyslots.FILE).write_bytes(newest)
    with unlock(folder, passphrase="one") as keys:
        store = Store.open(folder / "store.db", keys.store, tmp_path / "witness")
        assert len(store.sources()) == 5
        store.close()


# Replays -------------------------------------------------------------------------------------------------------


def test_any_files_of_an_earlier_time_are_refused(life: Life, tmp_path: Path) -> None:
    """Each mixture of files from the present and one earlier moment; only the witness is always of the present."""
    counts: Counter[str] = Counter()
    for present in (life.killed, life.closed):
        for past in life.past:
            for which in range(1, 8):
                old = [name for i, name in enumerate((DB, LOG, MARK)) if which >> i & 1]
                image = {k: v for k, v in present.items() if k not in old} | {k: past[k] for k in old if k in past}
                if image != present:
                    counts[outcome(image, life.right, tmp_path / "s", go_on=False)] += 1
    print(f"files of an earlier time: {dict(counts)}")
    # An old log beside a store at rest holds nothing that was acknowledged in it, and is dropped.
    assert refusals(counts) > 0.6 * counts.total()
    assert refusals(counts) + counts["unharmed"] == counts.total()


def test_an_old_witness_or_none_does_no_harm(life: Life, tmp_path: Path) -> None:
    for present in (life.killed, life.closed):
        none = {k: v for k, v in present.items() if k != WITNESS}
        for image in (none, *(present | {WITNESS: past[WITNESS]} for past in life.past)):
            assert outcome(image, life.right, tmp_path / "s", go_on=False) == "unharmed"


def test_an_old_copy_of_everything_is_an_old_memory_and_whole(life: Life, tmp_path: Path) -> None:
    """The limit: with the witness taken back as well, nothing on this machine knows better."""
    lay_out(life.past[5], tmp_path / "s")
    store = opened(tmp_path / "s")
    assert len(store.sources()) == 6 and all(c.status == "ok" for c in store.check(read_data=True))
    store.close()


def pages_of(data: bytes) -> list[bytes]:
    return [data[i : i + PAGE_BYTES] for i in range(0, len(data), PAGE_BYTES)]


def test_old_pages_put_back_are_refused(life: Life, tmp_path: Path) -> None:
    """Each was once written by this very store to this very place, so it bears a valid tag."""
    chance = random.Random(6)
    now = pages_of(life.closed[DB])
    old = [p for past in life.past for p in [pages_of(past[DB])] if p != now]
    counts: Counter[str] = Counter()
    for _ in range(N_TRIALS):
        before = chance.choice(old)
        changed = [i for i in range(min(len(before), len(now))) if before[i] != now[i]]
        chosen = set(chance.sample(changed, chance.choice((1, 1, 2, len(changed)))))
        mixed = b"".join(before[i] if i in chosen else page for i, page in enumerate(now))
        counts[outcome(life.closed | {DB: mixed}, life.right, tmp_path / "s")] += 1
    print(f"old pages put back: {dict(counts)}")
    assert counts == {"refused: RolledBack": N_TRIALS} or set(counts) == {
        "refused: RolledBack",
        "refused: CorruptRecord",
    }


Frame = tuple[int, bytes]
"""A page's number and its sealed bytes."""


def frames_of(log: bytes) -> list[Frame]:
    step = WAL_FRAME.size + PAGE_BYTES
    starts = range(WAL_HEADER.size, len(log) - step + 1, step)
    return [(int.from_bytes(log[i : i + 4], "big"), log[i + WAL_FRAME.size : i + step]) for i in starts]


def n_pages_of(image: Image) -> int:
    """The size of the database in pages, as the log's last commit says."""
    last = image.get(LOG, b"")[-WAL_FRAME.size - PAGE_BYTES :]
    return int.from_bytes(last[4:8], "big") if last else len(image[DB]) // PAGE_BYTES


def summed(data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """SQLite's checksum of a log (file format, section 4.2), which needs no key."""
    a, b = sums
    words = struct.unpack(f"<{len(data) // 4}I", data)
    for x, y in zip(words[::2], words[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return a, b


def log_with(log: bytes, frames: list[Frame], n_pages: int) -> bytes:
    """`log` with committed frames appended that SQLite takes for its own; an empty one is begun."""
    head = log[: WAL_HEADER.size]
    if not head:
        head = struct.pack(">6I", 0x377F0682, 3007000, PAGE_BYTES, 0, 1, 2)
        head += struct.pack(">2I", *summed(head, (0, 0)))
        log = head
    last = log[-WAL_FRAME.size - PAGE_BYTES :] if len(log) > len(head) else b""
    sums = struct.unpack(">2I", last[16:24] if last else head[24:32])
    for number, page in frames:
        start = struct.pack(">2I", number, n_pages)
        sums = summed(page, summed(start, (sums[0], sums[1])))
        log += start + head[16:24] + struct.pack(">2I", *sums) + page
    return log


def test_old_frames_in_the_log_change_nothing(life: Life, tmp_path: Path) -> None:
    """Old pages with a forged log around them: put in its place, appended to it, or in place of some of its frames."""
    chance = random.Random(7)
    old = [f for past in life.past for f in frames_of(past.get(LOG, b""))]
    old += [(i + 1, page) for past in life.past for i, page in enumerate(pages_of(past[DB]))]
    counts: Counter[str] = Counter()
    for i in range(N_TRIALS):
        present = chance.choice((life.killed, life.closed))
        frames = chance.sample(old, chance.choice((1, 1, 2, 5, 20)))
        n_pages = n_pages_of(present)
        log = present.get(LOG, b"")
        kind = chance.choice(("in its place", "appended", "among")[: 3 if log else 2])
        if kind == "in its place":
            forged = log_with(b"", frames, n_pages)
        elif kind == "appended":
            forged = log_with(log, frames, n_pages)
        else:
            mixed = frames_of(log)
            for frame in frames:
                mixed[chance.randrange(len(mixed))] = frame
            forged = log_with(log[: WAL_HEADER.size], mixed, n_pages)
        found = outcome(present | {LOG: forged}, life.right, tmp_path / "s", go_on=i % 8 == 0)
        counts[f"{kind}, {found}"] += 1
    print(f"old frames in the log: {dict(counts)}")
    assert all("refused" in name or "unharmed" in name for name in counts)
    assert counts["appended, unharmed"] and not counts["among, unharmed"]


def test_a_log_of_the_same_pages_in_other_transactions_is_refused(life: Life, tmp_path: Path) -> None:
    """It ends with the same pages, so that only its digest tells: each of its frames commits, and some did not."""
    log = life.killed[LOG]
    frames = frames_of(log)
    other = log_with(log[: WAL_HEADER.size], frames, n_pages_of(life.killed))
    assert len(other) == len(log) and other != log
    lay_out(life.killed | {LOG: other}, tmp_path / "s")
    with pytest.raises(RolledBack, match="log is not the one that was last written"):
        opened(tmp_path / "s")


def test_the_forged_log_is_one_that_sqlite_takes(life: Life, tmp_path: Path) -> None:
    """Without the watermark in the way, SQLite and the cipher take the old page for the new one."""
    from secondme.memory.database import connect

    number = next(
        i for i, (a, b) in enumerate(zip(pages_of(life.past[8][DB]), pages_of(life.closed[DB]), strict=False)) if a != b
    )
    old = pages_of(life.past[8][DB])[number]
    lay_out(life.closed | {LOG: log_with(b"", [(number + 1, old)], len(life.closed[DB]) // PAGE_BYTES)}, tmp_path / "s")
    connection = connect(tmp_path / "s" / DB, KEY.db)
    n_frames, _ = connection.wal_checkpoint()
    connection.close()
    assert n_frames == 1
