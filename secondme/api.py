"""Memory for scripts: what the command line and the terminal app remember, as a few methods.

    from secondme import Memory

    with Memory() as memory:
        memory.add("I moved to Lisbon in May.")
        for found in memory.search("where do I live"):
            print(found.text, found.when)

Errors are `secondme.errors.SecondMeError` and below it: UsageError for an unknown id or an empty text, StoreLocked
where another process has the memory open, NoKey and WrongPassphrase where it cannot be opened. A Memory may be used
from several threads; one process has one memory open at a time. No model is loaded before a search needs the embedder,
and no language model at all.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from secondme.errors import UsageError
from secondme.paths import models_dir

if TYPE_CHECKING:
    from secondme.assistant import Assistant
    from secondme.types import Citation, MemoryItem, Role

Kind = Literal["fact", "event", "how-to", "profile", "secret", "topic", "turn", "passage"]
"""fact, event, how-to, profile, secret, topic: something known. turn: something said. passage: of a file."""

Event = Literal["added", "closed", "pending", "stored"]

_KINDS: dict[str, Kind] = {
    "semantic": "fact",
    "episodic": "event",
    "procedural": "how-to",
    "core": "profile",
    "vault": "secret",
    "topic": "topic",
}
TITLE = "Told by scripts"
"""The conversation that texts without one are added to."""

_open_homes: dict[str, int] = {}
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Result:
    """Something remembered.

    id: `m7` for something known, `t45` for something said, `#12` for a passage. score: higher is better, within one
    search; 0.0 outside. when, until: Unix seconds since and until when it is so; `until` None while it holds, `when`
    0.0 for a passage. sources: ids of what it rests on, or a passage's file. A secret's text is its name.
    """

    id: str
    text: str
    kind: Kind
    score: float = 0.0
    when: float = 0.0
    until: float | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What `add` made of a text.

    stored: the text itself, as a turn. added: something learned from it. closed: what is no longer so because of it.
    pending: what the owner must decide about, by `secondme memory review`.
    """

    event: Event
    result: Result


