"""`secondme doctor --read-data` and `secondme memory repair`, as a person in a terminal and a script use them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from secondme.cli.main import main
from secondme.crypto.unlock import unlock
from secondme.memory.database import connect
from secondme.memory.store import Store
from secondme.paths import data_dir, private_dir, state_dir
from secondme.types import WatchedFolder
from tests.damaging import PAGE, Place
from tests.keyfiles import CHEAP
from tests.storing import put

PASSPHRASE = "one"


def open_store() -> Store:
    keys = unlock(data_dir(), passphrase=PASSPHRASE, work=CHEAP)
    return Store.open(data_dir() / "store.db", keys.store, state_dir() / "witness")


@pytest.fixture
def memory(home: Path, tmp_path: Path) -> Place:
    """A memory of three files of a followed folder and a conversation."""
    private_dir(data_dir())
    store = open_store()
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in ("a", "b", "c"):
        path = folder / f"{name}.md"
        path.write_text("the harbour\n")
        put(store, str(path), [f"{n} the harbour of {name} " + "in winter " * 90 + "\n" for n in range(8)])
    store.add_folder(WatchedFolder(str(folder), "default", watch=True, added_at=1.0))
    store.add_turn(store.new_conversation("default", "one"), "user", "where is the whale?", [])
    store.close()
    return Place(data_dir() / "store.db", state_dir() / "witness")


def call(*words: str, key: str = PASSPHRASE) -> int:
    read, write = os.pipe()
    os.write(write, key.encode() + b"\n")
    os.close(write)
    try:
        return main([*words, "--key-fd", str(read)])
    finally:
        os.close(read)


def spoil_passages(memory: Place) -> None:
    with closing(connect(memory.store, unlock(data_dir(), passphrase=PASSPHRASE).store.db)) as connection:
        page = int(connection.execute("select max(pageno) from dbstat where name = 'chunk'").get)
    data = bytearray(memory.store.read_bytes())
    data[(page - 1) * PAGE + 100 : (page - 1) * PAGE + 200] = bytes(100)
    memory.store.write_bytes(data)


def lines_of_data(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [line["name"] for line in found]
    return found[names.index("store") :]


def test_doctor_reads_all_that_is_stored_if_it_is_asked_to(
    memory: Place, smollm2_path: Path, minilm_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("doctor", "--read-data", "--json") == 0
    lines = lines_of_data(capsys)
    assert {line["status"] for line in lines} == {"ok"}
    assert "3 with 24 passages" in next(line["detail"] for line in lines if line["name"] == "files")
    assert main(["doctor", "--json"]) == 0
    assert "history" not in capsys.readouterr().out


def test_doctor_names_what_is_damaged_and_repair_mends_it(
    memory: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_passages(memory)
    assert call("doctor", "--read-data", "--json") == 1
    failed = [line for line in lines_of_data(capsys) if line["status"] == "failed"]
    path = str(tmp_path / "notes" / "c.md")
    assert [line["detail"].startswith(f"{path} (s3): passages ") for line in failed if line["name"] == "file"] == [True]
    assert all(line["remedy"] == "run: secondme memory repair" for line in failed)
    before = memory.store.read_bytes()
    assert call("memory", "repair") == 2  # nobody to ask
    assert memory.store.read_bytes() == before
    shown = capsys.readouterr()
    assert call("memory", "repair", "--yes") == 0
    out, said = capsys.readouterr()
    assert out.removesuffix("the store is repaired\n") == shown.out
    assert "Lost:" in out
    assert f"  {path} (s3): passages " in out
    assert "it is on the disk, add it again" in out
    assert "harbour" not in out
    assert "the damaged store is kept as " in said
    call("doctor", "--read-data", "--json")
    found = lines_of_data(capsys)
    assert [line["name"] for line in found if line["status"] != "ok"] == ["file", "kept"]
    assert call("memory", "repair") == 0
    assert capsys.readouterr().out == "all that is stored is as it should be\n"


def test_an_old_store_says_since_when_it_is_and_what_to_add_again(
    memory: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = memory.store.read_bytes()
    store = open_store()
    store.remove_source(2)
    store.close()
    memory.store.write_bytes(old)
    assert call("memory", "list") == 76
    said = capsys.readouterr().err
    assert "but 1 more were acknowledged" in said
    assert "secondme memory repair" in said
    (tmp_path / "notes" / "new.md").write_text("new")
    assert call("memory", "repair", "--yes") == 0
    out = capsys.readouterr().out
    assert "whatever was stored or removed after 20" in out
    notes = tmp_path / "notes"
    assert f"4 files in {notes} can be added again from the disk: secondme add {notes}" in out
    assert call("memory", "list") == 0


def test_without_a_memory_there_is_nothing_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("memory", "repair") == 0
    assert capsys.readouterr().out == "there is no memory yet\n"
    capsys.readouterr()
    call("doctor", "--read-data", "--json")
    assert [(line["name"], line["detail"]) for line in lines_of_data(capsys)] == [("store", "there is no memory yet")]
    assert not home.exists() or not list(home.iterdir())


def test_a_wrong_passphrase_is_told_apart_from_damage(memory: Place, capsys: pytest.CaptureFixture[str]) -> None:
    spoil_passages(memory)
    for words in (("memory", "repair"), ("doctor", "--read-data")):
        assert call(*words, key="two") == 77
        assert "the passphrase is wrong" in capsys.readouterr().err


def test_a_store_that_is_in_use_is_left_alone(memory: Place, capsys: pytest.CaptureFixture[str]) -> None:
    from secondme.memory.lock import StoreLock

    with StoreLock(data_dir()):
        assert call("memory", "repair", "--yes") == 75
    assert "another secondme uses the store" in capsys.readouterr().err


def test_a_page_without_which_nothing_is_read_is_said_to_be_so(
    memory: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.store.write_bytes(bytes(range(256)) * 16 + memory.store.read_bytes()[PAGE:])
    assert call("memory", "repair", "--yes") == 76
    assert "the first pages of the store cannot be read" in capsys.readouterr().err
    call("doctor", "--read-data", "--json")
    assert [line["status"] for line in lines_of_data(capsys)] == ["failed"]


def test_the_owner_is_asked_and_may_say_no(memory: Place) -> None:
    data = bytearray(memory.store.read_bytes())
    data[100] ^= 1
    memory.store.write_bytes(data)
    for answer, said, code in (("no", "nothing was changed", 130), ("yes", "all that is stored is as it should be", 0)):
        child = pexpect.spawn(
            sys.executable, ["-m", "secondme", "memory", "repair"], encoding="utf-8", timeout=30, dimensions=(40, 200)
        )
        child.expect("Passphrase or recovery code: ")
        child.sendline(PASSPHRASE)
        child.expect("a single bit is wrong in page 1\r\n")
        child.expect("Nothing is lost.")
        child.expect("Type `yes` to repair the store now: ")
        child.sendline(answer)
        child.expect(said)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
    assert call("memory", "list") == 0


def test_a_bit_is_set_right_and_the_rest_looked_at_again(memory: Place, capsys: pytest.CaptureFixture[str]) -> None:
    written = memory.store.read_bytes()
    memory.store.write_bytes(written[:100] + bytes([written[100] ^ 1]) + written[101:])
    assert call("memory", "repair", "--yes") == 0
    out = capsys.readouterr().out
    assert "Nothing is lost." in out
    assert out.endswith("the store is repaired\nall that is stored is as it should be\n")
    assert memory.store.read_bytes() == written


def test_another_file_in_the_store_s_place_is_a_line_as_well(memory: Place, capsys: pytest.CaptureFixture[str]) -> None:
    memory.store.write_bytes(b"SQLite format 3\0".ljust(4096))
    call("doctor", "--read-data", "--json")
    (line,) = lines_of_data(capsys)
    assert (line["status"], "an unencrypted database" in line["detail"]) == ("failed", True)
