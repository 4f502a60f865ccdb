"""Bytes of unknown encoding to text, without guessing more than necessary.

In order: a byte-order mark decides; strict UTF-8; UTF-16 or UTF-32 without a mark, seen by its NUL bytes; damaged UTF-8
(most of what is not ASCII is valid) with U+FFFD for what is broken; Windows-1252 where few letters are accented, as in
western European text; else what charset-normalizer makes of a sample, and Windows-1252 if it has no opinion.
Text that came out of a legacy encoding may be wrong in single letters; nothing is dropped.
"""

from __future__ import annotations

import codecs
import re

from secondme.ingest import reasons

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 64 * 1024
_MAX_CONTROL_SHARE = 0.005
_MAX_LATIN_SHARE = 0.17
"""Above this share of accented letters, text is not western European in a one-byte encoding."""
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x08\x1b"))
_UTF8_TAIL = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# The Latin code pages differ in a few letters each: without many of them the most common one is the best guess.
_LATIN = {"cp1250", "cp1254", "cp1257", "iso8859_2", "iso8859_9"}
_ENOUGH_BYTES = 50
_LEGACY = (
    "cp1252 cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 koi8_r koi8_u iso8859_2 iso8859_5 iso8859_7 iso8859_9 "
    "cp866 shift_jis cp932 euc_jp iso2022_jp gb18030 big5 cp949 euc_kr tis_620"
).split()


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Return the text of `data`. `declared` is an encoding that the file names itself; it is believed if it fits.

    Raises UnsupportedFormat if the content is binary.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _settled(data.decode(name, "replace"))
    if b"\0" in data[:_SAMPLE_BYTES] and (wide := _wide_encoding(data)):
        return _settled(data.decode(wide, "replace"))
    if looks_binary(data):
        raise reasons.unsupported(reasons.BINARY)
    try:
        return _settled(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _settled(data.decode(declared if declared and _fits(data, declared) else _guess(data), "replace"))


def looks_binary(data: bytes) -> bool:
    """True if there are more control bytes than any text has; a few stray ones, as in a torn log, are let pass."""
    head = data[:_SAMPLE_BYTES]
    if _control_share(head) > _MAX_CONTROL_SHARE:
        return True
    middle = len(data) // 2
    return len(data) > 4 * _SAMPLE_BYTES and _control_share(data[middle : middle + _SAMPLE_BYTES]) > _MAX_CONTROL_SHARE


def _control_share(data: bytes) -> float:
    return (len(data) - len(data.translate(None, _CONTROLS))) / len(data) if data else 0.0


def _settled(text: str) -> str:
    # SQLite and C tokenizers end at a NUL; a space keeps every offset.
    return text.replace("\0", " ")


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: nearly every other byte (or three of four) of western text is NUL."""
    head = data[: _SAMPLE_BYTES - _SAMPLE_BYTES % 4]
    if len(head) < 8 or len(data) % 2:
        return None
    share = [head[i::4].count(0) / len(head[i::4]) for i in range(4)]
    patterns = {
        "utf-32-le": (0, 1, 1, 1),
        "utf-32-be": (1, 1, 1, 0),
        "utf-16-le": (0, 1, 0, 1),
        "utf-16-be": (1, 0, 1, 0),
    }
    for name, pattern in patterns.items():
        if all(s > 0.7 if p else s < 0.05 for s, p in zip(share, pattern, strict=True)) and _fits(head, name):
            return name
    return None


def _fits(data: bytes, encoding: str) -> bool:
    try:
        if not codecs.lookup(encoding)._is_text_encoding:
            return False
        data.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return False
    return True


def _guess(data: bytes) -> str:
    sample = _around_first_high(data)
    n_high = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    in_valid = sum(len(m) for m in _UTF8_TAIL.findall(sample))
    if in_valid >= 0.6 * n_high:
        return "utf-8"
    letters = n_high + sum(1 for b in sample if chr(b).isalpha() and b < 128)
    if n_high <= _MAX_LATIN_SHARE * letters:
        return "cp1252"
    from charset_normalizer import from_bytes  # 30 ms to import, and rarely needed

    best = from_bytes(sample, cp_isolation=_LEGACY).best()
    if best is None or (best.encoding in _LATIN and n_high < _ENOUGH_BYTES):
        return "cp1252"
    return best.encoding


def _around_first_high(data: bytes) -> bytes:
    first = re.search(rb"[\x80-\xff]", data)
    start = max(0, first.start() - 2048) if first else 0
    return data[start : start + _SAMPLE_BYTES]
