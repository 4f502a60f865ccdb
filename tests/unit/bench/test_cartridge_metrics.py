"""What the cartridge benchmark's figures rest on: divergences and answers, against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secondme.bench.cartridges.metrics import (
    Reply,
    Scores,
    exact,
    f1,
    holds,
    kl_rows,
    log_probs,
    pool,
    standard_error,
    words,
)


def test_divergence_of_two_coins() -> None:
    fair = np.log(np.array([[0.5, 0.5]], np.float32))
    bent = np.log(np.array([[0.9, 0.1]], np.float32))
    assert kl_rows(fair, bent)[0] == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), abs=1e-6)
    assert kl_rows(bent, fair)[0] == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2), abs=1e-6)
    assert kl_rows(bent, bent)[0] == 0


def test_what_cannot_be_counts_nothing_and_what_the_other_rules_out_counts_without_end() -> None:
    with np.errstate(divide="ignore"):
        sure, fair = np.log(np.array([[1, 0]], np.float32)), np.log(np.array([[0.5, 0.5]], np.float32))
    assert kl_rows(sure, fair)[0] == pytest.approx(math.log(2))
    assert kl_rows(fair, sure)[0] == math.inf


def test_log_probabilities_sum_to_one_at_any_size_of_logits() -> None:
    logits = np.array([[1000, 1001, 990], [-5, -5, -5], [0, 80, 0]], np.float32)
    rows = log_probs(logits)
    assert np.exp(rows).sum(axis=1) == pytest.approx(1)
    assert rows[1] == pytest.approx(-math.log(3)) and rows.dtype == np.float32
    assert rows[0, 1] - rows[0, 0] == pytest.approx(1)


def test_words_are_compared_as_squad_does() -> None:
    assert words("The  Duke, of a 'York'!") == ["duke", "of", "york"]
    assert exact("the duke of York.", ("Duke of York",)) and not exact("duke", ("Duke of York",))
    assert f1("the duke", ("Duke of York",)) == pytest.approx(2 * 1 / (1 + 3))
    assert f1("york york", ("York",)) == pytest.approx(2 / 3) and f1("", ("York",)) == 0
    assert f1("red", ("blue", "red")) == 1


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("It holds 4,175 books", "4,175", True),
        ("It holds 14,175 books", "4,175", False),
        ("It holds 4,1756 books", "4,175", False),
        ("KD-1234.", "KD-1234", True),
        ("kd-1234", "KD-1234", False),
        ("Clara Brinvik's", "Clara Brinvik", True),
        ("", "x", False),
    ],
)
def test_a_fact_is_recalled_letter_by_letter(text: str, answer: str, expected: bool) -> None:
    assert holds(text, answer) is expected


def reply(kind: str, n: int, kl: float, *, nll: float = 0.0, recalled: bool = False, f1: float = 0.0) -> Reply:
    return Reply(kind, n, kl, nll, n, "", recalled, f1, recalled)  # type: ignore[arg-type]


def scores(replies: list[Reply], full: list[Reply], kl: float = 0.0, n: int = 0) -> Scores:
    return Scores(tuple(replies), tuple(full), kl, n)


def test_figures_of_a_document() -> None:
    replies = [reply("text", 2, 0.4, nll=3.0, f1=0.5), reply("text", 3, 0.1, nll=2.0), reply("fact", 4, 2.0)]
    full = [reply("text", 2, 0, nll=1.0, f1=1.0), reply("text", 3, 0, nll=1.0), reply("fact", 4, 0, recalled=True)]
    found = scores(replies, full, 5.0, 50)
    assert found.recall_kl == pytest.approx(0.5 / 5) and found.facts_kl == pytest.approx(0.5)
    assert found.gold_nll == pytest.approx(1.0) and found.gold_nll_full == pytest.approx(0.4)
    assert found.continuation_kl == pytest.approx(0.1) and found.top1 == 1
    assert (found.n_facts, found.n_facts_recalled) == (1, 0)
    assert found.f1 == (0.25, 0.5)


def test_facts_that_the_full_cache_does_not_answer_do_not_count() -> None:
    yes, no = reply("fact", 1, 0, recalled=True), reply("fact", 1, 0)
    found = scores([yes, yes, no, no], [yes, no, yes, no])
    assert (found.n_facts, found.n_facts_recalled) == (2, 1)


def test_documents_are_pooled_token_by_token() -> None:
    one, other = (
        scores([reply("text", 1, 1.0)], [reply("text", 1, 0)], 2, 4),
        scores([reply("text", 3, 0.0)], [reply("text", 3, 0)], 0, 4),
    )
    both = pool([one, other])
    assert both.recall_kl == pytest.approx(0.25) and both.continuation_kl == pytest.approx(0.25)
    assert math.isnan(pool([]).recall_kl) and math.isnan(pool([]).continuation_kl)


def test_standard_error_is_that_of_a_mean_where_all_questions_are_equally_long() -> None:
    values = [0.1, 0.5, 0.2, 0.9]
    expected = np.std(values, ddof=1) / math.sqrt(len(values))
    assert standard_error([(2 * v, 2) for v in values]) == pytest.approx(float(expected))
    assert math.isnan(standard_error([(1.0, 1)]))
