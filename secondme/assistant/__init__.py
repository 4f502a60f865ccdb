"""The one place where the parts are wired together; `cli/` and `tui/` talk to this and to nothing below it.

Nothing heavy happens before it is needed: the store opens on `unlock`, a model loads on first use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from secondme.assistant.conversations import Conversations
from secondme.assistant.documents import DEFAULT_PROJECT, Documents
from secondme.assistant.memory import Credentials
from secondme.assistant.searching import EVERYWHERE, Wanted
from secondme.types import CancelCheck, Citation, Opened, ProjectRow, ProjectStatus, never_cancelled

if TYPE_CHECKING:
    from secondme.assistant.reflecting import ReflectEvent
    from secondme.cartridges.events import BuildEvent
    from secondme.cartridges.files import Collected
    from secondme.memory.cartridges import StoredCartridge
    from secondme.projects.open import OpenEvent

__all__ = ["DEFAULT_PROJECT", "Assistant", "Credentials", "Wanted"]


class Assistant(Documents, Conversations):
    """A memory and its models. Thread-safe: the store, the embedder and the generator lock themselves.

    `generator` and `embedder` replace the configured models.
    """

    def projects(self) -> list[ProjectRow]:
        """All projects, the one used last first."""
        return self.store.projects()

    def new_project(self, name: str) -> str:
        """Make an empty project; returns its name. Raises UsageError for a name that cannot be, or is taken."""
        from secondme.projects.names import check_name

        name = check_name(name)
        self.store.new_project(name)
        return name

    def open_project(
        self, name: str, *, read_texts: bool = True, cancelled: CancelCheck = never_cancelled
    ) -> Iterator[OpenEvent]:
        """Bring a project's documents before the model, for all questions about it; the last event is an Opened.

        Without `read_texts` only cartridges are opened. At most one Notice says what is not as it could be. Raises
        UsageError if there is no such project, Cancelled, ModelError, StoreError.
        """
        with self.opener.waited_for(cancelled):
            yield from self.opener.session.open(name, read_texts=read_texts, cancelled=cancelled)

    @property
    def opened(self) -> Opened | None:
        """The project that is open; None before `open_project`, and once memory was locked."""
        return self.opener.session.opened

    def project_status(self, name: str) -> ProjectStatus:
        """How a project would open now; loads the model. Raises UsageError if there is none of that name."""
        return self.opener.status(name)

    def build_cartridges(
        self,
        projects: Sequence[str],
        *,
        tier: str | None = None,
        again: bool = False,
        background: bool = False,
        cancelled: CancelCheck = never_cancelled,
    ) -> Iterator[BuildEvent]:
        """Build the cartridges that projects lack, or all of them `again`; the last event is a BuildsDone.

        What is done is kept when it is cancelled. In the background it runs at low priority, and stands still while
        an answer or an opening project is waited for. `tier` None is the one of the settings. Raises
        CartridgeIncompatible where there can be none, Cancelled, ModelError, StoreError.
        """
        yield from self.opener.build(projects, tier=tier, again=again, background=background, cancelled=cancelled)

    def cartridges(self, project: str | None = None) -> list[StoredCartridge]:
        """The cartridges there are, in the order of project and path."""
        return self.store.cartridges(project)

    def verify_cartridge(self, row: StoredCartridge) -> None:
        """Read all of a cartridge and check it. Raises CorruptCartridge, CartridgeIncompatible, StoreError."""
        self.opener.shelf.verify(row)

    def collect_cartridges(self) -> Collected:
        """Clear away files without a row and rows without a file."""
        return self.opener.shelf.collect()

    # What is known ---------------------------------------------------------------------------------------------

    def search(self, words: str, wanted: Wanted = EVERYWHERE) -> list[Citation]:
        """What is known, was said or stands in files about some words, as citations, best first."""
        from secondme.assistant.searching import search

        return search(self, words, wanted)

    def reflect(self, *, cancelled: CancelCheck = never_cancelled) -> Iterator[ReflectEvent]:
        """Embed what is new and consolidate what is known, for idle time; the last event is a Consolidated.

        With the setting `learn_with_model` the model reads what was said as well, and what it made of it comes as a
        Learned.

        At low priority, and standing still while an answer is waited for. What is done is kept when it is cancelled.
        Raises ModelError, StoreError.
        """
        from secondme.assistant.reflecting import reflect

        yield from reflect(self, cancelled=cancelled)
