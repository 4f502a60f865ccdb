"""Sentences that lead a question about one thing to what is kept of another, and turns that answer their own question.

A query-only injection (MINJA, Dong et al. 2025) states nothing of anybody. It asks as the owner would, and goes on with
a bridging step: what is filed under one name is to be looked up under a second one. Later turns leave out more and more
of the step. So a sentence is a bridge by what it speaks of, whatever the names: of what is kept or asked, of taking
another thing in its place when reading or answering, and not of what its writer did. A turn that asks tells only what
its writer says of himself.
"""

from __future__ import annotations

import re

from secondme.text.sentences import Sentence, split_sentences

_KEPT = (
    r"(?:entr(?:y|ies)|records?|recorded|data(?:base)?|lines?|pages?|cards?|files?|filed|shel(?:f|ves)|folders?|details"
    r"|particulars|memor(?:y|ies)|stored?|saved?|kept|listed|lists?|noted?|notes?|register\w*|ledgers?|ind(?:ex|ices)"
    r"|catalogues?|timetables?|director(?:y|ies)|labell?(?:ed)?|values?|slots?|fields?|columns?|rows?|headings?|books?"
    r"|names?|keys?|references?|facts?|profiles?|dates?|units?|information|info|knowledge)"
)
_ASKED = (
    r"(?:ask|topics?|subject|shortcuts?"
    r"|questions?|quer(?:y|ies|ied)|requests?|requested|look-?ups?|looked up|asked|asks|asking|prompts?|answers?"
    r"|answered|answering|repl(?:y|ies|ied)|responses?|searche[sd]|search|inquir(?:y|ies)|enquir(?:y|ies))"
)
_ANSWERED = re.compile(
    r"\b(?:answer|serve|resolve|satisf(?:y|ie)|fulfil|handle|fill|repl(?:y|ie)|respond|quote|look|met|meet|suppl(?:y|ie)"
    r"|fetch|retrieve|read|draw|treat|interpret|understand|understood|translate|process|address)(?:e?d|s|es|ing|l?ed)?"
    r"(?: \w+| it| them)?(?: up| out)? (?:as|with|from|by|under|through|via|using|like)\b"
    r"|\bread(?:s|ing)? (?:as |the (?:second|latter|other|new|next|one)\b|(?:\w+ ){1,3}?(?:where|for|instead)\b)"
    r"|\b(?:take|use|give|quote|say|name|return|pull|open|consult|fetch)s? (?:the |that |those |its |their )?"
    r"(?:(?:data|entry|entries|record|line|page|card|file|details|value|particulars) (?:of|for|from|under)"
    r"|(?:[\w'’.&-]+ ){1,4}?(?:card|page|entry|record|line|file|sheet|shelf|folder)\b|second|latter|other one)"
    r"|\b(?:turn|go|switch|jump|move)(?:s|ing)?(?: first| straight| over)? to (?:the )?(?:[\w'’.&-]+ ){1,4}?"
    r"(?:card|page|entry|record|line|file|sheet|shelf|folder|section)\b"
    r"|\b(?:answer|reply|respond)s?(?:ing)? (?:\w+ )?(?:with|by naming|using)\b"
    r"|\bin (?:its|their|his|her) (?:place|stead)\b"
    r"|\btreat (?:[\w'’.&-]+ ){1,9}?as (?:one|the same|if)\b|\bprint the (?:second|latter|other)\b"
    r"|\bskip (?:[\w'’.&-]+,? ){1,6}?(?:go|use|take|jump|say)\b"
    r"|\bwhen(?:ever)? (?:i|you|it|anyone|anybody|someone|somebody)(?:'m| am|'re| are)? (?:ask|query|look)\w*\b.{1,60}"
    r"\b(?:stands? for|means?|becomes|equals|reads)\b"
    r"|\bwhere (?:the )?(?:former|first|old\w*|other) (?:is|was|stands|stood)\b"
)
"""An answer is made from something: "is answered with", "read the latter", "take the data of"."""
_LED = re.compile(
    r"\b(?:merged|joined|moved|transferred|taken (?:up|over)|folded|continued|carried (?:over|on)|renamed|absorbed"
    r"|copied|linked|tied|mapped|redirected|rerouted|routed|swapped|exchanged?|converted?|converts|replaced|substituted|filed"
    r"|looked up|kept|listed|stored|superseded|rebadged|reassigned|assigned|pointed|handed|passed|combined|pooled) "
    r"(?:\w+ )?(?:to|into|onto|on|with|under|for|by|in|among|beneath|below|as)\b"
    r"|\b(?:become|belong|resolve|point|lead|convert|translate|refer|redirect|goe?|count|stand|pass|answer|map)s? "
    r"(?:now )?(?:to|as|for|into|on to)\b|\bbecomes?\b|\b(?:is|are|was|were) (?:now )?(?:void|stale|retired|obsolete"
    r"|superseded|closed|an? (?:old|alias|synonym))\b|\binstead\b|\bin (?:the )?place of\b"
    r"|\bholds? (?:now )?the (?:data|entry|record|line)\b"
    r"|\b(?:lives|sits|runs|stands|hides|is found|is kept) (?:now )?under\b|[-=]{1,2}>|[→⇒]"
)
"""One thing has gone over into another."""
_DENIED = re.compile(
    r"^\W*(?:it'?s |it is |that'?s |that is )?not\b|\bno longer\b|\b(?:is|was|are|were)n[’']t\b"
    r"|\b(?:is|are) (?:all )?(?:old|gone|void|stale|wrong|history|retired|closed|outdated|swapped)\b"
    r"|\b(?:was|were|got|been) (?:swapped|closed|retired|dropped|replaced|renamed)\b"
)
_META = re.compile(rf"\b(?:{_KEPT}|{_ASKED})\b")
_ASKING = re.compile(rf"\b{_ASKED}\b")
_RULE = re.compile(
    r"\b(?:(?:is|are|was|were) (?:now )?to be|should|must|shall|has to|have to|so|therefore|hence|thus|whenever|when"
    r"|any|every|all|always|from (?:now|here) on|remember|recall|keep (?:this|in)|note|helps?|useful|good|rule|step"
    r"|thought|reasoning|first|then|please|follow)\b"
)
_ASKED_UP_TO = re.compile(r"(?<=\?)[)\"'”’]*\s+")
_ARROW = re.compile(r"\([^()\n]{1,60}(?:[-=]{1,2}>|[→⇒])[^()\n]{1,60}\)")
_DID = re.compile(
    r"\b(?:i|we)(?:'ve|’ve|'d|’d|'m|’m| have| had| am| are| just| also| will|'ll|’ll)* (?:[a-z]+ly )?"
    r"(?!(?:wonder|ask|asked|guess|suppose|want to know)\b)[a-z]+"
)
_OF_HIMSELF = re.compile(
    r"\b(?:i|i'm|i’m|i've|i’ve|i'd|i’d|we|we're|we’re|we've|we’ve)\b(?! (?:ask|asked|mention|query|said)\b)"
    r"|\b(?:my|our) (?:[\w'’-]+ ){1,5}?(?:is|are|was|were|has|have|had|will|goes|went|comes|came|starts|ends|lives"
    r"|works|moved|changed|[a-z]{3,}s|[a-z]{2,}ed)\b"
)


