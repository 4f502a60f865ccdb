"""Names of items: every form, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondme.cli.ids import Item, name_of, parse_item
from secondme.errors import UsageError


@pytest.mark.parametrize(
    ("given", "item"),
    [
        ("#12", Item("passage", 12)),
        ("12", Item("passage", 12)),
        ("s12", Item("source", 12)),
        ("c3", Item("conversation", 3)),
        ("t45", Item("turn", 45)),
        ("007", Item("passage", 7)),
        (str((1 << 63) - 1), Item("passage", (1 << 63) - 1)),
        ("/notes/a.txt", Item("path", path="/notes/a.txt")),
        ("/notes/../b", Item("path", path="/b")),
        ("/s12", Item("path", path="/s12")),
    ],
)
def test_each_form(given: str, item: Item) -> None:
    assert parse_item(given) == item


@pytest.mark.parametrize("given", ["s", "S12", "c3x", "12.txt", "./12", "x#12", "١٢", "t 4", "-1"])
def test_what_is_no_id_is_a_path_below_the_current_folder(given: str) -> None:
    assert parse_item(given) == Item("path", path=str(Path.cwd() / given.removeprefix("./")))


WRONG = ["", " ", "#", "#x", "#-1", "#1.5", "0", "s0", "#0", str(1 << 63), "9" * 5000, "a\0b"]


@pytest.mark.parametrize("given", WRONG)
def test_what_can_be_neither_is_refused_with_a_hint(given: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_item(given)
    assert caught.value.hint and "#12" in caught.value.hint


def test_a_subject_is_what_the_operation_log_writes() -> None:
    assert [parse_item(i).subject for i in ("#1", "s2", "c3", "t4")] == [
        "passage:1",
        "source:2",
        "conversation:3",
        "turn:4",
    ]


def test_what_the_log_writes_is_shown_as_it_is_typed() -> None:
    assert [name_of(parse_item(i).subject) for i in ("12", "s2", "c3", "t4")] == ["#12", "s2", "c3", "t4"]
    assert name_of("folder:3") == "folder:3" and name_of("store") == "store"
