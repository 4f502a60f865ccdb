"""The way into memory: folders are walked, changed files parsed, cut, embedded and stored, and gone ones forgotten.

Each file is one transaction, so that being stopped, killed or short of disk costs the file under way and nothing else;
adding the same folder again goes on from there. What is wrong with one file is told and the rest goes on; what is wrong
with the store or the model ends it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondme.errors import Cancelled, IngestError, SecondMeError, UnsupportedFormat
from secondme.ingest import reasons
from secondme.ingest.chunk import chunk_tokens, embedding_text
from secondme.ingest.forgotten import Forgotten
from secondme.ingest.parse.headings import clean_title
from secondme.ingest.parse.isolate import ParseProcess
from secondme.ingest.parse.sniff import media_reason
from secondme.ingest.plan import Plan, is_gone, planned
from secondme.ingest.read import Content, Cutting, ParsedFile, parse_file, read_file
from secondme.ingest.reindex import check_embedder
from secondme.ingest.walk import Found, LeftOut
from secondme.memory.store import Store
from secondme.paths import absolute
from secondme.runtime.base import Embedder, FloatMatrix
from secondme.types import (
    CancelCheck,
    FileProgress,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStamp,
    FileStarted,
    FileStored,
    FileUnchanged,
    IngestDone,
    IngestEvent,
    SourceFile,
    StoredSource,
    never_cancelled,
)

MAX_TEXT_MB = 8
"""Text taken from one file: about 10,000 chunks, minutes of embedding. What is longer is most often a log or a dump."""
_BATCH = 32
_QUICK_S, _HOLD_S = 0.02, 0.05
"""Files that take less than the first share one writing of the watermark, for at most the second."""
_RACY_NS = 2_000_000_000
"""A file stored within this time of its last change may have changed again under the same stamp."""


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How files are taken in. `rehash` reads every file, however unchanged it looks; `again` brings back what was
    forgotten."""

    project: str = "default"
    max_file_mb: int = 64
    max_text_mb: int = MAX_TEXT_MB
    rehash: bool = False
    again: bool = False


def ingest(
    paths: Sequence[Path],
    store: Store,
    embedder: Embedder,
    options: IngestOptions | None = None,
    *,
    within: Sequence[Path] = (),
    cancelled: CancelCheck = never_cancelled,
) -> Iterator[IngestEvent]:
    """Bring files and folders into memory, and memory in step with the folders. The last event is IngestDone.

    `within` are followed folders that `paths` lie in: then ignore rules hold for them, and one that is missing is gone
    rather than out of reach. Raises StoreError, IntegrityError, ModelError, ConfigError if the store's vectors are
    another model's, and Cancelled between batches; what was acknowledged by then is kept.
    """
    check_embedder(store, embedder)
    with ParseProcess() as process:
        run = _Run(store, embedder, options or IngestOptions(), process, cancelled)
        plan = yield from planned(paths, store, run.options.project, within, cancelled)
        yield from run.entries(plan, () if within else [absolute(p) for p in paths])
        yield from run.removals(plan)
    store.compact_wal()
    yield run.done()


