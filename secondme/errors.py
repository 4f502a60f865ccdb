"""Every error the program raises on purpose.

    SecondMeError(message, *, hint=None)
      UsageError        the command line asks for something impossible
      ConfigError       NoKey
      ModelError        ModelNotFound ModelChecksumMismatch BackendUnavailable OutOfMemory ContextOverflow
                        DownloadFailed
      StoreError        StoreLocked WrongPassphrase SchemaTooNew StoreFull
      CartridgeError    CartridgeIncompatible CartridgeStale         never fatal: the text is read instead
      IntegrityError    CorruptRecord CorruptCartridge RolledBack    never retried, never hidden
      IngestError       UnsupportedFormat ParseFailed FileVanished   recorded as a skip with its reason, never fatal
      Cancelled

A message says what happened and the hint what to do, both lower case without a full stop. Neither holds text from
the owner's documents or conversations; a path may appear, and is sanitised where it is shown. Errors are rendered
once in `cli/` and once in `tui/`. Exit codes follow sysexits.h where it has one.
"""

from __future__ import annotations

from typing import ClassVar


class SecondMeError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SecondMeError):
    """The request cannot be carried out as it was put."""

    exit_code = 2


class ConfigError(SecondMeError):
    """The configuration is wrong or incomplete."""

    exit_code = 78


class NoKey(ConfigError):
    """Neither an OS keyring nor a passphrase is at hand; nothing is stored without one."""


class ModelError(SecondMeError):
    """A model cannot be had, loaded or used."""

    exit_code = 69


class ModelNotFound(ModelError):
    """No such manifest, or its file is not on this machine."""


class ModelChecksumMismatch(ModelError):
    """The file's sha256 is not the one in the manifest."""


class BackendUnavailable(ModelError):
    """The runtime is not installed or does not load."""


class OutOfMemory(ModelError):
    """The model or its context does not fit into memory."""


class ContextOverflow(ModelError):
    """More tokens than the context holds; nothing was truncated."""

    exit_code = 65


class DownloadFailed(ModelError):
    """A download broke off or was refused; what arrived is kept for resuming."""


class StoreError(SecondMeError):
    """The store cannot be opened or written."""

    exit_code = 74


class StoreLocked(StoreError):
    """Another process owns the store."""

    exit_code = 75


class WrongPassphrase(StoreError):
    """The key does not open the store."""

    exit_code = 77


class SchemaTooNew(StoreError):
    """A newer version of the program wrote the store."""


class StoreFull(StoreError):
    """The disk is full; what was acknowledged is safe."""


class CartridgeError(SecondMeError):
    """A document's saved keys and values cannot be used; its text is read instead."""

    exit_code = 69


class CartridgeIncompatible(CartridgeError):
    """It belongs to another model, runtime or calibration, or the model's cache cannot be taken apart."""


class CartridgeStale(CartridgeError):
    """The document has changed since."""


class IntegrityError(SecondMeError):
    """Stored bytes are not what was written."""

    exit_code = 76


class CorruptRecord(IntegrityError):
    """A record or a page fails its check."""


class RolledBack(IntegrityError):
    """What is on the disk is older than what was acknowledged: a damaged log, or an old copy put back."""


class CorruptCartridge(IntegrityError):
    """A cartridge's bytes are not those that were written."""


class IngestError(SecondMeError):
    """A file was left out, with its reason."""

    exit_code = 65


class UnsupportedFormat(IngestError):
    """No parser reads this kind of file."""


class ParseFailed(IngestError):
    """The parser could not read the file."""


class FileVanished(IngestError):
    """The file went away between being seen and being read."""


class Cancelled(SecondMeError):
    """The owner stopped the work; what was finished is kept."""

    exit_code = 130
