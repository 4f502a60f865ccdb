"""What the owner forgot, as keyed hashes, so that it does not come back by itself.

A forgotten text returns in many ways: its file changes and is cut anew, is copied or renamed, another line is edited.
So the hashes are of its lines and sentences as well as of whole passages, in lower case and without punctuation, and
ingest blanks what matches: spaces take its place, byte for byte, and every offset stays. Lines and sentences of
DISTINCT_WORDS words or more are known wherever they turn up; shorter ones, which other files hold by chance, only in
the file they were forgotten from. A path is known by itself and as a folder above others. An item is known by its name,
by which it does not come back with an import, and what it claims together with the turns and passages that it was made
of: there nothing is to learn it from a second time, while the owner may well say it again. That something learned from
a turn or passage was forgotten is known of that as well: such a turn takes the place of nothing that is known.

The key, 32 random bytes in the encrypted store, keeps the hashes from telling what they are of. BLAKE2b (RFC 7693).
Every function works on a connection inside the caller's transaction.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import apsw

from secondme.errors import CorruptRecord
from secondme.memory.rows import pack_path

Kind = Literal["path", "file", "passage", "item"]
"""Of a path; of text that was forgotten with its file; of text that was forgotten by itself; of an item."""

DISTINCT_WORDS = 8
_HASH_BYTES = 16

_WORD = re.compile(r"\w+")
_LINE_END = re.compile(r"[\n\r\x0b\x0c\u2028\u2029]+")
_SENTENCE_END = re.compile(
    r"[.!?…][\"'”’»)\]*_]*\s+|[。！？][」』”’）]*|\n[ \t\r\f]*\n|\f"  # an empty line and a new page end one as well
)
_NOT_BLANK = re.compile(r"[^\s]")
# Scripts that are written without spaces: each of their characters counts as a word.
_UNSPACED = "\u2e80"


@dataclass(frozen=True, slots=True)
class Unit:
    """A line or a sentence at [start, end) of a text, in characters; `words` is what is compared of it."""

    start: int
    end: int
    words: str


def wording(text: str) -> str:
    """The words of a text and nothing else: what counts as the same however it is wrapped, marked or capitalised."""
    return " ".join(_WORD.findall(text)).lower()


def units(text: str) -> Iterator[Unit]:
    """Lines and sentences that hold any word; one that is both comes once."""
    seen = set()
    for pattern in (_LINE_END, _SENTENCE_END):
        start = 0
        for end in (*(m.end() for m in pattern.finditer(text)), len(text)):
            words = wording(text[start:end])
            if words and (start, words) not in seen:
                seen.add((start, words))
                yield Unit(start, end, words)
            start = end


def all_wordings(text: str) -> Iterator[str]:
    """Of a text as a whole and of each of its lines and sentences."""
    if words := wording(text):
        yield words
    for unit in units(text):
        yield unit.words


def is_distinct(words: str) -> bool:
    """Whether a wording is long enough to be nobody else's by chance."""
    if words.count(" ") >= DISTINCT_WORDS - 1:
        return True
    return sum(1 if not word or word[0] < _UNSPACED else len(word) for word in words.split(" ")) >= DISTINCT_WORDS


@dataclass(frozen=True, slots=True)
class Place:
    """A file as tombstones know it: by project and path, and by its id while memory holds it."""

    project: str
    path: str
    source_id: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Tombstones:
    """All tombstones at one moment; `version` tells it from later ones. Hashes have 16 bytes."""

    salt: bytes
    paths: frozenset[bytes]
    texts: Mapping[bytes, Kind]
    version: int = 0
    items: frozenset[bytes] = frozenset()

    def hides_path(self, project: str, path: str, *, root: str | None = None) -> bool:
        """Whether `path` was forgotten, or a folder it is in; with `root` only folders from there on count."""
        above = (str(p) for p in PurePath(path).parents if root is None or p.is_relative_to(root))
        return bool(self.paths) and any(path_hash(self.salt, project, p) in self.paths for p in (path, *above))

    def masked(self, text: str, place: Place, *, lifted: Collection[Kind] = ()) -> str:
        """`text` with spaces for what was forgotten; kinds in `lifted` stay."""
        if not self.texts:
            return text
        return _blanked(text, [(u.start, u.end) for u in units(text) if self._hidden(u.words, place, lifted)])

    def hides(self, text: str, place: Place, *, lifted: Collection[Kind] = ()) -> bool:
        """Whether a passage or a heading as a whole was forgotten."""
        return bool(self.texts) and self._hidden(wording(text), place, lifted)

    def item(
        self, uid: bytes, places: Iterable[bytes], subject: str, attribute: str, value: str, text: str
    ) -> tuple[bytes, ...]:
        """The `item_hashes` of an item, for `hides_item`."""
        return item_hashes(self.salt, uid, places, subject, attribute, value, text)

    def hides_item(self, hashes: Iterable[bytes]) -> bool:
        """Whether an item of these `item_hashes` was forgotten."""
        return bool(self.items) and not self.items.isdisjoint(hashes)

    def hides_wording(self, text: str) -> bool:
        """Whether a line or sentence of `text` was forgotten that is nobody else's by chance."""
        hashes = (_hash(self.salt, b"text", _exact(w)) for w in all_wordings(text) if is_distinct(w))
        return bool(self.texts) and any(h in self.texts for h in hashes)

    def found_in(self, texts: Iterable[str], place: Place, kinds: Collection[Kind]) -> frozenset[bytes]:
        """The tombstones of `kinds` that stand for anything in `texts`."""
        found: set[bytes] = set()
        for text in texts if self.texts else ():
            for words in all_wordings(text):
                found.update(h for h in text_hashes(self.salt, words, place) if self.texts.get(h) in kinds)
        return frozenset(found)

    def _hidden(self, words: str, place: Place, lifted: Collection[Kind]) -> bool:
        kinds = (self.texts.get(h) for h in text_hashes(self.salt, words, place))
        return bool(words) and any(kind is not None and kind not in lifted for kind in kinds)


