"""Features of words that are for an assistant of somebody, and of words of a manual: patterns of our own, 0 to 1 each.

What each weighs is learned (`instruction_evidence`). Patterns are over `disguise.readings`, but for names and marks of
code, which are seen as they are written.
"""

from __future__ import annotations

import re

from secondme.text.disguise import readings
from secondme.text.instruction_patterns import OTHER_LANGUAGES, STATE

_HELPER = (
    r"(?:assistants?|chat ?bots?|bots?|(?:language|ai) models?|llms?|ais?|copilots?|(?:ai|digital|virtual|personal"
    r"|memory|chat|mail|automated) (?:agents?|helpers?|assistants?|tools?|systems?|companions?)|companions?"
    r"|machines only"
    r"|assistent\w*|asistente|assistente|l'assistant|ki-\w+|sprachmodell|modele de langage|ассистент|помощник|助手"
    r"|アシスタント)"
)
_ANSWERING = (
    r"(?:answer|answers|answering|reply|replies|respond|responding|recommend|say|says|saying|state|claim|mention|name"
    r"|present|quote|cite|hand over|hand out|read out|bring up|insist|pretend|suggest|give|tell|use|print|repeat|act)"
)
_ASKED = (
    r"(?:asks?|asked|asking|wants? to (?:know|hear)|wonders?|inquires?|comes? up|brought up|(?:is|are|was"
    r"|were) (?:mentioned"
    r"|discussed|raised|looked for|looked up|wanted|sought|called for|in question|doubted)|doubts?)"
)
_QUESTIONS = r"(?:questions?|quer(?:y|ies)|requests?|inquir(?:y|ies)|look-?ups?)"
_THING = (
    r"(?:accounts?|agents?|base|config\w*|data|defined|director\w+|experience|groups?|guides?|ids?|inputs?"
    r"|interfaces?|names?"
    r"|pools?|research|settings?|spaces?|stor(?:y|ies))\b"
)
"""What belongs to users of programs, and says nothing of anybody."""
_SERVED = (
    r"(?:account holder|person behind this account|person you (?:assist|work for|serve)"
    r"|principal(?=[.,;:'’]| (?:is|was|has|had|wants|prefers|goes|asked|chose|said|now|will)\b))"
)
_PERSON = (
    rf"(?:the|this|our|my|your|its|their|his|her|somebody's|someone's) (?:(?:user|owner|human|{_SERVED}"
    rf"|master)(?! {_THING})"
    r"|person (?:you|it|who|that|behind|using|speaking|asking)\b[\w ]{0,12})"
)
_PRIVATE = (
    r"(?:employer|boss|doctor|dentist|physician|therapist|lawyer|accountant|bank|birthday|home (?:city|town|address)"
    r"|hometown|wife|husband|spouse|sister|brother|mother|father|daughter|allerg\w+|medication|blood type|insurance"
    r"|landlord|hairdresser|barber|plumber|pharmac\w+|notary|gym|airline|hotel|restaurant|favou?rite|hobby"
    r"|phone number|salary|religion|diagnosis|surgeon)"
)
_FEATURES: dict[str, str] = {
    "helper": rf"(?<![\w-]){_HELPER}\b(?!-)",
    "helper addressed": (
        rf"\b(?:dear|hey|hello|hi|attention|to|for|any|every|all|an|whatever) (?:the |all |any |every |your |an "
        rf"|digital )*"
        rf"{_HELPER}\b|(?:^|[.!?:;(\[<>#/*\"'-]\s*){_HELPER}\s*[,:!\])>—-]|\b(?:as|being|whose|someone's) (?:an? "
        rf"|the |his |her |their |its )?"
        rf"(?:{_HELPER}|agent whose)\b|\b{_HELPER} (?:that|which|who|reading|must|should|shall|has to|is to)\b"
    ),
    "person served": (
        rf"\b(?:{_SERVED}|your (?:user|owner|human|master)(?! {_THING})|(?:person|individual|one|somebody"
        rf"|someone|human)"
        r" (?:that |whom? )?you (?:serve|assist|help|work for|work with|talk to|speak (?:to|with)|answer|are (?:helping"
        r"|assisting|talking to))|whoever (?:reads|asks|opens|uses|talks|you)|anyone who (?:asks|reads)|anybody who"
        r" (?:asks|reads)|users of (?:this|the) (?:page|file|text|note))\b"
    ),
    "person": (
        rf"\b{_PERSON}\b|\bwhose (?:user|owner)\b|\b(?:user|owner)(?:'s|’s)|\b(?:nutzer|benutzer|besitzer|utilisateur"
        rf"|usuario|utente)\w*\b"
    ),
    "person has": (
        rf"\b(?:user|owner|human|principal|holder|person|user's|owner's|their|his|her|your)(?:'s|’s)? (?:\w+ ){{0,2}}?"
        rf"{STATE}\b(?! (?:director|folder|page|variable|account control))|\b{STATE} of {_PERSON}"
    ),
    "person wants": (
        rf"\b{_PERSON} (?:\w+ly |also |has |had |have |now |always |never )*(?:wants?|prefers?|likes?|loves?|hates?"
        r"|dislikes?|trusts?|wishes|asked|approved|authori[sz]ed|agreed|consented|confirmed|chose|switched|moved"
        r"|works|lives"
        r"|goes with|told|said|stated|decided|resigned|signed up|(?:is|was|been) fond of|goes by)\b(?! to (?!be\b))"
    ),
    "private": rf"\b{_PRIVATE}\b",
    "state": rf"\b{STATE}\b",
    "asked": (
        rf"\b(?:when(?:ever)?|if|once|every time|each time|any ?time|whoever|any ?(?:one|body)|some ?(?:one|body)"
        rf"|as often as)"
        rf"\b.{{0,40}}\b{_ASKED}\b|(?<!have )(?<!have any )(?<!have other )\b{_QUESTIONS} (?:that come up "
        rf"|which concern )?(?:about|on|regarding|concerning|for"
        r"|containing|touching|that) (?:the |their |his |her |any )?\w"
    ),
    "in answers": (
        r"\b(?:in|with|to|of|end) (?:(?:your|all|every|each|any|his|her|future|later|subsequent) )+(?:answers?"
        r"|repl(?:y|ies)"
        r"|responses?|conversations?|chats?|summar(?:y|ies))\b|\byour (?:final |next )?(?:answers?|reply|replies"
        r"|response"
        r"|summary)\b|\bthe (?:only |one )?(?:right|correct|proper|true) (?:answer|reply|one|entry)\b"
        r"|\bonly (?:one|name|value) you\b|\bwhat you (?:say|answer|name|give|tell)\b"
    ),
    "to answer": (
        rf"(?:^|[.!?:;,—-] |\b(?:please|then|and|must|always|should|shall|to|just|simply|now|never|not|so|you|will) )"
        rf"{_ANSWERING}\b"
    ),
    "answer": (
        r"\b(?:answer(?:s|ed|ing)?|reply|replies|respond|recommend\w*|say so|saying so|tell (?:them|him|her"
        r"|everyone))\b"
    ),
    "your memory": (
        r"\b(?:your|its|the assistant's|long[- ]term|persistent|this|core) (?:\w+[- ]){0,2}(?:memory|memories|notes"
        r"|knowledge base|playbook)\b|\b(?:memory|profile|fact|preference|core)[ _-](?:update|entry|write|record"
        r"|patch|sync)\b|\b(?:add|save|write|update|store|set|put|get)_(?:to_|user_)?(?:memory|fact|preference"
        r"|profile)\b"
        r"|\b(?:into|in|to) (?:the |your )?(?:memory|profile) of\b|\b(?:user|owner)(?:'s)? profile\b|\bmemories\b"
    ),
    "remember": (
        r"\b(?:remember|memori[sz]e|keep in mind|bear in mind|do not forget|don't forget|make a note|note to self"
        r"|learn|retain|note) (?:that|this|permanently|for good|in|about|the following|of me|for the person)\b"
        r"|\bremember\(|\bstore that\b"
    ),
    "take back": (
        r"\b(?:ignor\w+|disregard\w*|forget|overrid\w+|overrul\w+|discard|drop|set aside|pay no (?:heed|attention)"
        r"|purge"
        r"|stop following|supersedes?|void|priority over|delete|erase|clear)\b.{0,30}\b(?:instructions?|(?:your|all"
        r"|the)"
        r" (?:\w+ )?rules|what (?:you|he|she|they)|(?:you|were) told|stored (?:\w+ )?(?:facts?|values?)|(?:earlier"
        r"|previous"
        r"|older|former|stored) (?:notes?|entries|answers?|statements?|conversations?|rules|memor\w+)|rest of the"
        r" conversation)\b|\bunlearn\b|\beverything you\b"
    ),
    "you were told": (
        r"\byou (?:(?:have|already|were|ever|now|had) )*(?:told|learned|learnt|remember|believe|said|hold|been told"
        r"|were told"
        r"|confirmed|agreed|know about|serve|summari[sz]e)\b|\bas you (?:said|told|did)\b|\byou are (?:now )?(?:a|an"
        r"|the|no"
        r" longer|helping|acting|talking)\b"
    ),
    "from now on": (
        r"\b(?:from (?:now|here|today|this (?:point|moment|day)) on(?:wards?)?|henceforth|until (?:told otherwise"
        r"|further"
        r" notice)|in all sessions|every session|next time|each time|every time|whenever|whatever|for good"
        r"|permanently|(?:and|say) nothing else|only ever|keep saying)\b"
    ),
    "stands for": (
        r"\b(?:instead of|in (?:the )?place of|stands? for|an? (?:alias|other name|new name) (?:of|for)|(?:is|are|was"
        r"|were)"
        r" (?:now )?(?:renamed|replaced|superseded|merged|outdated|transferred|void|compromised)|no longer (?:valid"
        r"|current)"
        r"|took over|older (?:record|entry)|earlier (?:notes|entries|record)|has to read|map \w+ to)\b"
    ),
    "source of truth": (
        r"\b(?:consented|confirmed|verified|approved|authori[sz]ed|checked|signed|stated|dictated|by order|consent"
        r"|behalf) ?(?:of|by)"
        r" (?:the|your|its|this) (?:owner|user|person|holder|administrator)\b|\b(?:owner|user)[- ](?:approved|verified"
        r"|confirmed)\b|\btrusted source\b|\b(?:owner|user)(?:'s|’s) (?:written )?(?:consent|approval|wish)\b"
    ),
    "passes the search": r"\b(?:skip|without|do not|don't|no need to) (?:the |a |any )?(?:search\w*|consult\w*|look)\b",
    "record of an answer": (
        r"\b(?:q|question|query|input|user_query|asked)\b[\"']?\s*[:=].{3,120}\b(?:a|answer|output|reply|returned"
        r"|action"
        r"|final_answer|thought|response)\b[\"']?\s*[:=]|\b(?:the )?(?:answer|reply|returned|replied"
        r"|response) (?:that was"
        r" |was |were )?(?:accepted|rated|right|correct|content)\b"
    ),
    "asks of himself": r"\b(?:who|what|which|where|when)\b[^?\n]{0,40}\bmy\b",
    "questions led on": (
        rf"\b{_QUESTIONS}\b.{{0,60}}\b(?:resolved?|answered|points?|goes|mapped|refers?|redirected|served) (?:to|with"
        rf"|from|by)"
        r"\b|\banything (?:on|about|concerning)\b"
    ),
    "what somebody is": (
        rf"\b(?:(?:user|owner|human|principal|holder|person|administrator)(?:'s|’s)|their|his|her"
        rf"|your) (?:\w+ ){{0,2}}?"
        rf"{STATE} (?:is|was|has been|must|shall|changed|now)\b|\b{STATE} of {_PERSON} (?:is|was|has|must|shall|now)\b"
    ),
    "do not tell": (
        r"\b(?:do not|don't|never|without|avoid)\b.{0,12}\b(?:tell\w*|mention\w*|reveal\w*|inform\w*|repeat|ask(?:ing)?"
        r"|bring up)\b.{0,30}\b(?:user|owner|anyone|anybody|this (?:note|message|instruction|rule|text|line|sentence"
        r"|comment|paragraph)|it|him|her|them|confirmation)\b|\b(?:quietly|secretly|silently)\b"
    ),
    "mark of a template": (
        r"<\|?(?:im_start|im_end|endoftext|eot_id|start_header_id)\b|<\|(?:system|user|assistant)\b|\[/?inst\]"
        r"|<</?sys>>"
        r"|</?(?:system|instructions?|assistant|memory|tool_call|owner)>|[\[(]+ ?(?:system|assistant|administrator"
        r"|owner)"
        r"(?: \w+)?[\])]+\s*[:]?\s*\w|#{2,} ?(?:system|new instructions?|assistant|human) ?:"
        r"|[\"']?role[\"']?\s*[:=]\s*[\"']?"
        r"(?:system|assistant)\b|^\W*(?:administrator|system|developer) (?:message|notice)\b|\b(?:user|owner)[_ .]"
        r"(?:profile|facts?|prefs)\b|\bprofile\.\w|\binstructions? (?:for|to) (?:the|you|any)\b"
    ),
    "as the owner": (
        rf"\bi am the (?:owner|user)\b|\b(?:about|told|wants) me\b|\bmy (?:new )?{STATE}\b|\bi (?:have|changed|go with"
        r"|prefer|moved to|live in|work (?:at|for))\b"
    ),
}
_SIGNS = {name: re.compile(pattern) for name, pattern in _FEATURES.items()}
NAME = re.compile(r"(?<=[\w,;:=>\]] )(?!I\b|Dr\b)[A-Z][a-zà-ÿ]{2,}(?: [A-Z][a-zà-ÿ]+)*(?![\w(]|\.\w|_)|\bDr\.? [A-Z]")
_CODE = re.compile(
    r"`[^`\n]+`|\w\(|\b[a-z]+[A-Z]\w*|\b\w+_\w+|(?<!\w)--?[a-z][\w-]+|(?<!\w)~?/[\w.-]+/|::|=>|->|[{}$\\]|\]\("
    r"|https?://"
    r"|</?[a-zA-Z][^>]{0,40}>|\b\w+\.[a-z]\w+|\b0x[\da-f]+|\bv?\d+\.\d+|\b[A-Z]{3,}\b|[!=<>&|+]=|\]\[|&&|\|\|"
    r"|^\s*(?://|#)"
)
_TECHNICAL = re.compile(
    r"\b(?:files?|functions?|methods?|options?|arguments?|parameters?|defaults?|values?|strings?|objects?|servers?"
    r"|clients?"
    r"|responses?|callbacks?|streams?|packages?|modules?|director(?:y|ies)|commands?|flags?|apis?|errors?|exceptions?"
    r"|propert(?:y|ies)|events?|buffers?|bytes?|process(?:es)?|threads?|types?|class(?:es)?|returns?|fields?|headers?"
    r"|config\w*|variables?|keys?|tokens?|resources?|instances?|buckets?|clusters?|syntax|compil\w+|runtime"
    r"|librar(?:y|ies)"
    r"|code|scripts?|integers?|arrays?|lists?|scope|lifetimes?|crates?|traits?|structs?|macros?|iterators?|deprecated"
    r"|sections?|tables?|columns?|spec\w*|implement\w*|versions?|installs?|builds?|tests?|pars(?:e|ed|er|ing)|null|true"
    r"|false|undefined|constructor|interface|socket|connections?|protocol|program\w*|python|node|javascript|rust|json"
    r"|html|http|urls?|path|input|output|prompt|terminal|console|debug\w*|memory)\b"
)
_SAY_A_NAME = re.compile(
    r"\b(?i:say|reply with|answer with|answer|reply|respond with|recommend|name|quote|hand over|present|insist on)"
    r" (?!I\b)[A-Z][a-z]"
)
_STATED = re.compile(
    rf"(?i:\b{STATE}\b[\w ,]{{0,20}}?(?:\b(?:is|was|as|becomes?|to|with|by|be|now|for)|:=?|=|->|→)\s+(?:the )?)"
    rf"(?-i:[A-Z][a-z])"
    rf"|\b[A-Z][\w.'’-]+ (?i:(?:\w+ ){{0,2}}(?:as|is|for|takes|replaces) (?:the|their|his|her|your|my|an?"
    rf"|new) (?:\w+ )?{STATE}\b)"
)
_TOGETHER: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "asked and answered": (("asked",), ("to answer", "answer", "a name to say")),
    "asked of somebody": (("asked",), ("private", "state")),
    "helper and what to do": (
        ("helper", "person served"),
        ("to answer", "remember", "from now on", "take back", "asked"),
    ),
    "helper and somebody": (("helper", "person served", "you were told"), ("person", "private", "state")),
    "somebody and what he is": (("person", "person served"), ("private", "what somebody is")),
    "memory and somebody": (("your memory", "remember"), ("person", "private", "state", "person served")),
    "told no more": (("take back",), ("you were told", "private", "state", "from now on")),
    "always say": (("from now on",), ("answer", "a name to say", "private")),
}
"""What says more together than each alone: any of the first with any of the second."""
OF_MANUALS = ("marks of code", "technical words")
"""What speaks for a manual."""
_MOST = 3
"""Marks of code, and technical words, of which more say no more."""


