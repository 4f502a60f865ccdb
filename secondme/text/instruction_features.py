"""Features of words that are for an assistant of somebody, and of words of a manual: patterns of our own, 0 to 1 each.

What each weighs is learned (`instruction_evidence`). Patterns are over `disguise.readings`, but for names and marks of
code, which are seen as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from secondme.text.disguise import readings
from secondme.text.instruction_languages import foreign_fields
from secondme.text.instruction_patterns import OTHER_LANGUAGES, STATE

_HELPER = (
    r"(?:assistants?|chat ?bots?|bots?|(?:language|ai) models?|llms?|ais?|copilots?|(?:ai|digital|virtual|personal"
    r"|memory|chat|mail|automated) (?:agents?|helpers?|assistants?|tools?|systems?|companions?)|machines only"
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
    r"|person (?:you|it|who|that|behind|using|speaking|asking)\b[\w ]{0,12})|(?:this|that) person(?! (?:is|was|has)\b)"
)
_PRIVATE = (
    r"(?:employer|boss|doctor|dentist|physician|therapist|lawyer|accountant|bank|birthday|home (?:city|town|address)"
    r"|hometown|wife|husband|spouse|sister|brother|mother|father|daughter|allerg\w+|medication|blood type|insurance"
    r"|landlord|hairdresser|barber|plumber|pharmac\w+|notary|gym|airline|hotel|restaurant|favou?rite|hobby"
    r"|phone number|salary|religion|diagnosis|surgeon)"
)
_KEEPING = (
    r"reads?|keeps?|holds?|stores?|index(?:es)?|summari[sz]es?|condenses?|recalls?|remembers?|crawls?|process(?:es)?"
    r"|answers?"
    r"|translates?|parses|ingests?|retrieves?|embeds?|quotes?|comes? to you|asks? you"
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
        r" (?:that |whom? )?you (?:serve|assist|look after|care for|help|work for"
        r"|work with|talk to|speak (?:to|with)|answer|are (?:helping"
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
        r"|responses?|conversations?|chats?|summar(?:y|ies))\b|\byour (?:final |next )?(?:answer|reply|response"
        r"|summary)\b|\bthe (?:only |one )?(?:right|correct|proper|true) (?:answer|reply|one|entry)\b"
        r"|\bonly (?:one|name|value) you\b|\bwhat you (?:say|answer|name|give|tell)\b"
        r"|\b(?:each|every|any|all|later|future) (?:(?:later|future|further|other|next) )?(?:answers?|replies"
        r"|reply|responses?|summaries|summary)\b.{0,30}\b(?:must|has to|have to|should|shall|is to|are to"
        r"|ends?|begins?)\b|\bbefore (?:each|every|any) (?:answer|reply|response)\b"
        r"|\banswers (?:given|made) (?:in|by)\b"
        r"|\b(?:rest|remainder) of (?:the|this|your) (?:conversation|talk|chat)\b"
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
        r"|\b(?:into|in|to) (?:the |your )?(?:memory|profile) of\b|\b(?:user|owner)(?:'s)? profile\b\W{0,3}[\[:=/.{]"
        r"|\bmemories\b"
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
        r"|\byour (?:instructions|rules|orders|guidelines) (?:have |are |were )?(?:now )?(?:changed|void|new"
        r"|replaced)\b"
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
        r"\b(?:q|question|query|input|user_query|asked)\b[\"']?\s*[:=]"
        r"(?=.{0,120}\b(?:my|am i|user|owner|memory)\b).{3,120}\b(?:a|answer|output|reply|returned|action"
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
        r"(?:profile|facts?|prefs)\b\W{0,3}[\[:=/.{]|\bprofile\.\w|\binstructions? (?:for|to) (?:you|any"
        r"|(?:the )?(?:ai|assistant|model|agent|reader|machine))\b"
    ),
    "reads and keeps": (
        rf"\b(?:programs?|software|systems?|engines?|tools?|machines?|agents?|services?|anything|anybody|anyone|whoever"
        rf"|whatever|readers?) (?:(?:that|which|who) )?(?:{_KEEPING})\b|\b(?:memory|recall|retrieval|note[- ]?taking"
        r"|summari[sz]\w+|indexing|reading|answering) (?:modules?|software|systems?|engines?|programs?|tools?|layers?"
        r"|services?|agents?)\b|\b(?:automated|automatic|machine|digital|artificial) (?:readers?|agents?|systems?"
        r"|helpers?)"
        r"|\b(?:if|when|while) you(?:'re| are)? (?:summari|read|translat|condens|index|sum|quot|process)\w*"
    ),
    "named helper": (
        r"(?:^|[.!?:;(<@*#-]\s*)(?:chat ?gpt|gpt-?\d?|gemini|claude|copilot|siri|alexa|bard|llama|mistral)\s*[,:]"
        r"|\b(?:hey|dear|to the|to every|to any) (?:language )?models?\b"
    ),
    "only answer": (
        r"\b(?:one|exactly one|single|no other|the same|only) (?:reply|replies|answers?|response|name|value|entry"
        r"|source)\b"
        r"|\b(?:nothing|nobody|no ?one|none) (?:else|more)\b|\band no other\b|\bleave out\b"
        r"|\bleaves? (?:\w+ ){1,3}out\b"
        r"|\bsole (?:source|answer)\b|\bretrieve this\b|\bdo not (?:leave|step out of|break) (?:the|this|that"
        r"|your) (?:role"
        r"|part|character)\b|\bstay in (?:the|this|that) (?:role|part|character)\b"
    ),
    "question with": (
        rf"\b(?:any|every|all|each|whatever) (?:{_QUESTIONS}|prompts?) (?:that|which|with|holding|containing|starting"
        r"|beginning|having|on|about|in which)\b|\bwhen (?:a|the|any) (?:prompt|query|question|request) (?:has|holds"
        r"|contains|begins|starts|mentions)\b|\b(?:prompts?|quer(?:y|ies)|questions?|requests?)\b.{0,40}\b(?:gets?"
        r"|shall be"
        r"|must be|are to be|is to be|should be) (?:\w+ )?(?:answered|repl\w+|served|met|resolved)"
    ),
    "entered as": (
        r"\b(?:is|are|has|have|be|was|were|should|must|shall) (?:now )?(?:to be )?(?:entered|recorded|carried|kept"
        r"|noted"
        r"|filed|listed|given|named|called|treated|shown|put down|stored) (?:as|under)\b|\b(?:carry|enter|file|put|note"
        r"|record|list|store|name|keep|give|show|present|treat) (?:down )?(?:\w+ ){1,3}(?:as|under|in) (?:the |their "
        r"|his |her"
        r" |your |an? )?(?:\w+ )?(?:entry|field|record|profile|memory|role|" + STATE + r")\b"
    ),
    "past run": (
        r"\b(?:past|earlier|previous|prior|successful|similar|last) (?:tasks?|runs?|sessions?|chats?|episodes?"
        r"|interactions?|conversations?|quer(?:y|ies)|trajector(?:y|ies))\b|\b(?:experience|reflection|observation"
        r"|thought"
        r"|lesson learned|lessons learned|skill|episode|feedback|reward|trajectory|ground_?truth|best answer"
        r"|final answer|few[- ]shot|demonstration|plan)\b ?(?:\d+ ?)?[:=]|\bdo the same (?:next|again)"
        r"|\bfor (?:all )?such"
        r" (?:tasks|questions|cases|requests)\b|\bcached? (?:answer|reply)\b"
    ),
    "entry of memory": (
        r"\b(?:memory|memories|knowledge base|profile|preference|fact)s? ?(?:update|entry|record|item|no\.?|#|card|row"
        r"|summary|note|sync|base)s?\b ?[#\d:,(]|\b(?:memory|fact)s? ?#? ?\d|\buser (?:profile|card|facts?|record"
        r"|data)\b\W{0,3}[\[:=/.{]"
        r"|\bfacts? (?:about|on) the (?:user|owner)\b|\bnotes? (?:on|about) (?:the|this) (?:user|owner|man|woman|person"
        r"|programmer|developer|human)\b|\b(?:conversation|session|chat) summary\b|\bsummary of (?:our|the) (?:last"
        r"|previous"
        r"|conversation|chat|session)|\bthis memory\b|\bin (?:my|your|its) memory\b|\bpreference record\b"
        r"|\bmemory[.:/-][a-z]"
    ),
    "user of a record": (
        rf"(?<![\w@<./$-])users?(?!['’]?s?[ _-]?(?:{_THING}|experience|guide|interface|agent|name|id))(?:'s"
        rf"|’s)? (?:\w+ ){{0,1}}"
        rf"(?:said|told|asked|confirmed|stated|corrected|thanked|wants|prefers|prefer|changed|goes with|likes|moved"
        rf"|is now"
        rf"|was happy|content|{STATE})\b|\bsubject: ?(?:user|owner)\b|\bsource\W{{1,4}}user\b|\bfor user\b|^user[,/ ]"
    ),
    "mark of a record": (
        r"\b(?:confidence|importance|score|reward|votes?|rating|provenance|verified|confirmed|priority|locked"
        r"|weight|trust|stated)\b ?\W{0,3}(?:\d|true|yes|high|max|confirmed|verified|active|by (?:the )?(?:user|owner)"
        r"|twice|once)|\((?:verified|confirmed|stated|approved)\b[^)]{0,30}\)|\bthis line was\b"
        r"|\bstatus\W{1,4}(?:confirmed|verified|active|final)"
    ),
    "kept about the writer": (
        r"\b(?:remember|keep|note|save|store|record|write down|learn|memori[sz]e|take down|put down)\b.{0,25}"
        r"\b(?:about|of|on) (?:me|her|him|them|us)\b|\b(?:take|write|put|note) (?:that|this|it) down\b"
        r"|\b(?:store|save|remember|note|keep) (?:that|this|it)\b"
    ),
    "belief": (
        r"\bcorrection (?:to|of|for) (?:what|the|your|my|all)\b|\bwhat you (?:know|believe|remember|hold|have|think)\b"
        r"|\b(?:what is|what's|what was) (?:remembered|stored|saved|known|believed)\b|\b(?:any|all"
        r"|every) other (?:answers?"
        r"|entr(?:y|ies)|values?|names?|notes?)\b|\bout of date\b|\bit(?:'s| is) (?:now )?called\b|\bisn't called\b"
    ),
    "owner's computer": (
        r"\b(?:owner|user|holder|person|man|woman|human|programmer|developer|administrator|admin|reader|addressee"
        r"|customer"
        r"|patient) (?:of|at|behind|who (?:opened|owns|reads|runs|sits)) (?:this|the|these)\b|\breader(?:'s|’s) "
        rf"(?:\w+ )?{STATE}\b|\b(?:this|the) (?:programmer|developer|man|woman|customer|listener|addressee)(?:'s"
        rf"|’s)? (?:\w+ )?"
        rf"(?:wants|prefers|likes|{STATE})\b|\b(?:its|their|his|her) (?:listener|human|owner|user|master|principals?)\b"
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
_STORY = re.compile(
    r"\b(?:he|she|i|they|we|it|who|there) (?:was|were|had|said|went|came|saw|took|thought|knew|could|did|would|felt"
    r"|rose|sat|stood|heard|found|made|kept|gave|ran|wrote|spoke|[a-z]{2,}ed)\b|[“”]"
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
    "reader and what to do": (
        ("reads and keeps", "named helper", "owner's computer"),
        (
            "to answer",
            "answer",
            "remember",
            "entered as",
            "only answer",
            "private",
            "a name to say",
            "kept about the writer",
        ),
    ),
    "question and its answer": (
        ("question with",),
        ("only answer", "a name to say", "state of a name", "private", "passes the search"),
    ),
    "memory and its user": (
        ("entry of memory", "your memory", "past run"),
        ("user of a record", "person", "mark of a record", "belief", "state", "private", "asked"),
    ),
    "user and a mark": (("user of a record", "person"), ("mark of a record", "belief")),
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
_OF_ANY_TEXT = frozenset(
    """a name;a name to say;state of a name;state;private;marks of code;technical words;tells a story;as the owner
    asks of himself;to answer;answer;stands for;from now on""".replace("\n    ", ";").split(";")
)
OF_MANUALS = ("marks of code", "technical words", "tells a story")
"""What speaks for a manual, or for a tale."""
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
    if fields := foreign_fields(read):
        found["fields of another language"] = fields
    if marks := len(set(_CODE.findall(words))):
        found["marks of code"] = min(marks, _MOST) / _MOST
    if told := len(_STORY.findall(read[0])):
        found["tells a story"] = min(told, _MOST) / _MOST
    if technical := len(set(_TECHNICAL.findall(read[0]))):
        found["technical words"] = min(technical, _MOST) / _MOST
    return found


def is_telling(found: Iterable[str]) -> bool:
    """Whether among features is one that is not said of anybody and in any manual."""
    return not _OF_ANY_TEXT.issuperset(found)


def names(words: str) -> set[str]:
    """The words of names in `words`."""
    return {name for found in NAME.findall(words) for name in found.split()}


def all_features() -> tuple[str, ...]:
    """The names of all features, those of harmlessness last."""
    return (
        *_SIGNS,
        "a name",
        "a name to say",
        "state of a name",
        *_TOGETHER,
        "another language",
        "fields of another language",
        *OF_MANUALS,
    )
