"""How things read on screen; nothing a terminal obeys gets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from secondme.errors import ModelNotFound, UsageError
from secondme.tui import show
from secondme.tui.commands import COMMANDS, is_command, parsed
from secondme.tui.errors import error_lines, unexpected
from secondme.tui.tally import IngestView
from secondme.tui.widgets.citations import citation_line
from secondme.tui.widgets.sidebar import entry
from secondme.tui.widgets.status import ingest_line
from secondme.types import ContextUsage, Conversation, IngestDone
from tests.tui.driving import HOSTILE, citation, is_harmless


def test_paths_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert show.short_path("/home/me/notes/trip.md") == "~/notes/trip.md"
    assert show.short_path("/home/merlin/x") == "/home/merlin/x"
    assert show.place(citation("a\nb", "b")) == ":2"
    assert show.place(replace(citation("a\nb", "b"), page=3)) == " p. 3"
    assert show.one_line("a\n  b\tc", 100) == "a b c"
    assert show.one_line("abcdef", 4) == "abc…"


def test_counts_and_bars() -> None:
    assert show.count(1, "file") == "1 file" and show.count(2000, "file") == "2,000 files"
    assert show.context(ContextUsage(1204, 8192)) == "1,204/8,192"
    assert show.bar(0, 0, 4) == "────" and show.bar(1, 2, 4) == "━━──" and show.bar(9, 4, 4) == "━━━━"
    summary = show.ingest_summary(IngestDone(2, 3, 4, 5, 60, 1, 1.25, 1.0))
    assert summary == "2 files added (60 passages), 3 unchanged, 5 removed, 4 skipped in 1.2 s"


def test_dates_are_short() -> None:
    now = 1_800_000_000.0
    assert len(show.age(now - 60, now)) == 5
    assert len(show.age(now - 2 * show.DAY_S, now)) == 3
    assert show.age(now - 400 * show.DAY_S, now)[-2:].isdigit()


def test_errors_have_message_and_hint() -> None:
    assert error_lines(ModelNotFound("no model x", hint="pull it")) == "error: no model x\nhint: pull it"
    assert error_lines(ModelNotFound("no model x")) == "error: no model x"


def test_an_unexpected_error_keeps_its_place_and_loses_its_words() -> None:
    def fail(secret: str) -> None:
        raise ValueError(f"cannot parse {secret}")

    with pytest.raises(ValueError) as caught:
        fail("the owner's diary")
    shown = error_lines(caught.value)
    assert shown.startswith("error: unexpected ValueError at test_show.py:")
    assert "diary" not in shown
    assert "diary" not in str(unexpected(caught.value))


def test_hostile_text_is_harmless_in_every_line() -> None:
    hostile = replace(citation(HOSTILE, HOSTILE), path=f"/x/{HOSTILE}", heading_path=(HOSTILE,))
    conversation = Conversation(1, HOSTILE, "p", 0.0, 0.0, 2)
    for line in (
        show.short_path(HOSTILE),
        show.file_name(HOSTILE),
        show.one_line(HOSTILE, 500),
        citation_line(hostile).plain,
        entry(conversation, current=True).plain,
        ingest_line(IngestView(n_total=2, path=f"/x/{HOSTILE}")),
        error_lines(ModelNotFound(HOSTILE, hint=HOSTILE)).replace("\n", ""),
    ):
        assert is_harmless(line) and "\n" not in line, line


def test_markup_of_a_document_stays_text() -> None:
    line = citation_line(citation("[bold]x[/bold] [@click=app.bell]x[/]", "[@click=app.bell]x[/]"))
    assert "[@click=app.bell]x[/]" in line.plain
    assert all("click" not in str(span.style) for span in line.spans)


def test_commands_are_told_from_paths() -> None:
    assert is_command("/help") and is_command("/add /x") and is_command("/nonsense")
    assert not any(map(is_command, ("", "help", "/", "/etc/hosts", "/etc/hosts is what?", "1/2")))
    assert parsed("/ADD  ~/x y ")[1] == "~/x y"
    with pytest.raises(UsageError):
        parsed("/nonsense")


def test_every_command_has_an_action_that_exists() -> None:
    from secondme.tui.app import SecondMeApp
    from secondme.tui.screens.chat import ChatScreen

    for command in COMMANDS:
        place, _, action = command.action.partition(".")
        owner = {"app": SecondMeApp, "screen": ChatScreen}[place]
        assert hasattr(owner, f"action_{action}"), command


def test_paths_are_cut_in_their_middle() -> None:
    assert show.file_name("/x/" + "a" * 100 + ".pdf").endswith(".pdf")
    assert Path(show.short_path("/a/b")) == Path("/a/b")