class Memory:
    """An open memory; use it in a `with` statement, or call `close`.

    home: the folder it lies in; None is the owner's own, or SECONDME_HOME. Models are looked for in its `cache/models`,
    else where the owner has them. passphrase: how it is opened; None is by
    the system's keyring, which also opens a new one. project: which part of it; a new name begins one.

    Raises UsageError if this process has another home open, StoreLocked if another process has this one open, NoKey,
    WrongPassphrase, ConfigError, StoreError, IntegrityError.
    """

    def __init__(self, home: str | Path | None = None, passphrase: str | None = None, project: str = "default") -> None:
        from secondme.assistant import Assistant, Credentials
        from secondme.config import load_config

        self._release = _take_home(home)
        try:
            self._assistant: Assistant = Assistant(load_config(), Credentials(passphrase=passphrase))
            self._assistant.unlock()
        except BaseException:
            self._release()
            raise
        self._project = project
        self._lock = threading.Lock()
        self._conversation: int | None = None
        self._is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the memory, so that another process may open it; doing so again does nothing."""
        with self._lock:
            was_open, self._is_open = self._is_open, False
        if was_open:
            try:
                self._assistant.close()
            finally:
                self._release()

    # Adding ----------------------------------------------------------------------------------------------------

    def add(
        self,
        messages: str | Mapping[str, str] | Sequence[Mapping[str, str]],
        *,
        at: float | None = None,
        speaker: str | None = None,
    ) -> list[Change]:
        """Remember a text of the owner's, or the turns of a conversation.

        messages: a text, or turns as `{"role": "user", "content": "..."}`, with `name` for who said it where that is
        not the owner. Every turn is stored and found by `search`; what the owner says is learned from by rules, at
        once and without a model. at: when it was said, Unix seconds, None for now. speaker: whose words these are, if
        not the owner's; nothing is learned about the owner from them.

        Raises UsageError for an empty text, an unknown role or a turn without content; then nothing is stored.
        """
        from secondme.assistant.learning import Said

        turns = _turns(messages, speaker)
        with self._lock:
            self._check_open()
            conversation = self._conversation_for(len(turns) > 1, at)
        changes: list[Change] = []
        for role, text, name in turns:
            turn_id, learned = self._assistant.tell(Said(conversation, role, text, self._project, name, at))
            changes.append(
                Change("stored", Result(f"t{turn_id}", text, "turn", when=time.time() if at is None else at))
            )
            changes += [Change("added", self._known(i)) for i in learned.items]
            changes += [Change("closed", self._known(i)) for i in learned.closed]
            changes += [Change("pending", self._known(i)) for i in learned.pending]
        return changes

    def _conversation_for(self, is_its_own: bool, at: float | None) -> int:
        """A new conversation for several turns; single texts share one."""
        if is_its_own:
            return self._assistant.new_conversation(self._project, TITLE, at=at)
        if self._conversation is None:
            known = next((c for c in self._assistant.conversations(self._project) if c.title == TITLE), None)
            self._conversation = (
                known.id if known is not None else self._assistant.new_conversation(self._project, TITLE, at=at)
            )
        return self._conversation

    # Finding ---------------------------------------------------------------------------------------------------

    def search(
        self, query: str, k: int = 10, *, at: float | None = None, kinds: Iterable[Kind] | None = None
    ) -> list[Result]:
        """The `k` memories that bear most on `query`, best first; none when memory holds nothing about it.

        at: of what is known, what was so at that moment (Unix seconds) instead of what is so now. kinds: only these.
        Secrets are never found. Raises UsageError for an empty query, an unknown kind or a `k` below 1, ModelError if
        the embedding model cannot be loaded.
        """
        from secondme.assistant import Wanted

        self._check_open()
        if not query.strip():
            raise UsageError("the query is empty", hint="say what is looked for")
        if k < 1:
            raise UsageError("k is below 1", hint="ask for at least one")
        wanted = None if kinds is None else frozenset(kinds)
        unknown = sorted((wanted or frozenset()) - {*_KINDS.values(), "turn", "passage"})
        if unknown:
            raise UsageError(
                f"there is no kind {unknown[0]}", hint=f"kinds are: {', '.join(_KINDS.values())}, turn, passage"
            )
        found = self._assistant.search(query, Wanted(k, self._project, _wanted_kinds(wanted), at))
        items = {i.id: i for i in self._assistant.store.items_by_ids([c.item_id for c in found if c.item_id])}
        return [self._found(c, items) for c in found]

    def get(self, id: str) -> Result | None:
        """One memory by its id; None if there is none. Raises UsageError for what is no id."""
        self._check_open()
        kind, number = _parse(id)
        store = self._assistant.store
        if kind == "item":
            item = store.item(number)
            return None if item is None else self._known(item)
        if kind == "turn":
            turn = self._assistant.turn(number)
            return None if turn is None else Result(id, turn.text, "turn", when=turn.created_at)
        chunk = store.chunk(number)
        return None if chunk is None else Result(f"#{number}", chunk.chunk.text, "passage", sources=(chunk.path,))

    def get_all(self, *, past: bool = False) -> list[Result]:
        """All that is known, newest first; with `past` also what is no longer so."""
        from secondme.assistant.memories import Filter

        self._check_open()
        return [self._known(i) for i in self._assistant.memories.several(self._project, Filter(past=past))]

    def history(self, id: str) -> list[Result]:
        """What was known in the place of a memory before and after it, oldest first. Raises UsageError as `update`."""
        self._check_open()
        return [self._known(i) for i in self._assistant.memories.history(_item_id(id))]

    def core(self) -> dict[str, str]:
        """The profile: the blocks that every prompt carries, by their names."""
        self._check_open()
        return self._assistant.memories.core(self._project)

    # Changing --------------------------------------------------------------------------------------------------

    def update(self, id: str, text: str) -> Result:
        """Put another wording in the place of a memory's; the earlier one stays in its history. Returns the new one.

        Raises UsageError if `id` is not of something known, or the text is empty.
        """
        self._check_open()
        return self._known(self._assistant.memories.edit(_item_id(id), text))

    def delete(self, id: str) -> None:
        """Forget a memory, a turn or a passage with everything derived from it, for good.

        Raises UsageError if there is none.
        """
        from secondme.memory.forgetting import Target

        self._check_open()
        kind, number = _parse(id)
        if self.get(id) is None:
            raise UsageError(f"there is no memory {id}", hint="get_all and search return ids")
        if kind == "item":
            self._assistant.memories.forget([number])
        elif kind == "turn":
            self._assistant.forget(Target(turns=(number,)))
        else:
            self._assistant.forget(Target(passages=(number,)))

    # Results ---------------------------------------------------------------------------------------------------

    def _known(self, item: MemoryItem) -> Result:
        text = item.attribute if item.kind == "vault" else item.text
        sources = tuple(f"{'t' if s.kind == 'turn' else '#'}{s.ref_id}" for s in item.spans)
        return Result(f"m{item.id}", text, _KINDS.get(item.kind, "fact"), 0.0, item.valid_from, item.valid_to, sources)

    def _found(self, citation: Citation, items: Mapping[int, MemoryItem]) -> Result:
        if citation.kind == "item":
            known = self._known(items[citation.item_id])
            return Result(known.id, known.text, known.kind, citation.score, known.when, known.until, known.sources)
        if citation.kind == "turn":
            return Result(f"t{citation.turn_id}", citation.text, "turn", citation.score, citation.at)
        return Result(f"#{citation.chunk_id}", citation.text, "passage", citation.score, sources=(citation.path,))

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError("this memory is closed", hint="open it with Memory()")


def _take_home(home: str | Path | None) -> _Home:
    """Make `home` this process's, until the last Memory in it is closed. Raises UsageError if it has another one."""
    with _opening:
        key = os.environ.get("SECONDME_HOME", "") if home is None else str(Path(home).expanduser().absolute())
        if any(other != key for other in _open_homes):
            raise UsageError("this process has another memory open", hint="close that one first")
        taken = _Home(key)
        _open_homes[key] = _open_homes.get(key, 0) + 1
        return taken


