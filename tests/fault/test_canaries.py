"""No canary is readable in any file while memory is used, after it was killed, and after it was forgotten or wiped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from secondme.assistant import Assistant
from secondme.cartridges.files import Shelf
from secondme.errors import SecondMeError
from secondme.exchange.export import ExportOptions
from secondme.exchange.importing import ImportRequest
from secondme.exchange.recognize import recognize
from secondme.memory.forgetting import Target
from tests.conftest import PASSPHRASE
from tests.fault.canary import Found, Scanner
from tests.fault.living import Cast, Place, in_the_clear, keys, live, patterns, someone_living
from tests.fault.soak import n

N_CANARIES = n(40, 1000)


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
        assert len(cartridges(place)) == len(cast.sheets)
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


def cartridges(place: Place) -> list[Path]:
    return list((place.home / "data" / "cartridges").rglob("*.smkv"))


def test_unsealed_a_cartridge_would_be_found_by_its_text_and_by_its_token_ids(place: Place) -> None:
    cast = Cast(N_CANARIES, seed=5)
    with living(place, cast, cast.write(place.outside)) as assistant:
        scanner = Scanner(patterns(cast, []))
        told: dict[str, set[str]] = {}
        shelf = Shelf(assistant.store, assistant.keys)
        for row in assistant.store.cartridges():
            with shelf.open(row) as reader:
                for section in reader.manifest.sections:
                    found = scanner.within(reader.section(section.kind, section.layer))
                    told.setdefault(section.kind, set()).update(name for name, _ in found)
        shelf.close()
        for kind in ("tokens", "k"):
            assert told[kind] >= {sheet.content for sheet in cast.sheets}, kind
        assert place.scan(scanner) == [] and len(cartridges(place)) == len(cast.sheets)


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
        asked = {word for i, word in enumerate(cast.asked) if cast.sheets[i % len(cast.sheets)] in gone}
        forgotten = {word for sheet in gone for word in sheet.all} | asked
        assistant.forget(
            Target(
                sources=tuple(s.id for s in assistant.sources() if any(sheet.name in s.path for sheet in gone)),
                conversations=tuple(c.id for c in assistant.conversations() if c.title.split()[-1] in forgotten),
            )
        )
        assert in_the_clear(assistant.store, scanner) == set(cast.words) - forgotten
        assert len(cartridges(place)) == len(cast.sheets) - len(gone) == len(assistant.store.cartridges())
        assert place.scan(scanner) == []
        # The rest goes as well, and the folder that bears a canary in its name.
        assistant.forget(Target(paths=((cast.project, str(docs)),)))
        assistant.forget(Target(conversations=tuple(c.id for c in assistant.conversations())))
        assert in_the_clear(assistant.store, scanner) == {cast.project} and cartridges(place) == []
    assert place.scan(scanner) == []


# Exports and imports -------------------------------------------------------------------------------------------


def test_a_sealed_export_is_not_readable_at_any_moment(place: Place) -> None:
    cast = Cast(N_CANARIES, seed=3)
    docs = cast.write(place.outside)
    target = place.user / "memory.age"
    with living(place, cast, docs) as assistant:
        scanner = Scanner(patterns(cast, assistant.embedder.texts))  # type: ignore[attr-defined]  # it is a Recorder
        for i, _ in enumerate(assistant.export(target, ExportOptions(PASSPHRASE))):
            assert i.bit_count() > 1 or place.scan(scanner) == []
        assert place.scan(scanner) == [] and target.stat().st_size > 10_000
        for _ in assistant.export(place.outside / "plain.tar", ExportOptions(None)):
            pass
        # A plain one is what it says.
        assert {f.name for f in scanner.file(place.outside / "plain.tar", "plain")} == set(cast.words)


def test_an_import_leaves_nothing_readable_and_a_failed_one_nothing_at_all(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = Cast(N_CANARIES, seed=4)
    docs = cast.write(place.outside)
    whole, cut = place.outside / "whole.tar", place.outside / "cut.tar"
    with living(place, cast, docs) as assistant:
        scanner = Scanner(patterns(cast, assistant.embedder.texts))  # type: ignore[attr-defined]  # it is a Recorder
        for _ in assistant.export(whole, ExportOptions(None)):
            pass
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    other = Place(tmp_path / "other")
    monkeypatch.setenv("SECONDME_HOME", str(other.home))
    monkeypatch.setenv("TMPDIR", str(other.temp))
    with other.assistant() as assistant:
        with pytest.raises(SecondMeError) as caught:
            imported(assistant, cut, other, scanner)
        assert scanner.within(f"{caught.value.message} {caught.value.hint}".encode()) == set()
        assert in_the_clear(assistant.store, scanner) == set()
        imported(assistant, whole, other, scanner)
        assert in_the_clear(assistant.store, scanner) == set(cast.words)
        assert other.scan(scanner) == []
    assert other.scan(scanner) == []


def imported(assistant: Assistant, path: Path, place: Place, scanner: Scanner) -> None:
    try:
        for i, _ in enumerate(assistant.import_(ImportRequest(recognize(path), "default"))):
            assert i.bit_count() > 1 or place.scan(scanner) == []
    finally:
        assert place.scan(scanner) == []
