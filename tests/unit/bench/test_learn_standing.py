"""Learning which statement holds now: from a set with a seed, leaving a case's matter out where it is measured."""

from __future__ import annotations

import json
from pathlib import Path

from secondme.bench.recall import Options, Tools, checked, learn_standing, updates
from secondme.bench.recall.learn_standing import beside_others
from secondme.bench.recall.make_updates import make
from secondme.recall.standing.weights import read, shipped
from secondme.runtime.echo import HashEmbedder


def some(tmp_path: Path, n: int) -> Path:
    """Every so many cases of the set to learn from, so that there are many matters."""
    path = tmp_path / "learn.json"
    cases = make("learn")["cases"]
    path.write_text(json.dumps({"cases": cases[:: len(cases) // n]}), "utf-8")
    return path


def test_weights_are_learned_and_written_with_their_command(tmp_path: Path) -> None:
    path, out = some(tmp_path, 24), tmp_path / "w.json"
    options = checked(Options(updates=path, learn=out, make_updates=path, seed="learn"))
    rows = list(learn_standing.rows(path, Tools(HashEmbedder(), options, lambda _: None)))
    settings = ("", " beside others", " uncorrected")
    assert [r.case for r in rows] == [f"updates/left_out{setting}" for setting in settings]
    assert all(0 <= r.value <= 100 and r.n >= 12 for r in rows)
    made = read(out)
    assert made.command == (
        "secondme bench recall --make-updates learn.json --seed learn --updates learn.json --learn w.json"
    )
    for ours, theirs in ((made.holding, shipped().holding), (made.correcting, shipped().correcting)):
        assert ours.names == theirs.names and ours.weights.any()
    assert not made.correcting.means.any()  # that nothing is corrected scores 0


def test_beside_others_keeps_a_cases_own_turns_and_takes_none_with_its_values(tmp_path: Path) -> None:
    cases = updates.read(some(tmp_path, 12))[0]
    for case, among in zip(cases, beside_others(cases, cases), strict=True):
        texts = [text for _, text, _ in among.turns]
        own = [text for _, text, _ in case.turns]
        assert [t for t in texts if t in own][: len(own)] and set(own) <= set(texts) and len(texts) > len(own)
        for text in set(texts) - set(own):
            assert not any(updates.holds(text, value) for value in (case.current, *case.old))


def test_roles_count_values_in_their_order_and_know_what_looks_back() -> None:
    said = (
        "I play the lute.",
        "It rains.",
        "The harp it is.",
        "Harps and lutes: I took the zither.",
        "I miss the lute.",
    )
    turns = tuple(("user", text, float(n)) for n, text in enumerate(said))
    case = updates.Case("music 0", turns, "What do I play?", "zither", ("lute", "harp"))  # type: ignore[arg-type]
    roles = learn_standing.roles_of([case])
    assert [roles.get(text, {}).get("music 0") for text in said] == [0, None, 1, 2, -1]
