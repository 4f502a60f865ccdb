"""Verifies a store, every byte of it: what `secondme doctor --read-data` says, item by item."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, IntegrityError
from secondme.memory import lenient
from secondme.memory.failures import store_errors
from secondme.memory.history import read_history
from secondme.memory.oplog import Head
from secondme.memory.survey import BadItem, BadSource, Survey, survey
from secondme.types import Check

REPAIR = "run: secondme memory repair"
REINDEX = "run: secondme memory reindex"

_LISTED = 20
_TABLES = {
    "cartridge": "the list of cartridges",
    "chunk": "the texts of the files",
    "conversation": "the list of conversations",
    "edge": "the links between memories",
    "folder": "the list of followed folders",
    "item": "what was learned",
    "item_link": "the links between what was learned",
    "item_span": "where it was learned from",
    "item_word": "the word index",
    "migration": "the record of the schema",
    "op": "the operation log",
    "op_subject": "the operation log",
    "project": "the list of projects",
    "setting": "the store's settings",
    "source": "the list of files",
    "sqlite_schema": "the store's table of contents",
    "sqlite_sequence": "the count of ids",
    "tombstone": "the list of what was forgotten",
    "turn": "the turns of conversations",
    "turn_token": "what turns are searched by",
    "turn_trace": "what turns are searched by",
    "turn_untraced": "what turns are searched by",
    "turn_word": "the word index",
    "vector": "the vectors",
    "word": "the word index",
}
_FAULTS = {
    "lost": "is missing, although it was stored",
    "changed": "is not what was stored",
    "unreadable": "cannot be read",
}


def read_data(path: Path, keys: StoreKeys, witness: Path | None = None) -> Iterator[Check]:
    """Read everything in the store at `path` and yield what was found; damage is a line and raises nothing.

    The caller holds the folder's lock. Raises StoreLocked, StoreFull or StoreError if it cannot be looked at.
    """
    try:
        with lenient.opened(path, keys, witness) as damaged:
            detail = f"chacha20, schema version {damaged.version}, SQLite {apsw.sqlite_lib_version()}"
            yield Check("store", "ok", detail)
            yield from lines(damaged.survey(keys))
    except IntegrityError as error:
        yield Check("store", "failed", error.message, error.hint or "")


def of_open(connection: apsw.Connection, *, read_data: bool) -> Iterator[Check]:
    """The same for a store that is open, and so was not refused; without `read_data` only what is quick."""
    try:
        with store_errors(connection):
            yield from _of_open(connection, read_data)
    except CorruptRecord as error:
        yield _failed("store", error.message)


def _of_open(connection: apsw.Connection, read_data: bool) -> Iterator[Check]:
    start = Head(0, bytes(connection.execute("select value from setting where name = 'oplog_genesis'").get))
    history = read_history(connection, start, None)
    if read_data:
        yield from lines(survey(connection, history, None))
        return
    yield from _history(Survey(history))
    sound = connection.execute("pragma quick_check(1)").get == "ok"
    yield Check("pages", "ok", "in order") if sound else _failed("pages", "not all are in order")


def lines(found: Survey) -> Iterator[Check]:
    """What a survey found: one line for each part that is sound, and one for each item that is not."""
    yield from _history(found)
    yield from _pages(found)
    yield from _files(found)
    yield from _conversations(found)
    yield from _items(found)
    yield from _words_and_vectors(found)


def _failed(name: str, detail: str, remedy: str = REPAIR) -> Check:
    return Check(name, "failed", detail, remedy)


def _history(found: Survey) -> Iterator[Check]:
    history = found.history
    if found.opening is not None:
        yield _failed("history", found.opening.message, found.opening.hint or REPAIR)
    if not history.is_sound:
        detail = f"the operation log is whole up to step {history.whole.seq}; behind it {history.n_missing} steps are"
        yield _failed("history", f"{detail} lost, changed or unreadable")
    elif not found.has_log:
        yield Check("history", "ok", "none yet: an earlier version wrote the store, and the next opening begins one")
    elif found.opening is None:
        yield Check("history", "ok", f"{history.whole.seq} steps in one chain{_last(history.last_at)}")
    if not history.is_sound and found.unlogged:
        yield _failed("history", f"the steps of {len(found.unlogged)} items are among them")
        return
    for subject in found.unlogged:
        yield _failed("history", f"no step tells of {named(subject)}: it was put in by something else")


def _last(at: float | None) -> str:
    return f", the last of {when(at)}" if at is not None else ""


def when(at: float) -> str:
    """A time as the owner reads it; `at` in seconds since 1970."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _pages(found: Survey) -> Iterator[Check]:
    if found.failing:
        listed = ", ".join(map(str, found.failing[:_LISTED])) + (", ..." if len(found.failing) > _LISTED else "")
        what = "page was" if len(found.failing) == 1 else "pages were"
        yield _failed("pages", f"{len(found.failing)} {what} changed by something else: {listed}")
    if found.tables:
        yield _failed("pages", f"not all can be read, or are not in order, in {', '.join(parts(found.tables))}")
    if not found.tables and not found.failing:
        yield Check("pages", "ok", "every page was read and is whole")
    if found.unchecked:
        items = "1 item" if len(found.unchecked) == 1 else f"{len(found.unchecked)} items"
        yield _failed("pages", f"because of them {items} cannot be held to the log, though their text can be read")
    if found.n_broken_links:
        yield _failed("links", f"{found.n_broken_links} records point to others that are gone")


def parts(tables: Sequence[str]) -> list[str]:
    """Tables in the owner's words, each once."""
    return list(dict.fromkeys(_part(name) for name in tables))


def _part(table: str) -> str:
    """An index keeps its own tables under names that begin as its does."""
    beginnings = (table.rsplit("_", n)[0] for n in range(table.count("_") + 1))
    return next((_TABLES[name] for name in (table, *beginnings) if name in _TABLES), table)


