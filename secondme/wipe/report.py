"""The report of a wipe: what was destroyed, how that was seen, and what no program reaches.

It is JSON with readable text in it, signed with Ed25519 (RFC 8032): by a key derived from the memory's own export key
where that could still be opened, so that two reports of one memory show the same public key, else by a key that was
made for this report alone. A signature shows that the report was not changed since; who made it, it cannot show. It
holds paths and times, and nothing of what was in memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secondme.crypto.destroy import Destroyed
from secondme.crypto.envelope import Secret, derive
from secondme.crypto.erase import erase
from secondme.durable import replace_file
from secondme.errors import CorruptRecord, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = "secondme-wipe-report/1"
MAX_BYTES = 16 * 1024 * 1024
_PURPOSE = b"secondme wipe report"

OUT_OF_REACH = (
    "copies that were made before: backups, snapshots of the file system, copies of the key file or of the device key",
    "exports the owner made: each opens with its own passphrase, or with none if it was plain",
    "the original files that were added: they lie where they were",
    "memory written to swap or to a hibernation image while secondme ran",
    "old blocks that a drive keeps by itself (wear levelling, bad blocks), although they were overwritten for us",
    "what was printed: the terminal's scrollback, and answers copied elsewhere",
)


class Signer:
    """A signing key that is held for one report."""

    def __init__(self, key: Ed25519PrivateKey, made_from: Literal["export key", "one-time key"]) -> None:
        self._key = key
        self.made_from = made_from

    @classmethod
    def of(cls, export_key: Secret | None) -> Signer:
        """By HKDF-SHA256 from the export key, or a new one."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if export_key is None:
            return cls(Ed25519PrivateKey.generate(), "one-time key")
        seed = derive(export_key, _PURPOSE)
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(bytes(seed)), "export key")
        finally:
            erase(seed)

    def public(self) -> str:
        return self._key.public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        return self._key.sign(data).hex()


@dataclass(frozen=True, slots=True)
class Report:
    """`what` was wiped: `everything`, or `project` with its uid in hex. Times are seconds since 1970.

    `keys_s` is how long destroying the keys took; `verified` is what was looked for afterwards; `left_alone` are files
    in our folders that are not ours; `exports` are the times of exports the log knows, None if it could not be read.
    """

    what: str
    store_id: str | None
    began: float
    ended: float
    keys_s: float
    destroyed: tuple[Destroyed, ...]
    verified: tuple[Destroyed, ...]
    left_alone: tuple[str, ...] = ()
    exports: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return all(item.done for item in (*self.destroyed, *self.verified))


def lines(report: Report) -> list[str]:
    """The report as a person reads it; the paths in it are as the system gave them."""
    told = [f"{'Wiped' if report.is_complete else 'Not all could be wiped'}: {report.what}"]
    told.append(
        f"Began {_when(report.began)}, keys destroyed within {report.keys_s:.3f} s, ended {_when(report.ended)}"
    )
    told += _section("Destroyed", report.destroyed)
    told += _section("Verified", report.verified)
    if report.left_alone:
        told += ["Left alone, because it is not secondme's:", *(f"  {path}" for path in report.left_alone)]
    if report.exports:
        told += ["Exports that were made, each of which is still whole:", *(f"  {_when(at)}" for at in report.exports)]
    elif report.what == "everything":
        unread = "Whether exports were made is not known: the log could not be read any more."
        told.append(unread if report.exports is None else "The log knows of no exports.")
    told += report.notes
    return [*told, "Out of reach of any program, and to be seen to by hand:", *(f"  {what}" for what in OUT_OF_REACH)]


def _section(title: str, items: Sequence[Destroyed]) -> list[str]:
    marks = {True: "done", False: "NOT DONE"}
    return [f"{title}:", *(f"  {marks[item.done]}  {item.what}: {item.detail}" for item in items)] if items else []


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def packed(report: Report, signer: Signer) -> bytes:
    """The file's bytes."""
    body = asdict(report) | {"format": FORMAT, "out_of_reach": list(OUT_OF_REACH), "text": lines(report)}
    signature = {
        "algorithm": "Ed25519",
        "key": signer.made_from,
        "public_key": signer.public(),
        "value": signer.sign(_canonical(body)),
    }
    return json.dumps({"report": body, "signature": signature}, indent=2).encode("ascii") + b"\n"


def _canonical(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def default_path(folder: Path, at: float) -> Path:
    """A name in `folder` that nothing has yet."""
    stem = time.strftime("secondme-wipe-%Y%m%dT%H%M%SZ", time.gmtime(at))
    names = (f"{stem}{f'-{n}' if n else ''}.json" for n in range(1000))
    return next(path for path in (folder / name for name in names) if not path.exists())


def save(path: Path, data: bytes) -> None:
    """Raises OSError."""
    replace_file(path, data)


def verify(path: Path) -> list[str]:
    """Check a report's signature and return its text, and whose key it is.

    Raises UsageError if it cannot be read, CorruptRecord if it is no report or was changed.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})", hint="name the file that wipe wrote") from None
    try:
        document = json.loads(data)
        body, signature = document["report"], document["signature"]
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["public_key"]))
        key.verify(bytes.fromhex(signature["value"]), _canonical(body))
        if body["format"] != FORMAT or signature["algorithm"] != "Ed25519":
            raise ValueError
        text = [str(line) for line in body["text"]]
    except (ValueError, KeyError, TypeError, RecursionError, InvalidSignature):
        raise CorruptRecord(
            "the report was changed since it was signed, or is no report of a wipe", hint="use an untouched copy"
        ) from None
    return [*text, f"Signed by {signature['key']} {signature['public_key']}"]
