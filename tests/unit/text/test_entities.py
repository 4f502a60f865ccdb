"""Names, numbers, titles, addresses and identifiers are told by their looks."""

from __future__ import annotations

import pytest

from secondme.text.entities import entities, names


def _found(text: str) -> list[tuple[str, str]]:
    return [(e.kind, e.text) for e in entities(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yesterday I met Anna Berg in São Paulo.", ("Anna Berg", "São Paulo")),
        ("My sister studied at the University of Leeds.", ("University of Leeds",)),
        ("Running is fun. Cooking too.", ()),
        ("Greta called. I like Greta.", ("Greta",)),
        ("Thanks, Omar! What's new?", ("Omar",)),
        ("Omar's dog is called Rex.", ("Rex",)),
        ("We saw Omar's dog.", ("Omar",)),
        ("Did Ines move to New York in May?", ("Ines", "New York")),
        ("I'm fine. I've been to Norway", ("Norway",)),
        ("The Hague is a city", ("Hague",)),
        ("it was on Monday in January", ()),
    ],
)
def test_names_are_capitalised_runs(text: str, expected: tuple[str, ...]) -> None:
    assert names(text) == expected


def test_known_names_are_found_in_any_case_and_at_a_start() -> None:
    assert names("what did omar say?", ["Omar"]) == ("Omar",)
    assert names("Omar said so.") == ()
    assert names("Omar said so.", ["Omar"]) == ("Omar",)
    assert names("romarin is a herb", ["Omar"]) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mail a.b+c@example.org now", ("address", "a.b+c@example.org")),
        ("see https://example.org/x?y=1.", ("address", "https://example.org/x?y=1")),
        ('we read "The Left Hand of Dusk" aloud', ("title", "The Left Hand of Dusk")),
        ("we read “Kleine Dinge” aloud", ("title", "Kleine Dinge")),
        ("we read 'Small Things' aloud", ("title", "Small Things")),
        ("it costs $1,200.50 at least", ("number", "$1,200.50")),
        ("up by -3.5% today", ("number", "-3.5%")),
        ("call parse_all for this", ("code", "parse_all")),
        ("call `x + 1` for this", ("code", "x + 1")),
        ("the itemCount grew", ("code", "itemCount")),
        ("we flew an A380 home", ("code", "A380")),
        ("run main() first", ("code", "main()")),
        ("in ~/notes/plan.md there", ("code", "~/notes/plan.md")),
        ("version 1.20.3 works", ("code", "1.20.3")),
    ],
)
def test_other_kinds(text: str, expected: tuple[str, str]) -> None:
    assert expected in _found(text)


def test_an_apostrophe_opens_no_title() -> None:
    assert not [e for e in entities("It's the dogs' and Anna's ball, isn't it, 'cause why") if e.kind == "title"]


def test_bytes_are_those_of_the_entity() -> None:
    text = "Über Zoë’s “Größe” – in Ägypten"
    assert [text.encode()[e.byte_start : e.byte_end].decode() for e in entities(text)] == [
        e.text for e in entities(text)
    ]
    assert _found(text) == [("name", "Über Zoë"), ("title", "Größe"), ("name", "Ägypten")]
