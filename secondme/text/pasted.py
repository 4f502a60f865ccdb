"""Finds in what somebody typed the parts that are not his own words: pasted mails, code, quotations, transcripts.

What the owner pastes into a conversation was written by others. It can be read and recalled, but it is not his word.
"""

from __future__ import annotations

import re

from secondme.text.speech import spoken_by_others

_FENCE = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.S | re.M)
_QUOTED_LINES = re.compile(r"(?:^[ \t]*>.*(?:\n|\Z))+", re.M)
_HEADERS = re.compile(
    r"^(?:from|von|de|to|an|subject|betreff|objet|asunto|date|sent|cc)[ \t]*:.+\n(?:[\w-]+[ \t]*:.+\n)+", re.I | re.M
)
_FORWARDED = re.compile(
    r"^[ \t]*-{2,}.{0,40}\b(?:forwarded|original) message\b.*$|^begin forwarded message:?", re.I | re.M
)
_HANDED_OVER = re.compile(
    r"(?:here(?:'s|’s| is| are)|this is|below is|see|i (?:got|received|found|copied|pasted|was sent)"
    r"|(?:someone|he|she|they|it) (?:wrote|writes|sent|says|said)"
    r"|(?<!my )(?:e-?mail|message|letter|article|page|text|note|post|review"
    r"|document|file|comment|newsletter|flyer|ticket|transcript|log)s?(?: \w+){0,6}"
    r"|summari[sz]e|translate|proofread|explain|rewrite|read)[^\n:]{0,80}:[ \t]*(?:\n+|(?=[“\"«]))",
    re.I,
)
_LONG_QUOTATION = re.compile(
    r"[“\"«][^”\"»]{60,}[”\"»]|(?<![\w.,])['‘](?=\w)(?:[^'’\n]|(?<=\w)['’](?=\w)){40,}['’](?!\w)"
)
_QUOTED_AS = re.compile(
    r"\b(?:says?|said|reads?|writes?|wrote|states?|prints?|goes|sentence|quote|word for word|verbatim|following"
    r"|through the (?:door|post)|forwarded|passing on)\b[^\n:.?!]{0,60}:[ \t]*(?=[“\"«'‘])",
    re.I,
)
"""Somebody says, and what he says stands in quotation marks behind a colon."""
_QUOTATION = re.compile(r"[“\"«][^”\"»\n]+[”\"»]|['‘](?=\w)(?:[^'’\n]|(?<=\w)['’](?=\w))+['’](?!\w)")
_TO_EDIT = re.compile(
    r"(?:^|(?<=[.!?] ))[^.!?\n]{0,40}\b(?:shorten|summari[sz]e|translate|proofread|explain|rewrite|rephrase|correct"
    r"|edit|check|fix|read|sort|tidy|polish|simplify|format)\b[^.!?\n]{0,80}[?.!:][ \t]*\n(?=[ \t]*\S)",
    re.I,
)
"""What is asked to be worked on stands in the lines behind the request."""
_SENT = re.compile(
    r"\b(?:some(?:one|body)|he|she|they|people|(?:an?|my|our|the|this) [\w-]+(?: [\w-]+)?|(?-i:[A-Z][\w-]+))"
    r" (?:just |has |had )?(?:sent|sends|posted|posts|forwarded|forwards|passed|texted"
    r"|mailed|e-?mailed|wrote|writes|shared)"
    r" (?:me |us |round |on |around )*(?:this|these|the following|that)\b[^\n]{0,100}[?:.!][ \t]*\n(?=\s*\S)",
    re.I,
)
"""Somebody sent what stands in the lines behind."""
_MARKUP = re.compile(r"<!--.*?(?:-->|\Z)|<(\w+)\b[^>]*>.*?</\1>", re.S)
_TRANSCRIPT = re.compile(
    r"(?:^[ \t]*(?:user|human|assistant|system|owner|ai|bot)[ \t]*:.*(?:\n(?![ \t]*\n).*)*\n?){1,}", re.I | re.M
)


def pasted_spans(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of `text` that its writer did not write himself, in order and without overlaps.

    After "here is the mail I got:" that is all that follows; so it is after a mail's headers. What is laid out as a
    letter, a log or a dialogue needs no such words (`speech`).
    """
    found = [
        match.span()
        for pattern in (_FENCE, _QUOTED_LINES, _LONG_QUOTATION, _MARKUP, _TRANSCRIPT)
        for match in pattern.finditer(text)
    ]
    for pattern in (_FORWARDED, _HEADERS):
        found += [(match.start(), len(text)) for match in pattern.finditer(text)]
    for pattern in (_HANDED_OVER, _TO_EDIT, _SENT):
        found += [(match.end(), len(text)) for match in pattern.finditer(text)]
    quoted = (_QUOTATION.match(text, match.end()) for match in _QUOTED_AS.finditer(text))
    found += [match.span() for match in quoted if match is not None]
    found += spoken_by_others(text)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(s for s in found if s[0] < s[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def own_words(text: str) -> str:
    """`text` with what was pasted blanked out, newlines kept, so that offsets in characters stay true."""
    parts, at = [], 0
    for start, end in pasted_spans(text):
        parts += [text[at:start], "".join("\n" if c == "\n" else " " for c in text[start:end])]
        at = end
    return "".join([*parts, text[at:]])
