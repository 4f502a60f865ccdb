"""Markdown from a model, made harmless: the widget that shows answers.

Cleaning the source is not enough: Markdown decodes entities, so `&#x202e;` becomes a control after cleaning. Tokens
are cleaned as well, and what could hide text (HTML, images, link definitions) is not parsed. Imported with the first
answer only, since the parser and its highlighter would delay the first paint.
"""

from __future__ import annotations

import re
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from textual.widgets import Markdown

from secondme.sanitize import clean_text

CITE = "cite:"
_MARK = re.compile(r"\[(\d{1,3})\]")


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.disable(["reference", "image", "html_block", "html_inline"])
    parser.core.ruler.push("clean", _clean)
    return parser


def _clean(state: StateCore) -> None:
    for token in state.tokens:
        _clean_token(token)
        if token.children:
            token.children = [out for child in token.children for out in _linked(_clean_token(child))]


def _clean_token(token: Token) -> Token:
    token.content = clean_text(token.content)
    token.info = clean_text(token.info)
    token.attrs = {key: clean_text(value) if isinstance(value, str) else value for key, value in token.attrs.items()}
    return token


def _linked(token: Token) -> list[Token]:
    """Turn each `[n]` of a text into a link to citation n."""
    if token.type != "text" or "[" not in token.content:
        return [token]
    out: list[Token] = []
    at = 0
    for match in _MARK.finditer(token.content):
        out.append(_text(token.content[at : match.start()]))
        out.append(Token("link_open", "a", 1, attrs={"href": CITE + match.group(1)}))
        out.append(_text(match.group()))
        out.append(Token("link_close", "a", -1))
        at = match.end()
    out.append(_text(token.content[at:]))
    return out


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


class SafeMarkdown(Markdown):
    """Markdown whose text was cleaned and whose links do nothing by themselves: they arrive as `LinkClicked`."""

    def __init__(self, text: str = "", *, classes: str | None = None) -> None:
        super().__init__(clean_text(text), classes=classes, parser_factory=_parser, open_links=False)


def cited(href: str) -> int | None:
    """The n of a link that `[n]` became, or None."""
    n = href.removeprefix(CITE)
    return int(n) if href.startswith(CITE) and n.isdecimal() else None
