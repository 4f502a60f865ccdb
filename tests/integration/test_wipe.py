"""`secondme wipe` at the command line: what it destroys, proves and says, whatever state a home is in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from secondme.crypto import device, keychain, unlock, wiping
from secondme.errors import NoKey, SecondMeError, StoreError
from secondme.memory.store import Store
from secondme.paths import data_dir, private_dir, state_dir
from secondme.types import WatchedFolder
from tests.commanding import PASSPHRASE, Commands, add, assistant, holding, make_keys
from tests.storing import put

ROOT = Path(__file__).parents[2]
HERON = "The heron nests by the third weir every single spring."


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """A memory with one file, and a folder of its own to stand in."""
    make_keys()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "birds.txt").write_text(HERON)
    add(tmp_path / "docs")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Commands(capsys)


def report_in(folder: Path) -> Path:
    (path,) = folder.glob("secondme-wipe-*.json")
    return path


def left() -> list[str]:
    return sorted(p.name for folder in (data_dir(), state_dir()) if folder.exists() for p in folder.iterdir())


def test_everything_goes_and_the_report_says_so_and_can_be_checked(commands: Commands, tmp_path: Path) -> None:
    with assistant() as opened:
        opened.store.note("exported", ["store"])
    device.load_or_make()
    secrets = [(data_dir() / "keyslots.json").read_bytes()[200:260], device.path().read_bytes()]
    secrets.append((data_dir() / "store.db").read_bytes()[4096:4160])
    done = commands.run("wipe", "--yes")
    assert done.code == 0 and left() == []
    assert holding(tmp_path / "home", secrets) == []
    path = report_in(Path.cwd())
    assert str(path) in done.err and path.stat().st_mode & 0o77 == 0
    report = json.loads(path.read_text())["report"]
    assert report["keys_s"] < 1 and len(report["exports"]) == 1 and all(d["done"] for d in report["destroyed"])
    assert HERON not in path.read_text() and "birds" not in path.read_text()
    for what in ("keyslots.json", "device.key", "witness", "store.db", "backups", "swap", "scrollback", "Exports"):
        assert what in done.out, what
    checked = commands.run("wipe", "--verify", str(path), key=None)
    assert checked.code == 0 and "signature is right" in checked.out and "export key" in checked.out


@pytest.mark.parametrize("change", ['"done": true', '"keys_s"', "Ed25519", "keyslots"])
def test_a_report_that_was_changed_is_refused(commands: Commands, change: str) -> None:
    assert commands.run("wipe", "--yes").code == 0
    path = report_in(Path.cwd())
    text = path.read_text()
    path.write_text(text.replace(change, change.swapcase(), 1))
    assert path.read_text() != text
    assert "was changed" in commands.fails("wipe", "--verify", str(path), code=76, key=None)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"\xff\xfe", b"[" * 5000, b'{"report": {}, "signature": {"public_key": 3}}']
)
def test_what_is_no_report_is_refused(commands: Commands, data: bytes) -> None:
    Path("other.json").write_bytes(data)
    commands.fails("wipe", "--verify", "other.json", code=76, key=None)


def test_a_report_that_is_not_there_is_said(commands: Commands) -> None:
    commands.fails("wipe", "--verify", "none.json", code=2, key=None)


def test_it_asks_and_takes_nothing_but_the_word(commands: Commands) -> None:
    before = left()
    assert "--yes" in commands.fails("wipe", code=2).split("This destroys", 1)[1]
    assert left() == before


def test_a_damaged_store_and_a_damaged_or_missing_key_file_are_wiped_all_the_same(commands: Commands) -> None:
    for spoil in (
        lambda: (data_dir() / "store.db").write_bytes(b"junk" * 300),
        lambda: (data_dir() / "keyslots.json").write_bytes(b"{"),
        lambda: (data_dir() / "keyslots.json").unlink(),
        lambda: (data_dir() / "store.db").unlink(),
        lambda: (data_dir() / "store.db-watermark").write_bytes(b""),
    ):
        shutil.rmtree(data_dir())
        shutil.rmtree(state_dir())
        make_keys()
        with assistant() as opened:
            put(opened.store, "/a", [HERON])
        spoil()
        (data_dir() / "store.db.damaged-1").write_bytes(b"an earlier store")
        (data_dir() / "store.db-wal").write_bytes(b"its log")
        done = commands.run("wipe", "--yes")
        assert done.code == 0 and left() == [], (done, left())


def test_without_the_keys_it_is_signed_by_a_key_of_its_own(commands: Commands) -> None:
    done = commands.run("wipe", "--yes", key="not the passphrase")
    assert done.code == 0 and left() == [] and "did not open" in done.err and "not known" in done.out
    signature = json.loads(report_in(Path.cwd()).read_text())["signature"]
    assert signature["key"] == "one-time key"
    assert commands.run("wipe", "--verify", str(report_in(Path.cwd())), key=None).code == 0


def test_an_old_copy_of_the_data_opens_nothing_without_the_passphrase(commands: Commands, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data_dir(), copy)
    assert commands.run("wipe", "--yes").code == 0
    with pytest.raises(NoKey):
        unlock.open_only(copy)
    # With the passphrase a copy opens: it lies out of our reach, which the report says.
    keys = unlock.open_only(copy, PASSPHRASE)
    Store.open(copy / "store.db", keys.store).close()


def test_nothing_there_is_no_error_and_makes_no_report(commands: Commands) -> None:
    assert commands.run("wipe", "--yes").code == 0
    report_in(Path.cwd()).unlink()
    done = commands.run("wipe", "--yes")
    assert done.code == 0 and "no memory" in done.err and not list(Path.cwd().iterdir())


def test_foreign_files_stay_and_are_named_and_exports_in_the_folder_go(commands: Commands) -> None:
    (data_dir() / "mine.txt").write_text("not ours")
    (data_dir() / "old.age").write_bytes(b"age-encryption.org/v1\n-> scrypt x\n")
    (data_dir() / "sealed.bin").write_bytes(b"SMSF" + bytes(100))
    done = commands.run("wipe", "--yes")
    assert done.code == 0 and left() == ["mine.txt"] and "mine.txt" in done.out
    assert (data_dir() / "mine.txt").read_text() == "not ours"


def test_a_link_is_followed_to_the_store_it_stands_for(commands: Commands, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    (data_dir() / "store.db").rename(elsewhere)
    (data_dir() / "store.db").symlink_to(elsewhere)
    assert commands.run("wipe", "--yes").code == 0
    assert left() == [] and not elsewhere.exists()


def test_a_report_is_never_written_over_and_is_printed_where_it_cannot_be_saved(commands: Commands) -> None:
    Path("there.json").write_text("precious")
    commands.fails("wipe", "--yes", "--report", "there.json", code=2)
    assert Path("there.json").read_text() == "precious" and "store.db" in left()
    done = commands.run("wipe", "--yes", "--report", "/no/such/folder/report.json")
    assert done.code == 0 and left() == [] and "could not be saved" in done.err
    data = done.out[done.out.index('{\n  "report"') :]
    Path("kept.json").write_text(data)
    assert commands.run("wipe", "--verify", "kept.json", key=None).code == 0


def test_while_another_has_memory_open_it_takes_force(commands: Commands) -> None:
    code = """
