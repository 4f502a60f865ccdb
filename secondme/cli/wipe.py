"""`secondme wipe`: destroys all of memory, or one project, proves it, and checks such a proof."""

from __future__ import annotations

import argparse
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondme.cli.output import add_key, ask_line, credentials, say
from secondme.errors import SecondMeError, StoreLocked, UsageError
from secondme.paths import absolute, data_dir, state_dir
from secondme.sanitize import clean_line

if TYPE_CHECKING:
    from secondme.crypto.keys import Keys
    from secondme.memory.lock import StoreLock
    from secondme.wipe.everything import Places
    from secondme.wipe.report import Report, Signer

WORD = "wipe"
KEYRING_S = 2.0
"""How long the keyring may take to open the keys, which are wanted for signing and for the log only."""
_LET_GO_S = 2.0


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "wipe",
        help="destroy all of memory, or one project, and prove it",
        description="Destroys the keys first, so that everything is unreadable at once, then overwrites and deletes "
        "the files, and writes a signed report: what was destroyed, how that was verified, and what no program "
        "reaches. Settings and models stay. Works on a full disk, on a store that no longer opens, and without its "
        "passphrase; with it (--key-fd), or with the keyring, the report also names the times of exports.",
    )
    parser.add_argument("--yes", action="store_true", help=f"do not ask for the word `{WORD}`")
    parser.add_argument(
        "--force", action="store_true", help="wipe even while another secondme has memory open; it is asked to lock"
    )
    parser.add_argument("--report", metavar="FILE", help="where the report goes (default: a new file in this folder)")
    parser.add_argument("--verify", metavar="REPORT", help="check the signature of a report, and do nothing else")
    parser.add_argument(
        "--project",
        metavar="NAME",
        help="destroy this project only: its key, and its files and conversations in memory",
    )
    add_key(parser)


def run(args: argparse.Namespace) -> int:
    if args.verify:
        return _verify(Path(args.verify))
    return _wipe_all(args, _target(args)) if args.project is None else wipe_named_project(args)


def _target(args: argparse.Namespace) -> Path | None:
    """The file for the report, if one was named. Raises UsageError if it is there already."""
    target = absolute(Path(args.report)) if args.report else None
    if target is not None and target.exists():
        raise UsageError("the file for the report is there already", hint="name a new one; nothing was destroyed")
    return target


def _verify(path: Path) -> int:
    from secondme.wipe.report import verify

    for line in verify(path):
        print(clean_line(line))
    print("the signature is right: nothing was changed since")
    return 0


# Everything --------------------------------------------------------------------------------------------------


def _wipe_all(args: argparse.Namespace, target: Path | None) -> int:
    from secondme.crypto import wiping
    from secondme.wipe.everything import Places, found, wipe
    from secondme.wipe.report import Report

    places = Places(data_dir(), state_dir())
    ours, _ = found(places)
    if not ours and not wiping.has_begun(places.data):
        say(f"there is no memory in {places.data}; nothing was done")
        return 0
    lock, holder = _locked(places, force=args.force)
    try:
        _agree(args, f"This destroys all of memory in {places.data} ({len(ours)} files), for good.")
        keys = _opened(places, args)
        signer = _signer(keys)
        report: Report | None = None
        for event in wipe(places, keys):
            if isinstance(event, Report):
                report = event
        assert report is not None
    finally:
        if lock is not None:
            lock.release()
    return _told(_with_holder(report, places, holder), signer, target)


def _locked(places: Places, *, force: bool) -> tuple[StoreLock | None, str | None]:
    """The lock of the store; without one, by force, what the error said. Raises StoreLocked."""
    from secondme.memory.lock import StoreLock

    if not places.data.is_dir():
        return None, None
    lock = StoreLock(places.data)
    try:
        lock.acquire()
    except StoreLocked as error:
        if not force:
            raise StoreLocked(error.message, hint="close it first, or wipe all the same with --force") from None
        return None, error.message
    except SecondMeError:
        return None, None  # a folder that cannot be written is no reason to keep the keys
    return lock, None


def _agree(args: argparse.Namespace, what: str) -> None:
    if args.yes:
        return
    say(what)
    answer = ask_line(f"Type the word {WORD} to go on:", hint="look at what would go, and say --yes")
    if answer != WORD:
        raise UsageError("that is not the word; nothing was destroyed", hint=f"type {WORD}, or close this")


def _opened(places: Places, args: argparse.Namespace) -> Keys | None:
    """The keys, if they open without a question and soon; what is wrong with them does not matter any more."""
    from secondme.crypto.unlock import harden_process, open_only

    harden_process()
    passphrase = credentials(args).passphrase
    found: list[Keys] = []

    def try_it() -> None:
        with suppress(SecondMeError):
            found.append(open_only(places.data, passphrase))

    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    # A passphrase takes the time it was made to take; a keyring may wait for a dialog that nobody sees.
    thread.join(None if passphrase is not None else KEYRING_S)
    if not found and passphrase is not None:
        say("note: the passphrase did not open the keys; they are destroyed all the same")
    return found[0] if found else None


def _signer(keys: Keys | None) -> Signer:
    from secondme.wipe.report import Signer

    return Signer.of(keys.export if keys is not None else None)


def _with_holder(report: Report, places: Places, holder: str | None) -> Report:
    """Ask the process that has memory open to let go, and say in the report whether it did."""
    if holder is None:
        return report
    import time
    from dataclasses import replace

    from secondme.memory.lock import ask_to_lock, is_held

    with suppress(SecondMeError):
        ask_to_lock(places.data)
        end = time.monotonic() + _LET_GO_S
        while is_held(places.data) and time.monotonic() < end:
            time.sleep(0.05)
        if not is_held(places.data):
            return replace(report, notes=(f"{holder}; it was asked to lock, and let go",))
    return replace(report, notes=(f"{holder}: until it ends, it can read what it has open. Close it.",))


# One project -------------------------------------------------------------------------------------------------


def wipe_named_project(args: argparse.Namespace) -> int:
    """Wipe the project `args.project`; `args` has yes, report and key_fd, too."""
    from secondme.assistant import Assistant
    from secondme.config import load_config
    from secondme.wipe.project import wipe_project

    target = _target(args)
    with Assistant(load_config(), credentials(args)) as assistant:
        assistant.unlock()
        if assistant.store.project_uid(args.project) is None:
            raise UsageError("there is no project of that name", hint="names are case-sensitive; nothing was destroyed")
        n_files, n_talks = len(assistant.sources(args.project)), len(assistant.conversations(args.project))
        _agree(
            args, f"This destroys the project {args.project}: {n_files} files and {n_talks} conversations in memory."
        )
        signer = _signer(assistant.keys)
        return _told(wipe_project(assistant.store, assistant.keys, args.project), signer, target)


# What is told ------------------------------------------------------------------------------------------------


def _told(report: Report, signer: Signer, target: Path | None) -> int:
    """Print the report and save it; one that cannot be saved is printed as it would have been."""
    from secondme.wipe.report import default_path, lines, packed, save

    for line in lines(report):
        print(clean_line(line))
    data = packed(report, signer)
    path = target or default_path(Path.cwd(), report.ended)
    try:
        save(path, data)
    except OSError as error:
        sys.stdout.flush()
        say(f"note: the report could not be saved in {path} ({error.strerror}); keep what follows")
        print(data.decode("ascii"), end="")
    else:
        say(f"the report is in {path}; check it with: secondme wipe --verify {path}")
    return 0 if report.is_complete else 1
