"""What is killed in `tests/fault/test_kill.py`: each operation of the program that takes more than one step."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from secondme.cartridges.files import Shelf
from secondme.crypto import keyslots, manage, recovery, unlock, wiping
from secondme.crypto.calibrate import Work
from secondme.crypto.destroy import Destroyed
from secondme.crypto.keys import Keys
from secondme.errors import SecondMeError, StoreError, UsageError, WrongPassphrase
from secondme.exchange.export import ExportDone, ExportOptions, export
from secondme.exchange.importing import ImportDone, ImportRequest, import_
from secondme.exchange.recognize import recognize
from secondme.ingest.pipeline import ingest
from secondme.ingest.reindex import embed_missing, reindex
from secondme.memory.forgetting import Target
from secondme.memory.lock import FILE as LOCK_FILE
from secondme.memory.rekey import opener
from secondme.memory.store import Store
from secondme.paths import private_dir
from secondme.rotate import rotate
from secondme.runtime.echo import HashEmbedder
from secondme.types import FileStored, IngestDone, NewItem, Span
from secondme.wipe.everything import Places, wipe
from secondme.wipe.project import wipe_project
from tests.damaging import Place, pages, spoil
from tests.fault import items_in_slots, vectors_in_memory
from tests.fault.killing import Operation, Say
from tests.fault.workload import STORE, WITNESS, State, Step, after, do, held, open_store, plan, states, work
from tests.sealing_cartridges import coded, content, shelve
from tests.storing import put

SHORT = HashEmbedder(64)
LONG = HashEmbedder(96)
CHEAP = Work(memory_kib=19 * 1024, iterations=1, lanes=1)
PASSPHRASE = "correct horse"
CODES = (bytes(32), bytes([1]) * 32)
N_DOCS = 24


def looked_at(root: Path) -> State:
    """What the store holds, after a check of every record in it."""
    store = open_store(root)
    try:
        return _sound(store)
    finally:
        store.close()


def _sound(store: Store) -> State:
    bad = [f"{c.name}: {c.detail}" for c in store.check(read_data=True) if c.status == "failed"]
    assert not bad, bad
    return held(store)


def _doc(n: int) -> str:
    return f"# Note {n}\n\n" + f"Something about number {n}, which nobody must lose. " * (1 + n * 7 % 40)


def _write_docs(root: Path) -> None:
    (root / "docs").mkdir(parents=True)
    for n in range(N_DOCS):
        (root / "docs" / f"{n:02}.md").write_text(_doc(n))


def _texts(state: State) -> dict[str, str]:
    return {Path(path).name: "".join(texts) for path, texts in state.files.items()}


ALL_DOCS = {f"{n:02}.md": _doc(n) for n in range(N_DOCS)}


# Steps of every kind ------------------------------------------------------------------------------------------

STEPS = plan(7, 60)


def _steps(root: Path, say: Say) -> None:
    now = held_now(root)
    start = max(i for i, state in enumerate(states(STEPS)) if state == now)
    for n_done in work(root, STEPS, start):
        say(f"{n_done}")


def held_now(root: Path) -> State:
    store = open_store(root)
    try:
        return held(store)
    finally:
        store.close()


def _verify_steps(root: Path, said: list[str], ended: bool) -> None:
    n_said = len(STEPS) if ended else int(said[-1]) if said else 0
    assert looked_at(root) in states(STEPS)[n_said:], f"not as after step {n_said} or a later one"


# Ingest --------------------------------------------------------------------------------------------------------


def _ingest(root: Path, say: Say) -> None:
    store = open_store(root)
    for event in ingest([root / "docs"], store, SHORT):
        if isinstance(event, FileStored):
            say(Path(event.path).name)
    store.close()


def _verify_ingest(root: Path, said: list[str], ended: bool) -> None:
    found = _texts(looked_at(root))
    assert found.items() <= ALL_DOCS.items(), "a file is not as it was written"
    assert set(said) <= found.keys(), f"lost: {sorted(set(said) - found.keys())}"
    assert not ended or found == ALL_DOCS


# Reindexing ----------------------------------------------------------------------------------------------------


def _with_docs(root: Path) -> None:
    _write_docs(root)
    _ingest(root, lambda text: None)


def _reindex(root: Path, say: Say) -> None:
    store = open_store(root)
    for event in reindex(store, LONG):
        if isinstance(event, IngestDone):
            say("done")
    store.close()


def _verify_reindex(root: Path, said: list[str], ended: bool) -> None:
    store = open_store(root)
    assert _texts(_sound(store)) == ALL_DOCS
    now = LONG if store.embedder() == (LONG.fingerprint, LONG.n_dims) else SHORT
    assert store.embedder() == (now.fingerprint, now.n_dims)
    assert now is LONG or not (said or ended)
    ((chunk, score), *_) = store.search_vectors(now.embed([_doc(7)])[0], 1, None)
    assert store.chunks([chunk])[0].path.endswith("07.md") and score > 0.8
    store.close()


# Export and import ---------------------------------------------------------------------------------------------


def _with_talk(root: Path) -> None:
    _with_docs(root)
    store = open_store(root)
    for step in (Step("talk", "t"), Step("turn", "t", ("a question",)), Step("learn", "an item", ("t",))):
        do(store, step)
    store.close()


def _export(root: Path, say: Say) -> None:
    store = open_store(root)
    for event in export(store, root / "out.tar", ExportOptions(passphrase=None, replace=True)):
        if isinstance(event, ExportDone):
            say("done")
    store.close()


def _verify_export(root: Path, said: list[str], ended: bool) -> None:
    state = looked_at(root)
    assert _texts(state) == ALL_DOCS and state.talks == {"t": ("a question",)} and state.items == {"an item": "t"}
    if not (root / "out.tar").exists():
        assert not (said or ended)
        return
    other = open_store(root / "other")
    list(import_(other, ImportRequest(recognize(root / "out.tar"), "default", dry_run=True)))
    list(import_(other, ImportRequest(recognize(root / "out.tar"), "default")))
    assert _sound(other) == state
    other.close()
    if ended:
        assert {p.name for p in root.iterdir()} == {"data", "docs", "other", "out.tar", "state"}


def _with_bundle(root: Path) -> None:
    _with_talk(root / "first")
    _export(root / "first", lambda text: None)
    (root / "first" / "out.tar").rename(root / "in.tar")
    (root / "docs").mkdir()
    (root / "docs" / "own.md").write_text("an own text")
    _ingest(root, lambda text: None)


def _import(root: Path, say: Say) -> None:
    store = open_store(root)
    for event in import_(store, ImportRequest(recognize(root / "in.tar"), "default")):
        if isinstance(event, ImportDone):
            say("done")
    for _ in embed_missing(store, SHORT):
        pass
    say("found by meaning")
    store.close()


def _verify_import(root: Path, said: list[str], ended: bool) -> None:
    own = {"own.md": "an own text"}
    store = open_store(root)
    found = _sound(store)
    if _texts(found) == own:
        assert not (said or ended or found.talks or found.items), "an import is all or nothing"
    else:
        assert _texts(found) == own | ALL_DOCS and found.talks == {"t": ("a question",)}
        assert found.items == {"an item": "t"}
        assert store.n_unembedded() == 0 or "found by meaning" not in said
    store.close()


# Forgetting ----------------------------------------------------------------------------------------------------

BEGIN = (
    Step("put", "/a", ("apple pie", "apple juice")),
    Step("put", "/b", ("plum cake",)),
    Step("talk", "t"),
    Step("turn", "t", ("a question",)),
    Step("learn", "an item", ("t",)),
    Step("learn", "another item"),
    Step("talk", "u"),
)


def _with_things(root: Path) -> None:
    store = open_store(root)
    for step in BEGIN:
        do(store, step)
    store.close()


def _begun() -> State:
    state = State()
    for step in BEGIN:
        state = after(state, step)
    return state


def _forget(root: Path, say: Say) -> None:
    store = open_store(root)
    talks = tuple(c.id for c in store.conversations() if c.title == "t")
    store.forget(Target(paths=(("default", "/a"),), conversations=talks))
    say("done")
    store.close()


def _verify_forget(root: Path, said: list[str], ended: bool) -> None:
    store = open_store(root)
    found = _sound(store)
    left = after(after(_begun(), Step("remove", "/a")), Step("end talk", "t"))
    assert found in (left, _begun()), "forgetting is all or nothing"
    assert found == left or not (said or ended)
    assert store.tombstones().hides_path("default", "/a") == (found == left)
    store.close()
    assert not (root / STORE).with_name("store.db-wal").exists()


# Keys ----------------------------------------------------------------------------------------------------------


def _with_keys(root: Path) -> None:
    folder = private_dir((root / STORE).parent)
    keys = unlock.unlock(folder, passphrase=PASSPHRASE, work=CHEAP)
    manage.add_recovery(keys, CODES[0])
    store = Store.open(root / STORE, keys.store, root / WITNESS)
    for step in BEGIN:
        do(store, step)
    store.close()
    keys.erase()


def _keys(root: Path, code: bytes) -> Keys | None:
    """The keys by this recovery code, if it opens them; an interrupted rotation is settled."""
    try:
        return unlock.unlock((root / STORE).parent, passphrase=recovery.spell(code), opens=opener(root / STORE))
    except WrongPassphrase:
        return None


def _rotate(root: Path, say: Say) -> None:
    keys = _keys(root, CODES[0])
    if keys is None:
        return
    renewal = manage.prepare(keys, passphrase=PASSPHRASE, code=CODES[1], work=CHEAP)
    rotate(root / STORE, keys, renewal, root / WITNESS)
    say("done")


def _new_code(root: Path, say: Say) -> None:
    keys = _keys(root, CODES[0])
    if keys is None:
        return
    manage.add_recovery(keys, CODES[1])
    say("done")


def _verify_keys(root: Path, said: list[str], ended: bool) -> None:
    ways = [keys for keys in (_keys(root, code) for code in CODES) if keys is not None]
    assert len(ways) == 1, f"{len(ways)} of the two codes open the keys"
    if said or ended:
        assert _keys(root, CODES[0]) is None, "the earlier code still opens the keys"
    store = Store.open(root / STORE, ways[0].store, root / WITNESS)
    assert _sound(store) == _begun()
    store.close()


def _first_use(root: Path, say: Say) -> None:
    folder = private_dir((root / STORE).parent)
    keys = unlock.unlock(folder, passphrase=PASSPHRASE, work=CHEAP)
    store = Store.open(root / STORE, keys.store, root / WITNESS)
    for n in range(held(store).n_notes, 4):
        do(store, Step("note"))
        say(f"{n + 1}")
    store.close()


def _verify_first_use(root: Path, said: list[str], ended: bool) -> None:
    n_said = 4 if ended else int(said[-1]) if said else 0
    keys = unlock.unlock(private_dir((root / STORE).parent), passphrase=PASSPHRASE, work=CHEAP)
    store = Store.open(root / STORE, keys.store, root / WITNESS)
    assert n_said <= _sound(store).n_notes <= 4
    store.close()


# Repair --------------------------------------------------------------------------------------------------------


def _place(root: Path) -> Place:
    return Place(root / STORE, root / WITNESS)


def _spoiled(root: Path) -> None:
    """A store with a page of text that cannot be read, and what a repair saves of it."""
    _with_docs(root)
    spoil(_place(root), pages(_place(root))["chunk"][-1])
    _expect(root)


def _unvouched(root: Path) -> None:
    _with_docs(root)
    (root / STORE).with_name("store.db-watermark").unlink()
    _expect(root)


def _expect(root: Path) -> None:
    """Keep what a repair that nobody disturbs leaves in the store."""
    copy = root / "copy"
    _place(root).copy(copy)
    private_dir((copy / WITNESS).parent)
    (copy / "witness").rename(copy / WITNESS)
    _place(copy).repair()
    (root / "expected").write_text(json.dumps(_texts(looked_at(copy))))
    shutil.rmtree(copy)


def _repair(root: Path, say: Say) -> None:
    _place(root).repair()
    say("done")


def _verify_repair(root: Path, said: list[str], ended: bool) -> None:
    expected = json.loads((root / "expected").read_text())
    assert len(expected) > N_DOCS / 2
    store = None
    with suppress(SecondMeError):
        store = open_store(root)
    if store is None or any(c.status == "failed" for c in store.check(read_data=True)):
        assert not (said or ended)
    else:
        assert _texts(held(store)) == expected
    if store is not None:
        store.close()


# Wiping --------------------------------------------------------------------------------------------------------


def _with_cartridges(root: Path) -> None:
    _with_keys(root)
    keys, store = _opened(root)
    for source in store.sources():
        assert shelve(Shelf(store, keys), store, source.id) is not None
    store.close()


def _wipe(root: Path, say: Say) -> None:
    places = Places((root / STORE).parent, (root / WITNESS).parent)
    keys = None
    # Without a key file, opening would begin a new memory.
    if (places.data / keyslots.FILE).exists():
        with suppress(StoreError):
            # An interrupted wipe left a mark, by which nothing is opened.
            keys = _keys(root, CODES[0])
    for event in wipe(places, keys):
        if isinstance(event, Destroyed):
            if event.done:
                say(event.what)
        elif event.is_complete:
            say("done")


def _verify_wipe(root: Path, said: list[str], ended: bool) -> None:
    folder = (root / STORE).parent
    for path in (Path(what) for what in said if what.startswith("/")):
        assert not path.is_file() or not path.read_bytes().strip(b"\0"), path
    if wiping.has_begun(folder):
        # Nor was it "done", unless this is one that began after the first had ended.
        assert not ended
        assert "done" not in said or {path.name for path in folder.iterdir()} <= {wiping.FILE, LOCK_FILE}
        try:
            _keys(root, CODES[0])
            raise AssertionError("a memory that is being wiped was opened")
        except StoreError:
            return
    left = [path for place in (folder, root / "state") for path in place.rglob("*") if path.is_file()]
    assert not (ended and (folder / "cartridges").exists())
    if any(path.stat().st_size for path in left):
        assert not (said or ended), left
        _verify_keys(root, [], False)
    else:
        # Empty files stay where they could not be deleted; a second wipe can.
        assert not (left and ended)
        for path in left:
            path.unlink()
        # Nothing of the old memory stands in the way of a new one.
        _with_keys(root)
        _verify_keys(root, [], False)


def _with_project(root: Path) -> None:
    _with_keys(root)
    keys, store = _opened(root)
    w = put(store, "/w", ["the text of a project"], project="work")
    (passage,) = store.source_chunks(w)
    store.add_item(NewItem("semantic", "of the project", project="work", spans=(Span("passage", passage.id, 0, 3),)))
    (b,) = (s.id for s in store.sources() if s.path == "/b")
    for source_id in (w, b):
        assert shelve(Shelf(store, keys), store, source_id, seed=source_id) is not None
    store.close()


def _opened(root: Path) -> tuple[Keys, Store]:
    keys = _keys(root, CODES[0])
    assert keys is not None
    return keys, Store.open(root / STORE, keys.store, root / WITNESS)


def _wipe_project(root: Path, say: Say) -> None:
    keys, store = _opened(root)
    with suppress(UsageError):
        # There is no such project any more, if the first attempt came to its end.
        wipe_project(store, keys, "work")
        say("done")
    store.close()


def _verify_project(root: Path, said: list[str], ended: bool) -> None:
    keys, store = _opened(root)
    found = _sound(store)
    n_keys = sum(use.startswith("project:") for use in keys.file.keys)
    shelf = Shelf(store, keys)
    rows = {row.path: row for row in store.cartridges()}
    assert set((root / STORE).parent.glob("cartridges/*/*")) == {shelf.path(row) for row in rows.values()}
    with shelf.open(rows.pop("/b")) as reader:
        reader.verify()
    assert set(rows) == {"/w"} & found.files.keys()
    if "/w" in found.files:
        assert not (said or ended)
        whole = after(_begun(), Step("put", "/w", ("the text of a project",)))
        assert found == after(whole, Step("learn", "of the project"))
    else:
        assert found == _begun() and n_keys == 1 and store.project_uid("work") is None
    store.close()


# Cartridges ----------------------------------------------------------------------------------------------------

CARTRIDGE_OF = ("/a", "/b")
LARGEST = 9


def _shelve(root: Path, say: Say) -> None:
    """Give each file one cartridge after another in the place of the earlier one, as a build with checkpoints does."""
    keys, store = _opened(root)
    shelf = Shelf(store, keys)
    for n_tokens in range(1, LARGEST + 1):
        for path in CARTRIDGE_OF:
            source = store.source("default", path)
            assert source is not None
            row = store.cartridge(source.id)
            if row is None or row.n_tokens < n_tokens:
                tokens = range(n_tokens)
                assert shelve(shelf, store, source.id, tokens=tokens, seed=n_tokens) is not None
                say(f"{path} {n_tokens}")
    shelf.close()
    store.close()


def _verify_cartridges(root: Path, said: list[str], ended: bool) -> None:
    """Each file has the one that was acknowledged last, or the next; it is whole, and nothing lies beside it."""
    keys, store = _opened(root)
    shelf = Shelf(store, keys)
    assert _sound(store) == _begun()
    rows = {row.path: row for row in store.cartridges()}
    for path in CARTRIDGE_OF:
        acknowledged = LARGEST if ended else max((int(s.split()[1]) for s in said if s.startswith(path)), default=0)
        if path not in rows:
            assert not acknowledged, "a cartridge is lost"
            continue
        row = rows[path]
        assert acknowledged <= row.n_tokens <= acknowledged + 1
        with shelf.open(row) as reader:
            assert content(reader) == coded(range(row.n_tokens), row.n_tokens)
    files = set((root / STORE).parent.glob("cartridges/*/*"))
    assert files == {shelf.path(row) for row in rows.values()}
    shelf.close()
    store.close()


OPERATIONS = {
    "steps": Operation(lambda root: root.mkdir(exist_ok=True), _steps, _verify_steps),
    "first use": Operation(lambda root: root.mkdir(exist_ok=True), _first_use, _verify_first_use),
    "ingest": Operation(_write_docs, _ingest, _verify_ingest),
    "reindex": Operation(_with_docs, _reindex, _verify_reindex),
    "export": Operation(_with_talk, _export, _verify_export),
    "import": Operation(_with_bundle, _import, _verify_import),
    "forget": Operation(_with_things, _forget, _verify_forget),
    "rekey": Operation(_with_keys, _rotate, _verify_keys),
    "repair": Operation(_spoiled, _repair, _verify_repair),
    "repair in place": Operation(_unvouched, _repair, _verify_repair),
    "wipe": Operation(_with_cartridges, _wipe, _verify_wipe),
    "wipe a project": Operation(_with_project, _wipe_project, _verify_project),
    "vectors in memory": Operation(vectors_in_memory.lay_out, vectors_in_memory.act, vectors_in_memory.verify),
    "items in slots": Operation(items_in_slots.lay_out, items_in_slots.act, items_in_slots.verify),
    "cartridges": Operation(_with_keys, _shelve, _verify_cartridges),
    "new recovery code": Operation(_with_keys, _new_code, _verify_keys),
}
