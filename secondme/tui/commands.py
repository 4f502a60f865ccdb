"""Everything the owner can do, as one table: the palette, the slash commands and the help page all read it."""

from __future__ import annotations

from dataclasses import dataclass

from secondme.errors import UsageError


@dataclass(frozen=True, slots=True)
class Command:
    """`action` is a Textual action; `slash` the word typed for it, which may take an argument."""

    title: str
    help: str
    action: str
    slash: str = ""


COMMANDS = (
    Command("Add files", "add a file or a folder", "screen.compose_add", "/add PATH"),
    Command("New conversation", "start a new conversation", "screen.new_conversation", "/new"),
    Command("Files in memory", "list what is in memory, and what was left out and why", "screen.sources", "/sources"),
    Command("Documents before the model", "list what lies before the model, and how", "screen.documents", "/project"),
    Command("What is known", "what is known about you, and why", "screen.memories", "/memory"),
    Command("Undo", "forget what was learned last", "screen.unlearn", "/undo"),
    Command("Open citations", "open the newest answer's citations", "screen.citations", "/cite"),
    Command("Show or hide conversations", "show or hide the list at the left", "screen.toggle_sidebar"),
    Command("Rename conversation", "rename this conversation", "screen.rename", "/rename"),
    Command("Delete conversation", "delete this conversation", "screen.delete", "/delete"),
    Command("Stop the answer", "stop the answer that is being written", "screen.stop_answer"),
    Command("Stop adding files", "stop adding files; what was added stays", "screen.stop_adding", "/stop"),
    Command("Lock memory", "lock memory now; its keys leave the RAM of this computer", "app.lock", "/lock"),
    Command("Theme", "choose another theme", "app.change_theme"),
    Command("Help", "show all keys and commands", "app.help", "/help"),
    Command("Quit", "leave", "app.quit", "/quit"),
)

_BY_WORD = {c.slash.split()[0]: c for c in COMMANDS if c.slash}


def is_command(text: str) -> bool:
    """Whether a line is meant as a command: a slash and a word, and not a path."""
    word = text.split(maxsplit=1)[0] if text.strip() else ""
    return word.startswith("/") and "/" not in word[1:] and word[1:].isalpha()


def parsed(text: str) -> tuple[Command, str]:
    """Return the command and its argument. Raises UsageError for an unknown one."""
    word, _, argument = text.strip().partition(" ")
    command = _BY_WORD.get(word.casefold())
    if command is None:
        raise UsageError(f"there is no command {word}", hint=f"there are {', '.join(sorted(_BY_WORD))}")
    return command, argument.strip()
