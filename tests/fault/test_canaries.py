"""No canary is readable in any file while memory is used, after it was killed, and after it was forgotten or wiped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from secondme.assistant import Assistant
from secondme.memory.store import Store
from tests.fault.canary import Found, Scanner
from tests.fault.living import Cast, Place, keys, live, patterns, someone_living
from tests.fault.soak import n
from tests.storing import every_value

N_CANARIES = n(100, 1000)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place of its own, and the environment pointed there."""
    made = Place(tmp_path / "life")
    for name, value in made.environment.items():
        if name not in ("HOME", "PYTHONPATH"):
            monkeypatch.setenv(name, value)
    return made


def held_open(process: subprocess.Popen[str], scanner: Scanner) -> list[Found]:
    """What stands in files that the process has open, those without a name included."""
    found: list[Found] = []
    for link in Path(f"/proc/{process.pid}/fd").glob("*"):
        if link.is_file():
            found += scanner.content(f"open file {link.readlink()}", link.read_bytes())
    return found


def test_nothing_is_readable_while_in_use_after_kill_9_and_after_closing(place: Place) -> None:
    cast = Cast(N_CANARIES)
    docs = cast.write(place.outside)
    with someone_living(place, N_CANARIES) as process:
        scanner = Scanner([*patterns(cast, place.embedded()), *keys()])
        # The files outside show that each canary would be found.
        assert {f.name for f in scanner.tree(docs.parent)} >= set(cast.words) - {cast.project}
        assert (place.home / "data" / "store.db-wal").stat().st_size > 10_000
        assert place.scan(scanner) == held_open(process, scanner) == []
    assert (place.home / "data" / "store.db-wal").exists()
    assert place.scan(scanner) == []
    with place.assistant() as assistant:
        assert assistant.stats().n_sources == len(cast.sheets)
        assert [c.path for c in assistant.recall(cast.sheets[3].content, k=1, project=cast.project)]
        assert place.scan(scanner) == []
    assert place.scan(scanner) == []


def in_the_clear(store: Store, scanner: Scanner) -> set[str]:
    """The canaries that the owner of the key finds: in any value of any table, or anywhere in any page."""
    with store._database.reading() as connection:
        image = connection.serialize("main")
        values = b"\0".join(value for _, value in every_value(connection))
    return {name for data in (image, values) for name, _ in scanner.within(data)}


def living(place: Place, cast: Cast, docs: Path) -> Assistant:
    assistant = place.assistant()
    live(assistant, cast, docs)
    return assistant


def test_what_was_forgotten_is_in_no_table_and_no_page(place: Place) -> None:
    cast = Cast(N_CANARIES, seed=2)
    docs = cast.write(place.outside)
    with living(place, cast, docs) as assistant:
        scanner = Scanner(patterns(cast, assistant.embedder.texts))  # type: ignore[attr-defined]  # it is a Recorder
        assert in_the_clear(assistant.store, scanner) == set(cast.words)
        gone = cast.sheets[::2]
        forgotten = {word for sheet in gone for word in sheet.all} | set(cast.asked)
        for conversation in assistant.conversations():
            assistant.delete_conversation(conversation.id)
        for source in assistant.sources():
            if any(sheet.name in source.path for sheet in gone):
                assistant.forget_source(source)
        assert in_the_clear(assistant.store, scanner) == set(cast.words) - forgotten
        assert place.scan(scanner) == []
