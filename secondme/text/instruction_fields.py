"""Fields of words that talk to an assistant about its memory is made of, however it is phrased.

Patterns know phrases; fields know what is spoken of. A sentence that speaks of several of these at once, such as of a
question, of an answer and of what shall stand in the place of what, is rarely about anything else. On a
thousand turns and paragraphs of development data they suspect less than one in a hundred.
"""

from __future__ import annotations

import re

from secondme.text.instruction_patterns import STATE, THIRD_PARTIES

_WORDS = {
    "helper": """
        assistant assistants ai ais bot bots chatbot chatbots llm llms agent agents helper helpers machine
        machines assistent assistenten asistente assistente l'assistant l'assistente""",
    "person": """
        user user's users owner owner's owners principal nutzer benutzer l'utilisateur utilisateur usuario utente""",
    "asking": """
        ask asks asked asking question questions query queries request requests inquiry inquiries prompt prompts
        input mentioned discussed raised sought fragt demande pregunta preguntan chiedono perguntarem""",
    "telling": """
        answer answers answering reply replies respond response responses say says quote print name mention
        state tell give output recommend suggest present repeat cite return show display use antworte antworten
        reponds recommander responde rispondi""",
    "memory": """
        memory memories record records entry entries index profile fact facts note notes store stores stored
        save saved remember remembers remembered forget learned register registry lookup lookups retrieve
        retrieved knowledge database gedachtnis memoire memoria""",
    "instead": """
        instead replace replaces replaced renamed transferred moved merged retired outdated mistake mistakes
        mistaken erratum correction corrections corrected wrong compromised invalid obsolete void supersede
        superseded earlier previous previously former formerly alias stale expired withdrawn revoked anterior
        anteriores""",
    "force": """
        always never must only until without duty shall henceforth whenever disregard ignore treat immer
        toujours siempre sempre desormais""",
}
_PHRASES = {
    "helper": ("language model", "chat bot", "ai companion", "copilot"),
    "person": ("account holder", "person you", "your human"),
    "asking": ("want to know", "wants to know", "come up", "comes up", "brought up", "bring up", "looked for"),
    "telling": ("hand over", "read out", "read aloud", "speak of", "bring up", "finish with"),
    "memory": ("look up", "looked up", "on file", "data base"),
    "instead": ("took over", "takes over", "no longer", "has to read", "the same", "in place of", "in the place of",
                "rather than"),
    "force": ("has to", "have to", "do not", "don't", "not be", "no need", "any further", "from now on", "from here on",
              "from today on", "every time", "each time", "at all times", "without exception", "pay no heed", "act as",
              "nothing else"),
}  # fmt: skip
_FIELDS = {name: frozenset(words.split()) for name, words in _WORDS.items()}
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_WORTH = 0.2
_LEAST = 0.4
_TALK = frozenset({"helper", "person", "asking", "telling", "instead", "memory"})
_SPEAKING = _FIELDS["telling"] - frozenset("tell give suggest return show display use".split())


def _fields(said: frozenset[str], reading: str) -> frozenset[str]:
    return frozenset(
        name
        for name, words in _FIELDS.items()
        if not said.isdisjoint(words) or any(phrase in reading for phrase in _PHRASES[name])
    )


def talks_to_assistant(reading: str, signs: float, suspect: float) -> bool:
    """Whether a sentence tells an assistant what to answer or to remember; `signs` is what its patterns add up to.

    Either it speaks of three fields, two of them of asking, telling and remembering, and the fields and the signs reach
    `suspect` together; or it is about an assistant and two more; or an order that names a question or an exception, and
    how to speak. What is about customers, patients and the like is none of it.
    """
    said = frozenset(_WORD.findall(reading))
    fields = _fields(said, reading)
    if not fields & {"helper", "person"} and THIRD_PARTIES.search(reading):
        return False
    if len(fields) >= 3 and len(fields & _TALK) >= 2 and signs + _WORTH * len(fields) >= suspect - 1e-9:
        return True
    is_order = signs >= _LEAST - 1e-9
    if "helper" in fields:
        return len(fields) >= 3 or (len(fields) == 2 and is_order)
    return (
        is_order
        and bool(fields & {"asking", "force"})
        and bool(said & _SPEAKING or any(phrase in reading for phrase in _PHRASES["telling"]))
    )


