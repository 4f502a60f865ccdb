"""The two models of this process, each loaded when it is first needed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from secondme.config import Config
from secondme.errors import ModelError

if TYPE_CHECKING:
    from secondme.runtime.base import Embedder, Generator


class Models:
    """`generator` and `embedder` replace the configured ones. Thread-safe; locking memory never waits for a loading."""

    def __init__(self, config: Config, generator: Generator | None, embedder: Embedder | None) -> None:
        self._config = config
        self._loading = threading.RLock()
        self._notes: list[str] = []
        self.loaded_generator = generator
        self.loaded_embedder = embedder

    @property
    def embedder(self) -> Embedder:
        with self._loading:
            if self.loaded_embedder is None:
                from secondme.runtime.load import load_embedder

                self.loaded_embedder = load_embedder(self._config)
            return self.loaded_embedder

    @property
    def generator(self) -> Generator:
        with self._loading:
            if self.loaded_generator is None:
                from secondme.runtime.load import load_generator

                self.loaded_generator = load_generator(self._config, say=self._notes.append)
            return self.loaded_generator

    def take_notes(self) -> list[str]:
        """What the owner should know of how the model was loaded; told once."""
        with self._loading:
            notes, self._notes = self._notes, []
            return notes

    def forget(self) -> None:
        """Empty their buffers; the models stay loaded unless there is no memory for new ones."""
        with self._loading:
            try:
                for model in (self.loaded_generator, self.loaded_embedder):
                    if model is not None:
                        model.forget()
            except ModelError:  # out of memory: they are loaded again when they are needed
                self.close()

    def close(self) -> None:
        for model in (self.loaded_generator, self.loaded_embedder):
            if model is not None:
                model.close()
        self.loaded_generator = self.loaded_embedder = None
