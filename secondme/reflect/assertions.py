"""Which parts of a turn the owner asserts: clauses that are no question, no hypothesis, no quotation and no hearsay.

What is left out is as important as what is found: a fact that was never stated is worse than one that is missed.
So whatever casts doubt on a sentence takes the rest of that sentence with it, and what opens a fiction, the rest of the
turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from secondme.text.attribution import is_own_label, others
from secondme.text.redirects import redirecting
from secondme.text.speech import spoken_by_others

LONGEST = 1500
"""Characters above which a turn is taken for pasted text, of which only the first paragraph is read."""

BLANK = "\ufffc"
"""Stands in place of every character of what was left out, so that offsets stay."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A clause; `text` is as long as the turn's own from `start` (characters) on, with words of doubt never in it.

    `start` may lie before the clause by the length of a subject that it shares with its forerunner: `first` is its real
    beginning. `corrects`: said as a correction. `wanted`: the owner asked for it to be remembered. `sentence` is the
    whole sentence's place.
    """

    text: str
    start: int
    first: int
    corrects: bool
    wanted: bool
    sentence: tuple[int, int]


_CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`|^(?:>|    |\t).*$", re.S | re.M)
_CODE_LINES = re.compile(r"^(?:>|    |\t).*$", re.M)
_QUOTED = re.compile(
    r"\"([^\"\n]{2,})\"|“([^”\n]{2,})”|«([^»\n]{2,})»|„([^“”\n]{2,})[“”]"
    r"|(?<![\w'])'([^'\n]{8,})'(?!\w)"
)
_SPEECH_IN_QUOTES = re.compile(r"\b(?:i|i'm|my|we|our|is|are|was|am|have|live|work|me|you)\b", re.I)

_TASK = re.compile(
    r"^\W*(?:(?:please|can you|could you|would you|will you|help me|i need you to|i want you to|hey|hi|kindly|now"
    r"|ok)[\s,]+)*"
    r"(?:translate|rewrite|re-write|rephrase|proofread|summari[sz]e|paraphrase|correct|fix|edit|draft|write|compose"
    r"|continue"
    r"|complete|improve|shorten|review|polish|analy[sz]e|explain|classify|extract|reply to|respond to|parse|convert"
    r"|check"
    r"|say|repeat|read|pretend|role-?play|act|play|imagine|simulate|finish|turn|format|reformulate|debug)\b",
    re.I,
)
_FICTION = re.compile(
    r"^\W*(?:(?:ok|okay|now|so|let's|hey|please|just|and)[\s,]+)*(?:imagine|suppose|supposing|pretend|assume|assuming|"
    r"let's (?:say|pretend|assume|imagine|play)|say i|hypothetical|role-?play|you are (?:a|an|the|now)\b|act as|act "
    r"like|"
    r"in (?:this|the|a|my) (?:story|scenario|novel|book|film|movie|game|song|play|example|exercise|poem|dream|fantasy)|"
    r"for (?:example|instance)|e\.g\.|example:|once upon|here(?:'s| is| are)\b.{0,60}:|below is|"
    r"this is (?:the|an?|my) (?:text|email|mail|message|draft|letter|story|essay|bio|review|quote|article)|"
    r"the (?:text|email|message|letter|story|article|passage|quote)\b.{0,40}:|"
    r"(?:from|to|subject|sent|date|cc|dear|fwd|re)\s*:|dear [A-Z]|lyrics|quote:|joke:)",
    re.I,
)
_SPEAKER_LINE = re.compile(r"^\s*(?:\[[^\]]{1,20}\]\s*)?[A-Z][\w .'-]{0,20}:\s+\S", re.M)
_KIDDING = re.compile(
    r"\b(?:just kidding|only kidding|only joking|just joking|i'm kidding|i'm joking|was joking|was kidding|jk|not "
    r"really|"
    r"i lied|that was a lie|(?:is|was|that's) (?:a )?(?:joke|lie|made up|fiction|fictional)|sarcasm)\b|(?:^|\s)/s\b",
    re.I,
)

_SAID = re.compile(r"[^\s.!?]+")
_SENTENCE_END = re.compile(r"(?:[.!?]+[\"')\]]*(?=\s|$))|\n+|(?<=[。！？])")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[A-Z]|dr|mrs?|ms|prof|st|vs|etc|e\.g|i\.e|no|approx|jr|sr|inc|ltd|co|ave|rd|a\.m"
    r"|p\.m"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec))\.$",
    re.I,
)

_QUESTION = re.compile(
    r"^\W*(?:(?:and|but|so|ok|hey|hi|also|then|well|please|oh)[\s,]+)*(?:(?:who|what|where|when|why|how|which|whose)"
    r"(?:'s|'re)?\s+(?:is|are|was|were|do|does|did|am|can|could|should|would|will|have|has|had|many|much|old|tall"
    r"|long|far"
    r"|about|if|to|my|the|often|kind|color|colour|time|day|year|one|else|are)\b|what's|where's|who's|when's|how's"
    r"|(?:is|are|am|do|does|did|can|could|would|should|have|has|was|were|will|isn't|aren't|don't you|didn't|doesn't"
    r"|may)\s+"
    r"(?:i|my|you|we|it|there|this|that|the|she|he|they|our|your|anyone|someone)\b|any idea|do you|did i|tell me"
    r"|remind me"
    r"|guess (?:what|who|where|how)\b|i wonder|i'm wondering|wondering)",
    re.I,
)
_TAG = re.compile(
    r",?\s*(?:right|correct|yes|no|isn't (?:it|he|she)|aren't (?:i|we|they)|don't i|am i|is it|do i"
    r"|didn't i"
    r"|wasn't it|or not|huh|eh|yeah|ok|okay|true|or am i|or is it|did i)\s*\?+$",
    re.I,
)
_ASKS = re.compile(
    r"(?:,|\s[-–—]|\band|\bso|\bbut)\s*(?=(?:(?:and|so|but|then|please|now)\s+)*(?:can|could|what|what's|how|where"
    r"|who|which|when|"
    r"why|do|does|is|are|any|would|will|should|please|got|tell|whom)\b)",
    re.I,
)

_DOUBTED = re.compile(
    r"\b(?:he|she|they|someone|somebody|people|everyone|everybody|nobody|no one|my [\w'-]+(?: [A-Z]\w+)?|the [\w'-]+"
    r"|one of [\w ]+|"
    r"it|who|you|(?-i:[A-Z][a-z]+))\s+(?:just |also |once |always |even |never |still |jokingly |often |wrongly "
    r"|then |has |have "
    r"|had |might |would |will |was |were |keeps? |kept )*"
    r"(?:said|says|say|saying|told|tells?|telling|claim(?:s|ed|ing)?|thinks?|thought|thinking|believe[sd]?|wrote"
    r"|writes|asked|asks"
    r"|insist(?:s|ed)?|heard|reckons?|repl(?:ied|ies)|answered|announced|assume[sd]?|joke[sd]?|swears?|swore"
    r"|pretend(?:s|ed)?"
    r"|mention(?:s|ed)?|suggest(?:s|ed)?|shouted|whispered|like,|goes,|hopes?|wishes|dreams?|dreamt|wants? (?:me|us) to"
    r"|would like|quoted?|sings?|texted|posted|argue[sd]?|guess(?:es|ed)?|wonders?|expects?|fears?)\b"
    r"|\b(?:according to|rumou?r has it|i (?:just |once |also )?(?:heard|read|dreamt|dreamed|wish|hope|guess|suppose"
    r"|doubt|wonder"
    r"|pretended|imagined?|lied|feel like|fear|am not sure|assumed?|thought|believed|used to think|used to believe)\b"
    r"|i'm not sure|i am not sure|not sure (?:if|that|whether)|i (?:don't|do not|didn't|never) (?:think|believe|know"
    r"|say|said|"
    r"claim(?:ed)?|remember|recall|mean)|i (?:really )?(?:think|believe|imagine)\b|it(?:'s| is| was) (?:not|in)? "
    r"?(?:true|false|untrue|"
    r"possible|likely|unlikely|unclear|as if|like)\b|it isn't true|as if|as though|whether|in case|even if|only if"
    r"|what if|unless"
    r"|if|i told (?:him|her|them|everyone|people|my|the|a|[A-Z]\w+)|i (?:said|say|tell (?:him|her|them|people))(?! "
    r"(?:before|earlier|that))|"
    r"nobody|someone who|people who|anyone who|those who|a person who)\b",
    re.I,
)
_SAID_TO_YOU = re.compile(
    r"\bif you (?:ask me|must know|want to know)\b|\b(?:as )?i (?:just |already )?(?:told you|said|mentioned)(?: "
    r"before| earlier| "
    r"already)?(?: that)?\b",
    re.I,
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|probably|possibly|might|could|would|wouldn't|couldn't|should|shouldn't|supposedly"
    r"|apparently|allegedly"
    r"|presumably|seems?|seemed|likely|almost|nearly|hopefully|theoretically|wish|or something|or so|or maybe|kind "
    r"of|sort of"
    r"|not sure|considering|thinking (?:of|about)|tempted|hoping|want to|wanna|going to|gonna|planning|plan to"
    r"|trying to|about to"
    r"|used to think|feels? like|need to|have to|had to|wanted to|i'd|i'll|we'd|shall|supposed to|'d better|tends? "
    r"to|as a joke"
    r"|roughly speaking|let's|pretend\w*)\b|\b(?:i|we|it|she|he|they) may\b|\bas an? (?:experiment|test|example)\b",
    re.I,
)
_FIRMLY = re.compile(r"\b(?:i(?:'m| am) going to (?:the|see|a)\b|had to\b)", re.I)

_LEAD = re.compile(
    r"^[\s\"'“(*_#•\-–—.,:;!]*(?:(?:(?P<fix>actually|no|nope|sorry|correction|update|it turns out(?: that)?|turns "
    r"out(?: that)?|wait|oops"
    r"|my mistake|i was wrong|scratch that|i misspoke|edit|quick update|small update|small correction|quick "
    r"correction|news"
    r"|big news|change of plans?|things (?:have )?changed|i (?:have|need) to correct (?:myself|that|something)"
    r"|apologies"
    r"|i made a mistake|that's (?:wrong|outdated|old|not right|no longer true|changed)|not any ?more|fresh start|new "
    r"plan"
    r"|that has changed)"
    r"|(?P<keep>(?:please )?(?:remember|note|don't forget|do not forget|keep in mind|bear in mind|make a note|take "
    r"note|save this|"
    r"memori[sz]e|write down|store)(?: this| it)?(?: that)?(?: for (?:later|me))?|note to self|for (?:the|your) "
    r"(?:record|records))"
    r"|well|okay|ok|hi|hello|hey|oh|so|and|but|also|btw|by the way|fyi|just so you know|for your information|as you "
    r"know"
    r"|in fact|to be honest|honestly|tbh|anyway|yes|yeah|yep|as i (?:said|mentioned|told you)(?: before| earlier)?"
    r"|thanks|thank you"
    r"|i (?:just |already )?(?:told you|mentioned|want you to know|should mention|wanted to (?:say|tell you"
    r"|mention))(?: that)?"
    r"|(?:we|i)(?:'ve| have)?(?: all| just| now)? (?:agreed|decided|confirmed|checked|learned|found out|noticed) that"
    r"|(?:you should|you ought to|you might want to|you need to) know(?: that)?|the thing is|guess what|good news"
    r"|bad news|great news"
    r"|good morning|good evening|good afternoon|hi there|hello there|hey there|now|right now|nowadays|these days"
    r"|currently"
    r"|at the moment|recently|lately|just now|fun fact|i must say|i have to say|normally|typically|at present|by now"
    r"|if you ask me|if you must know|if you want to know|one "
    r"more thing|another thing|a bit about me|about me|some "
    r"background"
    r"|context|background|for context|fyi|still|then|plus|because|since then|however|though|personally|for me|in my "
    r"case"
    r"|luckily|sadly|unfortunately|finally|after all|in the end|as of (?:today|now|this week)|from now on|since "
    r"yesterday"
    r"|let me (?:tell you|introduce myself)(?: that)?|to introduce myself|i can tell you(?: that)?|clearly|obviously"
    r"|of course|anyhow"
    r"|in general|generally|usually|as for me|hmm+|ah|ha|haha|lol|wow|yay|ugh|well then)(?![\w'])(?:[\s,:;!.\-–—]+"
    r"|$))+",
    re.I,
)
_DO = (
    "work|live|have|love|like|hate|prefer|study|speak|play|drive|use|moved|started|joined|enjoy|became|got|don't"
    "|can't|own"
    "|bought|sold|left|quit|am|was|had|commute|go|take|eat|drink|wear|support|report|weigh|wake|read|watch|teach"
    "|adopted"
    "|opened|installed|switched|changed|signed|rented|found|retired|finished|gave|took"
)
_SPLIT = re.compile(
    r"\s*;\s*|\s+[-–—]\s+|—|:\s+(?=(?:i|i'm|my|we|our|it's|it is|always|never)\b)"
    r"|,?\s+(?:but|because|cause|cuz|so(?! (?:that|far|much|many))|although|though|whereas|however|since(?= (?:i|my"
    r"|we)\b)|as(?= i\b)"
    r"|while|plus|and then|and so|before(?= (?:i|we)\b)|after(?= (?:i|we)\b)|until(?= (?:i|we)\b)|when(?= (?:i|we"
    r"|my)\b)|where(?= (?:i|we|my)\b))\s+"
    r"|,\s*(?:and\s+)?(?=(?:i|i'm|i've|my|we|we're|we've|our|it|it's|he|he's|she|she's|they|please|can|could|what"
    r"|how|where|who|whose"
    r"|so|don't|remember|actually|thanks|that|this|always|never|now|not anymore|btw|by the way|nice|works|lives)\b)"
    r"|\s+and\s+(?=(?:now\s+|also\s+|currently\s+|recently\s+)?(?:i|i'm|i've|my|we|we're|our|it's|he|he's|she|she's"
    r"|they|please"
    r"|likes|loves|hates|plays|speaks|drives|studies|works|lives|working|living|never|always|the|" + _DO + r")\b)",
    re.I,
)
_SHARED = re.compile(
    r"^(?:now\s+|also\s+|currently\s+|recently\s+)?(?:" + _DO + r")\b",
    re.I,
)


_THEY = re.compile(r"(?:(?:my|our) [\w-]+(?: (?-i:[A-Z]\w+))?|(?-i:[A-Z]\w+))(?= )", re.I)
_PRONOUN = re.compile(r"(?:she|he|they)\s+(?:has\s+|have\s+|just\s+)*", re.I)
_THEY_SHARE = re.compile(
    r"^(?:now\s+|also\s+|currently\s+|recently\s+)?(?:works|lives|likes|loves|hates|plays|speaks|moved|joined|drives"
    r"|studies"
    r"|prefers|took up|started|became|got|is now|is allergic)\b",
    re.I,
)
_NOT_BUT = re.compile(
    r"^\W*(?:(?:no|sorry|actually|wait|correction)\W+)*(?:it's |it is |that's |it was |it isn't "
    r")?(?:not\b|(?<=isn't )).{1,50}?,? but\b(?! (?:i|we|my|it)\b)",
    re.I,
)
_DENIED = re.compile(r"\b(?:isn't|aren't|wasn't|is not|is no longer|are not|is wrong)\b", re.I)


def own_words(text: str) -> str:
    """`text` in the same length, with code, quotations, pasted text and other people's words blanked; with what leads a
    question about one thing to another, too.

    Typographic apostrophes are plain. What ends a sentence stays, so that the next one is still told apart.
    """
    return _without_others(_unquoted(text))


def _unquoted(text: str) -> str:
    text = text.replace("’", "'").replace("‘", "'")
    text = _CODE.sub(_blank, text) if ("`" in text or "~" in text) else _CODE_LINES.sub(_blank, text)
    text = _QUOTED.sub(_blank_speech, text)
    if len(_SPEAKER_LINE.findall(text)) >= 2:
        return BLANK * len(text)
    if len(text) > LONGEST:
        first = text.find("\n\n")
        end = first if 0 < first <= LONGEST else 0
        text = text[:end] + BLANK * (len(text) - end)
    return text


def _without_others(text: str) -> str:
    parts, at = [], 0
    led = ((s.start, s.end) for s in redirecting(text))
    for start, end in sorted((*spoken_by_others(text), *others(text, list(sentences(text))), *led)):
        if end > at:
            first = max(at, start)
            parts += [text[at:first], _SAID.sub(_blank, text[first:end])]
            at = end
    return "".join([*parts, text[at:]])


def _blank(match: re.Match[str]) -> str:
    return BLANK * len(match.group())


def _blank_speech(match: re.Match[str]) -> str:
    inside = next(g for g in match.groups() if g is not None)
    if len(inside.split()) > 5 or _SPEECH_IN_QUOTES.search(inside):
        return BLANK * len(match.group())
    return match.group()


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Character ranges of the sentences; unlike in prose, one may begin with a small letter."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match.group().startswith(".") and _ABBREVIATED.search(text[max(0, match.start() - 8) : match.start() + 1]):
            continue
        if text[start : match.end()].strip():
            yield start, match.end()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def asserted(text: str, own: str = "") -> list[Assertion]:
    """The clauses of a turn that the owner asserts, in order; none of a turn that takes its words back.

    `own`: its `own_words`, where they are known already.
    """
    said = _unquoted(text)
    if _KIDDING.search(said):
        return []
    own = own or _without_others(said)
    found: list[Assertion] = []
    for start, end in sentences(said):
        sentence = said[start:end]
        if _FICTION.search(sentence) and not is_own_label(sentence.partition(":")[0]):
            break
        if _TASK.search(sentence):
            if ":" in sentence:
                break
            continue
        found += _of_sentence(own, start, _own_end(said, own, start, end))
    return found


def _own_end(said: str, own: str, start: int, end: int) -> int:
    """Where the owner's own part of a sentence ends that goes on with a clause about what somebody else said."""
    if said[start:end] == own[start:end] or said[start:end].rstrip().endswith("?"):
        return end
    first = next((n for n in range(start, end) if said[n] != own[n]), end)
    before = own[start:first].rstrip()
    return first if before.endswith((",", ";", "-", "–", "—", "(")) else end