import sys
from secondme.memory.lock import StoreLock
from secondme.paths import data_dir
with StoreLock(data_dir()):
    print("held", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None and holder.stdout.readline()
        refused = commands.fails("wipe", "--yes", code=75)
        assert str(holder.pid) in refused and "--force" in refused and "store.db" in left()
        done = commands.run("wipe", "--yes", "--force")
        assert done.code == 0 and left() == [] and f"process {holder.pid}" in done.out
        holder.stdin.close()


def test_a_half_wiped_home_says_so_and_is_finished_by_another_wipe(commands: Commands) -> None:
    wiping.begin(data_dir(), ["0123456789abcdef"])
    (data_dir() / "keyslots.json").unlink()
    assert "not finished" in commands.fails("memory", "stats", code=74)
    assert "not finished" in commands.fails("keys", "status", code=74, key=None)
    with pytest.raises(StoreError, match="not finished"):
        unlock.unlock(data_dir(), passphrase="new")
    assert wiping.entries_of(data_dir()) == ["0123456789abcdef"]
    done = commands.run("wipe", "--yes")
    # The keyring is not at hand here, and so its entry cannot be seen to be gone.
    assert done.code == 1 and "0123456789abcdef" in done.out and "NOT DONE" in done.out
    assert left() == [] and commands.run("memory", "stats").code == 0


# One project -------------------------------------------------------------------------------------------------


def test_one_project_goes_and_the_others_stay(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("Something about the xylophonist next door.")
    add(tmp_path / "secret.txt", project="quarrel")
    with assistant() as opened:
        opened.new_conversation("quarrel", "Xylophonist")
        opened.store.add_folder(WatchedFolder("/q", "quarrel", watch=True, added_at=1.0))
        uid = opened.store.project_uid("quarrel")
        assert uid is not None
        opened.keys.project(uid)
    assert uid.hex() in (data_dir() / "keyslots.json").read_text()
    done = commands.run("wipe", "--project", "quarrel", "--yes")
    assert done.code == 0 and uid.hex() in done.out and "1 files, 1 passages" in done.out
    assert uid.hex() not in (data_dir() / "keyslots.json").read_text()
    text = report_in(Path.cwd()).read_text()
    assert "quarrel" not in text and "xylo" not in text.lower()
    assert commands.run("wipe", "--verify", str(report_in(Path.cwd())), key=None).code == 0
    with assistant() as opened:
        assert [s.project for s in opened.sources()] == ["default"] and opened.conversations() == []
        assert opened.folders("quarrel") == []
        assert {c.status for c in opened.store.check(read_data=True)} == {"ok"}
        with opened.store._database.reading() as connection:
            from tests.storing import holding as rows_holding

            assert rows_holding(connection, b"ylophonist") == [] and rows_holding(connection, b"quarrel") == []
    commands.fails("wipe", "--project", "quarrel", "--yes", code=2)


# The keyring -------------------------------------------------------------------------------------------------


def test_the_old_keyring_secret_and_an_old_copy_of_the_data_open_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An allowed backend in this process stands for the keyring; the real Secret Service is in test_keyring.py."""
    import keyring
    from keyring.backend import KeyringBackend

    class Kept(KeyringBackend):
        priority = 1
        entries: dict[tuple[str, str], str] = {}  # noqa: RUF012  one for this test

        def get_password(self, service: str, username: str) -> str | None:
            return self.entries.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.entries[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.entries[service, username]

    before = keyring.get_keyring()
    monkeypatch.setitem(keychain.ALLOWED, f"{Kept.__module__}.{Kept.__qualname__}", "the test's")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    keyring.set_keyring(Kept())  # type: ignore[no-untyped-call]  # the base class has no types
    try:
        keys = unlock.unlock(private_dir(data_dir()))
        store = Store.open(data_dir() / "store.db", keys.store)
        put(store, "/a", [HERON])
        store.close()
        copy, secrets = tmp_path / "copy", dict(Kept.entries)
        assert len(secrets) == 1 and device.path().exists()
        shutil.copytree(data_dir(), copy)
        monkeypatch.chdir(tmp_path)
        done = Commands(capsys).run("wipe", "--yes", key=None)
        assert done.code == 0 and Kept.entries == {} and left() == []
        assert "export key" in (tmp_path / report_in(tmp_path).name).read_text()
        Kept.entries.update(secrets)
        with pytest.raises(NoKey):
            unlock.open_only(copy)
        with pytest.raises(SecondMeError):
            unlock.unlock(copy, passphrase="anything")
        assert holding(copy, [HERON.encode(), HERON.encode("utf-16-le")]) == []
    finally:
        keyring.set_keyring(before)
