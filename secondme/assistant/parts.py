"""The parts of a running program, each opened when it is first needed, for the faces that work with them."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from secondme.assistant.memory import Credentials, Memory
from secondme.assistant.models import Models
from secondme.assistant.projects import Projects
from secondme.config import Config
from secondme.errors import SecondMeError, UsageError
from secondme.types import ContextUsage

if TYPE_CHECKING:
    from secondme.assistant.memories import Memories
    from secondme.crypto.keys import Keys
    from secondme.memory.store import Store
    from secondme.runtime.base import Embedder, Generator


MAX_UNREAD = 200


class Parts:
    """A memory, its models and the project that is open. Thread-safe: each of them locks itself.

    `generator` and `embedder` replace the configured models.
    """

    def __init__(
        self,
        config: Config,
        credentials: Credentials | None = None,
        *,
        generator: Generator | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        self.config = config
        self._memory = Memory(config, credentials or Credentials())
        self._models = Models(config, generator, embedder)
        self.opener = Projects(self._memory, self._models, config.cartridge_tier)
        # Turns of this run that the model may read in idle time, each with its project.
        self.unread: deque[tuple[int, str]] = deque(maxlen=MAX_UNREAD)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # The parts, each opened when first needed ------------------------------------------------------------------

    def unlock(self, credentials: Credentials | None = None) -> None:
        """Open the store, for the first time or after `lock`.

        Raises StoreLocked, NoKey, WrongPassphrase and what opening a store raises.
        """
        self._memory.unlock(credentials)

    def lock(self) -> None:
        """Close the store, overwrite its keys and empty the models' buffers; the models themselves stay loaded.

        From here on another process may open the store, and whatever needs memory fails until `unlock` is called.
        """
        self.opener.close()
        self._memory.lock()
        self._models.forget()

    @property
    def store(self) -> Store:
        return self._memory.store

    @property
    def keys(self) -> Keys:
        """The opened keys; they are overwritten when memory is closed or locked."""
        return self._memory.keys

    @property
    def embedder(self) -> Embedder:
        return self._models.embedder

    @property
    def generator(self) -> Generator:
        return self._models.generator

    def take_notes(self) -> list[str]:
        """What the owner should know of how the models were loaded, once."""
        return self._models.take_notes()

    def load_models(self) -> None:
        """Load both models now, and begin to copy the vectors into memory, so that no question waits for either."""
        store = self._memory.opened
        if store is not None:
            with suppress(SecondMeError):  # it is being locked, or damaged, which the search will tell
                store.warm_vectors()
        _ = self.embedder
        _ = self.generator

    @property
    def usage(self) -> ContextUsage | None:
        """The context meter; None while no language model is loaded."""
        generator = self._models.loaded_generator
        return generator.usage if generator is not None else None

    def close(self) -> None:
        """Close everything that was opened; the lock goes last."""
        self.opener.close()
        self._models.close()
        self._memory.close()

    @property
    def memories(self) -> Memories:
        """What is known, as its owner deals with it."""
        from secondme.assistant.memories import Memories

        return Memories(self)

    # Checks ----------------------------------------------------------------------------------------------------

    def check_name(self, project: str) -> None:
        """A name that is new must be one that can be shown; earlier ones stay as they are."""
        from secondme.projects.names import check_name

        if self.store.project_uid(project) is None and check_name(project) != project:
            raise UsageError("a project's name has no space at its ends", hint="leave it out")

    def check_embedder(self) -> None:
        from secondme.ingest.reindex import check_embedder

        check_embedder(self.store, self.embedder)
