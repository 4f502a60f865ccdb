"""Exports that were damaged, cut, put together by somebody else, or written by a later version: all are refused."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondme.crypto.age import AgeWriter
from secondme.errors import CorruptRecord, SchemaTooNew, SecondMeError, UnsupportedFormat, WrongPassphrase
from secondme.exchange import canonical, tarball
from secondme.memory.portable import PortableEdge
from secondme.memory.store import Store
from secondme.types import NewItem, Span, WatchedFolder
from tests.exchanging import exported, imported, members, packed, signed, tar_of
from tests.fault.soak import n
from tests.storing import KEY, citation_of, put

Parts = dict[str, bytes]
Record = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain export of a small memory that has something of everything."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store.open(folder / "store.db", KEY)
    put(store, "/notes/a.txt", ["one ", "two"])
    put(store, "/notes/b.txt", ["three"], project="work")
    store.add_folder(WatchedFolder("/notes", "default", True, 1.5))
    conversation = store.new_conversation("default", "A talk")
    asked = store.add_turn(conversation, "user", "what?", (), speaker="Ann")
    said, here = Span("turn", asked, 0, 5), Span("passage", 1, 1, 4)
    first = store.add_item(NewItem("semantic", "One.", slot="a|b", spans=(said, here), valid_from=1.5))
    second = store.add_item(NewItem("semantic", "Two.", slot="a|b", spans=(said,), valid_from=2.5, valid_to=3.5))
    store.link_items(second.id, first.id, "contradicts", 0.5)
    cited = replace(citation_of(chunk_id=0), kind="item", item_id=first.id, at=1.5)
    store.add_turn(conversation, "assistant", "this [1]", (citation_of(chunk_id=1), cited))
    with store.arriving("test") as arrivals:
        arrivals.add_edge(PortableEdge(bytes(16), bytes(16), "links_to", 2.5))
    path = folder / "export.tar"
    exported(store, path)
    store.close()
    return path


@pytest.fixture
def refuses(store: Store, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """A function that imports some bytes and expects an error; in the end nothing of them may be in the store."""
    path = tmp_path / "changed.tar"

    def check(data: bytes, error: type[SecondMeError] = CorruptRecord, passphrase: str | None = None) -> None:
        path.write_bytes(data)
        with pytest.raises(error) as raised:
            imported(store, path, passphrase=passphrase)
        assert raised.value.hint

    n_steps = len(store.log())
    yield check
    assert len(store.log()) == n_steps
    assert (store.sources(), store.conversations(), store.folders(), store.items()) == ([], [], [], [])


def test_it_is_what_any_tar_program_makes_of_it(bundle: Path, store: Store) -> None:
    with tarfile.open(bundle) as tar:
        infos = tar.getmembers()
    assert infos[0].name == "manifest.json"
    assert {(i.mtime, i.uid, i.gid, i.uname, i.mode, i.isreg()) for i in infos} == {(0, 0, 0, "", 0o600, True)}
    assert tar_of(members(bundle)) == bundle.read_bytes() == packed(members(bundle))
    done = imported(store, bundle)
    assert (done.new.n_files, done.new.n_conversations, done.new.n_turns, done.new.n_links) == (2, 1, 2, 2)
    (conversation,) = store.conversations()
    assert [(c.chunk_id, c.item_id) for t in store.turns(conversation.id) for c in t.citations] == [(1, 0), (0, 1)]
    assert [t.speaker for t in store.turns(conversation.id)] == ["Ann", ""]
    # The part that goes on after an interruption is one of its own.
    assert done.new.n_items == 3
    assert [(i.text, i.valid_from, i.valid_to) for i in reversed(store.items())] == [
        ("One.", 1.5, 2.5),
        ("Two.", 2.5, 3.5),
        ("One.", 3.5, None),
    ]
    assert {c.status for c in store.check(read_data=True)} <= {"ok", "warning"}


def test_no_local_id_is_in_it(bundle: Path) -> None:
    for name in ("sources", "memories", "conversations", "items", "edges"):
        for line in members(bundle)[f"{name}.jsonl"].splitlines():
            assert not any(key == "id" or key.endswith("_id") for key in _keys(canonical.loads(line)))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


# Damage ----------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_plain_export_is_found(bundle: Path, refuses: Callable[..., None]) -> None:
    whole = bundle.read_bytes()
    chance = random.Random(1)
    for _ in range(n(150, 10_000)):
        refuses(_flipped(whole, chance), SecondMeError)


def test_every_flipped_bit_of_a_sealed_export_is_found(bundle: Path, refuses: Callable[..., None]) -> None:
    whole = _sealed(bundle.read_bytes())
    chance = random.Random(2)
    for _ in range(n(150, 10_000)):
        refuses(_flipped(whole, chance), SecondMeError, "pass")


def test_every_cut_is_found(bundle: Path, refuses: Callable[..., None]) -> None:
    chance = random.Random(3)
    for whole, passphrase in ((bundle.read_bytes(), None), (_sealed(bundle.read_bytes()), "pass")):
        for _ in range(n(30, 2_000)):
            refuses(whole[: chance.randrange(len(whole))], SecondMeError, passphrase)
        for added in (b"\0", bytes(512), b"more"):
            refuses(whole + added, CorruptRecord, passphrase)


def test_a_sealed_export_comes_back_with_its_passphrase_only(bundle: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "export.age"
    path.write_bytes(_sealed(bundle.read_bytes()))
    with pytest.raises(WrongPassphrase):
        imported(store, path, passphrase="other")
    assert imported(store, path, passphrase="pass").new.n_files == 2


def _flipped(whole: bytes, chance: random.Random) -> bytes:
    changed = bytearray(whole)
    changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _sealed(data: bytes) -> bytes:
    file = io.BytesIO()
    writer = AgeWriter(file, "pass", log_n=2)
    writer.write(data)
    writer.finish()
    return file.getvalue()


# Hostile tars ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../up.md",
        "markdown/../x.md",
        "markdown/sources/x.md",
        "more.jsonl",
        "sources.jsonl/",
        "manifest.json",
    ],
)
def test_other_names_are_refused(bundle: Path, refuses: Callable[..., None], name: str) -> None:
    parts = members(bundle)
    others = {k: v for k, v in parts.items() if k != "manifest.json"}
    refuses(packed({**parts, name: b"x"}) if name not in parts else tar_of(parts)[:-1024] + tar_of({name: b"x"}))
    refuses(tar_of({"manifest.json": parts["manifest.json"], name + "x": b"x", **others}))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_folders_and_devices_are_refused(bundle: Path, refuses: Callable[..., None], kind: bytes) -> None:
    whole = bundle.read_bytes()
    info = tarfile.TarInfo("markdown/sources/x-0123456789abcdef.md")
    info.type, info.linkname, info.mode = kind, "/etc/passwd", 0o600
    refuses(whole[: -len(tarball.END)] + info.tobuf(tarfile.GNU_FORMAT) + tarball.END)


def test_a_member_that_comes_twice_is_refused(bundle: Path, refuses: Callable[..., None]) -> None:
    parts = members(bundle)
    name = next(k for k in parts if k.startswith("markdown/"))
    refuses(tar_of(parts)[: -len(tarball.END)] + tar_of({name: parts[name]}))


def test_parts_in_another_order_or_missing_are_refused(bundle: Path, refuses: Callable[..., None]) -> None:
    parts = members(bundle)
    names = list(parts)
    refuses(packed({k: parts[k] for k in [names[0], *reversed(names[1:])]}))
    for name in names:
        refuses(
            tar_of({k: v for k, v in parts.items() if k != name}),
            UnsupportedFormat if name == "manifest.json" else CorruptRecord,
        )
        if name != "manifest.json" and not name.startswith("markdown/"):
            refuses(packed({k: v for k, v in parts.items() if k != name}))
    refuses(tarball.END, UnsupportedFormat)


def test_an_endless_line_is_refused_without_holding_it(
    bundle: Path, refuses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.exchange.bundle.MAX_LINE", 1000)
    refuses(packed({**members(bundle), "sources.jsonl": b"[" * 3_000_000}))
    refuses(packed({**members(bundle), "sources.jsonl": b"{}"}))  # no end of line


def test_a_manifest_of_any_size_is_not_read(
    bundle: Path, refuses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondme.exchange.bundle.MAX_MANIFEST", 100)
    refuses(bundle.read_bytes())


# Hostile content -------------------------------------------------------------------------------------------------


def test_a_later_version_is_told_as_such(bundle: Path, refuses: Callable[..., None]) -> None:
    refuses(packed(members(bundle), schema="secondme-export/3"), SchemaTooNew)


def test_a_manifest_that_promises_something_else_is_refused(bundle: Path, refuses: Callable[..., None]) -> None:
    parts = members(bundle)
    record = canonical.loads(parts["manifest.json"][:-1])
    for name in record["counts"]:
        refuses(packed(parts, counts=record["counts"] | {name: record["counts"][name] + 1}))
        refuses(packed(parts, counts={n: c for n, c in record["counts"].items() if n != name}))
    refuses(packed(parts, schema="secondme-export/1"))
    for change in ({"more": 1}, {"created_at": "now"}, {"created_at": "2026-01-01T00:00:00Z\n"}, {"store": "00"}):
        refuses(packed(parts, **change))
    entry = record["members"]["edges.jsonl"]
    for wrong in ({"bytes": entry["bytes"] + 1}, {"sha256": "0" * 64}):
        promised = record["members"] | {"edges.jsonl": entry | wrong}
        refuses(tar_of(parts | {"manifest.json": signed(record | {"members": promised})}))
    refuses(tar_of(parts | {"manifest.json": parts["manifest.json"][:-1]}))
    refuses(tar_of(parts | {"manifest.json": parts["manifest.json"].replace(b'":', b'": ', 1)}))
    refuses(tar_of(parts | {"manifest.json": b'{"schema":"secondme-export/1"}\n'}))


def _first(**change: Any) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [records[0] | change, *records[1:]]


def _last(**change: Any) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [*records[:-1], records[-1] | change]


def _without(index: int) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [r for i, r in enumerate(records) if i != index % len(records)]


def _twice(index: int) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [*records, records[index]]


def _cited(index: int = -1, without: str = "", **change: Any) -> Callable[[list[Record]], list[Record]]:
    """Change one of the last turn's citations."""

    def changed(records: list[Record]) -> list[Record]:
        citations = list(records[-1]["citations"])
        citations[index] = {k: v for k, v in (citations[index] | change).items() if k != without}
        return [*records[:-1], records[-1] | {"citations": citations}]

    return changed


