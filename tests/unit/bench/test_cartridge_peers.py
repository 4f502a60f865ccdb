"""Rows beside kvpress: how its answers become figures, and what is said when its process fails.

The process itself runs here without torch: programs of a few lines stand where its Python would.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from secondme.bench.cartridges.documents import Document, Question
from secondme.bench.cartridges.peers import compare
from secondme.bench.cartridges.peers.compare import Options, Outcome, chosen, outcomes, python, rows
from secondme.bench.cartridges.peers.exchange import (
    Answer,
    Asked,
    Case,
    Request,
    add_answer,
    read_answers,
    read_request,
    write_request,
)
from secondme.errors import BackendUnavailable, SecondMeError, UsageError


def question(kind: str, n_gold: int) -> Question:
    return Question(kind, "who?", ("x",), (7, 8), tuple(range(n_gold)))  # type: ignore[arg-type]


def document(*questions: Question, n_tokens: int = 100) -> Document:
    return Document("d", "text", (1, 2), tuple(range(n_tokens)), (), questions, frozenset())


def answer(case: int, press: str, kl: Sequence[float], hits: Sequence[bool], **rest: float) -> Answer:
    tier = "T1" if press else ""
    return Answer(case, press, tier, "q4_0", rest.get("ratio", 10.0), rest.get("kept", 0.4), tuple(kl), tuple(hits))


TWO = (
    document(question("text", 2), question("text", 4), question("fact", 3)),
    document(question("text", 4), question("fact", 1), n_tokens=300),
)
ANSWERS = (
    answer(0, "", (0, 0, 0), (False, True, True)),
    answer(0, "KVzip", (0.2, 0.6, 9), (True, True, True), ratio=8.0, kept=0.5),
    answer(0, "Knorm", (2, 2, 2), (False, False, False)),
    answer(1, "", (0, 0), (True, True)),
    answer(1, "KVzip", (0.2, 9), (True, False), ratio=12.0, kept=0.3),
    answer(1, "Knorm", (2, 2), (False, False)),
)


def test_every_gold_token_of_the_text_counts_alike_and_facts_apart() -> None:
    kvzip, knorm = outcomes(TWO, ANSWERS)
    assert (kvzip.press, kvzip.tier, knorm.press) == ("KVzip", "T1", "Knorm")
    assert kvzip.recall_kl == pytest.approx(1.0 / 10) and knorm.recall_kl == pytest.approx(6 / 10)
    assert kvzip.facts == (1, 2) and knorm.facts == (0, 2)
    assert kvzip.n_questions == 3 and kvzip.quantizers == ("q4_0",)
    assert 0 < kvzip.recall_kl_se < 1


def test_bytes_add_up_over_documents_of_unequal_length() -> None:
    kvzip = outcomes(TWO, ANSWERS)[0]
    assert kvzip.ratio == pytest.approx(400 / (100 / 8 + 300 / 12))
    assert kvzip.kept == pytest.approx((100 * 0.5 + 300 * 0.3) / 400)


def test_a_fact_counts_only_if_the_peers_own_full_cache_knows_it() -> None:
    known = [answer(0, "", (0, 0), (True, False)), answer(0, "KVzip", (0, 0), (True, True))]
    assert outcomes([document(question("fact", 1), question("fact", 1))], known)[0].facts == (1, 1)


def test_questions_of_one_kind_only_still_have_a_kl() -> None:
    found = outcomes([document(question("pair", 2))], [answer(0, "", [0], [True]), answer(0, "KVzip", [1], [True])])
    assert found[0].recall_kl == 0.5


def test_rows_name_the_press_and_say_how_many_times_better_ours_is() -> None:
    outcome = Outcome("KVzip", "T1", ("q4_0",), 10.0, 0.4, 0.045, 0.01, (6, 8), 20)
    kl, facts = rows([outcome], {"T1": 0.009}, {"T1": 100.0})
    assert (kl.bench, kl.case, kl.unit, kl.peer) == ("cartridges", "T1/recall_kl", "nats", "kvpress/KVzip")
    assert (kl.value, kl.peer_value, kl.n) == (0.009, 0.045, 20) and kl.ratio == pytest.approx(5)
    assert (facts.case, facts.unit, facts.value, facts.peer_value, facts.n) == ("T1/facts_ratio", "%", 100, 75, 8)
    assert facts.ratio == pytest.approx(4 / 3)


def test_what_was_not_measured_here_gives_no_row_and_nothing_is_divided_by_zero() -> None:
    outcome = Outcome("KVzip", "T1", ("q4_0",), 10.0, 0.4, 0.045, math.nan, (0, 8), 20)
    assert list(rows([outcome], {"T2": 0.009}, {})) == []
    kl, facts = rows([outcome], {"T1": 0.0}, {"T1": 90.0})
    assert kl.ratio is None and facts.peer_value == 0 and facts.ratio is None


def test_presses_are_named_one_by_one_or_all_together() -> None:
    assert chosen("") == compare.PRESSES and set(chosen("all")) == {*compare.PRESSES, *compare.MORE_PRESSES}
    assert chosen("KVzip, TOVA") == ("KVzip", "TOVA")
    with pytest.raises(UsageError, match="no press KVzap") as error:
        chosen("KVzip,KVzap")
    assert "SnapKV" in str(error.value.hint)


def test_every_press_that_can_be_named_is_one_the_worker_knows() -> None:
    source = Path(compare.__file__).with_name("presses.py").read_text("utf-8")
    assert [name for name in chosen("all") if f'"{name}":' not in source] == []


def test_an_environment_is_looked_for_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "ENVIRONMENT", tmp_path)
    monkeypatch.delenv(compare.VARIABLE, raising=False)
    with pytest.raises(UsageError, match="not installed") as error:
        python()
    assert "make bench PEERS=kvpress" in str(error.value.hint)
    monkeypatch.setenv(compare.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"there is no .*none"):
        python()
    monkeypatch.setenv(compare.VARIABLE, sys.executable)
    assert python() == Path(sys.executable)


def test_what_is_asked_arrives_as_it_was(tmp_path: Path) -> None:
    case = Case((1,), (2, 3), (Asked((4,), (5, 6)), Asked((7,), (8,))), {"T1": 10.5})
    request = Request("/m.gguf", ("KVzip",), 2, (case,))
    write_request(tmp_path, request)
    assert read_request(tmp_path) == request


def test_answers_arrive_as_they_were_and_a_torn_line_is_refused(tmp_path: Path) -> None:
    assert list(read_answers(tmp_path)) == []
    for one in ANSWERS:
        add_answer(tmp_path, one)
    assert tuple(read_answers(tmp_path)) == ANSWERS
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"case": 0, "pre')
    with pytest.raises(ValueError, match="no answer"):
        list(read_answers(tmp_path))


# The child process --------------------------------------------------------------------------------------------------


def stand_in(folder: Path, body: str) -> Path:
    """A program in place of the environment's Python; its last argument is the folder of the exchange."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport sys, json, time\nfolder = sys.argv[-1]\n{body}\n", "utf-8")
    path.chmod(0o755)
    return path


