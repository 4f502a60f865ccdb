"""The values that pass between rooms: frozen dataclasses and the events the spine functions yield.

Standard library only, so that every room may import it. Vectors travel beside these as NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

CancelCheck = Callable[[], bool]
"""Returns True once the owner asked to stop; polled at least once a token, a file or a block."""


def never_cancelled() -> bool:
    """The CancelCheck of work that nobody can stop."""
    return False


class Trust(StrEnum):
    """Where a text came from, most trusted first."""

    OWNER = "owner"
    CONVERSATION = "conversation"
    DOCUMENT = "document"
    IMPORTED = "imported"


# Documents -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading and where its section starts."""

    byte_start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class PageStart:
    """First byte of a page in the document's text."""

    byte_start: int
    page: int


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    `text` is the whole text; all offsets in this module are byte offsets into its UTF-8 encoding. For files that are
    UTF-8 text already (without a byte-order mark) these are the offsets in the file itself.
    """

    text: str
    media_type: str
    title: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[PageStart, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. A document's chunks tile its text: joined, they are the text again."""

    ordinal: int
    text: str
    byte_start: int
    byte_end: int
    line_start: int
    line_end: int
    page: int | None
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells cheaply whether a file may have changed. Times in nanoseconds, sizes in bytes."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What is recorded of an ingested file beside its chunks."""

    path: str
    project: str
    media_type: str
    title: str
    content_hash: bytes
    stamp: FileStamp
    trust: Trust = Trust.DOCUMENT


@dataclass(frozen=True, slots=True)
class StoredSource:
    """A source as the store holds it. `skip_reason` is set, and `n_chunks` is 0, for a file that was left out."""

    id: int
    path: str
    project: str
    media_type: str
    title: str
    content_hash: bytes
    stamp: FileStamp
    trust: Trust
    n_chunks: int
    ingested_at: float
    skip_reason: str | None


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with where it came from."""

    id: int
    source_id: int
    path: str
    project: str
    title: str
    media_type: str
    trust: Trust
    chunk: Chunk


# Ingest events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """Files found so far, while folders are walked."""

    n_files: int


@dataclass(frozen=True, slots=True)
class FileStarted:
    path: str
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class FileProgress:
    """Chunks embedded so far of the file under way."""

    path: str
    n_chunks_done: int
    n_chunks_total: int


@dataclass(frozen=True, slots=True)
class FileStored:
    """The file is in memory: acknowledged, and safe from kill -9 and power loss."""

    path: str
    n_chunks: int
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class FileUnchanged:
    path: str
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class FileSkipped:
    """The file was left out; the rest goes on. `hint` may be empty."""

    path: str
    reason: str
    hint: str
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """The file is gone from the disk, so it is gone from memory."""

    path: str


@dataclass(frozen=True, slots=True)
class FileRenamed:
    """The same content under a new path; nothing was embedded again."""

    old_path: str
    path: str


@dataclass(frozen=True, slots=True)
class IngestDone:
    """The last event. Seconds are wall time."""

    n_stored: int
    n_unchanged: int
    n_skipped: int
    n_removed: int
    n_chunks: int
    n_bytes: int
    elapsed_s: float
    embed_s: float


@dataclass(frozen=True, slots=True)
class EmbedProgress:
    """Passages that were stored without a vector, such as imported ones, and have one now."""

    n_done: int
    n_total: int


IngestEvent = (
    ScanProgress
    | EmbedProgress
    | FileStarted
    | FileProgress
    | FileStored
    | FileUnchanged
    | FileSkipped
    | FileRemoved
    | FileRenamed
    | IngestDone
)

# Recall and chat -----------------------------------------------------------------------------------------------

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn as the chat template sees it."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A recalled chunk; `score` is comparable within one answer only."""

    chunk: StoredChunk
    score: float
    text_rank: int | None
    vector_rank: int | None
    similarity: float | None


CitedKind = Literal["passage", "turn", "item"]


