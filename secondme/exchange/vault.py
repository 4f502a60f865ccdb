"""A folder of Markdown notes, such as an Obsidian vault: each note a file in memory, each [[wikilink]] an edge.

A note keeps its path on the disk, so that adding the folder later finds it known. A link is looked up as Obsidian does:
by the path from the vault's root, else by the name, where the shortest path wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondme.errors import IngestError, UsageError
from secondme.exchange.incoming import MAX_TEXT, derived_uid, origin
from secondme.exchange.texts import Note
from secondme.ingest import reasons
from secondme.ingest.parse import parse_kind
from secondme.ingest.read import read_file
from secondme.ingest.walk import Found, walk
from secondme.memory.portable import PortableEdge
from secondme.paths import absolute

FORM = "markdown"
LINKS_TO = "links_to"
_SUFFIXES = (".md", ".markdown")
_FRONT = re.compile(r"\A---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.S | re.M)
_TAGS = re.compile(r"^tags?:[ \t]*(.*(?:\n[ \t]*-[ \t].*)*)", re.M)
_WIKILINK = re.compile(r"\[\[([^\[\]|#^\n]{1,500})(?:[#^|][^\[\]\n]{0,500})?\]\]")
_CODE = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1[ \t]*$|`[^`\n]+`", re.S | re.M)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A note that was not taken, with the reason."""

    path: str
    reason: str


def is_vault(folder: Path) -> bool:
    """Whether there is any Markdown in a folder."""
    return next(_found(folder), None) is not None


def notes(folder: Path) -> Iterator[Note | LeftOut | PortableEdge]:
    """The notes in the order of their paths, then the links among them. Raises UsageError if there is no note."""
    root = absolute(folder)
    uids: dict[str, bytes] = {}
    links: list[tuple[bytes, str, float]] = []
    for found in _found(root):
        name = Path(found.path).relative_to(root).as_posix()
        try:
            note = _note(found, f"{root.name}/{name}")
        except IngestError as error:
            yield LeftOut(found.path, error.message)
            continue
        uids[name] = note.uid
        links += [(note.uid, link, found.stamp.mtime_ns / 1e9) for link in _links(note.document.text)]
        yield note
    if not uids:
        raise UsageError(f"there is no Markdown in {folder}", hint="to bring in other files, use: secondme add")
    targets = _targets(sorted(uids))
    for uid, link, at in links:
        target = targets.get(_key(link))
        if target is not None and uids[target] != uid:
            yield PortableEdge(uid, uids[target], LINKS_TO, at)


def _found(root: Path) -> Iterator[Found]:
    for entry in walk(root):
        if isinstance(entry, Found) and entry.path.lower().endswith(_SUFFIXES):
            yield entry


def _note(found: Found, original_id: str) -> Note:
    content = read_file(found, 4 * MAX_TEXT)
    document = parse_kind("markdown", Path(found.path), content.data)
    if len(document.text) > MAX_TEXT:
        raise reasons.unsupported(reasons.TOO_MUCH_TEXT.format(MAX_TEXT // 1_000_000))
    came_from = origin(FORM, original_id, tags=_tags(document.text) or None)
    uid = derived_uid(FORM, "source", original_id)
    return Note(uid, found.path, document, content.content_hash, content.stamp, came_from)


def _tags(text: str) -> list[str]:
    """Tags of the front matter: a YAML list in one of its two forms, or words."""
    front = _FRONT.match(text)
    found = _TAGS.search(front[1]) if front else None
    if found is None:
        return []
    first, *rest = found[1].split("\n")
    items = re.split(r"[,\s]+", first.strip(" []")) + [line.strip().removeprefix("-") for line in rest]
    return [item.strip(" \"'#\r") for item in items if item.strip(" \"'#\r")]


def _links(text: str) -> Iterator[str]:
    yield from dict.fromkeys(m[1].strip() for m in _WIKILINK.finditer(_CODE.sub("", text)))


def _targets(names: Sequence[str]) -> dict[str, str]:
    """What a link may say, for each note."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda n: (n.count("/"), n)):
        found.setdefault(_key(name.rsplit("/", 1)[-1]), name)
    return found | {_key(name): name for name in names}


def _key(link: str) -> str:
    folded = link.casefold().lstrip("/")
    for suffix in _SUFFIXES:
        folded = folded.removesuffix(suffix)
    return folded