def run(path: Path, said: list[str] | None = None, *, timeout_s: float = 60, n_questions: int = 0) -> list[Outcome]:
    options = Options(path, ("KVzip",), n_questions=n_questions, timeout_s=timeout_s)
    documents = [(d, {"T1": 10.0}) for d in TWO]
    return compare.compare(Path("m.gguf"), documents, options, (said if said is not None else []).append)


def test_a_run_hands_over_documents_and_progress_and_takes_what_comes_back(tmp_path: Path) -> None:
    lines = "".join(json.dumps({**vars_of(one)}) + "\n" for one in ANSWERS)
    body = f"""
request = json.load(open(folder + "/request.json"))
print("documents", len(request["cases"]), request["presses"], request["model"].endswith("/m.gguf"))
open(folder + "/answers.jsonl", "w").write({lines!r})
"""
    said: list[str] = []
    assert run(stand_in(tmp_path, body), said) == outcomes(TWO, ANSWERS)
    assert said == ["documents 2 ['KVzip'] True"]


def vars_of(one: Answer) -> dict[str, object]:
    return {name: getattr(one, name) for name in Answer.__slots__}


def test_fewer_questions_are_spread_over_all_of_them(tmp_path: Path) -> None:
    body = 'print([len(c["questions"]) for c in json.load(open(folder + "/request.json"))["cases"]])'
    said: list[str] = []
    run(stand_in(tmp_path, body), said, n_questions=2)
    assert said == ["[2, 2]"]


def test_documents_that_do_not_ask_about_their_text_are_left_out_where_others_do(tmp_path: Path) -> None:
    body = 'print([len(c["questions"]) for c in json.load(open(folder + "/request.json"))["cases"]])'
    path, said = stand_in(tmp_path, body), list[str]()
    pairs = document(question("pair", 1))
    for documents in ((*TWO, pairs), (pairs,)):
        compare.compare(Path("m.gguf"), [(d, {"T1": 10.0}) for d in documents], Options(path), said.append)
    assert said == ["[3, 2]", "[1]"]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("sys.exit('ModuleNotFoundError: no kvpress')", "status 1", "ModuleNotFoundError: no kvpress; install"),
        ("import os; os.kill(os.getpid(), 9)", "status -9", "make bench PEERS=kvpress"),
        ("open(folder + '/answers.jsonl', 'w').write('{}')", "cannot be read", "make bench PEERS=kvpress"),
    ],
)
def test_a_process_that_fails_is_one_line_with_a_hint(tmp_path: Path, body: str, message: str, hint: str) -> None:
    with pytest.raises(SecondMeError, match=message) as error:
        run(stand_in(tmp_path, body))
    assert hint in str(error.value.hint)


def test_a_process_that_does_not_start_or_end_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="does not start"):
        run(tmp_path / "nothing")
    with pytest.raises(BackendUnavailable, match="longer than 0 s") as error:
        run(stand_in(tmp_path, "time.sleep(60)"), timeout_s=0.3)
    assert "fewer" in str(error.value.hint)
