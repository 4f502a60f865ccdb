"""Makes text from files and models harmless where it meets a terminal.

A terminal obeys escape sequences (ECMA-48 CSI, OSC 8 and 52, DCS), C1 controls and bidirectional overrides wherever
they come from, so they are removed at the sink. Standard library only: `cli/` and `tui/` share it.
"""

from __future__ import annotations

import re

# ESC sequences with their payload first, so that no visible half of them stays behind.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|(?=\x1b)|$)"  # OSC, DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|\x1b[ -/]*[0-~]?"  # two-character and charset sequences
)
# C0 and C1 controls except tab and newline; bidirectional overrides and isolates (CVE-2021-42574); line and paragraph
# separators; interlinear annotation; tag characters; lone surrogates.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean_text(text: str) -> str:
    """Return `text` without anything a terminal would obey; tabs and newlines stay, CR LF becomes LF."""
    text = text.replace("\r\n", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def clean_line(text: str, limit: int = 0) -> str:
    """Return `text` on one line: controls shown as `\\xNN`, so that an odd path stays recognisable.

    `limit` > 0 cuts the middle out of longer results.
    """
    shown = "".join(c if c.isprintable() else _visible(c) for c in text)
    if limit and len(shown) > limit:
        head = max(1, (limit - 1) // 2)
        shown = shown[:head] + "…" + shown[len(shown) - (limit - 1 - head) :]
    return shown


def _visible(char: str) -> str:
    code = ord(char)
    if char == "\n":
        return "\\n"
    if char == "\t":
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
