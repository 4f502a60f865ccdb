"""Runs the command line in this process, with the passphrase on a descriptor and a memory that opens quickly."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from secondme.assistant import Assistant, Credentials
from secondme.cli.main import main
from secondme.config import Config
from secondme.crypto import keyslots
from secondme.paths import data_dir, private_dir
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from tests.keyfiles import with_passphrase

PASSPHRASE = "one"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class Commands:
    """`run(...)` is `secondme ...` where nobody sits at a terminal."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *args: str, key: str | None = PASSPHRASE) -> Result:
        self._capsys.readouterr()
        read, write = os.pipe()
        try:
            if key is not None:
                os.write(write, key.encode() + b"\n")
            os.close(write)
            code = main([*args, "--key-fd", str(read)] if key is not None else list(args))
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            os.close(read)
        return Result(code, *self._capsys.readouterr())

    def fails(self, *args: str, code: int, key: str | None = PASSPHRASE) -> str:
        """What it says on failing: one error and one hint."""
        done = self.run(*args, key=key)
        assert done.code == code, done
        assert done.err.count("error: ") == done.err.count("hint: ") == 1, done.err
        return done.err


def make_keys() -> None:
    """A key file whose passphrase is checked at the least work that is allowed."""
    file, _ = with_passphrase(PASSPHRASE)
    keyslots.save(private_dir(data_dir()), file)


@contextmanager
def assistant() -> Iterator[Assistant]:
    """The memory of this test's home, with the small fakes for models."""
    credentials = Credentials(passphrase=PASSPHRASE)
    with Assistant(Config(), credentials, generator=EchoGenerator(), embedder=HashEmbedder()) as opened:
        yield opened


def add(*paths: Path, project: str = "default", again: bool = False) -> None:
    with assistant() as opened:
        for _ in opened.ingest(list(paths), project=project, again=again):
            pass


def texts(project: str | None = None) -> list[str]:
    """Every passage in memory."""
    with assistant() as opened:
        return [c.chunk.text for s in opened.sources(project) for c in opened.store.source_chunks(s.id)]


def holding(folder: Path, needles: Sequence[bytes]) -> list[str]:
    """Files below a folder that hold any of `needles`."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return [str(p) for p in files if any(needle in p.read_bytes() for needle in needles)]
