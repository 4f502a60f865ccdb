"""A line for a passphrase. It shows dots and keeps what is typed in one piece of memory, which is overwritten.

Textual's own Input makes a new string at every key, and with them a trail of the passphrase's beginnings.
"""

from __future__ import annotations

import hmac

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

MAX_BYTES = 4096


class SecretInput(Widget, can_focus=True):
    """Sends `Submitted` on Enter; `take` hands the secret over, once."""

    n_typed = reactive(0)

    class Submitted(Message):
        def __init__(self, field: SecretInput) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> SecretInput:
            return self.field

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder
        self._held = bytearray(MAX_BYTES)  # of its full size at once: growing would leave copies behind
        self._n_bytes = 0

    def render(self) -> Content:
        cursor = (" ", "reverse" if self.has_focus else "")
        if not self._n_bytes:
            return Content.assemble(cursor, (self._placeholder, "dim"))
        return Content.assemble("•" * self.n_typed, cursor)

    @property
    def is_empty(self) -> bool:
        return self._n_bytes == 0

    def is_same_as(self, other: SecretInput) -> bool:
        return hmac.compare_digest(memoryview(self._held)[: self._n_bytes], memoryview(other._held)[: other._n_bytes])

    def type(self, text: str) -> None:
        """Add characters; what comes after a line's end, and control characters, are left out."""
        for character in text:
            if character in "\r\n":
                return
            spelled = character.encode("utf-8", "surrogatepass")
            if character.isprintable() and self._n_bytes + len(spelled) <= MAX_BYTES:
                self._held[self._n_bytes : self._n_bytes + len(spelled)] = spelled
                self._n_bytes += len(spelled)
                self.n_typed += 1

    def take(self) -> str:
        """The secret as a string of the caller's own, which should erase it; the line is empty from then on."""
        secret = str(memoryview(self._held)[: self._n_bytes], "utf-8", "surrogatepass")
        self.clear()
        return secret

    def clear(self) -> None:
        self._held[:] = bytes(MAX_BYTES)
        self._n_bytes = self.n_typed = 0

    def on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            self.post_message(self.Submitted(self))
        elif event.key == "backspace":
            self._drop_last()
        elif event.key == "ctrl+u":
            self.clear()
        elif event.is_printable and event.character:
            self.type(event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        from secondme.crypto.erase import erase

        event.stop()
        self.type(event.text)
        erase(event.text)

    def on_unmount(self) -> None:
        self.clear()

    def _drop_last(self) -> None:
        while self._n_bytes:
            self._n_bytes -= 1
            first = self._held[self._n_bytes] & 0xC0 != 0x80  # a byte that begins a character (RFC 3629)
            self._held[self._n_bytes] = 0
            if first:
                self.n_typed -= 1
                return
