"""A life full of canaries: files, names, titles, headings, questions, answers and memories, to be read nowhere.

`python -m tests.fault.living FOLDER N` lives it in a process of its own, says `living` and waits to be killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secondme.assistant import Assistant, Credentials
from secondme.cartridges.files import Shelf
from secondme.cartridges.format import SectionData, token_section
from secondme.config import Config
from secondme.crypto.unlock import unlock
from secondme.memory.store import Store
from secondme.paths import data_dir
from secondme.runtime.base import FloatMatrix
from secondme.runtime.echo import EchoGenerator, HashEmbedder
from secondme.types import CancelCheck, ItemChanges, NewItem, Span, Trust, never_cancelled
from tests.conftest import PASSPHRASE
from tests.fault.canary import Found, Pattern, Scanner, Tokenize, secrets, spellings, vector_rows, words
from tests.make_corpus import Page, docx, pdf
from tests.sealing_cartridges import manifest_of
from tests.storing import every_value

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The canaries of one file, each in its own place."""

    name: str
    title: str
    heading: str
    content: str

    @property
    def all(self) -> tuple[str, ...]:
        return (self.name, self.title, self.heading, self.content)


class Cast:
    """`n` canaries and the parts they play."""

    def __init__(self, n: int, seed: int = 1) -> None:
        self.words = words(n, seed)
        self.project, self.folder, *rest = self.words
        self.sheets = [Sheet(*rest[i : i + 4]) for i in range(0, len(rest) - 4, 5)]
        self.asked = rest[4::5] + (rest[-(len(rest) % 5) :] if len(rest) % 5 else [])

    def write(self, folder: Path) -> Path:
        """Write the files below `folder`; return the folder that holds them."""
        docs = folder / self.folder
        docs.mkdir(parents=True)
        for i, sheet in enumerate(self.sheets):
            name, content = _file(i, sheet)
            (docs / name).write_bytes(content)
        return docs


def _file(i: int, sheet: Sheet) -> tuple[str, bytes]:
    body = f"What is said about {sheet.content} stands here and nowhere else. " + "Then there are other words. " * (
        i % 9
    )
    if i % 8 == 1:
        paragraphs = [("Title", sheet.title), ("Heading 1", sheet.heading), ("Normal", body)]
        return f"{sheet.name}.docx", docx(paragraphs, title=sheet.title)
    if i % 8 == 3:
        return f"{sheet.name}.pdf", pdf([Page([sheet.heading, "", body])], title=sheet.title)
    if i % 8 == 5:
        text = f"<html><title>{sheet.title}</title><body><h1>{sheet.heading}</h1><p>{body}</p></body></html>"
        return f"{sheet.name}.html", text.encode()
    return f"{sheet.name}.md", f"# {sheet.title}\n\nAn opening.\n\n## {sheet.heading}\n\n{body}\n".encode()


