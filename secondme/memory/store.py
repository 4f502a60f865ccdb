"""The store: everything the assistant remembers, in one encrypted SQLite file. The only way into it for other rooms.

Each method is one transaction: when it returns, its work is on the disk, safe from kill -9 and power loss; when it
raises, nothing of it happened. What the methods may raise beside what they say themselves: CorruptRecord, StoreFull,
StoreError.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from secondme.crypto.keys import StoreKeys
from secondme.errors import CorruptRecord, StoreError
from secondme.memory import (
    audit,
    cartridge_files,
    cartridges,
    checks,
    conversations,
    forget,
    lineage,
    oplog,
    projects,
    search,
    settings,
    sources,
    tombstones,
    traces,
    vectors,
)
from secondme.memory.arrivals import Arrivals
from secondme.memory.audit import Provenance
from secondme.memory.cartridge_files import Named
from secondme.memory.cartridges import NewCartridge, StoredCartridge
from secondme.memory.database import Database, open_database
from secondme.memory.forgetting import Forgetting, Plan, Target, examine
from secondme.memory.item_store import ItemStore
from secondme.memory.nearest import EVERYTHING, Nearest, Within
from secondme.memory.oplog import Kind, Op
from secondme.memory.portable import Portable
from secondme.memory.resident import Status as VectorStatus
from secondme.memory.rows import Row
from secondme.memory.tombstones import Tombstones
from secondme.memory.turn_store import TurnStore
from secondme.types import (
    Check,
    Chunk,
    Conversation,
    FileStamp,
    ProjectRow,
    SourceFile,
    StoredChunk,
    StoredSource,
    StoreStats,
    WatchedFolder,
)

if TYPE_CHECKING:
    import apsw

    from secondme.memory.nearest import Ids
    from secondme.memory.vectors import FloatMatrix

_STEPS_A_PAGE = 2000


class Store(ItemStore, TurnStore):
    """An open store. Thread-safe: one connection behind one lock."""

    def __init__(self, database: Database, vector_bytes: int | None = None) -> None:
        ItemStore.__init__(self, database, vector_bytes)
        TurnStore.__init__(self, database, vector_bytes)
        self._nearest = Nearest(database, vector_bytes)
        self._document_frequencies = search.DocumentFrequencies()
        self._n_forgets = 0
        self._data = database.path.parent

    @classmethod
    def open(cls, path: Path, keys: StoreKeys, witness: Path | None = None, *, vector_bytes: int | None = None) -> Self:
        """Open the store at `path`, or make one; `witness` is where the watermark's copy lies, outside the data.

        `vector_bytes` bounds the copy of the vectors in memory; None is a share of the machine's memory, 0 means none.
        Raises WrongPassphrase, SchemaTooNew, StoreLocked, StoreFull, StoreError, CorruptRecord for an empty or damaged
        file, and RolledBack for one that is older than what was acknowledged.
        """
        opened = cls(open_database(path, keys, witness), vector_bytes)
        # What was being written when the last process ended, and what it did not come to delete. Damage that this meets
        # is told by whatever needs the damaged rows: files that can be made again must not keep a memory shut.
        with suppress(CorruptRecord, StoreError):
            opened.collect_cartridges()
        return opened

    def close(self) -> None:
        """Overwrite the vectors in memory, and close; doing so again does nothing."""
        self._nearest.close()
        self._near_turns.close()
        self._near_items.close()
        self._database.close()

    def compact_wal(self) -> None:
        """Cut the write-ahead log, where replaced versions live on; cheap when there is nothing to cut."""
        self._database.compact_wal()

    def batch(self) -> AbstractContextManager[None]:
        """Many transactions, one watermark: what is done inside counts as acknowledged once the block has ended."""
        return self._database.batch()

    # The operation log -----------------------------------------------------------------------------------------

    def log(self, subject: str | None = None, *, after: int = 0, limit: int = -1) -> list[Op]:
        """Steps in order, all or those that touched `subject` (`source:12`), numbered above `after`."""
        with self._database.reading() as connection:
            return list(oplog.several(connection, subject, after=after, limit=limit))

    def each_step(self, subject: str | None = None) -> Iterator[Op]:
        """What `log` tells, read a page at a time: a log has a step for every turn that was ever said."""
        last = 0
        while page := self.log(subject, after=last, limit=_STEPS_A_PAGE):
            yield from page
            last = page[-1].seq

    def note(
        self,
        kind: Kind,
        subjects: Sequence[str],
        *,
        actor: str = oplog.OWNER,
        detail: Mapping[str, int | float | str | None] | None = None,
    ) -> None:
        """Log a step that changes nothing else, such as what was shown; `detail` holds ids, counts and hashes only."""
        with self._database.writing() as connection:
            oplog.append(connection, kind, subjects, actor=actor, detail=detail)

    def provenance(self, kind: str, item_id: int) -> Provenance:
        """Where a `passage`, `source`, `conversation`, `turn` or `item` came from, and what became of it."""
        with self._database.reading() as connection:
            return audit.provenance(connection, kind, item_id)

    # Sources ---------------------------------------------------------------------------------------------------

    def put_source(
        self, source: SourceFile, chunks: Sequence[Chunk], vectors: FloatMatrix, *, seen: Tombstones | None = None
    ) -> int:
        """Store a file's version with its chunks in place of the earlier one of (project, path); return its id.

        `vectors` is float32 [len(chunks), n_dims], rows of length 1. `seen` are the tombstones the text was held to: if
        anything was forgotten since, nothing is stored and the id is 0.
        """
        with self._deleting() as connection:
            if seen is not None and seen.version != self._n_forgets:
                return 0
            return sources.put(connection, source, chunks, vectors)

    def put_skip(self, source: SourceFile, reason: str) -> None:
        """Remember that a file was left out, and forget the chunks of an earlier version."""
        with self._deleting() as connection:
            sources.put_skip(connection, source, reason)

    def touch_source(self, source_id: int, stamp: FileStamp) -> None:
        """The file's content is the same under a new stamp. Raises StoreError if the source is gone."""
        with self._database.writing() as connection:
            sources.touch(connection, source_id, stamp)

    def move_source(self, source_id: int, new_path: str, stamp: FileStamp, *, title: str | None = None) -> None:
        """The file has another path now, and maybe a title; what was there before is forgotten.

        Raises StoreError if the source is gone.
        """
        with self._deleting() as connection:
            sources.move(connection, source_id, new_path, stamp, title)

    def remove_source(self, source_id: int) -> None:
        """Forget a file: its chunks, words and vectors are overwritten, in the write-ahead log as well."""
        self.remove_sources([source_id])

    def remove_sources(self, source_ids: Sequence[int]) -> None:
        """Forget several files at once, at the price of one."""
        with self._deleting() as connection:
            sources.remove(connection, source_ids)
        self._database.compact_wal()

    def source(self, project: str, path: str) -> StoredSource | None:
        with self._database.reading() as connection:
            return sources.one(connection, project, path)

    def sources(self, project: str | None = None, prefix: str | None = None) -> list[StoredSource]:
        """Sources in the order of their paths; with `prefix` that file, or those below that folder."""
        with self._database.reading() as connection:
            return sources.several(connection, project, prefix)

    def sources_by_hash(self, project: str, content_hash: bytes) -> list[StoredSource]:
        with self._database.reading() as connection:
            return sources.by_hash(connection, project, content_hash)

    # Forgetting ------------------------------------------------------------------------------------------------

    def forgetting(self, target: Target) -> Forgetting:
        """What would go if `target` were forgotten."""
        with self._database.reading() as connection:
            return examine(connection, target).shown

    def forget(self, target: Target) -> Forgetting:
        """Take items out with everything derived from them, and read back that it is gone, the log's file included.

        Raises CorruptRecord if anything of it is left.
        """
        with self._deleting() as connection:
            plan = forget.forget(connection, target)
            self._n_forgets += 1
        return self._verified(plan)

    def undo_source(self, kind: lineage.Kind, ref_id: int) -> list[int]:
        """Forget what was learned from a `turn`, `passage`, `conversation` or `source`, which stays: it is not learned
        from there again. Returns the ids of the items that went.

        An item that was also said elsewhere stays, and loses this source only.
        """
        return list(self.forget(Target(learned_from=((kind, ref_id),))).items)

    def forget_project(self, name: str) -> Forgetting | None:
        """Take a whole project out; None if there is none of that name. Raises CorruptRecord if anything is left."""
        with self._deleting() as connection:
            plan = forget.forget_project(connection, name)
            self._n_forgets += 1
        self._tidy_cartridges()
        return None if plan is None else self._verified(plan)

    def _verified(self, plan: Plan) -> Forgetting:
        # Under one lock: another thread would write into the log that is found empty here.
        with self._database.reading() as connection:
            self._database.compact_wal()
            forget.verify(connection, plan)
            forget.verify_files(self._data, plan)
            forget.verify_log(self._database.path)
        return plan.shown

    def tombstones(self) -> Tombstones:
        """What was forgotten, for those who take texts in."""
        with self._database.reading() as connection:
            return tombstones.load(connection, self._n_forgets)

    def lift(self, hashes: Collection[bytes]) -> int:
        """Take tombstones away, because the owner wants the text back; returns how many there were."""
        with self._database.writing() as connection:
            n_lifted = tombstones.lift(connection, hashes)
            if n_lifted:
                oplog.append(connection, "lifted", ["store"], detail={"tombstones": n_lifted})
            return n_lifted

    def projects(self) -> list[ProjectRow]:
        """All projects, the one used last first."""
        with self._database.reading() as connection:
            return projects.several(connection)

    def project(self, name: str) -> ProjectRow | None:
        with self._database.reading() as connection:
            return projects.one(connection, name)

    def project_version(self, name: str) -> str | None:
        """Changes with every change to a project's texts; None if there is no such project."""
        with self._database.reading() as connection:
            return projects.version(connection, name)

    def new_project(self, name: str) -> None:
        """Make an empty project. Raises UsageError if there is one of that name."""
        with self._database.writing() as connection:
            projects.new(connection, name)

    def project_uid(self, name: str) -> bytes | None:
        """The 16 bytes that name a project in the key file; None if there is no such project."""
        with self._database.reading() as connection:
            return sources.project_uid(connection, name)

    # Cartridges ------------------------------------------------------------------------------------------------

    def document_hash(self, source_id: int) -> bytes | None:
        """SHA-256 over a source's title and text, which its cartridge belongs to; None if it has no text or is gone."""
        with self._database.reading() as connection:
            return cartridges.document_hash(connection, source_id)

    def cartridges(self, project: str | None = None) -> list[StoredCartridge]:
        """In the order of project and path. Each belongs to the text that is stored: else it would be gone."""
        with self._database.reading() as connection:
            return cartridges.several(connection, project)

    def cartridge(self, source_id: int) -> StoredCartridge | None:
        with self._database.reading() as connection:
            return cartridges.one(connection, source_id)

    def cartridge_path(self, named: Named) -> Path:
        """Where the file of (project uid, name) lies, or will lie."""
        return cartridge_files.path_of(self._data, named)

    def put_cartridge(self, new: NewCartridge) -> StoredCartridge | None:
        """Record a cartridge whose file is on the disk, in the place of the source's earlier one, whose file goes.

        None if the text was changed or forgotten since its hash was taken: then the file is of no use.
        """
        with self._deleting() as connection:
            return cartridges.put(connection, new, time.time())

    def kept_prefix(self, key: str) -> bytes | None:
        """The coded cells of the prompts' common head; None if they were not kept under this key."""
        with self._database.reading() as connection:
            return settings.prefix(connection, key)

    def keep_prefix(self, key: str, packed: bytes) -> None:
        """Keep them in the place of the ones before."""
        with self._database.writing() as connection:
            settings.keep_prefix(connection, key, packed)

    def drop_cartridges(self, source_ids: Collection[int]) -> int:
        """Take the cartridges of sources out, and their files; returns how many there were."""
        with self._deleting() as connection:
            return cartridges.drop_several(connection, source_ids)

    def collect_cartridges(self, keep: Collection[str] = ()) -> int:
        """Remove the files to which no cartridge points, but for those named in `keep`; returns how many there were.

        Not while one is being written whose name is not in `keep`.
        """
        with self._database.reading() as connection:
            known = cartridges.files(connection)
        orphans = [p for p in cartridge_files.orphans(self._data, known) if p.name[:32] not in keep]
        n_removed = sum(cartridge_files.remove(path) for path in orphans)
        self._tidy_cartridges()
        return n_removed

    def _tidy_cartridges(self) -> None:
        with self._database.reading() as connection:
            projects = {bytes(row[0]) for row in connection.execute("select uid from project")}
        cartridge_files.tidy(self._data, projects)

    @contextmanager
    def _deleting(self) -> Iterator[apsw.Connection]:
        """A transaction that may take cartridges out: their files go when it stands."""
        with self._database.writing(deletes=True) as connection:
            before = cartridges.files(connection)
            yield connection
            gone = before - cartridges.files(connection)
        for named in gone:
            cartridge_files.remove(cartridge_files.path_of(self._data, named))

    # Chunks ----------------------------------------------------------------------------------------------------

    def chunk(self, chunk_id: int) -> StoredChunk | None:
        found = self.chunks([chunk_id])
        return found[0] if found else None

    def chunks(self, ids: Sequence[int]) -> list[StoredChunk]:
        """Chunks in the order asked for; those that are gone are left out."""
        with self._database.reading() as connection:
            return sources.chunks(connection, ids)

    def source_chunks(self, source_id: int) -> list[StoredChunk]:
        """All chunks of a source in the order of its text."""
        with self._database.reading() as connection:
            return sources.source_chunks(connection, source_id)

    @property
    def n_chunks(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute("select coalesce(sum(n_chunks), 0) from source").get)

    # Search ----------------------------------------------------------------------------------------------------

    def search_text(self, match: str, k: int, project: str | None) -> list[tuple[int, float]]:
        """The `k` chunks that fit the FTS5 expression `match` best: (chunk id, BM25), best and highest first.

        Raises UsageError if `match` is not such an expression.
        """
        with self._database.reading() as connection:
            project_id = sources.project_id(connection, project) if project is not None else None
            if project is not None and project_id is None:
                return []
            return search.by_words(connection, match, k, project_id)

    def search_vectors(
        self, vector: FloatMatrix, k: int, project: str | None, within: Within = EVERYTHING
    ) -> list[tuple[int, float]]:
        """The `k` chunks nearest to `vector` (float32 [n_dims]): (chunk id, cosine), best first; k <= 4096."""
        project_id = None
        if project is not None:
            with self._database.reading() as connection:
                project_id = sources.project_id(connection, project)
            if project_id is None:
                return []
        return self._nearest.search(vector, k, project_id, within)

    def chunk_vectors(self, ids: Sequence[int]) -> tuple[Ids, FloatMatrix]:
        """The float32 vectors [n, n_dims] of those `ids` that have one, and which these are, in that order."""
        return self._nearest.rows(ids)

    def warm_vectors(self) -> None:
        """Begin to copy the vectors into memory, for a process that will search more than once."""
        self._nearest.warm()
        self._near_turns.warm()
        self._near_items.warm()

    def vector_status(self) -> VectorStatus | None:
        """What the copy in memory holds; None while there is none."""
        return self._nearest.status()

    def term_df(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many chunks each of `terms` occurs, in any project, stemmed as the index does."""
        with self._database.reading() as connection:
            return self._document_frequencies.of(connection, terms)

    # The embedding model ---------------------------------------------------------------------------------------

    def embedder(self) -> tuple[str, int] | None:
        """(fingerprint, n_dims) of the model that made the stored vectors; None before the first."""
        with self._database.reading() as connection:
            return settings.embedder(connection)

    def set_embedder(self, fingerprint: str, n_dims: int) -> None:
        """Record the embedding model. Raises StoreError if the store holds vectors of another one."""
        with self._database.writing() as connection:
            known = settings.embedder(connection)
            if known == (fingerprint, n_dims):
                return
            if known is not None and vectors.count(connection):
                raise StoreError(
                    "the stored vectors were made by another embedding model", hint="run: secondme memory reindex"
                )
            vectors.create_table(connection, n_dims)
            traces.drop_all(connection)
            settings.set_embedder(connection, fingerprint, n_dims)
            oplog.append(connection, "embedder-set", ["store"], detail={"embedder": fingerprint, "n_dims": n_dims})

    def replace_vectors(self, batch: Iterable[tuple[int, FloatMatrix]], fingerprint: str, n_dims: int) -> None:
        """Put another model's vectors, (chunk id, float32 [n_dims]), in place of all; the word index is built anew.

        Chunks that were forgotten meanwhile are passed over. Raises StoreError, and changes nothing, if a stored
        chunk is left without a vector.
        """
        with self._database.writing(deletes=True) as connection:
            sources.replace_vectors(connection, batch, fingerprint, n_dims)
            if settings.embedder(connection) != (fingerprint, n_dims):
                traces.drop_all(connection)
            settings.set_embedder(connection, fingerprint, n_dims)
        self._database.compact_wal()

    def unembedded(self, after_id: int = 0, limit: int = 256) -> list[StoredChunk]:
        """Chunks that have no vector yet, with ids above `after_id`, in the order of storing."""
        with self._database.reading() as connection:
            if settings.embedder(connection) is None:
                sql = "select id from chunk where id > ? order by id limit ?"
                ids = [int(row[0]) for row in connection.execute(sql, (after_id, limit))]
            else:
                ids = vectors.missing(connection, after_id, limit)
            return sources.chunks(connection, ids)

    def n_unembedded(self) -> int:
        """How many chunks have no vector yet; words find them all the same."""
        with self._database.reading() as connection:
            n_chunks = int(connection.execute("select count(*) from chunk").get)
            return n_chunks - (vectors.count(connection) if settings.embedder(connection) else 0)

    def add_vectors(self, batch: Sequence[tuple[int, FloatMatrix]]) -> None:
        """Give chunks that have none their vectors, (chunk id, float32 [n_dims])."""
        with self._database.writing() as connection:
            sources.add_vectors(connection, batch)

    # Export and import -----------------------------------------------------------------------------------------

    @contextmanager
    def portable(self) -> Iterator[Portable]:
        """All there is, to be read in one go; the store is locked meanwhile."""
        with self._database.reading() as connection:
            yield Portable(connection)

    @contextmanager
    def arriving(self, actor: str, *, again: bool = False) -> Iterator[Arrivals]:
        """Put items from elsewhere into the store: all that the block adds, or nothing if it raises.

        What was forgotten does not come back unless `again`.
        """
        with self._database.writing() as connection:
            stones = None if again else tombstones.load(connection, self._n_forgets)
            arrivals = Arrivals(connection, actor, stones)
            yield arrivals
            arrivals.settle()

    # Folders ---------------------------------------------------------------------------------------------------

    def add_folder(self, folder: WatchedFolder) -> None:
        with self._database.writing() as connection:
            conversations.add_folder(connection, folder)

    def folders(self, project: str | None = None) -> list[WatchedFolder]:
        with self._database.reading() as connection:
            return conversations.folders(connection, project)

    def remove_folder(self, path: str, project: str) -> None:
        """Stop following a folder; its files stay in memory."""
        with self._database.writing() as connection:
            conversations.remove_folder(connection, path, project)

    # Conversations ---------------------------------------------------------------------------------------------

    def new_conversation(self, project: str, title: str, *, at: float | None = None) -> int:
        """Begin a conversation now, or `at` a moment in Unix seconds; return its id."""
        with self._database.writing() as connection:
            return conversations.new(connection, project, title, at)

    def conversations(self, project: str | None = None) -> list[Conversation]:
        """Conversations, the one used last first."""
        with self._database.reading() as connection:
            return conversations.several(connection, project)

    def rename_conversation(self, conversation_id: int, title: str) -> None:
        """Raises StoreError if the conversation is gone."""
        with self._database.writing(deletes=True) as connection:
            conversations.rename(connection, conversation_id, title)

    def delete_conversation(self, conversation_id: int) -> None:
        """Forget a conversation with its turns, in the write-ahead log as well."""
        with self._database.writing(deletes=True) as connection:
            conversations.delete(connection, conversation_id)
        self._database.compact_wal()

    # State -----------------------------------------------------------------------------------------------------

    def stats(self) -> StoreStats:
        with self._database.reading() as connection:
            row: Row = connection.execute(
                """select count(*) filter (where skip_reason is null), count(skip_reason),
                       coalesce(sum(n_chunks), 0), (select count(*) from conversation), (select count(*) from turn)
                   from source"""
            ).fetchall()[0]
            n_vectors = vectors.count(connection) if settings.embedder(connection) else 0
            n_sources, n_skipped, n_chunks, n_conversations, n_turns = row
            n_cartridges, cartridge_bytes = cartridges.sizes(connection)
            n_items = int(connection.execute("select count(*) from item").get)
        return StoreStats(
            n_sources=n_sources,
            n_skipped=n_skipped,
            n_chunks=n_chunks,
            n_vectors=n_vectors,
            n_conversations=n_conversations,
            n_turns=n_turns,
            size_bytes=self._database.size_bytes(),
            n_cartridges=n_cartridges,
            cartridge_bytes=cartridge_bytes,
            n_items=n_items,
        )

    def check(self, *, read_data: bool = False) -> list[Check]:
        """Verify the operation log and the pages; with `read_data` every record, word and vector as well."""
        with self._database.reading() as connection:
            return list(checks.of_open(connection, read_data=read_data))
