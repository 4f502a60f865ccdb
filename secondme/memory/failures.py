"""The one place where SQLite's failures become ours.

SQLite's own messages are dropped: for a bad search they quote the query, for a constraint the column. What stays is
the name of the result code, which holds nothing of the owner's.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from secondme.errors import (
    Cancelled,
    CorruptRecord,
    SecondMeError,
    StoreError,
    StoreFull,
    StoreLocked,
    UsageError,
)

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

# Results that mean "the bytes on disk are not what was written" once the key is known to be right. The cipher reports
# a page whose authentication tag fails in several ways, depending on what was being read.
_DAMAGED = frozenset(
    {
        "SQLITE_CORRUPT",
        "SQLITE_NOTADB",
        "SQLITE_FORMAT",
        "SQLITE_IOERR_DATA",
        "SQLITE_IOERR_CORRUPTFS",
        "SQLITE_IOERR_SHORT_READ",
        "SQLITE_CANTOPEN_DIRTYWAL",
        "SQLITE_AUTH",
    }
)


@contextmanager
def store_errors(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn every apsw error inside the block into one of `errors.py`."""
    try:
        yield
    except apsw.Error as error:
        # `from None`: the original's message may quote a query.
        raise translate(error, connection.system_errno if connection else 0) from None


def translate(error: apsw.Error, system_errno: int = 0) -> SecondMeError:
    """The program's own error for a SQLite error; `system_errno` is the operating system's word on it."""
    code = result_name(error)
    # Of any other error the number is what an earlier call left behind.
    errno_now = system_errno if isinstance(error, apsw.IOError | apsw.CantOpenError) else 0
    if isinstance(error, apsw.FullError) or errno_now in _NO_SPACE:
        return store_full()
    if isinstance(error, apsw.CorruptError | apsw.NotADBError | apsw.FormatError) or code in _DAMAGED:
        return damaged(code)
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError) or errno_now in _READ_ONLY:
        return read_only()
    if isinstance(error, apsw.BusyError | apsw.LockedError | apsw.ProtocolError):
        return StoreLocked("the store is in use", hint="close the other secondme, then try again")
    if isinstance(error, apsw.CantOpenError):
        # Also on a disk without room for one more name: SQLite tries again without making the file, and hides why.
        hint = "check that its folder exists, can be written and has free space"
        return StoreError("the store file cannot be opened", hint=hint)
    if isinstance(error, apsw.NoMemError):
        return StoreError("out of memory in the store", hint="close other programs, then try again")
    if isinstance(error, apsw.InterruptError):
        return Cancelled("the work on the store was stopped")
    if isinstance(error, apsw.ExtensionLoadingError):
        return StoreError("the vector search (sqlite-vec) does not load", hint="install secondme again")
    if isinstance(error, apsw.TooBigError):
        return UsageError("a text is longer than the store can hold", hint="split it; the limit is 1 GB")
    if isinstance(error, apsw.IOError):
        return StoreError(
            f"the disk failed while the store was in use ({code})",
            hint="check the disk and its free space; what was stored before is kept",
        )
    return StoreError(
        f"the store refused an operation ({code})",
        hint="run: secondme doctor --read-data; if it finds nothing, report this",
    )


def result_name(error: apsw.Error) -> str:
    """SQLite's name of the extended result code, or the class of an error that apsw raised by itself."""
    extended = getattr(error, "extendedresult", None)
    mapping = apsw.mapping_extended_result_codes
    name = mapping.get(extended) if extended is not None else None
    if name is None:
        result = getattr(error, "result", None)
        name = apsw.mapping_result_codes.get(result) if result is not None else None
    return str(name) if name else type(error).__name__


@contextmanager
def os_errors() -> Iterator[None]:
    """Turn every OSError inside the block into one of `errors.py`."""
    try:
        yield
    except OSError as error:
        raise _os_error(error) from None


def _os_error(error: OSError) -> StoreError:
    if error.errno in _NO_SPACE:
        return store_full()
    if error.errno in _READ_ONLY:
        return read_only()
    return StoreError(
        f"the store file cannot be used ({errno.errorcode.get(error.errno or 0, 'unknown error')})",
        hint="check that its folder exists and can be written",
    )


def store_full() -> StoreFull:
    return StoreFull("the disk is full", hint="free some space; everything stored before is safe")


def read_only() -> StoreError:
    return StoreError("the store cannot be written", hint="check the permissions of its folder and of the disk")


def damaged(code: str) -> CorruptRecord:
    return CorruptRecord(
        f"the store is damaged ({code})",
        hint="run: secondme memory repair; it shows what can be saved before it changes anything",
    )
