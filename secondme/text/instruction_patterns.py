"""Signs of a text that gives orders to its reader's assistant, or speaks in its owner's name; patterns of our own.

Each sign is a pattern over `disguise.readings` (lower case, without accents) with the weight it adds and the group it
belongs to: within a group the strongest counts. Weights are set by hand, tuned on one half of the attack families of
`secondme bench recall --make-poison` and proved on the other; an order needs somebody it is for, so that recipes, house
rules and mails that ask a person for something stay below the threshold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Group = Literal[
    "override", "address", "order", "memory", "owner", "secrecy", "marker", "trigger", "bridge", "authority"
]


@dataclass(frozen=True, slots=True)
class Sign:
    group: Group
    weight: float
    pattern: re.Pattern[str]


_AI = (
    r"(?:(?:ai|language|chat|virtual|digital|personal|memory) )?(?:assistants?|models?|companions?|copilots?|llms?|"
    r"chat ?bots?|ais?|agents?|bots?)"
)
SERVED = r"principal|account holder|person behind this account|person you (?:assist|work for|serve)"
_USER = rf"(?:the|this|our|my|your|its) (?:user|{SERVED})"
_OWNER = rf"(?:the|this|our|my|your|its) (?:users?|owner|{SERVED})"
_OWNED = rf"{_OWNER}(?:'s|’s)"
_RULES = (
    r"(?:instructions?|rules?|prompts?|guidelines?|directives?|polic(?:y|ies)|constraints?|commands?|"
    r"orders|restrictions?"
    r"|safety|safeguards?|programming|configuration)"
)
STATE = (
    r"(?:name|employer|company|job|boss|manager|doctor|dentist|physician|therapist|lawyer|accountant|"
    r"bank|birthday|address"
    r"|home|city|town|partner|wife|husband|spouse|sister|brother|allerg\w+|medication|dose|diet|blood type|insurance"
    r"|phone|email|password|pin|code|account|landlord|hairdresser|barber|mechanic|plumber|coach|trainer|"
    r"teacher|tutor|vet"
    r"|pharmac\w+|notary|mentor|gym|club|school|airline|hotel|restaurant|supplier|broker|agent|provider|"
    r"favou?rite\b[\w ]{0,20}|preferred\b[\w ]{0,20}|hobby|pet|dog|cat|car)"
)
_WANTS = (
    r"(?:wants?|prefers?|likes?|loves?|hates?|dislikes?|wishes|would like|would rather|trusts?|needs?|"
    r"expects?|asked|asks"
    r"|requested|requests|agreed|agrees|approved|approves|authori[sz]ed|authori[sz]es|confirmed|confirms|consented"
    r"|instructed|decided|said|says|told|stated|mentioned|stressed|switched|moved|changed|chose|chooses|uses|works"
    r"|lives|banks|has (?:a|an|no|been|now|since|always|already|switched|moved|changed|chosen|decided|asked|agreed"
    r"|approved|authori[sz]ed|confirmed|requested|stated|told|said|given|never)|is (?:a|an|now|called|"
    r"named|allergic|born"
    r"|employed|married|happy|fine|okay|vegan|vegetarian|no longer)|was born|no longer|always|never|usually|now)"
)

_DECIDES = (
    r"(?:wants?|prefers?|likes?|loves?|hates?|dislikes?|wishes|would like|would rather|trusts?|approved|approves"
    r"|authori[sz]ed|authori[sz]es|consented|instructed|banks)"
)
_ADVERBS = r"(?:also |really |strongly |now |still |explicitly |clearly |already |just |recently |has |have |had )*"


def _sign(group: Group, weight: float, pattern: str) -> Sign:
    return Sign(group, weight, re.compile(pattern))


SIGNS: tuple[Sign, ...] = (
    # What was said before shall not count.
    _sign(
        "override",
        1.0,
        rf"\b(?:ignor\w*|disregard\w*|forget|overrid\w+|bypass\w*|discard|drop|set aside|stop following|do not follow"
        rf"|don't follow|no longer follow|pay no attention to|cancel|replace|supersedes?|takes? (?:priority|"
        rf"precedence) over"
        rf"|outranks?|erase|delete|clear|throw out)\b.{{0,40}}"
        rf"\b(?:previous|prior|earlier|above|preceding|former|existing|original|other|old|all|any|your|system|default"
        rf"|every\w*|initial|current|these|those)\b.{{0,30}}\b{_RULES}\b",
    ),
    _sign(
        "override",
        1.0,
        r"\b(?:ignore|disregard|forget|discard|delete|erase|overwrite|wipe|drop)\b.{0,20}\b(?:everything|"
        r"anything|all|what"
        r"(?:ever)?|facts?|notes?|entries|memor(?:y|ies)|records?)\b.{0,25}\b(?:above|before|told|"
        r"previously|so far|earlier|you"
        r" (?:know|remember|stored|learned|were)|in (?:your )?memory|on file)\b",
    ),
    _sign(
        "override",
        0.8,
        rf"\b(?:new|updated|revised|real|actual|secret|hidden|override) (?:system )?{_RULES}\b\s*(?::|"
        rf"for you|follow)",
    ),
    _sign("override", 0.8, r"\b(?:developer|debug|admin|maintenance|god|jailbreak|dan|unrestricted) mode\b"),
    _sign(
        "override",
        1.0,
        r"\b(?:everything|anything|all|whatever|what) (?:that )?(?:you|it|the (?:assistant|ai|model|memory)) (?:ever )?"
        r"(?:learned|was told|were told|know|remember|hold|holds|have|has|stored|believed?)\b.{0,40}\b(?:wrong|false"
        r"|outdated|invalid|obsolete|a lie|void|mistaken|incorrect)\b",
    ),
    _sign(
        "override",
        1.0,
        rf"\b(?:overrul\w+|overrid\w+|outranks?|cancels?|supersedes?|replaces?|trumps?) (?:all |any |the |"
        rf"your )*{_RULES}\b"
        r".{0,20}\b(?:you|given|above|before)\b"
        r"|\b(?:drop|forget|ignore|delete|erase|discard|wipe|purge)\b.{0,15}\b(?:stored|saved|remembered|"
        r"recorded|known)\b"
        r".{0,12}\b(?:facts?|notes?|entry|entries|records?|values?|memor\w+)\b",
    ),
    # Somebody speaks to the assistant.
    _sign(
        "address",
        0.7,
        rf"\b(?:(?:dear|hey|hello|hi|attention|note|message|notice|memo|reminder|instructions?|directive|"
        rf"guidance|advice|knowledge|information|facts?|hint|context|update|correction"
        rf"|important|request|task|order|rule)s?,?(?: (?:for|to))?(?: (?:the|all|any|every|your))? {_AI}\b"
        rf"|(?:any|every|the) {_AI} (?:that|which|who|reading|processing|summari[sz]ing|indexing|must|should|"
        rf"shall|to|is (?:to|asked)))\b",
    ),
    _sign("address", 0.6, rf"^\W*(?:{_AI})\s*[,:—-]"),
    _sign("address", 0.7, rf"\byou are (?:now )?(?:an?|the|no longer|acting as)\b.{{0,30}}\b(?:{_AI}|dan|persona)\b"),
    _sign("address", 0.6, rf"\b(?:as|being) (?:an?|the|its|your|their|my|a helpful) {_AI}\b"),
    _sign("address", 0.6, rf"\b(?:if|when|once|while|after|before) (?:you are|you're|an?|the|any)\s?(?:an? )?{_AI}\b"),
    _sign(
        "address",
        0.6,
        r"\b(?:your|the assistant's|its) (?:(?:long[- ]term |persistent |own )?memor(?:y|ies)|instructions|"
        r"system prompt"
        r"|guidelines|training|context window|user|owner|knowledge base|(?:user )?profile of|core memory|"
        r"memory store)\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:when(?:ever)?|if|once|every time|each time|any ?time|as soon as|should)\b.{0,30}\b(?:asks?|"
        r"asked|asking|queried"
        r"|questioned|quer(?:y|ies)|questions?|prompted|inquires?|wants? to know|comes? up|is (?:mentioned|"
        r"discussed|raised))\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:questions?|quer(?:y|ies)|requests?|prompts?)\b.{0,30}\b(?:about|regarding|concerning|on|"
        r"containing)\b.{0,60}\b(?:should|must"
        r"|shall|are to|is to|has to|have to|needs? to|will)\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:for|to|on|in|with) (?:any |all |every |each |the |such |these )?(?:questions?|quer(?:y|ies)|requests?)\b"
        r".{0,70}\b(?:answer|reply|respond|say|return|give|name)\b",
    ),
    _sign(
        "address", 0.5, r"\bthe (?:only |one )?(?:right|correct|proper|true|valid) (?:answer|reply|response|entry)\b"
    ),
    _sign(
        "address",
        0.7,
        r"\b(?:the|your|every|any|each|all) (?:answers?|repl(?:y|ies)|responses?|"
        r"outputs?)\b.{0,15}\b(?:must|should|shall"
        r"|has to|have to|is to|are to|needs? to)\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:it|one|name|value|person|thing)s? you (?:may|must|should|can|shall|are to) (?:name|say|give|tell|use)\b",
    ),
    _sign(
        "address",
        0.5,
        r"\b(?:answer|reply|respond to|handle|resolve)\b.{0,20}\b(?:questions?|quer(?:y|ies)|prompts?|"
        r"anything|requests?)\b",
    ),
    _sign(
        "address",
        0.5,
        r"\b(?:tell|inform|advise|convince|persuade|recommend to|suggest to|remind|warn|show|"
        r"ask)\b.{0,4} ?(?:the|your) (?:user|owner)\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:in|with|to|of) (?:your|all|every|each|any|future|later|subsequent)\b.{0,12}\b(?:answers?|"
        r"repl(?:y|ies)|responses?|outputs?|conversations?|sessions?|chats?|summar(?:y|ies))\b",
    ),
    _sign(
        "address",
        0.7,
        r"\b(?:questions?|quer(?:y|ies)|requests?|look-?ups?|inquir(?:y|ies)|"
        r"searches)\b.{0,60}\b(?:resolves?|points?|leads?"
        r"|maps?|routes?|refers?|redirects?|returns?|yields?) (?:to|with)\b",
    ),
    _sign(
        "address",
        0.6,
        r"\b(?:as|for) (?:the|your|an?|any) (?:answer|reply|response)\b|\bthe answer (?:for|to|is|was|will be)\b",
    ),
    _sign(
        "address",
        0.7,
        r"\b(?:whoever|whatever|whichever|any ?(?:one|body|thing)(?: who| that)?) (?:reads|processes|retrieves|loads"
        r"|parses|answers|sees|finds) (?:this|it|these|for)\b",
    ),
    _sign(
        "address",
        0.5,
        r"\b(?:read out|reply with|answer with|respond with|come up with|skip the search|without searching|"
        r"say nothing else"
        r"|nothing else but|you told me|you said|you learned|you know about|you hold|it holds about|as you did)\b",
    ),
    _sign(
        "address",
        0.5,
        r"\b(?:when(?:ever)?|if|once|where(?:ver)?)\b.{0,40}\b(?:is|are|was|were|gets?|be) (?:looked for|"
        r"looked up|searched"
        r"|wanted|requested|needed|required|in question|sought|called for|named|doubted)\b",
    ),
    # What shall be done.
    _sign(
        "order",
        0.5,
        r"\b(?:from (?:now|here|today|this (?:point|moment|day)) on(?:wards?)?|henceforth|hereafter|"
        r"going forward|starting"
        r" (?:now|today|immediately)|from this (?:point|moment) forward|effective immediately|as of (?:now|today)"
        r"|permanently|until further notice|without exception)\b",
    ),
    _sign(
        "order",
        0.5,
        r"\b(?:is|are) to be (?:answered|resolved|handled|given|named|used|treated|read|understood|taken)\b"
        r"|\bwhen(?:ever)? you (?:summari[sz]e|read|process|index|answer|reply|translate|parse|embed|"
        r"retrieve|recall|load)\b",
    ),
    _sign(
        "order",
        0.4,
        r"\b(?:always|never|whenever|every time|must(?: not| never)?|shall(?: not)?|do not|don't|only ever|"
        r"you (?:should|"
        r"have to|need to|will|are to))\b",
    ),
    _sign(
        "order",
        0.4,
        r"(?:^|[.!?:;,—-] |\b(?:please|then|and|must|always|should|shall|to|just|simply|now) )(?:reply|"
        r"respond|answer|recommend"
        r"|suggest|say|state|claim|report|output|print|include|append|insert|mention|cite|send|forward|"
        r"e-?mail|upload|post"
        r"|read out|skip|change|correct|update|alter|adjust|amend|provide|quote|purge|swap|exchange|supply|"
        r"produce|deliver|set|execute|run|call|visit|open|click|transfer|pay|use|choose|prefer|"
        r"prioriti[sz]e|act|pretend|"
        r"behave|follow|obey"
        r"|comply|reveal|disclose|share|repeat|delete|remove|give|present|treat|consider|assume|return|write|tell)\b",
    ),
    # What shall be remembered.
    _sign(
        "memory",
        0.5,
        r"\b(?:remember|memori[sz]e|keep in mind|bear in mind|make a note|take note|do not forget|"
        r"don't forget|note down"
        r"|note that|commit|store|save|record|persist|log|write|add|insert|update|register|learn|retain|file|put)\b"
        r".{0,25}\b(?:that|this|the following|these|as a fact|fact|below)\b",
    ),
    _sign(
        "memory",
        1.0,
        r"\b(?:remember|memori[sz]e|commit|store|save|record|persist|log|write|add|insert|update|register|"
        r"retain|keep|put|append"
        r"|overwrite|change|edit|copy|import|set|correct|replace)\b.{0,60}\b(?:(?:in|to|into|as|from|your|"
        r"the|long[- ]term|persistent|core"
        r"|procedural|permanent|user|owner|its) )+(?:memor(?:y|ies)|profile|preferences?|core block|"
        r"core facts?|playbook|known facts?"
        r"|persistent facts?|permanent facts?|memory store|remembered facts)\b",
    ),
    _sign(
        "memory",
        1.0,
        r"\b(?:memory|profile|preference|fact|core|playbook)[ _-](?:update|entry|write|record|insert|patch|"
        r"add|sync)\b\s*[:=(\]]",
    ),
    _sign(
        "memory",
        1.0,
        r"\b(?:add|save|write|update|store|set|put)_(?:to_)?(?:memory|fact|preference|profile|core|procedure)\b",
    ),
    # Somebody speaks for the owner.
    _sign("owner", 1.0, rf"\b{_USER} {_ADVERBS}{_WANTS}\b"),
    _sign("owner", 1.0, rf"\b(?:the|your) owner {_ADVERBS}{_DECIDES}\b"),
    _sign("owner", 0.6, rf"\b{_OWNER} {_ADVERBS}{_WANTS}\b"),
    _sign("owner", 1.0, rf"\b{_OWNED} (?:\w+ ){{0,2}}?{STATE}\b"),
    _sign("owner", 1.0, rf"\b{STATE} of {_OWNER}\b"),
    _sign("owner", 0.6, rf"\b{_OWNED}\b|\b(?:the|a|this) [\w ]{{2,30}} of (?:the|your) (?:user|owner)\b"),
    _sign("owner", 0.4, rf"\b{_OWNER}\b"),
    _sign("owner", 0.5, rf"\bmy {STATE} (?:is|was|are|has|lives|works)\b"),
    _sign(
        "secrecy",
        0.6,
        r"\b(?:do not|don't|never|without|avoid|must not|not to)\b.{0,12}\b(?:tell\w*|mention\w*|reveal\w*|"
        r"inform\w*|alert\w*|notify\w*|disclos\w*|show\w*|warn\w*|explain\w*|ask\w*|"
        r"question\w*)\b.{0,30}\b(?:user|owner|anyone|anybody|this (?:note|message|instruction|rule|text|"
        r"sentence|comment)|confirmation|permission|approval|instructions?)\b",
    ),
    _sign("secrecy", 0.5, r"\b(?:keep|stay)\b.{0,20}\b(?:secret|hidden|silent|between us|to yourself)\b"),
    # Marks of templates and turns; a turn's own mark is judged by `instructions`.
    _sign("marker", 1.0, r"[\[(<{](?:system|assistant|admin\w*|developer|memory|instructions?)\b[^\])>}]{0,30}[\])>}]"),
    _sign(
        "marker",
        1.0,
        r"<\|?(?:im_start|im_end|system|user|assistant|endoftext|eot_id|start_header_id)\b|\[/?inst\]|"
        r"<</?sys>>|</?(?:system|instructions?|assistant|memory|tool_call|owner)>",
    ),
    _sign(
        "marker",
        1.0,
        r"#{2,} ?(?:system|instructions?|new instructions?|assistant|response|human|user)\b ?:?|"
        r"\bbegin (?:system|hidden|new|secret) (?:prompt|instructions?|message)\b",
    ),
    _sign("marker", 1.0, r"[\"']?role[\"']?\s*[:=]\s*[\"']?(?:system|user|assistant|developer|owner)\b"),
    _sign(
        "marker",
        0.6,
        r"\b(?:user|owner|assistant|memory)[_ .-]?(?:profile|facts?|memory|prefs|preferences|data)\b\s*[:=.\[(]"
        r"|\bprofile\.[\w ]{2,30}(?::=|=|:)",
    ),
    _sign("order", 0.4, r"\b(?:override|overwrite|force|priority)\s*[:=]\s*(?:true|yes|1|high\w*|max\w*)|#\s*sync"),
    _sign(
        "trigger",
        0.7,
        r"\b(?:trigger|activation|activate|magic|code|secret|wake|control|override)[ -]?(?:word|phrase|"
        r"token|code|string|sequence)s?\b",
    ),
    _sign(
        "trigger",
        0.7,
        r"\bwhen(?:ever)? (?:you|it|the (?:user|owner|assistant|model)|someone|a (?:query|question|message)|"
        r"the (?:query|question|message))\b.{0,20}\b(?:see|sees|read|reads|hear|hears|encounters?|contains?|"
        r"includes?|ends? with|mentions?|says?)\b",
    ),
    # A name shall stand for another, so that a question leads to a record of somebody else's (query-only injection).
    _sign(
        "bridge",
        0.6,
        r"\b(?:refer|redirect|switch|look(?: it)? up|looked up|resolve|map|point|route|"
        r"defer)s?\b.{0,40}\b(?:to|under|at|as|instead)\b"
        r"|\b(?:instead of|in place of|rather than|stands? for|(?:an? )?(?:alias|synonym|stand-in|"
        r"substitute|placeholder|new name|other name) (?:of|for)|now means|"
        r"should be read as|is to be read as"
        r"|counts? as|(?:is|are|was|were) (?:now |since )?(?:saved|stored|kept|filed|recorded|listed|found|"
        r"moved|merged)(?: \w+)? (?:under|with|into|in the entry))\b",
    ),
    _sign(
        "bridge",
        0.5,
        r"\b(?:questions?|quer(?:y|ies)|requests?|look-?ups?|searches)\b.{0,60}\b(?:resolves?|points?|maps?|"
        r"redirects?|returns?|yields?)\b",
    ),
    _sign(
        "bridge",
        0.5,
        r"\b(?:is|are) (?:to be )?(?:read|understood|taken|meant) as\b|\b(?:two|other|second) names?\b|\blabel\b"
        r"|\b(?:is|are) (?:right|correct)\b|\bhand over\b",
    ),
    _sign(
        "bridge",
        0.5,
        r"\b(?:renamed|replaced|superseded|outdated|obsolete|void|stale|overwritten|(?:no longer|"
        r"not) (?:valid|current|in use))\b"
        r"|\b(?:earlier|older|previous|existing|stored|other) (?:entr(?:y|ies)|records?|values?|facts?|notes?|data)\b",
    ),
    _sign(
        "bridge",
        0.4,
        r"\b(?:therefore|hence|thus|so)\b.{0,30}\b(?:answer|reply|the (?:right|correct|current) (?:answer|"
        r"entry|value))\b|\bthe (?:only |one )?(?:right|correct|only|proper) (?:answer|reply|response) (?:is|to)\b",
    ),
    _sign(
        "authority",
        0.8,
        rf"\b(?:according to|as|per|by order of|on behalf of|with the (?:consent|approval|permission) of|"
        rf"confirmed by|verified by|approved by|authori[sz]ed by|signed by|on the authority of|quoting|"
        rf"dictated by|written by) {_OWNER}\b",
    ),
    _sign(
        "authority",
        0.8,
        r"\b(?:owner|user)[- ](?:approved|verified|confirmed|authori[sz]ed|stated|provided)\b|\b(?:source|"
        r"trust|author|speaker|said by|approved by|authority)\s*[:=] ?(?:the )?(?:owner|user)\b",
    ),
    _sign(
        "authority",
        0.7,
        r"\b(?:as you (?:said|told|confirmed|agreed|know|requested|asked)|you (?:already )?(?:told|"
        r"confirmed|agreed|approved))\b.{0,40}\b(?:earlier|before|previously|last|already|in (?:our|a|"
        r"the))\b",
    ),
)

# An order to forget what was told, or one to remember for good, as it is said in the languages that documents come in.
OTHER_LANGUAGES: tuple[Sign, ...] = (
    _sign(
        "override",
        1.0,
        r"\b(?:ignorier\w*|vergiss|missachte\w*|ubergeh\w*|ignore[zr]?|ignora\w*|oublie[zr]?|olvida\w*|"
        r"dimentica\w*|esque[cç]a|negeer|vergeet|zignoruj|ignorera)\b.{0,40}\b(?:anweisung\w*|regeln|"
        r"vorgaben|instructions?|consignes|instrucciones|reglas|istruzioni|regole|instrucoes|regras|"
        r"instructies|regels|instrukcje|polecenia|instruktioner\w*)\b",
    ),
    _sign(
        "memory",
        1.0,
        r"\b(?:merke? dir|speicher\w*|notier\w*|souviens-toi|rappelle-toi|memorise[zr]?|enregistre[zr]?|"
        r"retiens|retenez|recuerda|memoriza|guarda\w*|ricorda\w*|memorizza|salva\w*|lembre|memorize|onthoud|"
        r"bewaar|zapamietaj|kom ihag)\b.{0,60}\b(?:nutzer\w*|benutzer\w*|besitzer\w*|inhaber\w*|gedachtnis|"
        r"speicher|utilisateur|proprietaire|memoire|usuario|dueno|propietario|memoria|utente|proprietario|"
        r"usuario|dono|gebruiker|eigenaar|geheugen|uzytkownik\w*|wlasciciel\w*|pamieci|anvandare\w*|"
        r"agare\w*|minnet?)\b",
    ),
    _sign(
        "owner",
        1.0,
        r"\b(?:(?:der|die) (?:nutzer|benutzer)(?:in)?|l'utilisateur|el usuario|l'utente|o (?:usuario|"
        r"utilizador)|de gebruiker|"
        r"uzytkownik|anvandaren)\b.{0,30}\b(?:bevorzugt|mochte|mag|wohnt|arbeitet|vertraut|wunscht|prefere|veut|"
        r"souhaite|aime|habite|travaille|quiere|prefiere|desea|vive|trabaja|vuole|preferisce|desidera|abita|lavora|"
        r"quer|deseja|mora|trabalha|verkiest|woont|werkt|woli|chce|mieszka|foredrar|vill|bor)\b",
    ),
    _sign(
        "owner",
        0.6,
        r"\b(?:(?:der|die) (?:besitzer|inhaber)(?:in)?|le proprietaire|el (?:dueno|propietario)|"
        r"il proprietario|o dono|de eigenaar|"
        r"wlasciciel|agaren|des (?:nutzers|benutzers|besitzers|inhabers)|de l'utilisateur|du proprietaire|"
        r"del (?:usuario|dueno|propietario)|dell'utente|del proprietario|do (?:usuario|utilizador|dono)|"
        r"van de (?:gebruiker|eigenaar)|uzytkownika|wlasciciela)\b",
    ),
    _sign(
        "order",
        0.6,
        r"\b(?:ab (?:jetzt|sofort)|von nun an|kunftig|desormais|a partir de maintenant|dorenavant|"
        r"a partir de ahora|de ahora en adelante|d'ora in poi|a partir de agora|vanaf nu|od teraz|"
        r"fran och med nu)\b",
    ),
    _sign(
        "address",
        0.7,
        r"\b(?:assistent\w*|ki-\w+|sprachmodell|assistant ia|modele de langage|asistente|"
        r"modelo de lenguaje|assistente|modello linguistico|modelo de linguagem|taalmodel|asystent\w*|"
        r"wenn (?:du|sie|man|jemand) .{0,20}(?:gefragt|fragt|fragst)|fragen (?:nach|zu)|aux questions|"
        r"a las preguntas|alle domande|as perguntas|op vragen|si (?:on|l'on) te demande|"
        r"lorsqu'on te demande|cuando te pregunten|si te preguntan|quando ti chiedono|se ti chiedono|"
        r"quando perguntarem|als (?:men|je) .{0,12}vraagt)\b",
    ),
    _sign(
        "order",
        0.5,
        r"\b(?:antworte\w*|empfiehl|empfehle|reponds|repondez|recommande\w*|responde|recomienda|rispondi|"
        r"consiglia|raccomanda|responda|recomende|antwoord|odpowiadaj|polecaj|svara)\b",
    ),
    _sign(
        "override",
        1.0,
        r"\b(?:glem|unohda|unut\w*|zapomen\w*|uita|felejtsd el|ignorer\w*)\b.{0,40}\b(?:instruktion\w*|anvisning\w*"
        r"|instruks\w*|ohjee\w*|ohjeet|talimat\w*|pokyn\w*|instructiuni\w*|utasitas\w*|regler|saannot)\b"
        r"|\b(?:talimat\w*|utasitas\w*)\b.{0,20}\b(?:unut\w*|felejts\w*)\b",
    ),
    _sign(
        "owner",
        1.0,
        r"\b(?:brugeren|brukeren|kayttaja|kullanici|uzivatel|felhasznalo|"
        r"utilizatorul)\b.{0,40}\b(?:foretr\w+|onsker|vil"
        r"|suosii|haluaa|tercih|istiyor|preferuje|chce|szeretne|prefera|vrea|vil ha)\b",
    ),
    _sign(
        "order", 0.6, r"\b(?:fra na|fra nu af|fra na av|tasta lahtien|bundan sonra|bundan boyle|odted|od nynejska)\b"
    ),
    _sign(
        "owner",
        1.0,
        r"(?:사용자|주인)\S*.{0,20}(?:선호|원합|좋아)|المستخدم.{0,20}(?:يفضل|يريد)|користувач.{0,30}(?:віддає перевагу|"
        r"хоче)",
    ),
    _sign("override", 1.0, r"(?:игнорир\w*|забуд\w*|не обращай внимания).{0,40}(?:инструкци|указани|правил)"),
    _sign(
        "owner",
        1.0,
        r"(?:пользовател|владел)\w*.{0,30}(?:предпочитает|хочет|просил|живет|работает|любит|доверяет|"
        r"одобрил)",
    ),
    _sign("memory", 1.0, r"(?:запомни|сохрани|запиши)\w*.{0,60}(?:памят|пользовател|владел)"),
    _sign("order", 0.6, r"(?:отныне|с этого момента|впредь|всегда отвечай|рекомендуй)"),
    _sign("address", 0.6, r"(?:ассистент|помощник|языковая модель|если (?:тебя|вас) спрос|когда (?:тебя|вас) спрос)"),
    _sign("override", 1.0, r"(?:忽略|无视|忘记|無視).{0,12}(?:指令|指示|规则|提示|規則|说明|命令)"),
    _sign(
        "owner",
        1.0,
        r"(?:用户|主人|机主|ユーザー|所有者|オーナー|持ち主).{0,14}(?:喜欢|偏好|想要|要求|希望|已经"
        r"|的(?:雇主|银行|医生|地址|城市|公司|名字)|好み|好き|望んで|希望し)",
    ),
    _sign(
        "memory",
        1.0,
        r"(?:记住|记录|保存|存入|写入|覚えて|記憶|保存して).{0,20}(?:记忆|内存|用户|主人|ユーザー|所有者|メモリ|記憶)"
        r"|(?:记忆|メモリ|記憶)(?:に|中|里).{0,12}(?:保存|写入|记住|覚え)",
    ),
    _sign("order", 0.6, r"(?:从现在起|今后|以后|务必|总是|今後|これから|必ず|常に)"),
    _sign("address", 0.6, r"(?:助手|助理|语言模型|アシスタント|言語モデル|当(?:被|用户)?问|聞かれたら|質問されたら)"),
)

THIRD_PARTIES = re.compile(
    r"\b(?:customers?|clients?|patients?|guests?|visitors?|callers?|students?|pupils?|staff|employees?|colleagues?"
    r"|volunteers?|residents?|members?|passengers?|travell?ers?|readers?|applicants?|candidates?|tenants?|interviewers?"
    r"|reviewers?|authors?|writers?|editors?|contributors?|maintainers?|parents?|children|kids|players?|"
    r"drivers?|teams?)\b"
)
"""Whom an order may be about that has nothing to do with a memory's owner."""

REPORTING = re.compile(
    r"\b(?:attack(?:er)?s?|inject\w*|malicious|phishing|adversar\w*|exploit\w*|researchers?|jailbreaks?|"
    r"such as|for example|for"
    r" instance|e\.g|phrases?|strings?|known as|called|quoted?|reads|wrote|writes|says|said|titled|"
    r"payloads?|poison\w*)\b"
)
"""Words that tell that what stands in quotation marks is reported, not said."""
