"""What a project's documents are to the model at hand: which fit, which have a cartridge, and what the others lack."""

from __future__ import annotations

from dataclasses import dataclass

from secondme.cartridges.calibration import Calibration
from secondme.cartridges.calibrations import calibration_of
from secondme.cartridges.files import Shelf
from secondme.cartridges.manifest import hash_of_tokens, model_key
from secondme.errors import CartridgeError
from secondme.memory.cartridges import StoredCartridge
from secondme.memory.store import Store
from secondme.projects import documents, plan
from secondme.projects.documents import ProjectDocument
from secondme.projects.plan import Plan, Room
from secondme.runtime.base import Generator
from secondme.runtime.kv import KvIdentity

OFF = "off"
"""The tier of an owner who wants no cartridges."""


@dataclass(frozen=True, slots=True)
class Library:
    """The parts that opening and building need. `tier` is the one wanted, or OFF."""

    store: Store
    shelf: Shelf
    generator: Generator
    tier: str


@dataclass(frozen=True, slots=True)
class Model:
    """The model at hand as cartridges see it. `identity` is None where its cache cannot be taken apart: `why_not`.

    `tier` is the one wanted, or T0 where the model has no calibration.
    """

    head: tuple[int, ...]
    identity: KvIdentity | None
    tier: str
    calibration: Calibration | None = None
    why_not: str = ""

    @property
    def prefix_hash(self) -> str:
        return hash_of_tokens(self.head)

    def fits(self, row: StoredCartridge) -> bool:
        """Whether a row's cartridge was made for this model, whatever its tier."""
        if self.identity is None:
            return False
        calibration = "" if row.tier == "T0" or self.calibration is None else self.calibration.digest
        return row.model_key == model_key(self.identity, self.prefix_hash, calibration)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A project as it could be opened now. `rows` are its cartridges by source id."""

    model: Model
    room: Room
    plan: Plan
    rows: dict[int, StoredCartridge]

    @property
    def loadable(self) -> tuple[ProjectDocument, ...]:
        """Those that fit and may have a cartridge: the first alone, where keys cannot be moved to another position."""
        if self.plan.as_text or self.model.identity is None:
            return ()
        return self.plan.fitting if self.model.identity.rope.movable else self.plan.fitting[:1]

    def ready(self, document: ProjectDocument) -> bool:
        """Whether a cartridge of the document can be opened."""
        row = self.rows.get(document.source.id)
        return row is not None and row.complete and self.model.fits(row)

    def done(self, document: ProjectDocument) -> bool:
        """Whether it is of the tier that is wanted, too."""
        return self.ready(document) and self.rows[document.source.id].tier == self.model.tier

    def lacks(self, document: ProjectDocument) -> str:
        """What is missing before it can be opened from a cartridge; nothing where it can, or never will be."""
        row = self.rows.get(document.source.id)
        if document not in self.loadable:
            return ""
        if row is None:
            return "not prepared yet"
        if not self.model.fits(row):
            return "prepared for another model or version"
        return "" if row.complete else "prepared in part"


def model_at_hand(library: Library) -> Model:
    """Raises ModelError."""
    head = documents.head(library.generator)
    if library.tier == OFF:
        return Model(head, None, OFF, why_not="cartridges are turned off")
    try:
        identity = library.generator.kv_identity()
    except CartridgeError as error:
        return Model(head, None, OFF, why_not=error.message)
    calibration = calibration_of(identity)
    can_shrink = calibration is not None and identity.rope.movable
    return Model(head, identity, library.tier if can_shrink else "T0", calibration)


def outlook(library: Library, project: str, model: Model | None = None) -> Outlook:
    """Look at a project's documents, as far as there is room for them. Raises ModelError, StoreError."""
    store, generator = library.store, library.generator
    model = model or model_at_hand(library)
    rows = {row.source_id: row for row in store.cartridges(project)}
    speed = plan.measured_speed((r.n_tokens, r.prefill_s) for r in rows.values() if model.fits(r))
    room = plan.room(generator.info, len(model.head), speed)
    sources = documents.in_order(store.sources(project))
    found = documents.documents(store, sources, generator)
    chosen = plan.plan(found, len(sources), room, cartridges=model.identity is not None)
    return Outlook(model, room, chosen, rows)
