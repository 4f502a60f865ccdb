"""`secondme keys`: the ways to open memory, new keys, and locking it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_key, ask_new_passphrase, ask_passphrase, has_terminal, read_key, say
from secondme.errors import NoKey, UsageError
from secondme.paths import data_dir, state_dir

if TYPE_CHECKING:
    from secondme.crypto.keys import Keys
    from secondme.crypto.manage import Status, Way

STORE = "store.db"
LOCK_WAIT_S = 10.0


def register(verbs: Any) -> None:
    parser = verbs.add_parser("keys", help="show, add and change the ways to open memory, renew its keys, lock it")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("status", help="what opens memory, and whether it works now")
    add_passphrase = actions.add_parser("add-passphrase", help="let a passphrase open it, too")
    add_recovery = actions.add_parser("add-recovery", help="make a recovery code to write down; it ends an earlier one")
    add_keyring = actions.add_parser("add-keyring", help="let the system's keyring open it on this device, anew")
    change = actions.add_parser("change-passphrase", help="put a new passphrase in the place of the present one")
    rotate = actions.add_parser("rotate", help="make all keys anew and write the store anew under them")
    actions.add_parser("lock", help="have the secondme that is open lock itself and forget its keys")
    for each in (add_passphrase, add_recovery, add_keyring, change, rotate):
        add_key(each)
    for each in (add_passphrase, change):
        each.add_argument(
            "--new-key-fd",
            type=int,
            metavar="N",
            help="read the new passphrase from file descriptor N, up to the first line's end",
        )


def run(args: argparse.Namespace) -> int:
    if args.action == "status":
        return _status()
    if args.action == "lock":
        return _lock()
    actions: dict[str, Callable[[_Opened, argparse.Namespace], None]] = {
        "add-passphrase": _add_passphrase,
        "add-recovery": _add_recovery,
        "add-keyring": _add_keyring,
        "change-passphrase": _change_passphrase,
        "rotate": _rotate,
    }
    with _opened(args) as opened:
        actions[args.action](opened, args)
    return 0


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    """The keys, and what was typed to open them; empty if the keyring did."""

    keys: Keys
    typed: list[str]


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[_Opened]:
    """The keys of the memory there is, for this process alone."""
    from secondme.crypto.keyslots import FILE
    from secondme.crypto.unlock import harden_process, unlock
    from secondme.memory.lock import StoreLock
    from secondme.memory.rekey import opener

    folder = data_dir()
    if not (folder / FILE).exists():
        raise _nothing()
    harden_process()
    typed: list[str] = []

    def ask(kind: str) -> str:
        typed.append(ask_passphrase(kind))
        return typed[-1]

    passphrase = read_key(args.key_fd) if args.key_fd is not None else None
    if passphrase is not None:
        typed.append(passphrase)
    with (
        StoreLock(folder),
        unlock(folder, ask=ask, passphrase=passphrase, opens=opener(folder / STORE)) as keys,
    ):
        yield _Opened(keys, typed)


def _nothing() -> UsageError:
    """What to say without a key file. Raises StoreError if it went with a wipe that did not end."""
    from secondme.crypto.wiping import require_none

    require_none(data_dir())
    return UsageError("there is no memory yet, and so no keys", hint="`secondme add FOLDER` or `secondme` makes one")


# Showing -------------------------------------------------------------------------------------------------------


def _status() -> int:
    from secondme.crypto.manage import status

    found = status(data_dir())
    if found is None:
        raise _nothing()
    for way in found.ways:
        print(f"{way.kind:11} {_state(way)}")
    print(f"{'keys':11} for database, watermark, export and {found.n_projects} projects; saved {found.sequence} times")
    for line in _advice(found):
        say(line)
    return 0


def _state(way: Way) -> str:
    return f"{way.detail}, but not now: {way.problem}" if way.problem else way.detail


def _advice(found: Status) -> list[str]:
    lines = []
    kinds = {way.kind for way in found.ways}
    if found.rotating:
        lines.append("a rotation of the keys was interrupted; opening memory ends it or takes it back")
    if kinds == {"keyring"}:
        lines.append("memory is lost with this device or its keyring: secondme keys add-recovery makes a way back")
    elif kinds == {"passphrase"}:
        lines.append("memory is lost with the passphrase: secondme keys add-recovery makes a way back")
    if any(way.kind == "keyring" and way.problem for way in found.ways) and len(kinds) > 1:
        lines.append("secondme keys add-keyring lets the keyring open it again")
    return lines


# Changing ------------------------------------------------------------------------------------------------------


def _add_passphrase(opened: _Opened, args: argparse.Namespace) -> None:
    from secondme.crypto.manage import add_passphrase, require_no_passphrase

    require_no_passphrase(opened.keys)
    add_passphrase(opened.keys, _new_passphrase(args))
    print("the passphrase opens memory now, too")


def _change_passphrase(opened: _Opened, args: argparse.Namespace) -> None:
    from secondme.crypto.manage import change_passphrase, require_passphrase

    require_passphrase(opened.keys)
    change_passphrase(opened.keys, _new_passphrase(args))
    print("the new passphrase opens memory, the earlier one no longer does")
    say("an older copy of keyslots.json still opens with the earlier one; secondme keys rotate ends that")


def _new_passphrase(args: argparse.Namespace) -> str:
    return ask_new_passphrase() if args.new_key_fd is None else read_key(args.new_key_fd, "--new-key-fd")


def _add_recovery(opened: _Opened, args: argparse.Namespace) -> None:
    from secondme.crypto.manage import add_recovery

    had_one = bool(opened.keys.file.of("recovery"))
    add_recovery(opened.keys, _confirmed_code())
    print("the recovery code opens memory now" + (", the earlier one no longer does" if had_one else ", too"))


def _confirmed_code() -> bytearray:
    """A new recovery code that its owner has written down, and typed back."""
    from secondme.cli.codes import show_and_confirm
    from secondme.crypto.recovery import new_code, spell

    code = new_code()
    show_and_confirm(spell(code))
    return code


def _add_keyring(opened: _Opened, args: argparse.Namespace) -> None:
    from secondme.crypto.keychain import backend_name
    from secondme.crypto.manage import add_keyring

    add_keyring(opened.keys)
    print(f"the system's keyring ({backend_name()}) opens memory on this device now, without a question")


def _rotate(opened: _Opened, args: argparse.Namespace) -> None:
    from secondme.crypto.manage import check_passphrase, prepare
    from secondme.rotate import rotate

    file = opened.keys.file
    passphrase = _present_passphrase(opened) if file.of("passphrase") else None
    code = None
    if file.of("recovery"):
        # Before the owner writes a code down for nothing.
        check_passphrase(opened.keys, passphrase or "")
        code = _confirmed_code()
    renewal = prepare(opened.keys, passphrase=passphrase, code=code)
    say("writing the store anew; memory stays usable if this is interrupted")
    rotate(data_dir() / STORE, opened.keys, renewal, _witness())
    print("all keys are new; older copies of the key file open nothing that is written from now on")


def _witness() -> Path:
    return state_dir() / "witness"


def _present_passphrase(opened: _Opened) -> str:
    """The passphrase, which the new keys must be wrapped with; asked for if something else opened memory."""
    import getpass

    slot = opened.keys.opened_by
    if opened.typed and slot is not None and slot.kind == "passphrase":
        return opened.typed[-1]
    if not has_terminal():
        raise NoKey(
            "the passphrase is needed, because the new keys are wrapped with it", hint="pass it with --key-fd N"
        )
    return getpass.getpass("Passphrase (the new keys are wrapped with it): ")


# Locking -------------------------------------------------------------------------------------------------------


def _lock() -> int:
    import time

    from secondme.memory.lock import ask_to_lock, is_held

    pid = ask_to_lock(data_dir())
    if pid is None:
        print("memory is not open in any secondme")
        return 0
    deadline = time.monotonic() + LOCK_WAIT_S
    while is_held(data_dir()):
        if time.monotonic() > deadline:
            print(f"process {pid} was told to lock memory, and has not done so yet")
            say("it stops what it is doing first; ask again, or end it")
            return 1
        time.sleep(0.05)
    print(f"process {pid} has locked memory")
    return 0
