"""Keeps what the owner forgot from coming back with its files, until the owner asks for it by name.

Following a folder leaves a forgotten file alone, and blanks forgotten text wherever it turns up. Adding a path that was
forgotten, or lies in a folder that was, brings that file's text back; passages that were forgotten by themselves stay
away, since adding a file is how its changes come in. `again` brings back everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from secondme.memory.store import Store
from secondme.memory.tombstones import Kind, Place, Tombstones, path_hash, wording
from secondme.types import Chunk, Document

_NOTHING: tuple[Kind, ...] = ()
_WITH_FILE: tuple[Kind, ...] = ("file",)
_ALL: tuple[Kind, ...] = ("file", "passage")


@dataclass(frozen=True, slots=True, repr=False)
class Mask:
    """What must not be taken from one file; `lifted` are the kinds of tombstones that do not count for it."""

    stones: Tombstones
    place: Place
    lifted: tuple[Kind, ...] = _NOTHING

    def document(self, document: Document) -> Document:
        """The document with spaces for what was forgotten."""
        text = self.stones.masked(document.text, self.place, lifted=self.lifted)
        if text == document.text:
            return document
        headings = tuple(h for h in document.headings if not self._hides(h.title))
        title = "" if self._hides(document.title) else document.title
        return replace(document, text=text, headings=headings, title=title)

    def chunks(self, chunks: list[Chunk]) -> list[Chunk]:
        """Those of a masked document that hold anything and were not forgotten as a whole."""
        if not self.stones.texts:
            return chunks
        return [c for c in chunks if wording(c.text) and not self._hides(c.text)]

    def wanted(self, document: Document, chunks: Sequence[Chunk]) -> frozenset[bytes]:
        """Tombstones that fall, since the owner asked for this text again."""
        if not self.lifted:
            return frozenset()
        texts = [document.text, document.title, *(h.title for h in document.headings), *(c.text for c in chunks)]
        return self.stones.found_in(texts, self.place, self.lifted)

    def _hides(self, text: str) -> bool:
        return self.stones.hides(text, self.place, lifted=self.lifted)


class Forgotten:
    """The tombstones as they bear on one pass. `named` are the paths the owner asked for; none while following."""

    def __init__(self, store: Store, project: str, named: Sequence[Path], *, again: bool) -> None:
        self._store = store
        self._project = project
        self._again = again
        self.stones = store.tombstones()
        self._roots = sorted((f.path for f in store.folders(project)), key=len, reverse=True)
        self._asked = [p for p in named if again or self.stones.hides_path(project, str(p))]

    def reload(self) -> None:
        """Look again, because something was forgotten meanwhile."""
        self.stones = self._store.tombstones()

    def leaves_out(self, path: str) -> bool:
        """Whether the file at `path` was forgotten. One that memory holds all the same was brought back."""
        if self.is_asked_for(path) or not self._is_hidden(path):
            return False
        return self._store.source(self._project, path) is None

    def mask(self, path: str, source_id: int | None) -> Mask:
        lifted = (_ALL if self._again else _WITH_FILE) if self.is_asked_for(path) else _NOTHING
        return Mask(self.stones, Place(self._project, path, source_id), lifted)

    def lift(self, path: str, texts: frozenset[bytes]) -> None:
        """The owner asked for `path`: its tombstones fall, and those of `texts`."""
        asked = next((p for p in self._asked if Path(path).is_relative_to(p)), None)
        if asked is None:
            return
        up_to_root = [p for p in (Path(path), *Path(path).parents) if p.is_relative_to(asked)]
        hashes = {path_hash(self.stones.salt, self._project, str(p)) for p in up_to_root} & self.stones.paths
        if hashes | texts:
            self._store.lift(hashes | texts)
            self.reload()

    def is_asked_for(self, path: str) -> bool:
        """Whether the owner named `path`, or a folder above it, to have what was forgotten back."""
        return any(Path(path).is_relative_to(p) for p in self._asked)

    def _is_hidden(self, path: str) -> bool:
        # A folder that is followed was added after the folders above it were forgotten.
        root = next((r for r in self._roots if Path(path).is_relative_to(r)), None)
        return self.stones.hides_path(self._project, path, root=root)