@dataclass(frozen=True, slots=True)
class Citation:
    """What `[n]` in an answer points to: a passage, a turn or an item, by `chunk_id`, `turn_id` or `item_id`; else 0.

    `quote` is the sentence of the stored text that bears on the question, at [`quote_start`, `quote_end`) of the
    source's text in bytes, on line `quote_line`. `marked` tells whether `[n]` stands in the answer's own text. `at` is
    when a turn was said, or since when an item holds (Unix seconds); 0.0 for a passage.
    """

    n: int
    chunk_id: int
    path: str
    title: str
    project: str
    page: int | None
    line_start: int
    line_end: int
    byte_start: int
    byte_end: int
    heading_path: tuple[str, ...]
    text: str
    quote: str
    quote_start: int
    quote_end: int
    quote_line: int
    score: float
    marked: bool
    kind: CitedKind = "passage"
    turn_id: int = 0
    item_id: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class ContextUsage:
    """The context meter: exact token counts, not estimates."""

    n_used: int
    n_context: int


@dataclass(frozen=True, slots=True)
class Timings:
    """Where an answer's time went, in seconds."""

    recall_s: float
    prefill_s: float
    decode_s: float
    first_token_s: float
    n_prompt_tokens: int
    n_cached_tokens: int
    n_answer_tokens: int


@dataclass(frozen=True, slots=True)
class Recalled:
    """First event of an answer: what will be read, of documents, of what was said and of what was learned."""

    hits: tuple[Hit, ...]
    n_turns: int = 0
    n_items: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the owner should know, such as passages or turns that did not fit into the context."""

    message: str


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    n_done: int
    n_total: int


@dataclass(frozen=True, slots=True)
class TokenText:
    """Text to append to the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What was made of the owner's words: new items, those that they closed, those that the owner must decide on, and
    those that were said again."""

    items: tuple[MemoryItem, ...] = ()
    closed: tuple[MemoryItem, ...] = ()
    pending: tuple[MemoryItem, ...] = ()
    confirmed: tuple[MemoryItem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.items or self.closed or self.pending or self.confirmed)


@dataclass(frozen=True, slots=True)
class SecretAsked:
    """The question names these secrets: whoever shows this may show their values, which no model was given."""

    items: tuple[MemoryItem, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Last event of an answer. `text` is the whole answer with its marks.

    `found` is False when memory holds nothing about the question. `stopped` is why decoding ended.
    """

    text: str
    citations: tuple[Citation, ...]
    found: bool
    stopped: Literal["end", "length", "cancelled", "nothing"]
    usage: ContextUsage
    timings: Timings


AnswerEvent = Recalled | Notice | PrefillProgress | TokenText | Learned | SecretAsked | Answer


@dataclass(frozen=True, slots=True)
class Conversation:
    id: int
    title: str
    project: str
    created_at: float
    updated_at: float
    n_turns: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A stored turn; `citations` as they were when the answer was given.

    `speaker` is who said it where the role does not tell, as in a conversation of two people; "" else.
    """

    id: int
    conversation_id: int
    role: Role
    text: str
    created_at: float
    citations: tuple[Citation, ...]
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class WatchedFolder:
    """A folder the owner dropped. `watch` tells whether it is kept in step with the disk."""

    path: str
    project: str
    watch: bool
    added_at: float


# Memories ------------------------------------------------------------------------------------------------------

ItemKind = Literal["core", "episodic", "semantic", "procedural", "vault", "topic", "lesson"]
"""core: profile blocks, always in the prompt, the owner's to edit. episodic: what happened. semantic: what is so.
procedural: how something is done. vault: secrets, found only when asked for by name. topic: a summary of others.
lesson: what an attack looked like, kept apart and never recalled."""

ItemState = Literal["active", "archived", "pending", "quarantined"]

LinkKind = Literal["related", "member", "contradicts", "replaces"]
"""related: have to do with one another. member: a topic and what it is of. contradicts: cannot both be so. replaces: an
edit and what was edited."""

OWNER = "owner"
"""The subject of items about the owner."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where something was said: bytes [`byte_start`, `byte_end`) of the UTF-8 text of a turn or a passage."""

    kind: Literal["turn", "passage"]
    ref_id: int
    byte_start: int
    byte_end: int