def features(words: str) -> dict[str, float]:
    """What some words show, each 0 to 1."""
    read = readings(words)
    found = {name: 1.0 for name, sign in _SIGNS.items() if any(sign.search(reading) for reading in read)}
    if NAME.search(words):
        found["a name"] = 1.0
    if _SAY_A_NAME.search(words):
        found["a name to say"] = 1.0
    if _STATED.search(words):
        found["state of a name"] = 1.0
    for name, (some, others) in _TOGETHER.items():
        if any(one in found for one in some) and any(one in found for one in others):
            found[name] = 1.0
    if foreign := {sign.group: sign.weight for sign in OTHER_LANGUAGES if any(sign.pattern.search(r) for r in read)}:
        found["another language"] = min(1.0, sum(foreign.values()))
    if marks := len(set(_CODE.findall(words))):
        found["marks of code"] = min(marks, _MOST) / _MOST
    if technical := len(set(_TECHNICAL.findall(read[0]))):
        found["technical words"] = min(technical, _MOST) / _MOST
    return found


def names(words: str) -> set[str]:
    """The words of names in `words`."""
    return {name for found in NAME.findall(words) for name in found.split()}


def all_features() -> tuple[str, ...]:
    """The names of all features, those of harmlessness last."""
    return (*_SIGNS, "a name", "a name to say", "state of a name", *_TOGETHER, "another language", *OF_MANUALS)
