"""The real Secret Service: gnome-keyring on a session bus of its own, without a display; and what must not be used."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secondme.crypto.keyslots import FILE

ROOT = Path(__file__).parents[2]
DAEMON = "echo -n 'a login password' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1"

# Each prints one line of JSON: what came of opening the keys of the folder given, and how long it took.
UNLOCK = """
import json, sys, time
from pathlib import Path
from secondme.crypto import keychain
from secondme.crypto.unlock import unlock
from secondme.errors import SecondMeError
asked = []
def ask(kind):
    asked.append(kind)
    return "a passphrase"
start = time.perf_counter()
try:
    result = {"key": unlock(Path(sys.argv[1]), ask=ask if "ask" in sys.argv else None).store.db.hex()}
except SecondMeError as error:
    result = {"error": type(error).__name__, "message": error.message, "hint": error.hint, "code": error.exit_code}
result |= {"asked": asked, "elapsed_s": time.perf_counter() - start, "backend": keychain.backend_name()}
print(json.dumps(result))
"""
# Lines for the same: what was done with opened keys, and what the owner would be told.
ACT = """
import json, sys
from pathlib import Path
from secondme.crypto import device, keyslots, manage, recovery
from secondme.crypto.destroy import destroy_keys
from secondme.crypto.unlock import unlock
from secondme.paths import state_dir
from tests.keyfiles import CHEAP, of_version_1
folder, what = Path(sys.argv[1]), sys.argv[2]
told = None
if what == "recovery":
    manage.add_recovery(unlock(folder), bytes(range(32)))
elif what == "keyring":
    manage.add_keyring(unlock(folder, passphrase=recovery.spell(bytes(range(32)))))
elif what == "rotate":
    keys = unlock(folder)
    renewal = manage.prepare(keys)
    told = manage.begin(keys).db.hex()
    manage.finish(keys, renewal)
elif what == "first version":
    from secondme.crypto import keychain
    keychain.store("0123456789abcdef", bytes(range(32)))
    file, _ = of_version_1(keyslots.Slot("keyring", "0123456789abcdef", b""), bytes(range(32)))
    keyslots.save(folder, file)
elif what == "status":
    told = [[way.kind, way.problem] for way in manage.status(folder).ways]
elif what == "destroy":
    told = [[d.what, d.done] for d in destroy_keys(folder, state_dir())]
