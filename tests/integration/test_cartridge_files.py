"""What becomes of cartridges at the command line: forgotten, wiped, verified, repaired, sealed anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from secondme.cartridges.files import Shelf
from secondme.crypto.unlock import unlock
from secondme.memory.cartridges import StoredCartridge
from secondme.paths import data_dir, state_dir
from tests.commanding import PASSPHRASE, Commands, add, assistant, make_keys, texts
from tests.damaging import Place, pages, spoil
from tests.sealing_cartridges import shelve

TEXTS = {
    "birds.txt": "The heron nests by the third weir every single spring.\n",
    "otters.txt": "Otters were seen below the old mill on a cold January morning.\n",
}


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A memory of two files in one project and one in another, each with a cartridge."""
    make_keys()
    for project, names in (("default", ("birds.txt", "otters.txt")), ("work", ("birds.txt",))):
        folder = tmp_path / project
        folder.mkdir()
        for name in names:
            (folder / name).write_text(TEXTS[name])
            add(folder / name, project=project)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with assistant() as opened:
        shelf = Shelf(opened.store, opened.keys)
        for source in opened.sources():
            assert shelve(shelf, opened.store, source.id, seed=source.id) is not None
        shelf.close()
    return Commands(capsys)


def rows() -> dict[str, StoredCartridge]:
    """By project and name of the file; each one opens."""
    with assistant() as opened:
        shelf = Shelf(opened.store, opened.keys)
        found = opened.store.cartridges()
        for row in found:
            shelf.verify(row)
        shelf.close()
        return {f"{row.project}/{Path(row.path).name}": row for row in found}


def files() -> list[Path]:
    return sorted((data_dir() / "cartridges").rglob("*.smkv"))


def doctor(commands: Commands, *words: str) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in commands.run("doctor", "--json", *words).out.splitlines()]
    return [(c["name"], c["status"], c["detail"]) for c in lines if c["name"].startswith("cartridge")]


def test_a_forgotten_file_takes_its_own_along(commands: Commands, tmp_path: Path) -> None:
    assert "cartridges     3, 0.0 MB, sealed" in commands.run("memory", "stats").out
    path = str(tmp_path / "default" / "birds.txt")
    shown = commands.fails("forget", "--source", path, code=2)
    assert "--yes" in shown and len(files()) == 3
    assert commands.run("forget", "--yes", "--source", path).code == 0
    assert set(rows()) == {"default/otters.txt", "work/birds.txt"} and len(files()) == 2


def test_a_changed_file_loses_its_own_and_no_other(commands: Commands, tmp_path: Path) -> None:
    before = rows()
    path = tmp_path / "default" / "otters.txt"
    path.write_text(TEXTS["otters.txt"] + "And again in March.\n")
    add(path)
    after = rows()
    assert set(before) - set(after) == {"default/otters.txt"}
    assert after.items() <= before.items() and len(files()) == 2


def test_what_goes_with_a_file_is_shown_before(commands: Commands, tmp_path: Path) -> None:
    from secondme.cli.forget import _lines
    from secondme.memory.forgetting import Target

    with assistant() as opened:
        target = Target(paths=(("default", str(tmp_path / "default")),))
        assert "cartridges 2" in "\n".join(_lines(opened, opened.forgetting(target), target))


def test_a_wiped_project_is_reported_with_its_cartridges(commands: Commands, tmp_path: Path) -> None:
    gone = rows()["work/birds.txt"]
    done = commands.run("wipe", "--yes", "--project", "work", "--report", "report.json")
    assert done.code == 0
    assert f"done  the cartridges of project {gone.project_uid.hex()}: 1 files, {gone.size_bytes} bytes" in done.out
    assert set(rows()) == {"default/birds.txt", "default/otters.txt"}
    assert len(files()) == 2 and not (data_dir() / "cartridges" / gone.project_uid.hex()).exists()


def test_a_wipe_overwrites_and_deletes_them_all(commands: Commands) -> None:
    paths = files()
    unfinished = paths[0].with_name("0" * 32 + ".smkv.new")
    unfinished.write_bytes(b"SMSF")
    done = commands.run("wipe", "--yes", "--report", "report.json")
    assert done.code == 0 and not (data_dir() / "cartridges").exists()
    destroyed = {d["what"]: d for d in json.loads(Path("report.json").read_text())["report"]["destroyed"]}
    assert str(unfinished) not in destroyed  # it went when the store was opened to read its log
    for path in paths:
        assert destroyed[str(path)]["detail"] == "overwritten with zeros, deleted"


