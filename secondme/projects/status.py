"""How a project would open now, without opening it."""

from __future__ import annotations

from collections.abc import Sequence

from secondme.errors import UsageError
from secondme.projects.builder import pending
from secondme.projects.documents import ProjectDocument
from secondme.projects.library import Library, Outlook, outlook
from secondme.projects.open import described
from secondme.projects.plan import readable_now
from secondme.types import OpenedAs, ProjectStatus


def project_status(library: Library, name: str) -> ProjectStatus:
    """Raises UsageError if there is no such project, ModelError, StoreError."""
    row = library.store.project(name)
    if row is None:
        raise UsageError("there is no project of that name", hint="make it: secondme project new NAME")
    view = outlook(library, name)
    ways = _ways(view)
    documents = tuple(
        described(view, p.document, ways.get(p.document.source.id, "recall"), p.why) for p in view.plan.places
    )
    return ProjectStatus(
        name=name,
        n_conversations=row.n_conversations,
        documents=documents,
        n_unread=view.plan.n_unread,
        n_pending=len(pending(view)),
        tier=view.model.tier,
        why_not=view.model.why_not,
    )


def _ways(view: Outlook) -> dict[int, OpenedAs]:
    """How each document that fits would be opened."""
    fitting = view.plan.fitting
    if view.plan.as_text:
        return _all(fitting, "text")
    missing = [d for d in fitting if not (view.ready(d) and d in view.loadable)]
    return _all(fitting, "cartridge") | _all(missing, "recall") | _all(readable_now(missing, view.room), "text")


def _all(documents: Sequence[ProjectDocument], way: OpenedAs) -> dict[int, OpenedAs]:
    return {d.source.id: way for d in documents}