def _files(found: Survey) -> Iterator[Check]:
    for bad in found.sources:
        yield _failed("file", describe_source(bad))
    for path in found.incomplete:
        yield Check("file", "warning", f"{path}: a part of it was lost to damage", f"run: secondme add {path}")
    if not found.sources:
        detail = f"{found.n_sources} with {found.n_passages} passages, {_vouched(found)}"
        if found.has_log and found.n_before_log:
            detail += f"; {found.n_before_log} items are from before the log"
        yield Check("files", "ok", detail)


def _vouched(found: Survey) -> str:
    return "each as it was stored" if found.has_log else "each can be read"


def describe_source(bad: BadSource) -> str:
    """A damaged file and its passages, without a word of what they say."""
    name = bad.path or "a file whose path cannot be read"
    text = f"{name} (s{bad.id}) {_FAULTS[bad.fault]}"
    if bad.fault == "unreadable" and bad.good is not None:
        if bad.bad:
            text = f"{name} (s{bad.id}): {passages(bad.bad)} of {bad.n_chunks} cannot be read"
        elif bad.good:
            text = f"{name} (s{bad.id}): what is recorded of it cannot be read, but its {passages(bad.good)} can"
    elif bad.fault == "changed":
        if bad.bad:
            text = f"{name} (s{bad.id}): {passages(bad.bad)} of {bad.n_chunks} {'is' if len(bad.bad) == 1 else 'are'}"
            text += " not what was stored"
        else:
            text = f"{name} (s{bad.id}): its text or what is recorded of it is not what was stored"
    return text


def passages(ordinals: Sequence[int]) -> str:
    """`passages 3-5, 9`, counted from 1."""
    spans: list[list[int]] = []
    for ordinal in sorted(ordinals):
        if spans and ordinal == spans[-1][1] + 1:
            spans[-1][1] = ordinal
        else:
            spans.append([ordinal, ordinal])
    shown = ", ".join(f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in spans)
    return f"{'passage' if len(ordinals) == 1 else 'passages'} {shown}"


def _conversations(found: Survey) -> Iterator[Check]:
    for item in found.items:
        if item.kind != "item":
            yield _failed(item.kind, describe_item(item))
    for turn_id, conversation_id in found.bad_citations:
        yield _failed("turn", f"the citations of turn t{turn_id} of conversation c{conversation_id} cannot be read")
    if not any(item.kind in ("conversation", "turn") for item in found.items) and not found.bad_citations:
        detail = f"{found.n_conversations} with {found.n_turns} turns, {_vouched(found)}"
        yield Check("conversations", "ok", detail)
    if not any(item.kind == "folder" for item in found.items):
        yield Check("folders", "ok", f"{found.n_folders} followed")


def _items(found: Survey) -> Iterator[Check]:
    bad = [item for item in found.items if item.kind == "item"]
    for item in bad:
        yield _failed("memory", describe_item(item))
    # Where turns or passages are damaged, these are named, and it is said when that is repaired.
    for item_id in found.dangling if found.trace_is_sound else ():
        yield _failed("memory", f"memory m{item_id} was learned from something that is not there")
    if not bad and not found.dangling:
        yield Check("memories", "ok", f"{found.n_items} learned, {_vouched(found)}")


def describe_item(item: BadItem) -> str:
    """A damaged turn, conversation, folder or memory, without a word of what it says."""
    return f"{name_item(item)} {_FAULTS[item.fault]}"


def name_item(item: BadItem) -> str:
    """A turn with its conversation and time, a conversation, a memory, or a folder's path."""
    if item.kind == "item":
        return f"memory m{item.id}"
    if item.kind == "folder":
        return item.path or f"folder {item.id}"
    if item.kind == "conversation":
        return f"conversation c{item.id}"
    of = f" of conversation c{item.of}" if item.of is not None else ""
    return f"turn t{item.id}{of}" + (f" ({when(item.at)})" if item.at is not None else "")


def named(subject: str) -> str:
    """`source:3` as the command line spells it."""
    kind, _, number = subject.partition(":")
    letters = {
        "source": "file s",
        "turn": "turn t",
        "conversation": "conversation c",
        "folder": "folder ",
        "item": "memory m",
    }
    return letters[kind] + number


def _words_and_vectors(found: Survey) -> Iterator[Check]:
    if found.words_are_sound:
        yield Check("word index", "ok", "matches the stored text")
    else:
        yield _failed("word index", "does not match the stored text")
    vectors = found.vectors
    if not vectors.readable:
        yield _failed("vectors", "not all can be read")
    n_bad = sum(map(len, vectors.bad.values()))
    if n_bad:
        yield _failed("vectors", f"{n_bad} of {vectors.n} are damaged: {_numbers(vectors.bad)}")
    if found.n_narrow:
        yield _failed("vectors", f"{found.n_narrow} of turns and memories are damaged")
    if vectors.n_waiting:
        what = "passage awaits its vector" if vectors.n_waiting == 1 else "passages await their vectors"
        yield Check("vectors", "warning", f"{vectors.n_waiting} {what}: until then only words find them", REINDEX)
    elif vectors.is_sound and not found.n_narrow:
        yield Check("vectors", "ok", f"{vectors.n} of {vectors.n_dims} dimensions" if vectors.n else "none yet")


def _numbers(by_source: dict[int, tuple[int, ...]]) -> str:
    """`s3 (#5, #6)`; vectors of passages that are gone belong to no file."""
    listed = ((i, ", ".join(f"#{n}" for n in ids)) for i, ids in by_source.items())
    return "; ".join(f"s{i} ({numbers})" if i else f"{numbers} of no passage" for i, numbers in listed)