class _Home:
    """The environment in which a home is this process's; called, it gives the home back, once."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._before = {name: os.environ.get(name) for name in ("SECONDME_HOME", "SECONDME_MODELS")}
        self._done = False
        if key and key != self._before["SECONDME_HOME"]:
            models = models_dir()
            os.environ["SECONDME_HOME"] = key
            if not models_dir().is_dir():
                os.environ["SECONDME_MODELS"] = str(models)

    def __call__(self) -> None:
        with _opening:
            if self._done:
                return
            self._done = True
            _open_homes[self._key] -= 1
            if _open_homes[self._key]:
                return
            del _open_homes[self._key]
            for name, value in self._before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


# What is given -------------------------------------------------------------------------------------------------


def _turns(
    messages: str | Mapping[str, str] | Sequence[Mapping[str, str]], speaker: str | None
) -> list[tuple[Role, str, str]]:
    """(role, text, speaker) of each turn. Raises UsageError."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    elif isinstance(messages, Mapping):
        messages = [messages]
    turns: list[tuple[Role, str, str]] = []
    for message in messages:
        role, text = message.get("role", "user"), message.get("content", "")
        if role not in ("user", "assistant", "system"):
            raise UsageError("a turn has an unknown role", hint="roles are: user, assistant, system")
        if not isinstance(text, str) or not text.strip():
            raise UsageError("a text is empty", hint="say what is to be remembered")
        turns.append((role, text.strip(), message.get("name") or speaker or ""))  # type: ignore[arg-type]
    if not turns:
        raise UsageError("there is nothing to remember", hint="give a text, or turns")
    return turns


def _parse(id: str) -> tuple[Literal["item", "turn", "passage"], int]:
    letter, number = (id[:1], id[1:]) if isinstance(id, str) else ("", "")
    kinds: dict[str, Literal["item", "turn", "passage"]] = {"m": "item", "t": "turn", "#": "passage"}
    if letter not in kinds or not (number.isascii() and number.isdecimal()) or len(number) > 18:
        raise UsageError("that is no id of a memory", hint="ids are such as m7, t45, #12")
    return kinds[letter], int(number)


def _item_id(id: str) -> int:
    kind, number = _parse(id)
    if kind != "item":
        raise UsageError("only what is known is changed, and has a history", hint="name it as m7; get_all returns ids")
    return number


def _wanted_kinds(kinds: frozenset[Kind] | None) -> frozenset[str] | None:
    """The kinds as they are stored."""
    if kinds is None:
        return None
    stored = {shown: kind for kind, shown in _KINDS.items()}
    return frozenset(stored.get(kind, kind) for kind in kinds)