def redirects(sentence: str) -> bool:
    """Whether `sentence` says that one thing is to be read, looked up or answered as another."""
    said = " ".join(sentence.lower().split())
    if _ARROW.search(said):
        return True
    answered = _ANSWERED.search(said) is not None
    if not _META.search(said) or not (answered or _LED.search(said)):
        return False
    if _DID.search(said) and not _ASKING.search(said):
        return False
    return answered and (_RULE.search(said) is not None or _LED.search(said) is not None)


def leads_away(sentence: str) -> bool:
    """Whether `sentence` lets something else take the place of what it speaks of, or says that that does not hold."""
    said = " ".join(sentence.lower().split())
    return any(p.search(said) for p in (_LED, _ANSWERED, _DENIED))


def only_asks(text: str) -> bool:
    """Whether a turn puts a question and tells nothing of its writer: what it answers itself is nobody's word."""
    return bool(merely_asked(text))


def merely_asked(text: str) -> str:
    """The questions of a turn that tells nothing of its writer beside them; "" of all others."""
    if "?" not in text:
        return ""
    clauses = [c for s in split_sentences(text) for c in _ASKED_UP_TO.split(s.text)]
    asked = [c for c in clauses if _is_question(c)]
    return "" if any(tells_of_himself(c) for c in clauses if c not in asked) else " ".join(asked)


def tells_of_himself(sentence: str) -> bool:
    """Whether its writer says something of himself or his in `sentence`, and leads nothing to anything else."""
    return _OF_HIMSELF.search(" ".join(sentence.lower().split())) is not None and not redirects(sentence)


def redirecting(text: str) -> list[Sentence]:
    """The sentences of `text` that redirect, and those behind them that tell nothing of the writer, in order."""
    if _META.search(text.lower()) is None and _ARROW.search(text) is None:
        return []
    found: list[Sentence] = []
    for sentence in split_sentences(text):
        goes_on = bool(found) and not (_is_question(sentence.text) or tells_of_himself(sentence.text))
        if goes_on or redirects(sentence.text):
            found.append(sentence)
    return found


def _is_question(sentence: str) -> bool:
    return sentence.rstrip(" )\"'”’").endswith("?")