def _of_sentence(own: str, start: int, end: int) -> Iterator[Assertion]:
    sentence = own[start:end]
    if sentence.rstrip().endswith("?"):
        asks = None if _TAG.search(sentence.rstrip()) else _ASKS.search(sentence)
        if asks is None or _QUESTION.search(sentence):
            return
        end = start + asks.start()
    elif _QUESTION.search(sentence):
        return
    limit = _doubted_from(own[start:end])
    whole = (start, end)
    shared = theirs = ""
    corrects = wanted = denied = False
    for first, last in [(start, end)] if _NOT_BUT.search(sentence) else _pieces(own, start, end):
        if limit is not None and last > start + limit:
            return
        lead = _LEAD.match(own[first:last])
        if lead and lead.end():
            corrects = corrects or bool(lead.group("fix"))
            wanted = wanted or bool(lead.group("keep"))
            first += lead.end()
        piece = own[first:last].lstrip(" \t\r\n-*•–")  # an item of a list is a sentence like any other
        first = last - len(piece)
        if not piece.strip() or BLANK in piece.strip() or (_HEDGE.search(piece) and not _FIRMLY.search(piece)):
            continue
        pronoun = _PRONOUN.match(piece)
        if pronoun and theirs:  # "my sister left Rome, she moved to Pisa"
            piece, first = piece[pronoun.end() :], first + pronoun.end()
        shares = _SHARED.match(piece) or _THEY_SHARE.match(piece) or (pronoun is not None and theirs)
        prefix = (shared or theirs) if shares else ""
        prefix = prefix or ("" if shared or theirs else _dropped(piece))
        corrects = corrects or denied
        denied = _DENIED.search(piece) is not None
        yield Assertion(prefix + piece.rstrip(" \t\n.!?,;:"), first - len(prefix), first, corrects, wanted, whole)
        subject = re.match(r"(?:i|we|i'm|we're)\b", piece, re.I)
        other = None if subject else _THEY.match(piece)
        if subject or other or not prefix:  # the last subject counts, and only until another thought begins
            shared = ("We " if piece[:2].lower() == "we" else "I ") if subject else ""
            theirs = f"{other.group()} " if other else ""


_DROPPED = re.compile(
    r"(?:just |finally |recently |now |also )*(?:(?P<have>gone|been|become)|(?P<am>living|working|based|engaged to)"
    r"|moved to|relocated|joined|started (?:at|with|working|a new job)|became|switched (?:from|to))\b",
    re.I,
)


def _dropped(piece: str) -> str:
    """The subject that people leave out in chat: "moved to Dijon last week"."""
    match = _DROPPED.match(piece)
    if match is None:
        return ""
    return "I've " if match.group("have") else "I'm " if match.group("am") else "I "


def _doubted_from(sentence: str) -> int | None:
    """Where doubt or hearsay begins in a sentence; what follows is nobody's word."""
    for match in _DOUBTED.finditer(sentence):
        said = _SAID_TO_YOU.match(sentence, match.start())
        if not said:
            return match.start()
    return None


def _pieces(own: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    for match in _SPLIT.finditer(own, start, end):
        if match.start() > at:
            yield at, match.start()
        at = match.end()
    if at < end:
        yield at, end
