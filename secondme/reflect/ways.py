"""How the owner wants things done: how to answer ("always answer in ..."), and how something is done ("to X, do Y")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.found import Found

_LANGUAGES = (
    "english|german|french|spanish|italian|portuguese|dutch|polish|czech|russian|ukrainian|turkish|greek"
    "|swedish|norwegian|danish|finnish|"
    "japanese|chinese|korean|arabic|hebrew|hindi|latin|hungarian|romanian|vietnamese|thai|catalan|welsh"
    "|irish"
)
_ANSWER = (
    r"(?:answer|reply|respond|write|speak|talk|explain|communicate|phrase|say|tell|give|use|format|show|list"
    r"|keep|call|address|include|add|cite|quote|convert|start|end|be|make|put|round|ask|avoid|mention"
    r"|translate|express|provide|begin|finish|stick|prefer|check|remind|round|spell|stop|suggest|recommend"
    r"|wrap|name|sign|skip|assume|refer)"
)
_LASTING = re.compile(
    rf"^\s*(?:(?:please|and|so|also|hey|ok|remember|note|remember to|make sure to|be sure to|from now on|from here "
    rf"on|in (?:the )?future|going forward|as a rule|in general|by default|starting now|henceforth|change of plans?"
    rf"|new rule|new plan|"
    rf"i(?:'d| would) (?:like|prefer|want) (?:you to|that you)|i (?:want|need|expect|prefer) you to|you (?:should"
    rf"|must|can|need to|have to)|can you|could you|would you|will you|kindly|actually|no|correction|update|"
    rf"do)[\s,:]+)*"
    rf"(?P<w>(?:always|never|don't ever|do not ever|don't|do not|only|stop|no longer|please|))\s*"
    rf"(?P<v>{_ANSWER}(?:ing)?\b(?! up\b).*)$",
    re.I,
)
_MARKED = re.compile(
    r"\b(?:always|never|from now on|from here on|in (?:the )?future|going forward|as a rule|by "
    r"default|starting now|henceforth|don't ever|do not ever|every time|in all your answers|"
    r"in your answers|your (?:answers|replies|responses)|whenever|any ?more|each time)\b",
    re.I,
)
_WHENEVER = re.compile(
    rf"^\s*(?:(?:please|and|so|also|hey|ok|remember(?: that)?|note(?: that)?|from now on|in "
    rf"future|actually|no|update|correction)[\s,:]+)*(?:whenever|every time|each time|when|if)\s+"
    rf"(?P<c>(?:i|you|we|my|the|there|someone|it)\b[^,]{{3,90}}?)\s*(?:,|\bthen\b)\s*(?:then "
    rf"|please |you should |always |make sure (?:to|you) |i(?:'d| would) like you to |i want you "
    rf"to |do )*(?P<v>(?:don't |do not |never )?{_ANSWER}\b.+)$",
    re.I,
)
_AFTER = re.compile(
    rf"^\s*(?:please |always )*(?P<v>{_ANSWER}\b.+?)\s+(?:whenever|every time|each "
    rf"time)\s+(?P<c>(?:i|you|we|my)\b.+)$",
    re.I,
)
_MY_OWN = re.compile(
    r"^(?:whenever|every time|each time)\s+(?P<c>(?:i|we|it|the|my|our)\b[^,]{3,80}),\s*(?P<v>(?:i"
    r"|we)\s+\S.+)$",
    re.I,
)
_ANSWERS_ARE = re.compile(
    r"^(?:(?:please|keep|make|i (?:like|want|prefer)|i'd like)\s+)+your (?:answers|replies"
    r"|responses)\s+(?:to be\s+)?(?P<v>\S.+)$",
    re.I,
)
_TO_DO = re.compile(
    r"^(?:remember[:,]? |note[:,]? |fyi[:,]? |by the way,? )*(?:to|in order to)\s+(?P<c>(?!be\b|me\b"
    r"|my\b|the\b|you\b|tell\b|tell the\b|sum\b|answer\b|clarify\b|make a long\b|start with\b|begin "
    r"with\b|summarize\b|say\b|give\b|say\b|put it\b)\w+[^,]{3,70}),\s*"
    r"(?P<v>(?:you (?:have to|need to|must|can|should)|we|i|one has to|first|just|simply"
    r"|always)?\s*(?:have to |need to |must |always |first |just )?"
    r"(?:run|press|hold|use|open|click|type|call|turn|push|pull|unplug|restart|set|go|enter|add|mix"
    r"|boil|put|take|execute|write|send|ask|log|ssh|select|switch|start|stop|remove|install|copy"
    r"|wait|merge|tag|bump|deploy|check|plug|lift|tap|slide|pour|insert)\b.+)$",
    re.I,
)
_WE_DO_BY = re.compile(
    r"^(?P<p>we|i)\s+(?P<c>(?:deploy|release|restart|back up|build|test|ship|publish|clean|water"
    r"|reset|start|unlock|log in to|connect to)\b[^,]{0,60}?)\s+(?:by|with|using"
    r"|via)\s+(?P<v>\S.+)$",
    re.I,
)
_LENGTH = re.compile(
    r"\b(?:short|brief|concise|long|detailed|in detail|one sentence|two sentences|bullet|bullets"
    r"|bullet points|terse|succinct|to the point|verbose|thorough|length|briefly|paragraphs?)\b",
    re.I,
)
_TONE = re.compile(
    r"\b(?:formal|informal|formally|informally|casual|casually|friendly|polite|politely|tone|slang"
    r"|serious|humou?r|jokes?|emoji|emojis|sarcas\w+)\b",
    re.I,
)
_UNITS = re.compile(r"\b(?:metric|imperial|celsius|fahrenheit|kilomet\w+|miles|units)\b", re.I)
_LANGUAGE = re.compile(rf"\bin ({_LANGUAGES})\b", re.I)
_CALL = re.compile(r"^(?:call|address|refer to) me\b", re.I)


def ways(text: str) -> Iterator[Found]:
    """Lasting wishes and ways of doing things in one sentence of the owner's."""
    sentence = text.strip()
    lead = len(text) - len(text.lstrip())
    end = lead + len(sentence)
    bare = sentence.rstrip(".! ")
    if bare.endswith("?") and not re.match(
        r"(?:can|could|would|will) you (?:please )?(?:always|never|from now on|in "
        r"future)",
        bare,
        re.I,
    ):
        return
    bare = bare.rstrip("?")
    for pattern in (_WHENEVER, _AFTER):
        match = pattern.search(bare)
        if match and (
            re.search(r"\b(?:whenever|every time|each time)\b", bare, re.I) or _asked_of_you(match.group("c"))
        ):
            condition, way = _plain(match.group("c")), match.group("v")
            yield _way(_topic(way, condition), f"when {condition}: {way}", bare, lead, end, "whenever")
            return
    match = _MY_OWN.search(bare)
    if match:
        yield _way("habit", f"when {_plain(match.group('c'))}: {match.group('v')}", bare, lead, end, "habit")
        return
    match = _ANSWERS_ARE.search(bare)
    if match:
        yield _way("answer style", match.group("v"), bare, lead, end, "answers-are")
        return
    match = _LASTING.search(bare)
    if match and _MARKED.search(bare) and not _CALL.search(match.group("v")):
        never = match.group("w").lower() in (
            "never",
            "don't ever",
            "do not ever",
            "don't",
            "do not",
            "stop",
            "no longer",
        )
        value = ("never " if never else "") + match.group("v")
        yield _way(_topic(match.group("v")), value, bare, lead, end, "lasting")
        return
    match = _TO_DO.search(bare) or _WE_DO_BY.search(bare)
    if match:
        name = f"how to {_plain(match.group('c')).lower()}"
        yield _way(name, match.group("v"), bare, lead, end, "how-to")


def _asked_of_you(condition: str) -> bool:
    """ "When I ask for code": about a conversation with the assistant, and not about the weather."""
    return (
        re.search(
            r"\b(?:i|we) (?:ask|say|write|paste|send|type|want|request|mention|give you|share|talk|post"
            r"|need|tell)\b|\byou\b",
            condition,
            re.I,
        )
        is not None
    )


def _topic(way: str, condition: str = "") -> str:
    """What a wish is about: of two wishes about one thing the later holds."""
    if _LANGUAGE.search(way):
        name = "answer language"
    elif _UNITS.search(way):
        name = "answer units"
    elif _TONE.search(way):
        name = "answer tone"
    elif _LENGTH.search(way):
        name = "answer style"
    else:
        name = "answer rule"
    return f"{name} when {condition.lower()}" if condition and name != "answer rule" else name


def _way(name: str, value: str, bare: str, start: int, end: int, rule: str) -> Found:
    told = " ".join(bare.split())
    return Found(
        name, " ".join(value.split()), start, end, rule, kind="procedural", text=told[:1].upper() + told[1:] + "."
    )


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" ,.")