def _spans(**change: Any) -> Callable[[list[Record]], list[Record]]:
    """Change the last place of the first item, which is in a turn."""
    return lambda r: [r[0] | {"spans": [*r[0]["spans"][:-1], r[0]["spans"][-1] | change]}, *r[1:]]


CHANGES: dict[str, tuple[str, Callable[[list[Record]], list[Record]]]] = {
    "a file twice": ("sources", _twice(-1)),
    "a project twice": ("sources", lambda r: [r[0], r[0] | {"uid": "1" * 32}, *r[1:]]),
    "a file's place twice": ("sources", lambda r: [*r, r[-1] | {"uid": "1" * 32, "n_passages": 0}]),
    "a file less": ("sources", _without(-1)),
    "passages that are not there": ("sources", _last(n_passages=7)),
    "left out and yet with passages": ("sources", _last(skip_reason="because")),
    "a trust that is none": ("sources", _last(trust="god")),
    "an inode that no database holds": ("sources", _last(inode=2**64)),
    "a number that is a word": ("sources", _last(size_bytes="1")),
    "a truth for a number": ("sources", _last(size_bytes=True)),
    "an origin that is no object": ("sources", _last(origin=[1])),
    "an origin that goes deep": ("sources", _last(origin={"from": "x", "deep": {"deeper": 1}})),
    "a passage less": ("memories", _without(0)),
    "a passage twice": ("memories", _twice(0)),
    "passages in another order": ("memories", lambda r: [r[1], r[0], *r[2:]]),
    "passages apart from their file": ("memories", lambda r: [r[0], r[2], r[1]]),
    "another text": ("memories", _first(text="other")),
    "another uid": ("memories", _first(uid="1" * 32)),
    "a file that is not there": ("memories", _first(source="1" * 32)),
    "another trust than the file's": ("memories", _first(trust="owner")),
    "another file's place": ("memories", lambda r: [r[0] | {"provenance": r[2]["provenance"]}, *r[1:]]),
    "an ordinal below nothing": ("memories", _first(ordinal=-1)),
    "a field too much": ("memories", _first(more=1)),
    "a turn less": ("conversations", _without(-1)),
    "a turn twice": ("conversations", _twice(-1)),
    "a turn before its conversation": ("conversations", lambda r: [r[1], r[0], r[2]]),
    "a turn of another conversation": ("conversations", _last(conversation="1" * 32)),
    "a role that is none": ("conversations", _last(role="root")),
    "a passage that is not there": (
        "conversations",
        lambda r: [*r[:-1], r[-1] | {"citations": [r[-1]["citations"][0] | {"passage": "1" * 32}]}],
    ),
    "a link less": ("edges", _without(0)),
    "a link twice": ("edges", _twice(0)),
    "a link elsewhere": ("edges", _first(to="1" * 32)),
    "a link of no kind": ("edges", _last(kind="")),
    "a link between items of no kind": ("edges", _last(kind="part_of")),
    "a link with a time and a weight": ("edges", _last(at=1.5)),
    "a link to an item that is not there": ("edges", _last(to="1" * 32)),
    "a citation of no kind": ("conversations", _cited(kind="chunk")),
    "a citation that does not say of what": ("conversations", _cited(without="of")),
    "a citation that does not say when": ("conversations", _cited(without="at")),
    "a citation of two things": ("conversations", _cited(passage="1" * 32)),
    "a cited item that is not there": ("conversations", _cited(of="1" * 32)),
    "a passage with a time": ("conversations", _cited(0, at=1.5)),
    "a speaker without a name": ("conversations", _last(speaker="")),
    "an item less": ("items", _without(0)),
    "an item twice": ("items", _twice(0)),
    "a part before its item": ("items", lambda r: r[::-1]),
    "a kind of item that is none": ("items", _first(kind="resource")),
    "a state that is none": ("items", _first(state="core")),
    "a trust of an item that is none": ("items", _first(trust="god")),
    "a time that is a word": ("items", _first(valid_from="now")),
    "a beginning that is never": ("items", _first(valid_from=None)),
    "a turn that is not there": ("items", _spans(of="1" * 32)),
    "a passage in a turn's place": ("items", _spans(kind="passage")),
    "a place beyond the end": ("items", _spans(byte_end=6)),
    "a place that ends before it begins": ("items", _spans(byte_start=5, byte_end=4)),
    "places in another order": ("items", lambda r: [r[0] | {"spans": r[0]["spans"][::-1]}, *r[1:]]),
    "a place twice": ("items", lambda r: [r[0] | {"spans": r[0]["spans"] + r[0]["spans"][-1:]}, *r[1:]]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_records_that_do_not_fit_are_refused(bundle: Path, refuses: Callable[..., None], what: str) -> None:
    """With a manifest that vouches for them, as whoever changes a plain export would write it."""
    name, change = CHANGES[what]
    parts = members(bundle)
    manifest = canonical.loads(parts["manifest.json"][:-1])
    records = [canonical.loads(line) for line in parts[f"{name}.jsonl"].splitlines()]
    changed = change(records)
    assert changed != records
    counts = dict(manifest["counts"])
    if name != "sources":
        key = "turns" if name == "conversations" else name
        counts |= {key: counts[key] + len(changed) - len(records)}
    lines = b"".join(canonical.dumps(record) + b"\n" for record in changed)
    refuses(packed({**parts, f"{name}.jsonl": lines}, counts=counts))


@pytest.mark.parametrize(
    "line",
    [b"{", b"[" * 100_000, b'{"a":NaN}', b'{"a":1,"a":1}', b'{"b":1,"a":1}', b'{"a": 1}', b'"\xff"', b"", b"1e999"],
)
def test_lines_that_are_not_ours_are_refused(bundle: Path, refuses: Callable[..., None], line: bytes) -> None:
    parts = members(bundle)
    refuses(packed({**parts, "edges.jsonl": line + b"\n" + parts["edges.jsonl"]}))
