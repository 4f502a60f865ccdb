"""A cache judged beside the full one, on the real small model: itself, moved through cells, and nothing at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from secondme.bench.cartridges.documents import Document, Recipe, documents
from secondme.bench.cartridges.judge import Judge
from secondme.errors import Cancelled
from secondme.runtime.kv import Cells, KvReader
from secondme.runtime.llama import LlamaGenerator, LlamaOptions
from tests.asking_cartridges import write_paragraphs


@pytest.fixture(scope="module")
def generator(smollm2_path: Path) -> Iterator[LlamaGenerator]:
    loaded = LlamaGenerator(smollm2_path, options=LlamaOptions(n_ctx=512, threads=1))
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def reader(generator: LlamaGenerator) -> Iterator[KvReader]:
    opened = generator.reader(1024)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def document(generator: LlamaGenerator, tmp_path_factory: pytest.TempPathFactory) -> Document:
    path = write_paragraphs(tmp_path_factory.mktemp("data") / "x.json", 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secondme.bench.cartridges.documents.N_CONTINUATION", 20)
        return next(documents(path, generator, Recipe(n_documents=1, n_tokens=200, n_questions=1, n_facts=2)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References are made once, for all tests."""
    return tmp_path_factory.mktemp("references")


def test_a_cache_beside_itself_and_beside_nothing(
    reader: KvReader, generator: LlamaGenerator, document: Document, folder: Path
) -> None:
    judge = Judge(reader, generator, folder=folder)
    again = judge.evaluate(document, judge.read_full(document))
    assert again.recall_kl < 1e-3 and again.facts_kl < 1e-3 and again.continuation_kl < 1e-3
    assert again.top1 == 1 and again.n_facts_recalled == again.n_facts > 0
    assert [r.text for r in again.replies] == [r.text for r in again.full]
    assert again.gold_nll == pytest.approx(again.gold_nll_full, abs=1e-3)

    nothing = judge.evaluate(document, judge.no_context(document), greedy=False)
    assert nothing.recall_kl > 100 * again.recall_kl and nothing.facts_kl > 0.3 and nothing.n_facts_recalled == 0
    assert nothing.gold_nll > nothing.gold_nll_full


def test_placed_cells_are_judged_as_the_cache_they_were_taken_from(
    reader: KvReader, generator: LlamaGenerator, document: Document, folder: Path
) -> None:
    first = Judge(reader, generator, folder=folder)
    cells = first.cells(document)
    assert len(cells) == document.end
    later = Judge(reader, generator, folder=folder)  # takes cells and references from the folder
    reader.rewind(0)
    found = later.cells(document)
    assert (
        reader.n_tokens == 0 and np.array_equal(found.k, cells.k) and np.array_equal(found.positions, cells.positions)
    )
    scores = later.evaluate(document, lambda r: r.place(document.end, found))
    assert scores.recall_kl < 1e-3 and scores.n_facts_recalled == scores.n_facts

    half = np.arange(document.end)[::-2][::-1]
    halved = Cells(cells.positions[half], cells.k[:, half].copy(), cells.v[:, half].copy())
    worse = later.evaluate(document, lambda r: r.place(document.end, halved), greedy=False)
    assert worse.facts_kl > 0.05 and all(r.text == "" for r in worse.replies)


def test_judging_is_cancelled(reader: KvReader, generator: LlamaGenerator, document: Document) -> None:
    with pytest.raises(Cancelled):
        Judge(reader, generator, cancelled=lambda: True).reference(document)