class Recorder(HashEmbedder):
    """Remembers what it embedded, so that the rows can be looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str], *, cancelled: CancelCheck = never_cancelled) -> FloatMatrix:
        self.texts += texts
        return super().embed(texts, cancelled=cancelled)


def live(assistant: Assistant, cast: Cast, docs: Path) -> None:
    """Take the files in, read them once for all, and ask about them in conversations that bear canaries themselves."""
    for _ in assistant.ingest([docs], project=cast.project):
        pass
    put_cartridges(assistant, cast.project)
    for asked, sheet in zip(cast.asked, cast.sheets * 2, strict=False):
        conversation = assistant.new_conversation(cast.project, f"About {asked}")
        question = f"What is said about {sheet.content}, asks {asked}?"
        for _ in assistant.answer(question, conversation_id=conversation, project=cast.project):
            pass
        learn_of_talk(assistant, conversation, asked, cast.project)
    for source in assistant.sources(cast.project):
        learn_of_file(assistant.store, source.id, next(s for s in cast.sheets if s.name in source.path))
    trace(assistant)


def learn_of_talk(assistant: Assistant, conversation: int, asked: str, project: str) -> None:
    """A speaker, and items of all that an item has, a secret among them, that bear the canary of a question."""
    store = assistant.store
    said = store.add_turn(conversation, "user", "As I said.", (), speaker=asked)
    spans = (Span("turn", store.turns(conversation)[0].id, 0, 4), Span("turn", said, 0, 2))
    claim = {"subject": asked, "attribute": f"of {asked}", "value": f"{asked}!"}
    for kind in ("semantic", "core", "vault", "lesson"):
        new = NewItem(kind, f"It is about {asked}.", project, slot=f"{asked}|{kind}", spans=spans, **claim)  # type: ignore[arg-type]
        store.change_item(store.add_item(new).id, ItemChanges(text=f"It is still about {asked}."))


def learn_of_file(store: Store, source_id: int, sheet: Sheet) -> None:
    """Items that were learned from each passage of a file."""
    for chunk in store.source_chunks(source_id):
        spans = (Span("passage", chunk.id, 0, 1),)
        new = NewItem("episodic", f"{sheet.title} is {sheet.content}", chunk.project, value=sheet.heading, spans=spans)
        store.add_item(replace(new, trust=Trust.DOCUMENT, slot=sheet.name, made_by="rule:test/1"))


def trace(assistant: Assistant) -> None:
    """What finds turns and items by meaning; in the place of the vectors of words the text, which tells the most."""
    store, embedder = assistant.store, assistant.embedder
    items = store.items_without_vector(10_000)
    store.put_item_vectors(list(zip((i.id for i in items), embedder.embed([i.text for i in items]), strict=True)))
    turns = store.turns_without_trace(10_000)
    rows = embedder.embed([turn.text for turn in turns])
    store.put_traces([(t.id, row, t.text.encode("utf-8", "replace")) for t, row in zip(turns, rows, strict=True)])


def put_cartridges(assistant: Assistant, project: str) -> None:
    """A cartridge of each file: its token ids, and in the place of its cells the text itself, which tells the most."""
    shelf, tokenize = Shelf(assistant.store, assistant.keys), EchoGenerator().tokenize
    for source in assistant.sources(project):
        text_hash = assistant.store.document_hash(source.id)
        if text_hash is not None:
            text = "".join(c.chunk.text for c in assistant.store.source_chunks(source.id))
            tokens = tokenize(f"{source.title}\n\n{text}")
            manifest = manifest_of(tokens, source_hash=text_hash.hex())
            sections = [token_section(tokens), SectionData("k", 0, text.encode("utf-8", "replace"))]
            assert shelf.put(source, manifest, sections, prefill_s=1.0, build_s=1.0) is not None
    shelf.close()


class Place:
    """The folders of one life: a home, a temporary folder, a user's folder, and the files outside of them."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temp, self.user = folder / "home", folder / "temp", folder / "user"
        self.outside = folder / "outside"
        for each in (self.home, self.temp, self.user, self.outside):
            each.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        temporary = dict.fromkeys(("TMPDIR", "SQLITE_TMPDIR", "TEMP", "TMP"), str(self.temp))
        return {"SECONDME_HOME": str(self.home), "HOME": str(self.user), "PYTHONPATH": str(ROOT)} | temporary

    def scan(self, scanner: Scanner) -> list[Found]:
        return scanner.tree(self.home, self.temp, self.user)

    def assistant(self) -> Assistant:
        """In this process, which must have SECONDME_HOME set to `home`."""
        return Assistant(Config(), Credentials(PASSPHRASE), generator=EchoGenerator(), embedder=Recorder())

    def embedded(self) -> list[str]:
        return [json.loads(line) for line in (self.outside / "embedded").read_text().splitlines()]


def patterns(cast: Cast, embedded: Sequence[str], tokenizers: Sequence[tuple[str, Tokenize]] = ()) -> Iterator[Pattern]:
    """Every spelling of every canary, and the vectors of the texts that hold one, each under one's name."""
    named = [("echo", EchoGenerator().tokenize), *tokenizers]
    for word in cast.words:
        yield from spellings(word, named)
    bearing = {text: word for text in embedded for word in cast.words if word in text}
    rows = HashEmbedder().embed(list(bearing))
    for row, word in zip(rows, bearing.values(), strict=True):
        yield from vector_rows(word, row[None, :])


def keys() -> Iterator[Pattern]:
    """The passphrase, and the opened keys of the home at hand."""
    yield from spellings(PASSPHRASE)
    opened = unlock(data_dir(), passphrase=PASSPHRASE)
    store = opened.store
    held = {"master": opened.master, "db": store.db, "watermark": store.watermark, "export": opened.export}
    for name, value in held.items():
        yield Pattern(f"key {name}", "raw", bytes(value))
        yield from secrets(f"key {name}", bytes(value))


def in_the_clear(store: Store, scanner: Scanner) -> set[str]:
    """The canaries that the owner of the key finds: in any value of any table, or anywhere in any page."""
    with store._database.reading() as connection:
        image = connection.serialize("main")
        values = b"\0".join(value for _, value in every_value(connection))
    return {name for data in (image, values) for name, _ in scanner.within(data)}


@contextmanager
def someone_living(place: Place, n: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that lives a life of `n` canaries and holds the store open; it is killed at the end."""
    command = [sys.executable, "-m", "tests.fault.living", str(place.outside), str(n)]
    environment = os.environ | place.environment | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, cwd=place.outside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "living\n"
            yield process
        finally:
            process.kill()


def main(folder: Path, n: int) -> None:
    cast = Cast(n)
    place = Place(folder.parent)
    assistant = place.assistant()
    live(assistant, cast, folder / cast.folder)
    assert isinstance(assistant.embedder, Recorder)
    (folder / "embedded").write_text("".join(json.dumps(text) + "\n" for text in assistant.embedder.texts))
    print("living", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
