"""The store's methods for turns; see `store.py` for what holds of all its methods."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from secondme.memory import conversations, lineage, traces, turn_index
from secondme.memory.conversations import NewTurn
from secondme.memory.database import Database
from secondme.memory.sources import project_id
from secondme.memory.vector_column import TURNS, Asked, VectorColumn
from secondme.types import Citation, Role, Turn, TurnStats

if TYPE_CHECKING:
    from secondme.memory.vectors import FloatMatrix


class TurnStore:
    """What a store holds of turns."""

    def __init__(self, database: Database, vector_bytes: int | None) -> None:
        self._database = database
        self._near_turns = VectorColumn(database, TURNS, vector_bytes)
        self._turn_terms = turn_index.TermCounts()

    def add_turn(
        self,
        conversation_id: int,
        role: Role,
        text: str,
        citations: Sequence[Citation],
        *,
        speaker: str = "",
        at: float | None = None,
    ) -> int:
        """Store a turn and return its id; its words are found at once, its trace is made later.

        `speaker` is who said it where the role does not tell, `at` when, in Unix seconds (None: now). Raises StoreError
        if the conversation is gone.
        """
        return self.add_turns([NewTurn(conversation_id, role, text, citations, speaker, at)])[0]

    def add_turns(self, new: Sequence[NewTurn]) -> list[int]:
        """Store several turns in their order, all or none, at the price of one transaction."""
        with self._database.writing() as connection:
            return [conversations.add_turn(connection, one) for one in new]

    def turns(self, conversation_id: int) -> list[Turn]:
        """A conversation's turns in order; none if it is gone."""
        with self._database.reading() as connection:
            return turn_index.of_conversation(connection, conversation_id)

    def turns_by_ids(self, ids: Sequence[int], *, citations: bool = False) -> list[Turn]:
        """Turns in the order asked for; those that are gone are left out. Citations are read only if asked for."""
        with self._database.reading() as connection:
            return turn_index.by_ids(connection, ids, citations=citations)

    def turns_around(self, ids: Collection[int], reach: int = 5) -> list[Turn]:
        """Turns with up to `reach` before and after each in its conversation; each once, by conversation and in order.

        Without their citations.
        """
        with self._database.reading() as connection:
            return turn_index.around(connection, ids, reach)

    def undone_turns(self, ids: Collection[int]) -> frozenset[int]:
        """Those of the turns from which something was learned that the owner forgot again."""
        with self._database.reading() as connection:
            return lineage.undone(connection, ids)

    def speakers_around(self, ids: Collection[int], reach: int = 5) -> set[str]:
        """The names of those who said the turns that `turns_around` finds; turns may have none."""
        with self._database.reading() as connection:
            return turn_index.speakers_around(connection, ids, reach)

    def conversation_starts(self, ids: Collection[int]) -> dict[int, float]:
        """When conversations began, in Unix seconds, by id; those that are gone are left out."""
        with self._database.reading() as connection:
            return turn_index.conversation_starts(connection, ids)

    # Words -----------------------------------------------------------------------------------------------------

    def turn_match(self, terms: Sequence[str]) -> str:
        """The FTS5 expression for any of `terms` with which `search_turns` takes a few milliseconds at most.

        Rare terms come first; common ones are left out once search.MOST_RANKED turns would be ranked.
        """
        with self._database.reading() as connection:
            return self._turn_terms.any_of(connection, terms)

    def search_turns(self, match: str, k: int, project: str | None) -> list[tuple[int, float]]:
        """The `k` turns that fit the FTS5 expression `match` best: (turn id, BM25), best and highest first.

        If more than search.MOST_RANKED fit, only the newest of them are looked at: build `match` with `turn_match`.
        Raises UsageError if it is not such an expression.
        """
        with self._database.reading() as connection:
            return turn_index.by_words(connection, match, k, project)

    def search_turns_any(self, terms: Sequence[str], k: int, project: str | None) -> list[tuple[int, float]]:
        """What `search_turns` finds with the expression that `turn_match` makes of `terms`."""
        with self._database.reading() as connection:
            return self._turn_terms.by_any_of(connection, terms, k, project)

    def turn_df(self, terms: Sequence[str]) -> dict[str, int]:
        """In how many turns each of `terms` occurs, of any project, stemmed as the index does.

        Exact up to turn_index.MOST_COUNTED; above, the share among the newest turns stands for all.
        """
        with self._database.reading() as connection:
            return self._turn_terms.frequencies(connection, terms)

    def turn_stats(self, project: str | None = None) -> TurnStats:
        """How many turns and conversations a project has, or all, and how many words a turn has on average."""
        with self._database.reading() as connection:
            return turn_index.stats(connection, project)

    # Traces ----------------------------------------------------------------------------------------------------

    def put_traces(self, batch: Sequence[tuple[int, FloatMatrix, bytes]]) -> None:
        """Give turns their traces: (turn id, float32 [n_dims], words as `kernels/late.py` packs them).

        Turns that are gone are passed over. Raises StoreError unless the vectors are as wide as those of the recorded
        embedding model: call `set_embedder` first.
        """
        with self._database.writing() as connection:
            traces.put(connection, batch)

    def traces(self, ids: Sequence[int]) -> dict[int, tuple[FloatMatrix, bytes]]:
        """(float32 [n_dims] of length 1, packed words) by turn id; turns without a trace are left out."""
        with self._database.reading() as connection:
            return traces.get(connection, ids)

    def turns_without_trace(self, limit: int = 256) -> list[Turn]:
        """Turns that have no trace yet, the newest first, without their citations."""
        with self._database.reading() as connection:
            return turn_index.by_ids(connection, traces.missing(connection, limit))

    def nearest_turns(self, vector: FloatMatrix, k: int, project: str | None) -> list[tuple[int, float]]:
        """The `k` turns nearest to `vector` (float32 [n_dims]): (turn id, cosine to about .002), best first.

        Turns without a trace are not found.
        """
        return self.begin_nearest_turns([(vector, k)], project)()[0]

    def begin_nearest_turns(
        self, wanted: Sequence[tuple[FloatMatrix, int]], project: str | None
    ) -> Callable[[], list[list[tuple[int, float]]]]:
        """Begin to look for what `nearest_turns` finds for each vector and k; what is returned waits for it.

        Several take little longer than one of them, and in a large store the caller can do something else meanwhile.
        """
        number = None
        if project is not None:
            with self._database.reading() as connection:
                number = project_id(connection, project)
            if number is None:
                return lambda: [[] for _ in wanted]
        return self._near_turns.begin(wanted, Asked(number))
