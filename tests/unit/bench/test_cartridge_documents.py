"""The documents of the cartridge benchmark: facts planted exactly once, questions that the text answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from secondme.bench.cartridges.documents import Recipe, documents, joined, pair_documents, read_pairs, read_paragraphs
from secondme.bench.cartridges.facts import facts, plant
from secondme.bench.cartridges.metrics import holds
from secondme.errors import UsageError
from secondme.runtime.echo import EchoGenerator
from tests.asking_cartridges import write_pairs, write_paragraphs


def test_facts_are_unique_even_in_kind_and_new_for_every_seed() -> None:
    some = facts(200, seed="proof")
    assert len({f.answer for f in some}) == len({f.question for f in some}) == len({f.sentence for f in some}) == 200
    assert all(f.sentence.count(f.answer) == 1 and f.answer not in f.question for f in some)
    counts = [sum(f.kind == kind for f in some[:12]) for kind in ("name", "number", "date", "code")]
    assert min(counts) == 3
    assert some == facts(200, seed="proof") and some[:9] == facts(9, seed="proof")
    assert not {f.sentence for f in some} & {f.sentence for f in facts(200, seed="dev")}
    others = facts(200, seed="proof", avoid="\n".join(f.sentence for f in some))
    assert not {f.answer for f in some} & {f.answer for f in others}


def test_planted_sentences_stand_between_sentences_and_are_spread() -> None:
    prose = " ".join(f"This is number {i} of the plain sentences." for i in range(100))
    planted = facts(10, seed="x")
    text = plant(prose, planted, seed="x")
    assert text == plant(prose, planted, seed="x") != plant(prose, planted, seed="y")
    places = sorted(text.index(f.sentence) / len(text) for f in planted)
    assert all(text.count(f.answer) == 1 for f in planted)
    assert all(i / 10 - 0.1 <= place <= i / 10 + 0.2 for i, place in enumerate(places))
    rest = text
    for f in planted:
        rest = rest.replace(" " + f.sentence, "", 1)
    assert rest == prose
    with pytest.raises(ValueError, match="too few"):
        plant("One sentence only.", planted, seed="x")


def test_documents_hold_what_is_asked(tmp_path: Path, echo: EchoGenerator) -> None:
    path = write_paragraphs(tmp_path / "x.json", 24)
    made = list(documents(path, echo, Recipe(n_documents=4, n_questions=5, n_facts=6)))
    assert [len(d.questions) for d in made] == [11] * 4
    assert made == list(documents(path, echo, Recipe(n_documents=4, n_questions=5, n_facts=6)))
    for document in made:
        assert echo.detokenize(document.tokens) == document.text
        for question in document.questions:
            assert holds(document.text, question.answers[0])
            assert question.kind == "text" or document.text.count(question.answers[0]) == 1
            assert len(question.gold) <= 14 or question.kind == "fact"
        assert echo.detokenize(document.continuation) not in document.text
    lengths = [len(d.text) for d in made]
    assert max(lengths) < 1.25 * min(lengths)


def test_parts_share_no_document_and_other_seeds_plant_other_facts(tmp_path: Path, echo: EchoGenerator) -> None:
    path, recipe = write_paragraphs(tmp_path / "x.json", 24), Recipe(n_documents=8, n_facts=3)
    dev, proof = (list(documents(path, echo, recipe, part=part)) for part in ("dev", "proof"))
    assert (len(dev), len(proof)) == (2, 6) and not {d.name for d in dev} & {d.name for d in proof}
    other = list(documents(path, echo, Recipe(n_documents=8, n_facts=3, seed="dev"), part="dev"))
    assert other[0].name != dev[0].name
    assert not {q.answers for q in other[0].questions if q.kind == "fact"} & {q.answers for q in dev[0].questions}


def test_n_tokens_bounds_a_document(tmp_path: Path, echo: EchoGenerator) -> None:
    path = write_paragraphs(tmp_path / "x.json", 24)
    for document in documents(path, echo, Recipe(n_documents=2, n_tokens=900, n_facts=3)):
        assert 500 <= document.n_tokens <= 900


def test_joined_documents_ask_of_all_parts(tmp_path: Path, echo: EchoGenerator) -> None:
    parts = list(documents(write_paragraphs(tmp_path / "x.json", 12), echo, Recipe(n_documents=3, n_facts=2)))
    both = joined(parts[:2], n_questions=3)
    assert both.tokens == parts[0].tokens + parts[1].tokens and both.continuation == parts[1].continuation
    assert both.questions == parts[0].questions[:3] + parts[1].questions[:3]
    assert both.end == len(parts[0].prefix) + parts[0].n_tokens + parts[1].n_tokens
    plain = list(documents(tmp_path / "x.json", echo, Recipe(n_documents=3, n_facts=2, format="plain")))
    with pytest.raises(ValueError, match="one prefix"):
        joined([parts[0], plain[1]])


def test_pairs_ask_first_for_the_records_own_key(tmp_path: Path, echo: EchoGenerator) -> None:
    path = write_pairs(tmp_path / "kv.jsonl", 3, 75)
    made = list(pair_documents(path, echo, Recipe(n_documents=2, n_questions=4), n_pairs=20))
    assert len(made) == 2
    for document, (pairs, key) in zip(made, read_pairs(path), strict=False):
        assert document.text.count("\n") == 19 and len(document.questions) == 4
        assert key in document.questions[0].text and document.questions[0].answers == (dict(pairs)[key],)
        assert all(re.search(f": {q.answers[0]}$", document.text, re.MULTILINE) for q in document.questions)
        assert len({q.answers for q in document.questions}) == 4


@pytest.mark.parametrize(
    "content",
    [
        *("", "not JSON", "{}", "[]", "[1]", '[{"title": "x"}]', '[{"title": 1, "context": "x", "qas": []}]'),
        '[{"title": "x", "context": "y", "qas": [{"question": "z", "answers": []}]}]',
    ],
)
def test_a_file_that_is_no_set_of_paragraphs(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, "utf-8")
    with pytest.raises(UsageError) as caught:
        read_paragraphs(path)
    assert caught.value.hint and str(path) in caught.value.message
    path.unlink()
    with pytest.raises(UsageError):
        read_paragraphs(path)


@pytest.mark.parametrize(
    "record", ["", "x", "[]", "{}", json.dumps({"ordered_kv_records": [["a", "b"]], "key": "c", "value": "b"})]
)
def test_a_file_that_is_no_set_of_pairs(tmp_path: Path, record: str) -> None:
    path = tmp_path / "kv.jsonl"
    path.write_text(record + "\n", "utf-8")
    with pytest.raises(UsageError) as caught:
        read_pairs(path)
    assert caught.value.hint
