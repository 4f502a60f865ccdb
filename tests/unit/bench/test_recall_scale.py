"""The made-up store of the scale benchmark, and the rows that a search in it gives; a large one with SECONDME_SOAK."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from secondme.bench.recall import Options, Tools, scale
from secondme.bench.recall.scale import Vectors, Writer
from secondme.crypto.keys import StoreKeys
from secondme.errors import BackendUnavailable
from secondme.kernels.late import projection_of
from secondme.memory.store import Store
from secondme.runtime.echo import HashEmbedder
from tests.fault.soak import n


def tools(said: list[str] | None = None) -> Tools:
    return Tools(HashEmbedder(), Options(scale=1), (said if said is not None else []).append)


def test_the_same_is_written_for_the_same_seed() -> None:
    def written(seed: str) -> list[str]:
        writer = Writer(seed)
        vocabulary = writer.vocabulary()
        texts = [writer.text(vocabulary, 20) for _ in range(5)]
        return [*texts, writer.question("Ada", texts[0], 1.7e9)]

    assert written("a") == written("a") != written("b")


def test_words_repeat_within_a_conversation_and_a_question_has_those_of_its_turn() -> None:
    writer = Writer("words")
    vocabulary = writer.vocabulary()
    texts = [writer.text(vocabulary, 30) for _ in range(20)]
    words = [word for text in texts for word in text.lower().strip(".").split()]
    assert len(words) == 20 * 30 and len(set(words)) < len(words) / 2
    asked = set(writer.question("Ada", texts[3], 1.7e9).lower().strip("?").split())
    assert len(asked & set(texts[3].lower().strip(".").split())) >= 3


def test_a_text_is_near_to_one_that_shares_its_words_and_packed_without_function_words() -> None:
    embedder = HashEmbedder()
    vectors = Vectors(embedder)
    pooled, packed = vectors.trace("The bomato and the zenkila.")
    assert np.linalg.norm(pooled) == pytest.approx(1, abs=1e-5)
    assert projection_of(embedder.fingerprint, 384).made(packed) and len(packed) == 4 + 2 * 128
    near, far = vectors.trace("It was a bomato.")[0], vectors.trace("It was a treufosi.")[0]
    assert pooled @ near > pooled @ far + 0.2
    assert embedder.embed(["zenkila bomato"])[0] @ pooled > 0.9


def test_a_store_of_turns_and_passages_is_made(tmp_path: Path) -> None:
    made = scale._make(tmp_path / "scale.db", 1300, tools())
    store = Store.open(tmp_path / "scale.db", StoreKeys.derived(bytes(32)))
    try:
        assert store.turn_stats("default").n_turns == 1300 and store.n_chunks == 130
        assert not store.turns_without_trace()
        assert len({one.turn_id for one in made}) == 14
        turns = {turn.id: turn for turn in store.turns_by_ids([one.turn_id for one in made])}
        assert all(turns[one.turn_id].speaker in one.question for one in made)
    finally:
        store.close()


def test_searching_it_gives_rows() -> None:
    said: list[str] = []
    size = n(1500, 1_000_000)
    found = {row.case: row for row in scale.rows(size, tools(said))}
    assert [*found] == [
        *(f"search_{name}_ms/{size}" for name in ("p95", "median", "cpu")),
        f"search_hit@10/{size}",
        *(f"passages_{name}_ms/{size // 10}" for name in ("p95", "median", "cpu")),
        f"rss_mb/{size}",
        f"write_ms/{size}",
        f"write_cpu_ms/{size}",
    ]
    for what in (f"search_{{}}_ms/{size}", f"passages_{{}}_ms/{size // 10}"):
        p95, median, cpu = (found[what.format(name)] for name in ("p95", "median", "cpu"))
        assert p95.value >= median.value > 0 < cpu.value and p95.n == scale.n_questions(size)
    assert found[f"search_hit@10/{size}"].value > 80  # most questions have words that few other turns have
    assert 20 < found[f"rss_mb/{size}"].value < 4000 and found[f"write_ms/{size}"].value > 0
    assert said[-1] == f"searching among {size} turns"


def test_a_process_that_fails_is_one_line_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\nraise SystemExit('no room')\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    with pytest.raises(BackendUnavailable, match="searches failed") as error:
        scale._searched(tmp_path, [])
    assert "no room" in str(error.value.hint)
