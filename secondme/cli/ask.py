"""`secondme ask`: one question, one streamed answer, and where each part of it stands."""

from __future__ import annotations

import argparse
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from secondme.cli.output import (
    ProgressLine,
    add_backend,
    add_common,
    ask_line,
    credentials,
    has_terminal,
    say,
    settings,
)
from secondme.errors import SecondMeError, UsageError
from secondme.sanitize import clean_line, clean_text
from secondme.types import (
    Answer,
    AnswerEvent,
    Citation,
    MemoryItem,
    Notice,
    Opened,
    PrefillProgress,
    Recalled,
    SecretAsked,
    TokenText,
)

if TYPE_CHECKING:
    from secondme.assistant import Assistant

MAX_PIPED_BYTES = 4 * 1024 * 1024


def register(verbs: Any) -> None:
    parser = verbs.add_parser(
        "ask",
        help="ask one question",
        description="Answers from memory and cites file and page or lines. What is piped in is read as a passage of "
        "its own; without a QUESTION it is the question.",
    )
    parser.add_argument("question", nargs="?", metavar="QUESTION")
    parser.add_argument("--reveal", action="store_true", help="show the value of a secret that the question names")
    parser.add_argument("--json", action="store_true", help="print answer, citations and timings as one JSON object")
    add_common(parser)
    add_backend(parser)


def run(args: argparse.Namespace) -> int:
    from secondme.assistant import Assistant

    question, piped = _question(args.question, _piped())
    with Assistant(settings(args), credentials(args)) as assistant:
        assistant.unlock()
        events = _events(assistant, question, piped, args.project)
        answer = _as_json(question, events, reveal=args.reveal) if args.json else _stream(events, reveal=args.reveal)
    return 130 if answer.stopped == "cancelled" else 0


def _events(assistant: Assistant, question: str, piped: str, project: str) -> Iterator[AnswerEvent]:
    """The answer, behind the project's cartridges if it has some; what is not prepared is found by search, as ever."""
    if assistant.cartridges(project):
        for event in assistant.open_project(project, read_texts=False):
            if not isinstance(event, Opened):
                yield event
    yield from assistant.answer(question, project=project, attached=piped)


def _question(given: str | None, piped: str) -> tuple[str, str]:
    if given in (None, "-"):
        given, piped = piped, ""
    if not given or not given.strip():
        raise UsageError("there is no question", hint='use: secondme ask "question"')
    return given.strip(), piped


def _piped() -> str:
    """What a pipe or a redirected file holds; a terminal, a socket or /dev/null hold nothing for us."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return ""
    data = sys.stdin.buffer.read(MAX_PIPED_BYTES + 1)
    if len(data) > MAX_PIPED_BYTES:
        raise UsageError("more than 4 MB were piped in", hint="add the text as a file: secondme add FILE")
    return data.decode("utf-8", "replace")


def _stream(events: Iterator[AnswerEvent], *, reveal: bool) -> Answer:
    line = ProgressLine()
    answer: Answer | None = None
    secrets: tuple[MemoryItem, ...] = ()
    try:
        for event in events:
            match event:
                case Recalled(hits, n_turns, n_items):
                    line.show(f"reading {len(hits) + n_turns + n_items} pieces of memory")
                case SecretAsked(items):
                    secrets = items
                case PrefillProgress(done, total):
                    line.show(f"reading: {done}/{total} tokens")
                case Notice(message):
                    line.clear()
                    say(f"note: {message}")
                case TokenText(text):
                    line.clear()
                    print(clean_text(text), end="", flush=True)
                case Answer():
                    answer = event
    except SecondMeError:
        line.clear()
        raise
    print()
    if answer is None:
        raise SecondMeError("the answer did not end")
    _show_secrets(secrets, reveal=reveal)
    for citation in answer.citations:
        print(f"{'' if citation.n != answer.citations[0].n else chr(10)}{citation_line(citation)}")
    if answer.stopped == "length":
        say("note: the answer was cut at its greatest length")
    return answer


def _show_secrets(secrets: tuple[MemoryItem, ...], *, reveal: bool) -> None:
    """Print their values, if --reveal says so or the owner does; no model has them."""
    if not secrets:
        return
    if not reveal and sys.stdin.isatty() and sys.stdout.isatty() and has_terminal():
        reveal = ask_line("Show it here? [y/N]", hint="--reveal shows it").lower() in ("y", "yes")
    if not reveal:
        say("--reveal shows it")
        return
    for item in secrets:
        print(clean_text(f"{item.attribute}: {item.value or item.text}"))


def citation_line(citation: Citation) -> str:
    """`[1] path, lines 3-9: "the sentence" #12`, or the like for a turn or a memory, on one line and safe to print."""
    quote = clean_line(" ".join(citation.quote.split()), 160)
    mark = f"[{citation.n}]" if citation.marked else f"({citation.n})"
    if citation.kind == "turn":
        return f'{mark} {clean_line(citation.title)}: "{quote}" t{citation.turn_id}'
    if citation.kind == "item":
        return f"{mark} {clean_line(citation.title)}: {quote} m{citation.item_id}"
    return f'{mark} {clean_line(citation.path)}, {place(citation)}: "{quote}" #{citation.chunk_id}'


def place(citation: Citation) -> str:
    """Page or lines, as a reader looks them up."""
    if citation.page is not None:
        return f"page {citation.page}"
    if citation.line_start == citation.line_end:
        return f"line {citation.line_start}"
    return f"lines {citation.line_start}-{citation.line_end}"


def _as_json(question: str, events: Iterator[AnswerEvent], *, reveal: bool) -> Answer:
    notes: list[str] = []
    secrets: dict[str, str | None] = {}
    for event in events:
        if isinstance(event, SecretAsked):
            secrets = {item.attribute: (item.value or item.text) if reveal else None for item in event.items}
        if isinstance(event, Notice):
            notes.append(event.message)
        if isinstance(event, Answer):
            row = {
                "question": question,
                "answer": event.text,
                "found": event.found,
                "stopped": event.stopped,
                "citations": [asdict(c) for c in event.citations],
                "secrets": secrets,
                "notes": notes,
                "context": asdict(event.usage),
                "timings": asdict(event.timings),
            }
            # Escaped to ASCII, so that neither a terminal nor a lone surrogate in a path can break the line.
            print(json.dumps(row, ensure_ascii=True))
            return event
    raise SecondMeError("the answer did not end")