def text_hashes(salt: bytes, words: str, place: Place) -> tuple[bytes, ...]:
    """Hashes of a wording: one for everywhere if it is distinct, else those of its file."""
    data = _exact(words)
    if is_distinct(words):
        return (_hash(salt, b"text", data),)
    scopes = [pack_path(place.project) + b"\0" + pack_path(place.path)]
    if place.source_id is not None:
        scopes.append(b"%d" % place.source_id)
    return tuple(_hash(salt, b"short", scope, data) for scope in scopes)


def item_hashes(
    salt: bytes, uid: bytes, places: Iterable[bytes], subject: str, attribute: str, value: str, text: str
) -> tuple[bytes, ...]:
    """Of an item's uid, and of its claim at each of the uids it rests on; without an attribute its wording counts."""
    claim = (subject.lower(), attribute.lower(), wording(value)) if attribute else (wording(text),)
    parts = [_exact(part) for part in claim]
    return (_hash(salt, b"item", uid), *(_hash(salt, b"claim", place, *parts) for place in places))


def undone_hash(salt: bytes, place: bytes) -> bytes:
    """Of a turn or passage by its uid, from which something was learned that the owner forgot again."""
    return _hash(salt, b"undone", place)


def path_hash(salt: bytes, project: str, path: str) -> bytes:
    return _hash(salt, b"path", pack_path(project), pack_path(path))


def _exact(words: str) -> bytes:
    return words.encode("utf-8", "surrogatepass")


def _hash(salt: bytes, *parts: bytes) -> bytes:
    hasher = hashlib.blake2b(key=salt, digest_size=_HASH_BYTES)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.digest()


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with a space for every visible byte of its UTF-8 in `spans`, so that all offsets and lines stay."""
    pieces = []
    at = 0
    for start, end in sorted(spans):
        if end <= at:
            continue
        start = max(start, at)
        pieces += [text[at:start], _NOT_BLANK.sub(_spaces, text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _spaces(match: re.Match[str]) -> str:
    return " " * len(match[0].encode("utf-8", "surrogatepass"))


# In the store ------------------------------------------------------------------------------------------------


def salt(connection: apsw.Connection) -> bytes:
    """The key of the hashes. Raises CorruptRecord if it is missing."""
    found = connection.execute("select value from setting where name = 'tombstone_salt'").get
    if not isinstance(found, bytes):
        raise CorruptRecord("the key of what was forgotten is missing", hint="run: secondme memory repair")
    return found


def load(connection: apsw.Connection, version: int) -> Tombstones:
    """All of them."""
    paths: set[bytes] = set()
    items: set[bytes] = set()
    texts: dict[bytes, Kind] = {}
    for digest, kind in connection.execute("select hash, kind from tombstone"):
        if kind == "path":
            paths.add(digest)
        elif kind == "item":
            items.add(digest)
        else:
            texts[digest] = kind
    return Tombstones(salt(connection), frozenset(paths), texts, version, frozenset(items))


def bury(connection: apsw.Connection, hashes: Iterable[bytes], kind: Kind) -> None:
    """Set tombstones. A text that was ever forgotten by itself stays so, whatever happens to its file."""
    now = time.time()
    connection.executemany(
        """insert into tombstone values(?, ?, ?) on conflict do update set at = excluded.at,
               kind = case when kind = 'passage' then kind else excluded.kind end""",
        ((digest, kind, now) for digest in hashes),
    )


def lift(connection: apsw.Connection, hashes: Iterable[bytes]) -> int:
    """Take tombstones away; returns how many there were."""
    n = 0
    for digest in hashes:
        connection.execute("delete from tombstone where hash = ?", (digest,))
        n += connection.changes()
    return n
