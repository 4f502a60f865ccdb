"""A model of a disk that loses power: which of the recorded operations survive, and the folder that is left.

What is certain: the content of a file up to the last fsync of that file, the names in a folder up to the last fsync of
that folder. Everything since then is each there or not, as POSIX allows: a write whole, not at all, in some of its
512-byte sectors, or as zeros where it makes the file longer; in any order; a name made, replaced or taken away or not,
and a rename within one folder done as a whole or not at all. That is more than journaling file systems lose (they keep
the order of names, for one), so what holds here holds on them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.fault.iolog import Entry

SECTOR = 512

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """A write of `data` at `offset`, or with None a cut or growth to `offset` bytes."""

    offset: int
    data: bytes | None

    def on(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
        content.extend(bytes(max(0, self.offset - len(content))))
        if self.data is not None:
            content[self.offset : self.offset + len(self.data)] = self.data

    def torn(self, chance: random.Random) -> Iterator[Change]:
        """What may reach the disk of a write: whole sectors, some of them, and its length or not."""
        if self.data is None or chance.random() < 0.6:
            yield self
            return
        if chance.random() < 0.3:
            # The file grew, but the content of its new blocks never came: no more than zeros.
            yield Change(self.offset + len(self.data), b"")
        share = chance.random()
        start = 0
        while start < len(self.data):
            end = min(len(self.data), start + SECTOR - (self.offset + start) % SECTOR)
            if chance.random() < share:
                yield Change(self.offset + start, self.data[start:end])
            start = end


class File:
    """An inode with content: what is certain, and what was done since."""

    def __init__(self, content: bytes = b"") -> None:
        self.certain = bytearray(content)
        self.pending: list[Change] = []

    def sync(self) -> None:
        for change in self.pending:
            change.on(self.certain)
        self.pending.clear()

    def left(self, chance: random.Random) -> bytes:
        """The content after the power came back."""
        content = bytearray(self.certain)
        whole = chance.random() < 0.5
        for change in _survivors(self.pending, chance):
            for part in (change,) if whole else change.torn(chance):
                part.on(content)
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """An inode with names. Each pending change is of names that change together; None takes a name away."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    certain: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, names: dict[str, File | Folder | None]) -> None:
        _rename(self.now, names)
        self.pending.append(names)

    def sync(self) -> None:
        self.certain = dict(self.now)
        self.pending.clear()

    def left(self, chance: random.Random) -> dict[str, File | Folder]:
        """The names after the power came back."""
        names = dict(self.certain)
        for change in _survivors(self.pending, chance):
            _rename(names, change)
        return names


def _rename(names: dict[str, File | Folder], changed: dict[str, File | Folder | None]) -> None:
    for name, node in changed.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _survivors(pending: Sequence[T], chance: random.Random) -> list[T]:
    """Which of the uncertain changes happened: none, all, the first ones, some, or some in another order."""
    way = chance.choice(("none", "all", "first", "some", "some", "disorder"))
    if way == "none":
        return []
    if way == "all":
        return list(pending)
    if way == "first":
        return list(pending[: chance.randint(0, len(pending))])
    share = chance.random()
    some = [change for change in pending if chance.random() < share]
    if way == "disorder":
        chance.shuffle(some)
    return some


class Disk:
    """The model, made from a folder and then fed with the record of what was done in it.

    An fsync of a path that ends with one of `lies` is a promise that nobody keeps: for controls, whose images must show
    losses.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lies: tuple[str, ...] = ()
        self._top = Folder()
        self._by_inode: dict[int, File] = {}

    @classmethod
    def of(cls, root: Path) -> Disk:
        """A disk that holds what is in `root` now, all of it certain."""
        disk = cls(root)
        for path in sorted(root.rglob("*")):
            node: File | Folder = Folder() if path.is_dir() else File(path.read_bytes())
            home = disk._folder(path.parent)
            home.now[path.name] = home.certain[path.name] = node
            if isinstance(node, File):
                disk._by_inode[path.stat().st_ino] = node
        return disk

    def copy(self, lies: tuple[str, ...] = ()) -> Disk:
        """The same disk, to be fed apart from this one."""
        copied = deepcopy(self)
        copied._lies = lies
        return copied

    def feed(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._step(entry)

    def settle(self) -> None:
        """Make certain all that was done so far."""
        for file in self._by_inode.values():
            file.sync()
        folders = [self._top]
        while folders:
            folder = folders.pop()
            folder.sync()
            folders += [node for node in folder.now.values() if isinstance(node, Folder)]

    def leave(self, folder: Path, chance: random.Random) -> None:
        """Write what may be left after a power cut now into `folder`."""
        self._leave(self._top, folder, chance)

    def _leave(self, node: Folder, folder: Path, chance: random.Random) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, child in sorted(node.left(chance).items()):
            if isinstance(child, Folder):
                self._leave(child, folder / name, chance)
            else:
                (folder / name).write_bytes(child.left(chance))

    def _step(self, entry: Entry) -> None:
        match entry.op:
            case "create":
                self._by_inode[entry.inode] = made = File()
                self._change(entry.path, made)
            case "write":
                self._by_inode[entry.inode].pending.append(Change(entry.offset, entry.data))
            case "truncate":
                self._by_inode[entry.inode].pending.append(Change(entry.offset, None))
            case "sync":
                self._sync(entry)
            case "rename":
                self._move(entry.path, entry.data.decode())
            case "link":
                node = self._folder(Path(entry.path).parent).now[Path(entry.path).name]
                self._change(entry.data.decode(), node)
            case "unlink" | "rmdir":
                self._change(entry.path, None)
            case "mkdir":
                self._change(entry.path, Folder())
            case "ack" | "open" | "close":
                pass
            case _:
                raise AssertionError(f"the model knows nothing of {entry.data!r} on {entry.path}")

    def _sync(self, entry: Entry) -> None:
        if entry.path.endswith(self._lies):
            return
        # By path, where it is a folder: its inode may be one that a deleted file had before.
        (self._found(Path(entry.path)) or self._by_inode[entry.inode]).sync()

    def _move(self, old: str, new: str) -> None:
        home, target = self._folder(Path(old).parent), self._folder(Path(new).parent)
        node = home.now[Path(old).name]
        if home is target:
            home.change({Path(old).name: None, Path(new).name: node})
        else:
            home.change({Path(old).name: None})
            target.change({Path(new).name: node})

    def _change(self, path: str, node: File | Folder | None) -> None:
        self._folder(Path(path).parent).change({Path(path).name: node})

    def _folder(self, path: Path) -> Folder:
        found = self._found(path)
        assert found is not None, path
        return found

    def _found(self, path: Path) -> Folder | None:
        """The folder that is now at `path`, if it is one."""
        found: File | Folder | None = self._top
        for part in path.relative_to(self._root).parts:
            found = found.now.get(part) if isinstance(found, Folder) else None
        return found if isinstance(found, Folder) else None