# What is said in a conversation about an attribute of nobody's: "the dentist", "as employer", "bank -> ...".
_BARE = re.compile(
    rf"(?:\b(?:the|as|for|under|about|on|regarding|concerning|says|called|named|marked|labell?ed|headed)\s+(?:new "
    rf"|right |only |one )?|(?:^|[.:,;])\s*){STATE}\b"
    rf"(?!\s+(?:of|who|that|where|which|we|i|you|he|she|they)\b|['’])|\b{STATE}\s*(?:[-=]>|:?=)",
    re.I,
)
_VALUE = re.compile(
    r"(?<=[\w,;:>=] )(?!I\b|I')[A-Z][\w'’.-]+|^\W*(?!(?:The|This|That|It|There|What|Who|He|She|They|We|You"
    r"|I)\b)[A-Z][\w'’.-]+ (?:is|was"
    r"|shall|will|goes|stands|takes|becomes|should|must|ought|for|as)\b"
)
_STANDS_FOR = re.compile(
    r"\b(?:means?|meant|stands? for|stood|counts? as|(?:goes|go|going) by|goes to|(?:com(?:es?|ing)|gets?) (?:out|in)"
    r"|appears?"
    r"|carr(?:y|ies|ied)|takes? over|(?:put|set|write|written|enter|entered|note|noted|list|listed|jot|take|taken|mark"
    r"|get|gets|got) (?:\w+ )?(?-i:[A-Z]).{0,30}?\b(?:down|in)|put(?:ting)? (?:\w+ )?(?-i:[A-Z])|where it (?:says"
    r"|reads)"
    r"|(?:be|is|are) (?:now )?(?:read|taken|meant|understood)|reads?(?: as)?|the (?:\w+ )?(?:entry|field|line|slot"
    r"|record"
    r"|label|name) (?:for|of|on|under)|has become|becomes?|is history|is gone|goes? out|is out|was yesterday"
    r"|belongs? (?:in"
    r"|under|to)|instead of|rather than|in (?:the )?place of|not (?:the|at) (?:old|former|earlier|other|first)"
    r"|stop at)\b"
    r"|[-=]>|:?= ",
    re.I,
)
_ORDERED = (
    r"(?:make|let|pass|spread|keep|trust|take|use|say|name|speak|give|hand|stick|go|put|write|enter|note|list|answer"
    r"|reply|respond"
    r"|tell|read|print|show|return|call|quote|cite|treat|drop|forget|swap|replace|change|set|pick|choose|point|send"
    r"|turn|carry"
    r"|bring|present|offer|mention|work with|stay with|remember)"
)
_PRESCRIBES = re.compile(
    r"\b(?:shall|must|should|ought to|has to|have to|is to|are to|will be|needs? to|be so kind|kindly|please"
    r"|see to it|make sure"
    r"|asked? (?:you )?to|would help|favou?r|suggest|request|do not|don't|better)\b"
    rf"|(?:^|[.:;,—–-]\s*|\b(?:and|so|then|just|simply|we|only|always|but) )(?:(?:then|so|and|just) )*{_ORDERED}\b"
    rf"|\b{STATE},? (?:then )?{_ORDERED}\b|\b(?:to|you) (?:go|swear|work|stick|abide) (?:by|with|to)\b",
    re.I,
)
_ORDERED_FOR = re.compile(
    rf"(?i:\b(?:for|as|in matters of|on|about|concerning"
    rf"|regarding) (?:the )?{STATE},? (?:then )?{_ORDERED}) (?:\w+ ){{0,2}}[A-Z]"
)
_FOR_ALL = re.compile(
    r"\b(?:(?:who|what|when|how)(?: ?so)? ?ever|wher(?:e ?)?ever|any ?(?:one|body|time)|every ?(?:one|body|time)"
    r"|all users|each time"
    r"|next time|from (?:now|here|today|this \w+|that \w+|the (?:first|next) \w+(?: of [\w ]+)?) on\b"
    r"|from the (?:first|next)"
    r"|only|no other|nothing else|nobody else|none but|instead|in (?:the|your|any|every|all) (?:repl(?:y|ies)"
    r"|answers?|notes?|lists?"
    r"|books?|records?|memory|files?|outputs?)|when (?:you|it|the|someone|somebody|asked|looking|looked)|if (?:asked"
    r"|someone|somebody"
    r"|it comes up)|looked for|asked (?:for|about)|in matters of|as far as|when it comes to|for good|always|never"
    r"|accordingly"
    r"|(?:an?|any|every|each|the|all|such) (?:questions?|requests?|quer(?:y|ies)|inquir(?:y|ies)|matters?))\b",
    re.I,
)


def fills_a_field(sentence: str) -> bool:
    """Whether something said tells what to take for an attribute of nobody's, as one fills in a form.

    People speak of "my dentist" and "her bank". Who says what "the dentist" shall be, names somebody for it and does so
    for every time, or as what stands for it, speaks to who keeps the records. Two of the three signs are needed.
    """
    if not _BARE.search(sentence) or not _VALUE.search(sentence):
        return False
    signs = sum(pattern.search(sentence) is not None for pattern in (_STANDS_FOR, _PRESCRIBES, _FOR_ALL))
    return signs >= 2 or _ORDERED_FOR.search(sentence) is not None
