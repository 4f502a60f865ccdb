"""Why files are left out, each reason with what the owner can do about it.

In one place because a remembered skip stores its reason alone and finds the hint again here.
"""

from __future__ import annotations

import re

from secondme.errors import ParseFailed, UnsupportedFormat

EMPTY = "the file is empty"
TOO_LARGE = "it is larger than {} MB"
TOO_MUCH_TEXT = "it holds more than {} MB of text"
NO_TEXT = "there is no text in it"
BINARY = "binary content, not text"
NEEDS_PASSWORD = "it is encrypted and needs a password"  # noqa: S105  a message, not a secret
SCANNED = "it has no text layer; it looks scanned"
DAMAGED = "it is damaged or not complete"
OLD_OFFICE = "an old Office format (.doc, .xls, .ppt)"
OTHER_OFFICE = "an office format that is not read"
PRIVATE_KEY = "a private key"
RICH_TEXT = "rich text (RTF) is not read"
TOO_DEEP = "it expands to more than can be read safely"
TOO_SLOW = "reading it took too long and was stopped"
CRASHED = "its parser crashed or ran out of memory; the rest was not affected"
MEDIA = {
    "image": "an image",
    "audio": "an audio file",
    "video": "a video",
    "archive": "an archive",
    "program": "a program or library",
    "model": "a model or array file",
    "database": "a database",
    "font": "a font",
    "disk": "a disk image",
    "key": "a key or certificate store",
    "data": "a binary data file",
}
NO_PERMISSION = "it may not be read"
NOT_REGULAR = "not a regular file"
OUTSIDE_LINK = "a link to a file outside the folder"
BROKEN_LINK = "a link that leads nowhere"
VANISHED = "it vanished before it was read"
NOT_FOUND = "no such file or folder"
UNREADABLE_FOLDER = "the folder may not be listed; what is remembered from it stays"
MISSING_FOLDER = "the folder is not there; what is remembered from it stays"
EMPTY_MOUNT = "the folder is empty, maybe an unmounted disk; what is remembered from it stays"
OWN_DATA = "it belongs to secondme itself"
FORGOTTEN = "it was forgotten"
FORGOTTEN_TEXT = "all of its text was forgotten"
POLLING = "the system's limit of watched folders is reached; it is checked every {} s instead"
NOT_READ = "it could not be read ({})"
NOT_TAKEN = "its parser failed ({})"

_NUMBER = re.compile(r"\d+")
HINTS = {
    TOO_LARGE: "raise max_file_mb in the settings, or split it",
    TOO_MUCH_TEXT: "split it into smaller files",
    BINARY: "add it as text, PDF or DOCX",
    NEEDS_PASSWORD: "save a copy without a password and add that",
    SCANNED: "run OCR over it, for example ocrmypdf, and add the result",
    DAMAGED: "open it in its own program, save it again and add that",
    OLD_OFFICE: "save it as .docx, .pdf or text and add that",
    OTHER_OFFICE: "export it as .docx, .pdf, .csv or text and add that",
    RICH_TEXT: "save it as .docx or text and add that",
    TOO_DEEP: "split it, or export it as text",
    TOO_SLOW: "split it, or export it as text",
    CRASHED: "export it as text and add that",
    NO_PERMISSION: "check its permissions",
    OUTSIDE_LINK: "add the file it leads to by its own path",
    VANISHED: "add the folder again",
    NOT_FOUND: "check the path",
    UNREADABLE_FOLDER: "check its permissions",
    MISSING_FOLDER: "connect its disk, or forget the folder if it is gone for good",
    EMPTY_MOUNT: "connect its disk, or forget the folder if it is gone for good",
    FORGOTTEN: "add it by its own path to bring it back",
    FORGOTTEN_TEXT: "add it with --again to bring it back",
    POLLING: "raise fs.inotify.max_user_watches to see changes at once",
}


def template(reason: str) -> str:
    """The constant a reason was made from."""
    return _NUMBER.sub("{}", reason)


def hint(reason: str) -> str:
    """What to do about a skip; empty where nothing can be done."""
    return HINTS.get(reason) or HINTS.get(template(reason), "")


def unsupported(reason: str) -> UnsupportedFormat:
    return UnsupportedFormat(reason, hint=hint(reason) or None)


def failed(reason: str) -> ParseFailed:
    return ParseFailed(reason, hint=hint(reason) or None)
