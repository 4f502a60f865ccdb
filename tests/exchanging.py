"""Generated memories, exports taken apart and put together again, and imports in one call."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import hypothesis.strategies as st

from secondme.exchange import canonical, tarball
from secondme.exchange.export import ExportDone, ExportOptions, export
from secondme.exchange.importing import ImportDone, ImportRequest, import_
from secondme.exchange.recognize import recognize
from secondme.memory.portable import PortableEdge
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from secondme.types import (
    Chunk,
    Citation,
    FileStamp,
    ItemKind,
    ItemState,
    LinkKind,
    NewItem,
    Role,
    SourceFile,
    Span,
    Trust,
    WatchedFolder,
)
from tests.storing import N_DIMS, unit_vectors

AWKWARD = (
    "", "\x00", "a\r\nb", "\u2028", '"\\u0041"', "\U0001f600", "\ud83d", "\udcff", "\ud83d\ude00", "e\u0301", "\ufeff",
    "\U000e0041", "[[x]]", "---\n", "\x1b[31m", "\uffff", "<b>",
)  # fmt: skip

text = st.one_of(st.sampled_from(AWKWARD), st.text(st.characters(exclude_categories=()), max_size=12))
numbers = st.floats(allow_nan=False, allow_infinity=False)


def texts(n: int) -> st.SearchStrategy[list[str]]:
    return st.lists(text, max_size=n)


def exported(store: Store, path: Path, passphrase: str | None = None) -> ExportDone:
    done = list(export(store, path, ExportOptions(passphrase, replace=True)))[-1]
    assert isinstance(done, ExportDone)
    return done


def imported(store: Store, path: Path, *, project: str = "default", **more: Any) -> ImportDone:
    request = ImportRequest(recognize(path), project, embedder=HashEmbedder(), **more)
    done = list(import_(store, request))[-1]
    assert isinstance(done, ImportDone)
    return done


def members(path: Path) -> dict[str, bytes]:
    """What is in a plain export, as any tar program sees it."""
    with tarfile.open(path) as tar:
        found = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        return {name: file.read() for name, file in found.items() if file is not None}


def content(path: Path) -> dict[str, bytes]:
    """All members but the manifest: what must be the same wherever the memory is."""
    return {name: data for name, data in members(path).items() if name != "manifest.json"}


def packed(parts: Mapping[str, bytes], **manifest: Any) -> bytes:
    """A plain export of these members, with a manifest that vouches for them; `manifest` changes its fields."""
    record = canonical.loads(parts["manifest.json"][:-1])
    others = {name: data for name, data in parts.items() if name != "manifest.json"}
    record["members"] = {n: {"bytes": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in others.items()}
    return tar_of({"manifest.json": signed(record | manifest), **others})


def signed(record: Mapping[str, Any]) -> bytes:
    """A manifest with the digest that fits it."""
    unsigned = {name: value for name, value in record.items() if name != "digest"}
    digest = hashlib.sha256(canonical.dumps(unsigned)).hexdigest()
    return canonical.dumps({**unsigned, "digest": digest}) + b"\n"


def tar_of(parts: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    for name, data in parts.items():
        out.write(tarball.header(name, len(data)) + data + tarball.padding(len(data)))
    return out.getvalue() + tarball.END


# Generated memories ----------------------------------------------------------------------------------------------


def _as_named(name: str) -> str:
    """A name as a system gives it: half characters may stand alone in one, but no two that make a whole."""
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


names = text.map(_as_named)


def fill(store: Store, data: st.DataObject) -> None:
    """Put files, folders, conversations with citations, what was learned, and links into an empty store."""
    store.set_embedder("test", N_DIMS)
    projects = data.draw(st.lists(names, min_size=1, max_size=2, unique=True), "projects")
    for _ in range(data.draw(st.integers(0, 4), "files")):
        _put_file(store, data, data.draw(st.sampled_from(projects)))
    if data.draw(st.booleans(), "folder"):
        store.add_folder(WatchedFolder(data.draw(names), projects[0], data.draw(st.booleans()), data.draw(numbers)))
    for _ in range(data.draw(st.integers(0, 2), "conversations")):
        _talk(store, data, data.draw(st.sampled_from(projects)))
    _learn(store, data, projects)
    with store.arriving("test") as arrivals:
        for _ in range(data.draw(st.integers(0, 2), "links")):
            uids = [data.draw(st.binary(min_size=16, max_size=16)) for _ in range(2)]
            arrivals.add_edge(PortableEdge(uids[0], uids[1], data.draw(st.sampled_from(["links_to", "é"])), 1.5))


def _put_file(store: Store, data: st.DataObject, project: str) -> None:
    stamp = FileStamp(
        data.draw(st.integers(0, 2**63 - 1)),
        data.draw(st.integers(-(2**63), 2**63 - 1)),
        data.draw(st.integers(0, 2**64 - 1)),
    )
    source = SourceFile(
        path=data.draw(names, "path"),
        project=project,
        media_type=data.draw(text),
        title=data.draw(text, "title"),
        content_hash=data.draw(st.sampled_from([b"", bytes(32), b"\xff" * 32])),
        stamp=stamp,
        trust=data.draw(st.sampled_from(Trust)),
    )
    if data.draw(st.booleans(), "skipped"):
        store.put_skip(source, data.draw(text))
        return
    chunks = [
        Chunk(i, t, i, i + 1, i, i, data.draw(st.none() | st.integers(0, 9)), tuple(data.draw(texts(2), "headings")))
        for i, t in enumerate(data.draw(texts(4), "passages"))
    ]
    store.put_source(source, chunks, unit_vectors(len(chunks)))


def _talk(store: Store, data: st.DataObject, project: str) -> None:
    conversation = store.new_conversation(project, data.draw(text, "title"))
    roles: list[Role] = ["user", "assistant", "system"]
    for _ in range(data.draw(st.integers(0, 3), "turns")):
        cited = [_citation(data, project) for _ in range(data.draw(st.integers(0, 2), "citations"))]
        speaker = data.draw(text, "speaker")
        store.add_turn(conversation, data.draw(st.sampled_from(roles)), data.draw(text, "turn"), cited, speaker=speaker)


def _citation(data: st.DataObject, project: str) -> Citation:
    return Citation(
        n=data.draw(st.integers(0, 9)),
        chunk_id=data.draw(st.integers(0, 8), "chunk"),  # some of them exist
        path=data.draw(text),
        title=data.draw(text),
        project=project,
        page=data.draw(st.none() | st.integers(0, 2**40)),
        line_start=1,
        line_end=2,
        byte_start=0,
        byte_end=data.draw(st.integers(0, 2**63 - 1)),
        heading_path=tuple(data.draw(texts(2))),
        text=data.draw(text),
        quote=data.draw(text),
        quote_start=0,
        quote_end=1,
        quote_line=1,
        score=data.draw(numbers),
        marked=data.draw(st.booleans()),
        **data.draw(_other),
    )


# A citation of a turn or of an item; some of them exist.
_other: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"kind": st.just("turn"), "turn_id": st.integers(0, 6), "at": numbers}),
    st.fixed_dictionaries({"kind": st.just("item"), "item_id": st.integers(0, 6), "at": numbers}),
)


def _learn(store: Store, data: st.DataObject, projects: list[str]) -> None:
    """Items of few slots and times, so that they close and interrupt one another, with places and links."""
    now = time.time()
    for _ in range(data.draw(st.integers(0, 6), "items")):
        start = data.draw(st.none() | st.sampled_from([now, 1.5, 2.5, 3.5]), "from")
        ends = st.none() if start is None else st.none() | st.sampled_from([start, start + 1, start + 5])
        new = NewItem(
            kind=data.draw(st.sampled_from(get_args(ItemKind))),
            text=data.draw(text, "item"),
            project=data.draw(st.sampled_from(projects)),
            subject=data.draw(text),
            attribute=data.draw(text),
            value=data.draw(text),
            slot=data.draw(st.sampled_from(["", "owner|city", "\udcff"]), "slot"),
            trust=data.draw(st.sampled_from(Trust)),
            made_by=data.draw(st.sampled_from(["owner", "rule:r/1"])),
            state=data.draw(st.sampled_from(["active", "active", *get_args(ItemState)]), "state"),
            valid_from=start,
            valid_to=data.draw(ends, "to"),
            strength_days=data.draw(st.sampled_from([30.0, 0.5])),
            spans=tuple(data.draw(_spans(store), "spans")),
        )
        store.add_item(new, actor=new.made_by)
    items = [item.id for item in store.items(states=None)]
    for i in data.draw(st.lists(st.sampled_from(items), max_size=2), "used") if items else ():
        store.use_items([i], at=now + 5)
        store.rate_item(i, data.draw(st.booleans()))
        kind = data.draw(st.sampled_from(get_args(LinkKind)), "link")
        store.link_items(i, data.draw(st.sampled_from(items)), kind, data.draw(numbers))


def _spans(store: Store) -> st.SearchStrategy[list[Span]]:
    """Places in turns and passages that are there."""
    turns = [("turn", t.id, t.text) for c in store.conversations() for t in store.turns(c.id)]
    passages = [("passage", c.id, c.chunk.text) for s in store.sources() for c in store.source_chunks(s.id)]
    places = [Span(kind, i, 0, len(t.encode("utf-8", "surrogatepass"))) for kind, i, t in (*turns, *passages)]  # type: ignore[arg-type]
    return st.lists(st.sampled_from(places), max_size=2) if places else st.just([])