def test_what_is_not_ours_stays_beside_them(commands: Commands) -> None:
    mine = data_dir() / "cartridges" / "mine.txt"
    mine.write_text("not ours")
    done = commands.run("wipe", "--yes", "--report", "report.json")
    assert done.code == 0 and files() == [] and mine.read_text() == "not ours"
    assert str(data_dir() / "cartridges") in done.out.split("Left alone")[1]


def test_the_doctor_counts_them_and_with_the_key_reads_them(commands: Commands) -> None:
    size_mb = sum(path.stat().st_size for path in files()) / 1e6
    counted = ("cartridges", "ok", f"3 of {size_mb:.1f} MB; --read-data verifies them")
    assert doctor(commands) == [counted]
    assert doctor(commands, "--read-data") == [
        counted,
        ("cartridges", "ok", f"3 of {size_mb:.1f} MB, each as it was written"),
    ]
    found = rows()
    damaged, lost = (
        data_dir() / "cartridges" / r.project_uid.hex() / f"{r.file}.smkv" for r in list(found.values())[:2]
    )
    damaged.write_bytes(damaged.read_bytes()[:-1])
    lost.rename(lost.with_name("0" * 32 + ".smkv"))
    counted_then, *told = doctor(commands, "--read-data")
    assert counted_then[1] == "ok"
    assert [(name, status) for name, status, _ in told] == [
        ("cartridge", "failed"),
        ("cartridge", "failed"),
        ("cartridges", "warning"),
    ]
    assert "cannot be used" in told[0][2] and "is gone" in told[1][2] and "1 files" in told[2][2]


def test_a_home_without_any_says_nothing_of_them(commands: Commands) -> None:
    assert commands.run("wipe", "--yes", "--report", "report.json").code == 0
    assert doctor(commands, "--read-data") == []


def test_a_memory_of_an_earlier_version_has_none_and_is_repaired_without(
    capsys: pytest.CaptureFixture[str],
) -> None:
    commands, golden = Commands(capsys), Path(__file__).parents[1] / "golden" / "store-2"
    shutil.copytree(golden, data_dir())
    lines = [
        json.loads(line) for line in commands.run("doctor", "--json", "--read-data", key="golden").out.splitlines()
    ]
    assert [(c["status"], c["detail"]) for c in lines if c["name"].startswith("cartridge")] == [("ok", "none yet")]
    with unlock(data_dir(), passphrase="golden") as keys:
        memory = Place(data_dir() / "store.db", state_dir() / "witness", keys.store)
        spoil(memory, pages(memory)["chunk"][-1])
    shown = commands.run("memory", "repair", "--yes", key="golden")
    assert shown.code == 0 and "cartridges" not in shown.out
    assert commands.run("memory", "stats", key="golden").code == 0


@pytest.mark.parametrize("table", ["cartridge", "chunk"])
def test_a_store_that_is_repaired_has_them_made_again(commands: Commands, table: str) -> None:
    kept = files()
    with unlock(data_dir(), passphrase=PASSPHRASE) as keys:
        memory = Place(data_dir() / "store.db", state_dir() / "witness", keys.store)
        spoil(memory, pages(memory)[table][-1])
    found = commands.run("doctor", "--read-data").out
    assert ("in the list of cartridges" in found) == (table == "cartridge")
    shown = commands.run("memory", "repair").out
    assert "the cartridges are made again from the text" in shown
    assert files() == kept
    assert commands.run("memory", "repair", "--yes").code == 0
    # Of a text that is not vouched for any more there is none, and their files are cleared away.
    assert rows() == {} and files() == []
    assert (len(texts()) == 3) == (table == "cartridge")


def test_renewed_keys_seal_them_anew(commands: Commands) -> None:
    before, sealed = rows(), {path.name: path.read_bytes() for path in files()}
    assert commands.run("keys", "rotate").code == 0
    after = rows()
    assert set(after) == set(before) and not {path.name for path in files()} & set(sealed)
    for name, row in after.items():
        assert row.secret != before[name].secret
        assert (row.source_hash, row.tier, row.n_tokens) == (
            before[name].source_hash,
            before[name].tier,
            before[name].n_tokens,
        )
