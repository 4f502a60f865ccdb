"""Answers as Markdown: nothing hidden, nothing obeyed, `[n]` a link to its citation."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.widgets import Markdown, Static

from secondme.sanitize import clean_text
from secondme.tui.markdown import SafeMarkdown, cited
from tests.tui.driving import HOSTILE, is_harmless, screen_text


class Page(App[None]):
    """One Markdown widget, and the links that were clicked."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text
        self.hrefs: list[str] = []
        self.opened: list[str] = []

    def compose(self) -> ComposeResult:
        yield SafeMarkdown(self.text)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        self.hrefs.append(event.href)

    def open_url(self, url: str, *, new_tab: bool = True) -> None:
        self.opened.append(url)


async def shown(text: str, fragments: int = 1) -> str:
    """The screen after `text` was streamed in `fragments` pieces."""
    app = Page()
    async with app.run_test(size=(200, 20)) as pilot:
        widget = app.query_one(SafeMarkdown)
        step = max(1, len(text) // fragments)
        for at in range(0, len(text), step):
            await widget.append(clean_text(text[at : at + step]))
        await pilot.pause()
        return screen_text(app.screen)


BLOCKS = [f"# {HOSTILE}", f"- {HOSTILE}", f"> {HOSTILE}", f"```\n{HOSTILE}\n```", f"|a|\n|-|\n|{HOSTILE}|"]


@pytest.mark.parametrize(("block", "fragments"), [*((b, 1) for b in BLOCKS), (BLOCKS[0], 1000), (BLOCKS[3], 7)])
async def test_hostile_text_in_every_kind_of_block(block: str, fragments: int) -> None:
    screen = await shown(block, fragments)
    assert is_harmless(screen.replace("\n", ""))
    assert "[@click=app.bell]K[/]" in screen


async def test_entities_are_cleaned_after_decoding() -> None:
    screen = await shown("a&#x202e;b&#8238;c&#x2066;d &amp; `&#x202e;` [l&#x202e;x](http://x/&#x202e; 't&#x202e;')")
    assert "abcd &" in screen and is_harmless(screen.replace("\n", ""))


async def test_nothing_is_hidden() -> None:
    screen = await shown(
        "<b>bold</b> <script>x</script>\n\n[1]: http://a.example\n\n![alt](http://i.example)\n\n<!-- c -->"
    )
    for part in ("<b>bold</b>", "<script>x</script>", "[1]: http://a.example", "alt", "<!-- c -->"):
        assert part in screen


async def test_marks_are_links_and_links_open_nothing() -> None:
    app = Page("See [2] or [here](http://evil.example).")
    async with app.run_test(size=(60, 10)) as pilot:
        await pilot.pause()
        line = screen_text(app.screen).splitlines()
        row = next(n for n, text in enumerate(line) if "See" in text)
        await pilot.click(offset=(line[row].index("2"), row))
        await pilot.click(offset=(line[row].index("here") + 1, row))
        await pilot.pause()
    assert app.hrefs == ["cite:2", "http://evil.example"]
    assert app.opened == []


def test_what_a_link_cites() -> None:
    assert cited("cite:12") == 12
    assert cited("cite:x") is None and cited("http://x") is None and cited("12") is None


async def test_markup_in_a_plain_line_is_text() -> None:
    class Line(App[None]):
        def compose(self) -> ComposeResult:
            yield Static("[@click=app.bell]x[/]", markup=False)

    app = Line()
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "[@click=app.bell]x[/]" in screen_text(app.screen)
