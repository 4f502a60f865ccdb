"""One way only to write a value as JSON, so that equal content is equal bytes: sorted keys, no spaces, UTF-8.

In the spirit of RFC 8785, with two differences: floats are written as Python's shortest exact form, and half characters
(lone surrogates, as in names of files that are not UTF-8) as escapes, which read back as they were.
"""

from __future__ import annotations

import json
import re
from typing import Any

from secondme.errors import CorruptRecord
from secondme.memory.portable import whole

_SURROGATE = re.compile("[\ud800-\udfff]")


def dumps(value: object) -> bytes:
    """One line without its end. Raises ValueError for a number that JSON has not."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", whole(text)).encode()


def loads(line: bytes) -> Any:
    """Read what `dumps` wrote. Raises CorruptRecord for anything else, however alike."""
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        same = dumps(value) == line
    except (ValueError, RecursionError, UnicodeDecodeError):
        same = False
    if not same:
        raise CorruptRecord("a record of the export is not as secondme writes it", hint=TAKE_ANOTHER)
    return value


def _refuse(constant: str) -> float:
    raise ValueError("not JSON")


TAKE_ANOTHER = "the file is damaged or was changed; take another copy of the export"