@dataclass(frozen=True, slots=True)
class NewItem:
    """Something to remember.

    text: a sentence that stands by itself, shown and searched. subject, attribute, value: the same as a claim, such as
    `owner`, `employer`, `Acme`; empty where it is none. slot: what the claim is about, by which it is known that a
    later one takes its place; "" for one that nothing replaces. made_by: `owner`, `rule:<name>/<version>`,
    `model:<fingerprint>/<prompt version>`, `import:<format>`. valid_from, valid_to: Unix seconds; None is from now on,
    and until further notice. strength_days: S of the retention exp(-t / S).
    """

    kind: ItemKind
    text: str
    project: str = "default"
    subject: str = ""
    attribute: str = ""
    value: str = ""
    slot: str = ""
    trust: Trust = Trust.OWNER
    made_by: str = "owner"
    state: ItemState = "active"
    valid_from: float | None = None
    valid_to: float | None = None
    strength_days: float = 30.0
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """An item as the store holds it; times are Unix seconds. `valid_to` is None while it holds."""

    id: int
    uid: bytes
    project: str
    kind: ItemKind
    slot: str
    subject: str
    attribute: str
    value: str
    text: str
    trust: Trust
    made_by: str
    state: ItemState
    created_at: float
    valid_from: float
    valid_to: float | None
    strength_days: float
    used_at: float
    n_uses: int
    n_helpful: int
    n_harmful: int
    spans: tuple[Span, ...]

    @property
    def holds(self) -> bool:
        """Whether it is said to be so until further notice."""
        return self.valid_to is None


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """What an edit makes of an item; None leaves it as it is. `slot` follows `subject`, `attribute` and `value` only if
    the caller says so."""

    text: str | None = None
    kind: ItemKind | None = None
    subject: str | None = None
    attribute: str | None = None
    value: str | None = None
    slot: str | None = None


@dataclass(frozen=True, slots=True)
class ItemLink:
    """From one item to another, by their ids; what `weight` means depends on who made the link."""

    from_id: int
    to_id: int
    kind: LinkKind
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TurnStats:
    """Of the turns that a search looks at: how many, words in one on average, and of how many conversations."""

    n_turns: int
    mean_words: float
    n_conversations: int


# Projects ------------------------------------------------------------------------------------------------------

OpenedAs = Literal["cartridge", "text", "recall"]


@dataclass(frozen=True, slots=True)
class OpenedDocument:
    """How a document of a project takes part in its conversations.

    `cartridge`: its keys and values were loaded. `text`: the model read it. `recall`: it is searched for each question
    only, because of `why`; `pending` tells that a cartridge would change that. `tier`, `size_bytes` (on the disk),
    `f16_bytes` (as the model would hold it) and `prefill_s` (what reading it took) are those of its cartridge, which
    may exist without being loaded.
    """

    source_id: int
    path: str
    title: str
    n_tokens: int
    opened_as: OpenedAs
    why: str = ""
    pending: bool = False
    tier: str = ""
    size_bytes: int = 0
    f16_bytes: int = 0
    prefill_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Opened:
    """A project whose documents lie in front of every question: `tokens` begin each prompt, and the cache keeps them.

    They are the chat template's head with `rules` as the system's words, then the documents read, one after another.
    `version` tells one state of those documents from another. `open_s` is what loading took.
    """

    project: str
    rules: str
    tokens: tuple[int, ...]
    documents: tuple[OpenedDocument, ...]
    version: str
    open_s: float = 0.0

    @property
    def n_read(self) -> int:
        """Documents that the model has before it."""
        return sum(d.opened_as != "recall" for d in self.documents)

    @property
    def saved_s(self) -> float:
        """Seconds of reading that the cartridges spared."""
        return max(0.0, sum(d.prefill_s for d in self.documents if d.opened_as == "cartridge") - self.open_s)


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project with what it holds; `used_at` is when a file or a turn of it was last stored, 0.0 if none was."""

    name: str
    n_sources: int
    n_conversations: int
    used_at: float


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """A project as it would open now. `documents` are those looked at; `n_unread` more were not, for want of room.

    `n_pending` cartridges are to be built, of tier `tier`, or "off"; `why_not` says why there can be none at all.
    """

    name: str
    n_conversations: int
    documents: tuple[OpenedDocument, ...]
    n_unread: int
    n_pending: int
    tier: str
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class StoreStats:
    n_sources: int
    n_skipped: int
    n_chunks: int
    n_vectors: int
    n_conversations: int
    n_turns: int
    size_bytes: int
    n_cartridges: int
    cartridge_bytes: int
    n_items: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `secondme doctor`."""

    name: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    remedy: str = ""
