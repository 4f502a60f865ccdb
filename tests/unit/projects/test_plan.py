"""What fits lies before the model, what is small is read, and the rest is left to recall."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secondme.errors import UsageError
from secondme.projects.documents import ProjectDocument
from secondme.projects.names import MAX_CHARS, check_name
from secondme.projects.plan import Room, measured_speed, plan, readable_now, room
from secondme.runtime.echo import EchoGenerator
from secondme.types import FileStamp, StoredSource, Trust

ROOM = Room(n_documents=1000, tokens_per_s=100.0)


def document(number: int, n_tokens: int) -> ProjectDocument:
    path = f"/n/{number}.md"
    source = StoredSource(number, path, "p", "text/plain", "t", b"", FileStamp(1, 1, 1), Trust.DOCUMENT, 1, 0.0, None)
    return ProjectDocument(source, b"h" * 32, tuple(range(n_tokens)))


def ids(documents: tuple[ProjectDocument, ...]) -> list[int]:
    return [d.source.id for d in documents]


def test_documents_take_the_room_in_their_order_and_later_ones_fill_what_is_left() -> None:
    made = plan([document(1, 600), document(2, 500), document(3, 300)], 3, ROOM, cartridges=True)
    assert ids(made.fitting) == [1, 3] and not made.as_text
    assert [p.why for p in made.places] == ["", "no room beside the others", ""]


def test_one_that_is_longer_than_all_the_room_says_so() -> None:
    made = plan([document(1, 1001), document(2, 500)], 2, ROOM, cartridges=True)
    assert ids(made.fitting) == [2]
    assert made.places[0].why == "longer than the room for documents"


def test_nothing_is_looked_at_once_the_room_is_full() -> None:
    looked: list[int] = []

    def each() -> object:
        for n in range(100):
            looked.append(n)
            yield document(n, 500)

    made = plan(each(), 100, ROOM, cartridges=True)  # type: ignore[arg-type]
    assert len(looked) == 2 and made.n_unread == 98


@pytest.mark.parametrize(("n_tokens", "as_text"), [(100, True), (101, False)])
def test_a_project_that_is_read_within_a_second_is_read(n_tokens: int, as_text: bool) -> None:
    assert plan([document(1, n_tokens)], 1, ROOM, cartridges=True).as_text is as_text


def test_without_cartridges_no_more_is_read_than_an_owner_waits_for() -> None:
    made = plan([document(1, 400), document(2, 200), document(3, 100)], 3, ROOM, cartridges=False)
    assert ids(made.fitting) == [1, 3] and made.as_text


def test_what_has_no_cartridge_is_read_while_the_owner_waits_or_left() -> None:
    assert ids(readable_now([document(1, 300), document(2, 250), document(3, 200)], ROOM)) == [1, 3]


def test_the_conversation_keeps_its_room() -> None:
    info = replace(EchoGenerator(n_ctx=8192).info, n_params=135_000_000)
    assert room(info, 50, 200.0) == Room(8192 - 50 - 2048, 200.0)
    assert room(replace(info, n_ctx=1024), 50, 200.0).n_documents == 1024 - 50 - 512
    assert room(replace(info, n_ctx=64), 50, 200.0).n_documents == 0
    assert room(info, 50, None).tokens_per_s == pytest.approx(222, abs=5)
    assert room(replace(info, n_params=8_000_000_000), 50, None).tokens_per_s < 10


def test_speed_is_measured_over_all_that_was_built() -> None:
    assert measured_speed([(100, 1.0), (300, 1.0)]) == 200.0
    assert measured_speed([]) is None and measured_speed([(100, 0.0)]) is None


@pytest.mark.parametrize("name", ["", "  ", "x" * (MAX_CHARS + 1), "a\x1b[31mb", "a\nb", "\u202eabc", "-x"])
def test_names_that_cannot_be_shown_or_typed_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert caught.value.hint and "\x1b" not in caught.value.message


@pytest.mark.parametrize("name", ["thesis", "Größe 7", "日本", "a/b", "x" * MAX_CHARS])
def test_other_names_stay(name: str) -> None:
    assert check_name(f" {name} ") == name