class _Run:
    """One pass over a plan; it owns the counts."""

    def __init__(
        self, store: Store, embedder: Embedder, options: IngestOptions, process: ParseProcess, cancelled: CancelCheck
    ) -> None:
        self.options = options
        self._store = store
        self._embedder = embedder
        self._cancelled = cancelled
        self._cutting = Cutting(
            process, embedder.count_tokens, chunk_tokens(embedder.n_ctx), options.max_text_mb, cancelled
        )
        self._started = time.perf_counter()
        self._embed_s = 0.0
        self._n_stored = self._n_unchanged = self._n_skipped = self._n_removed = self._n_chunks = self._n_bytes = 0
        self._n_done = self._n_total = 0

    def done(self) -> IngestDone:
        return IngestDone(
            n_stored=self._n_stored,
            n_unchanged=self._n_unchanged,
            n_skipped=self._n_skipped,
            n_removed=self._n_removed,
            n_chunks=self._n_chunks,
            n_bytes=self._n_bytes,
            elapsed_s=time.perf_counter() - self._started,
            embed_s=self._embed_s,
        )

    def entries(self, plan: Plan, named: Sequence[Path]) -> Iterator[IngestEvent]:
        """Take in what the plan found, in order; `named` are paths that the owner asked for."""
        self._n_total = len(plan.entries)
        forgotten = Forgotten(self._store, self.options.project, named, again=self.options.again)
        entries = iter(plan.entries)
        more = True
        while more:
            held: list[FileStored] = []
            failure: SecondMeError | None = None
            with self._store.batch():
                try:
                    more = yield from self._quick_ones(entries, plan, forgotten, held)
                except SecondMeError as error:
                    failure = error
            yield from held
            if failure is not None:
                raise failure

    def _quick_ones(
        self, entries: Iterator[Found | LeftOut], plan: Plan, forgotten: Forgotten, held: list[FileStored]
    ) -> Generator[IngestEvent, None, bool]:
        """Take in entries until one takes its time, or enough are held; False once there are no more.

        `held` are files that are stored but not acknowledged: nobody is told before the batch has ended.
        """
        started = time.perf_counter()
        for entry in entries:
            self._check_cancelled()
            mark = time.perf_counter()
            if isinstance(entry, LeftOut):
                yield self._skipped(entry.path, entry.reason)
                continue
            for event in self._file(entry, plan, forgotten):
                if isinstance(event, FileStored):
                    held.append(event)
                else:
                    yield event
            now = time.perf_counter()
            if held and (now - mark > _QUICK_S or now - started > _HOLD_S):
                return True
        return False

    def removals(self, plan: Plan) -> Iterator[IngestEvent]:
        """Forget what is gone from the disk."""
        gone = [s for s in plan.gone() if s.id not in plan.moved]
        if gone:
            self._check_cancelled()
            self._store.remove_sources([s.id for s in gone])
        for source in gone:
            if source.n_chunks:
                self._n_removed += 1
                yield FileRemoved(source.path)

    # One file ------------------------------------------------------------------------------------------------

    def _file(self, found: Found, plan: Plan, forgotten: Forgotten) -> Iterator[IngestEvent]:
        known = plan.known.get(found.path)
        if forgotten.leaves_out(found.path):
            yield self._skipped(found.path, reasons.FORGOTTEN)
            return
        if reason := media_reason(Path(found.path)):
            yield self._skipped(found.path, reason)  # known by its name alone, so there is nothing to remember
            return
        if known is not None and self._looks_unchanged(known, found.stamp):
            yield self._again(known)
            return
        try:
            content = read_file(found, self.options.max_file_mb * 1_000_000)
        except IngestError as error:
            yield self._unread(found, known, error)
            return
        same = known is not None and known.content_hash == content.content_hash and self._still_valid(known)
        if known is not None and same and not self.options.again:
            if known.stamp != content.stamp:
                self._store.touch_source(known.id, content.stamp)
            yield self._again(known)
        elif not forgotten.is_asked_for(found.path) and (old := self._moved_from(found, content)) is not None:
            yield self._renamed(old, found.path, content)
            plan.moved.add(old.id)
        else:
            yield from self._taken_in(found.path, content, known, forgotten)

    def _renamed(self, old: StoredSource, path: str, content: Content) -> FileRenamed:
        title = _name_title(path) if old.title == _name_title(old.path) else None
        self._store.move_source(old.id, path, content.stamp, title=title)
        self._n_unchanged += 1
        self._n_done += 1
        return FileRenamed(old.path, path)

    def _taken_in(
        self, path: str, content: Content, known: StoredSource | None, forgotten: Forgotten
    ) -> Iterator[IngestEvent]:
        yield FileStarted(path, self._n_done, self._n_total)
        source_id = 0
        while not source_id:
            mask = forgotten.mask(path, known.id if known is not None else None)
            try:
                parsed = parse_file(Path(path), content.data, self._cutting, mask)
            except IngestError as error:
                self._remember_skip(path, content, error.message)
                yield self._skipped(path, error.message)
                return
            forgotten.lift(path, parsed.wanted)
            vectors = yield from self._embedded(path, parsed)
            source = self._source(path, parsed.media_type, content, parsed.title)
            source_id = self._store.put_source(source, parsed.chunks, vectors, seen=mask.stones)
            if not source_id:
                # Something was forgotten while this file was read, and it may be what this file says.
                forgotten.reload()
                if forgotten.leaves_out(path):
                    yield self._skipped(path, reasons.FORGOTTEN)
                    return
        self._n_stored += 1
        self._n_chunks += len(parsed.chunks)
        self._n_bytes += len(content.data)
        self._n_done += 1
        yield FileStored(path, len(parsed.chunks), self._n_done, self._n_total)

    def _embedded(self, path: str, parsed: ParsedFile) -> Generator[FileProgress, None, FloatMatrix]:
        """Yield progress; return float32 [n_chunks, n_dims]."""
        embedder, chunks = self._embedder, parsed.chunks
        vectors = np.empty((len(chunks), embedder.n_dims), np.float32)
        for start in range(0, len(chunks), _BATCH):
            self._check_cancelled()
            batch = chunks[start : start + _BATCH]
            texts = [embedding_text(parsed.title, c, embedder.count_tokens, embedder.n_ctx) for c in batch]
            mark = time.perf_counter()
            vectors[start : start + len(batch)] = embedder.embed(texts, cancelled=self._cancelled)
            self._embed_s += time.perf_counter() - mark
            yield FileProgress(path, start + len(batch), len(chunks))
        return vectors

    def _source(self, path: str, media_type: str, content: Content, title: str = "") -> SourceFile:
        name = title or _name_title(path)
        return SourceFile(path, self.options.project, media_type, name, content.content_hash, content.stamp)

    # What is known already -------------------------------------------------------------------------------------

    def _looks_unchanged(self, known: StoredSource, stamp: FileStamp) -> bool:
        racy = known.ingested_at * 1e9 - stamp.mtime_ns < _RACY_NS
        anew = self.options.rehash or self.options.again
        return not anew and not racy and known.stamp == stamp and self._still_valid(known)

    def _still_valid(self, known: StoredSource) -> bool:
        """False if a file that was left out is worth another try: when asked for, or under another limit."""
        reason = known.skip_reason
        if reason is None:
            return True
        limits = {reasons.TOO_LARGE: self.options.max_file_mb, reasons.TOO_MUCH_TEXT: self.options.max_text_mb}
        template = reasons.template(reason)
        anew = self.options.rehash or self.options.again
        return not anew and (template not in limits or reason == template.format(limits[template]))

    def _moved_from(self, found: Found, content: Content) -> StoredSource | None:
        """The source with this content whose file is gone: then the file was moved here."""
        same = self._store.sources_by_hash(self.options.project, content.content_hash)
        suffix = Path(found.path).suffix  # another one might mean another parser
        return next(
            (
                s
                for s in same
                if s.n_chunks and s.path != found.path and Path(s.path).suffix == suffix and is_gone(s.path)
            ),
            None,
        )

    # Outcomes --------------------------------------------------------------------------------------------------

    def _again(self, known: StoredSource) -> FileUnchanged | FileSkipped:
        if known.skip_reason is not None:
            return self._skipped(known.path, known.skip_reason)
        self._n_unchanged += 1
        self._n_done += 1
        return FileUnchanged(known.path, self._n_done, self._n_total)

    def _unread(self, found: Found, known: StoredSource | None, error: IngestError) -> FileSkipped:
        """A file that is out of reach keeps its place in memory; one that is too large now loses it."""
        if isinstance(error, UnsupportedFormat) and (known is None or known.skip_reason != error.message):
            self._remember_skip(found.path, Content(b"", b"", found.stamp), error.message)
        return self._skipped(found.path, error.message)

    def _remember_skip(self, path: str, content: Content, reason: str) -> None:
        self._store.put_skip(self._source(path, "", content), reason)

    def _skipped(self, path: str, reason: str) -> FileSkipped:
        self._n_skipped += 1
        self._n_done += 1
        return FileSkipped(path, reason, reasons.hint(reason), self._n_done, self._n_total)

    def _check_cancelled(self) -> None:
        if self._cancelled():
            raise Cancelled("stopped; what was stored by then is kept", hint="add the same folder again to go on")


def _name_title(path: str) -> str:
    return clean_title(Path(path).name)