print(json.dumps(told))
"""
LOCK = """
import secretstorage
secretstorage.get_default_collection(secretstorage.dbus_init()).lock()
"""
ENTRY = """
import json, sys
from pathlib import Path
from secondme.crypto import keychain, keyslots
entry = keyslots.load(Path(sys.argv[1])).slots[0].id
before = keychain.fetch(entry)
missing = [keychain.fetch("0" * 16).name, keychain.remove(entry), keychain.fetch(entry).name]
print(json.dumps([len(before), *missing]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home and a runtime folder of their own; no display, no bus."""
    for name in ("home", "data", "run", "memory"):
        (tmp_path / name).mkdir(mode=0o700)
    dropped = ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "SECONDME_HOME": str(tmp_path / "secondme"),
        "PYTHONPATH": str(ROOT),
        "MEMORY": str(tmp_path / "memory"),
        "PYTHON": sys.executable,
        "UNLOCK": UNLOCK,
        "LOCK": LOCK,
        "ENTRY": ENTRY,
        "ACT": ACT,
    }


def run(script: str, environment: dict[str, str], *, bus: bool = True) -> list[Any]:
    """Run a shell script, on a session bus of its own, and return the JSON lines it prints."""
    if bus and not all(shutil.which(tool) for tool in ("dbus-run-session", "gnome-keyring-daemon")):
        reason = "dbus-run-session and gnome-keyring-daemon are needed (Debian: dbus, gnome-keyring)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    command = ["dbus-run-session", "--", "sh", "-ec", script] if bus else ["sh", "-ec", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def kinds_of(environment: dict[str, str]) -> list[str]:
    document = json.loads((Path(environment["MEMORY"]) / FILE).read_bytes())
    return [slot["kind"] for slot in document["slots"]]


def test_a_keyring_needs_no_question_and_a_locked_one_is_a_clear_error(environment: dict[str, str]) -> None:
    unlock = '"$PYTHON" -c "$UNLOCK" "$MEMORY" ask'
    first, again, locked = run(f'{DAEMON}; {unlock}; {unlock}; "$PYTHON" -c "$LOCK"; {unlock}', environment)
    assert first["asked"] == again["asked"] == [] and first["backend"] == "Secret Service"
    assert len(first["key"]) == 64 and again["key"] == first["key"]
    assert again["elapsed_s"] < 1
    assert kinds_of(environment) == ["keyring"]
    assert (locked["error"], locked["code"], locked["asked"]) == ("NoKey", 78, [])
    assert "locked" in locked["message"] and locked["hint"]
    assert locked["elapsed_s"] < 5
    # As after the next login.
    assert run(f"{DAEMON}; {unlock}", environment)[0]["key"] == first["key"]
    # The key is in no file of ours, and the keyring's own file does not show it either.
    shown = bytes.fromhex(first["key"])
    files = [p for p in Path(environment["MEMORY"]).parent.rglob("*") if p.is_file()]
    assert any(p.suffix == ".keyring" for p in files)
    assert not [p for p in files if shown in p.read_bytes() or first["key"].encode() in p.read_bytes()]


def test_a_keyring_that_is_locked_on_first_use_falls_back_to_a_passphrase(environment: dict[str, str]) -> None:
    unlock = '"$PYTHON" -c "$UNLOCK" "$MEMORY"'
    script = f'{DAEMON}; "$PYTHON" -c "$LOCK"; {unlock}; {unlock} ask; {DAEMON}; {unlock} ask'
    refused, made, again = run(script, environment)
    assert (refused["error"], refused["code"]) == ("NoKey", 78)
    assert made["asked"] == ["new"] and kinds_of(environment) == ["passphrase"]
    assert again["asked"] == ["existing"] and again["key"] == made["key"]
    assert refused["elapsed_s"] < 5


def test_an_entry_is_found_removed_and_then_gone(environment: dict[str, str]) -> None:
    script = (
        f'{DAEMON}; "$PYTHON" -c "$UNLOCK" "$MEMORY"; "$PYTHON" -c "$ENTRY" "$MEMORY"; "$PYTHON" -c "$UNLOCK" "$MEMORY"'
    )
    _, entry, gone = run(script, environment)
    assert entry == [32, "NO_ENTRY", True, "NO_ENTRY"]
    assert gone["error"] == "NoKey"


def unlocking(*arguments: str) -> str:
    return " ".join(['"$PYTHON" -c "$UNLOCK" "$MEMORY"', *arguments])


def acting(what: str) -> str:
    return f'"$PYTHON" -c "$ACT" "$MEMORY" "{what}"'


def test_the_keyrings_secret_and_the_data_open_nothing_without_the_device(environment: dict[str, str]) -> None:
    device = Path(environment["SECONDME_HOME"]) / "state" / "device.key"
    made, *_ = run(f"{DAEMON}; {unlocking()}; {acting('recovery')}", environment)
    assert device.stat().st_mode & 0o777 == 0o600
    device.unlink()
    refused, status, *_ = run(f"{DAEMON}; {unlocking()}; {acting('status')}", environment)
    assert (refused["error"], refused["code"]) == ("NoKey", 78) and "this device's key is gone" in refused["message"]
    assert [kind for kind, problem in status if problem] == ["keyring"]
    # The recovery code brings the keyring back, with another secret and another device's key.
    _, again = run(f"{DAEMON}; {acting('keyring')}; {unlocking()}", environment)
    assert again["key"] == made["key"] and device.exists()


def test_destroyed_keys_leave_the_keyring_empty_and_old_copies_closed(environment: dict[str, str]) -> None:
    """What a thief has who copied the data and knows the keyring's secret, but did not have the device's key."""
    memory, keyring = Path(environment["MEMORY"]), Path(environment["XDG_DATA_HOME"]) / "keyrings"
    run(f"{DAEMON}; {unlocking()}", environment)
    shutil.copytree(memory, memory.with_name("copied"))
    shutil.copytree(keyring, keyring.with_name("copied"))
    (done,) = run(f"{DAEMON}; {acting('destroy')}", environment)
    assert all(was_done for _, was_done in done) and any("keyring's entry" in what for what, _ in done)
    assert list(memory.iterdir()) == []
    shutil.copytree(memory.with_name("copied"), memory, dirs_exist_ok=True)
    (without_entry,) = run(f"{DAEMON}; {unlocking()}", environment)
    assert without_entry["error"] == "NoKey" and "does not hold the key" in without_entry["message"]
    shutil.rmtree(keyring)
    shutil.copytree(keyring.with_name("copied"), keyring)
    (with_entry,) = run(f"{DAEMON}; {unlocking()}", environment)
    assert with_entry["error"] == "NoKey" and "this device's key is gone" in with_entry["message"]


def test_destroying_tells_of_a_keyring_that_is_locked_or_gone(environment: dict[str, str]) -> None:
    memory = Path(environment["MEMORY"])
    run(f"{DAEMON}; {unlocking()}", environment)
    shutil.copytree(memory, memory.with_name("copied"))
    for script, bus in ((f'{DAEMON}; "$PYTHON" -c "$LOCK"; {acting("destroy")}', True), (acting("destroy"), False)):
        shutil.copytree(memory.with_name("copied"), memory, dirs_exist_ok=True)
        (done,) = run(script, environment, bus=bus)
        assert [was_done for what, was_done in done if "keyring's entry" in what] == [False]
        assert all(was_done for what, was_done in done if "keyring's entry" not in what)
        assert list(memory.iterdir()) == []


def test_a_rotation_changes_the_keyrings_secret(environment: dict[str, str]) -> None:
    memory = Path(environment["MEMORY"])
    first, told, second = run(f"{DAEMON}; {unlocking()}; {acting('rotate')}; {unlocking()}", environment)
    assert second["key"] == told != first["key"]
    slots = json.loads((memory / FILE).read_bytes())["slots"]
    assert [slot["kind"] for slot in slots] == ["keyring"]


def test_a_keyring_file_of_the_first_version_is_bound_to_the_device(environment: dict[str, str]) -> None:
    device = Path(environment["SECONDME_HOME"]) / "state" / "device.key"
    _, first, second = run(f"{DAEMON}; {acting('first version')}; {unlocking()}; {unlocking()}", environment)
    assert first["key"] == second["key"] and device.exists()
    assert json.loads((Path(environment["MEMORY"]) / FILE).read_bytes())["version"] == 2
    device.unlink()
    assert run(f"{DAEMON}; {unlocking()}", environment)[0]["error"] == "NoKey"


PLAINTEXT = """
import os
from keyring.backend import KeyringBackend
class PlaintextKeyring(KeyringBackend):
    priority = 99
    def _write(self, text):
        with open(os.environ["LEAK"], "a") as file:
            file.write(text)
        return text
    def get_password(self, service, username):
        return open(os.environ["LEAK"]).read() if os.path.exists(os.environ["LEAK"]) else None
    def set_password(self, service, username, password):
        self._write(password)
    def delete_password(self, service, username):
        os.remove(os.environ["LEAK"])
"""


@pytest.mark.parametrize("backend", ["keyring.backends.null.Keyring", "keyrings.alt.file.PlaintextKeyring"])
def test_a_backend_that_keeps_nothing_or_keeps_it_in_the_clear_is_none(
    environment: dict[str, str], tmp_path: Path, backend: str
) -> None:
    package = tmp_path / "packages" / "keyrings" / "alt"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "file.py").write_text(PLAINTEXT)
    environment |= {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'packages'}",
        "PYTHON_KEYRING_BACKEND": backend,
        "LEAK": str(tmp_path / "leak"),
        # An address is there, so that nothing but the backend's name keeps it out.
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path / 'none'}",
    }
    check = '"$PYTHON" -c "import keyring, json; print(json.dumps(type(keyring.get_keyring()).__module__))"'
    unlock = '"$PYTHON" -c "$UNLOCK" "$MEMORY"'
    in_use, refused, made = run(f"{check}; {unlock}; {unlock} ask", environment, bus=False)
    assert in_use == backend.rpartition(".")[0]
    assert refused["backend"] is None and (refused["error"], refused["code"]) == ("NoKey", 78)
    assert made["asked"] == ["new"] and kinds_of(environment) == ["passphrase"]
    assert not (tmp_path / "leak").exists()


def test_without_a_bus_there_is_no_keyring_and_no_wait(environment: dict[str, str]) -> None:
    (found,) = run('"$PYTHON" -c "$UNLOCK" "$MEMORY"', environment, bus=False)
    assert found["backend"] is None and found["error"] == "NoKey" and found["elapsed_s"] < 1


def test_a_bus_that_does_not_answer_is_no_keyring(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "run" / "bus"))
        deaf.listen(8)
        environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={tmp_path / 'run' / 'bus'}"
        short = "from secondme.crypto import keychain\nkeychain.HEADLESS_TIMEOUT_S = 0.5\n" + UNLOCK
        (found,) = run('"$PYTHON" -c "$UNLOCK" "$MEMORY"', environment | {"UNLOCK": short}, bus=False)
    assert found["backend"] is None and found["error"] == "NoKey"
    assert 0.4 < found["elapsed_s"] < 5
