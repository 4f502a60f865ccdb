"""Whose words a sentence of a turn is: what its writer reports, plays, translates, dreams up or takes back is not his.

Told by how it is said, whatever it is about. A sentence is somebody else's

- from where a subject other than the writer says, writes, thinks or is sure of something, or a text says it;
- as a whole where that stands behind it ("..., said Kim"), or where it is taken back ("none of that is true");
- where something before it announces words that are not the writer's: a label with a name, a heading that names a
  text, a story, a part to play, a dream ("Voicemail from Kim.", "My character speaks first.").

An announcement reaches to the end of its paragraph. The same fields of words serve all three, since a grammar of
English has few of them: verbs of saying and of thinking, and nouns for texts, for fictions and for persons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from secondme.text.speech import NAME

_N = (
    rf"(?-i:(?!(?:I|I'm|I've|I'd|We|My|Our|You|Your|Mine|Me|Please|And|But|So|Also|Then|Now|As|In|On|At|To|Not|No|Yes"
    rf"|If)\b)"
    rf"{NAME})"
)
_TEXT_NOUN = (
    r"(?:notes?|stickers?|signs?|posters?|labels?|letters?|postcards?|cards?|e-?mails?|mails?|messages?|sms"
    r"|voicemails?"
    r"|voice messages?|memos?|forms?|files?|registers?|records?|pages?|books?|diary|diaries|journals?|lines?"
    r"|sentences?"
    r"|phrases?|paragraphs?|passages?|articles?|blogs?|posts?|tweets?|comments?|reviews?|captions?|headlines?"
    r"|adverts?|ads?"
    r"|brochures?|flyers?|leaflets?|newspapers?|papers?|magazines?|templates?|samples?|examples?|exercises?"
    r"|dictations?"
    r"|quotes?|quotations?|words|sayings?|proverbs?|mottos?|slogans?|rumou?rs?|gossip|transcripts?|logs?|threads?"
    r"|interviews?|statements?|testimon\w+|speech(?:es)?|sermons?|inscriptions?|printouts?|handouts?|quiz(?:zes)?"
    r"|questionnaires?|surveys?|cvs?|resum[eé]s?|translations?|subtitles?|recordings?|clips?|videos?|drills?|blurbs?"
    r"|covers?|podcasts?|broadcasts?|textbooks?"
    r"|worksheets?|drafts?|manuals?|certificates?|documents?|websites?|screens?|banners?|plaques?|tapes?|prompts?)"
)
_FICTION_NOUN = (
    r"(?:dreams?|daydreams?|nightmares?|fantas(?:y|ies)|stor(?:y|ies)|tales?|novels?|fables?|chapters?|poems?|verses?"
    r"|stanzas?"
    r"|songs?|lyrics|chorus(?:es)?|refrains?|plays?|scenes?|acts?|scripts?|screenplays?|sketch(?:es)?|films?|movies?"
    r"|roles?"
    r"|role[- ]?plays?|jokes?|riddles?|scenarios?|thought experiments?|legends?|myths?|musicals?|operas?|sitcoms?"
    r"|comics?)"
)
_FICTION_PERSON = (
    r"(?:characters?|hero(?:es)?|heroines?|villains?|narrators?|protagonists?|avatars?|personas?|alter egos?|puppets?"
    r"|actors?|actress(?:es)?|ghosts?|speakers?|singers?)"
)
_PERSON_NOUN = (
    r"(?:wife|husband|spouse|partner|girlfriend|boyfriend|fianc[eé]e?|mother|mum|mom|father|dad|parents?|son|children"
    r"|child|kids?|baby|friends?|mate|colleagues?|cousin|aunt|uncle|nephew|niece|neighbou?rs?|boss|chief|man|woman|men"
    r"|women|people|guy|lady|boy|girl|clerk|nurse|guest|host|guide|judge|priest|vet|gran\w*|clients?|patients?"
    r"|students?"
    r"|ex|guests|\w{2,}(?:sister|brother|daughter|mate|man|woman|person|body|friend|ist|ician|keeper|lord|lady)"
    r"|sister|brother|daughter|teacher|manager|supervisor|doctor|tutor|coach|trainer|lawyer|driver|waiter|waitress"
    r"|baker"
    r"|caller|speaker|stranger|officer|customer|visitor|plumber|reporter|interviewer|actor|author|singer|tenant|doctor"
    r"|owner|minister|president|ceo|captain|carer|cleaner|dentist|landlady|passenger|reader|user|human)"
)
_THIRD = (
    rf"(?:he|she|they|it|who|that one|people|folks|some(?:one|body)|every(?:one|body)|any(?:one|body)|no(?:body| one)"
    rf"|{_N}"
    rf"|(?:my|the|our|an?|his|her|their|your|one|some|whose|this|that|another|each"
    rf"|{_N}'s) (?:[\w'-]+ ){{0,4}}?[\w'-]+)"
)
_OFTEN = (
    r"(?:(?:just|also|once|always|even|never|still|jokingly|often|wrongly|then|now|later|again|only|simply|rightly"
    r"|firmly|really"
    r"|has|have|had|might|would|will|was|were|is|are|be|keeps?|kept|been|must|may|could|should|'s|do|does|did"
    r"|used to) )"
)
_SAYS = (
    r"(?:sa(?:id|ys?|ying)|t(?:old|ells?|elling)|claim(?:s|ed|ing)?|wr(?:ote|ites?|iting)|insist(?:s|ed|ing)?"
    r"|repl(?:ied"
    r"|ies|ying)|announce[sd]?|declare[sd]?|explain(?:s|ed)?|remark(?:s|ed)?|repeat(?:s|ed)?|boast(?:s|ed)?|brag(?:s"
    r"|ged)?"
    r"|argue[sd]?|joke[sd]?|sw(?:ears?|ore)|maintain(?:s|ed)?|contend(?:s|ed)?|assert(?:s|ed)?|alleg(?:es?|ed)"
    r"|state[sd]"
    r"|shout(?:s|ed)?|yell(?:s|ed)?|whisper(?:s|ed)?|mutter(?:s|ed)?|text(?:s|ed)|tweet(?:s|ed)|quote[sd]?|recite[sd]?"
    r"|dictate[sd]?|typed|posted|posts|messaged|e-?mailed|noted|added|answer(?:s|ed)|warn(?:s|ed)|promise[sd]?"
    r"|mention(?:s|ed)?|s[aiu]ngs?|put(?:s|ting)? it|ha(?:s|ve|d) it|report(?:s|ed) that|suggest(?:s|ed)?"
    r"|confess(?:es|ed)?"
    r"|admit(?:s|ted)?|gossip(?:s|ed)?|lie[sd]?|pretend(?:s|ed)?|wants? (?:this|that|people|me|us|you|to (?:tell"
    r"|say))|goes|(?:be"
    r"|was|is"
    r"|were|are) (?:all )?like)"
)
_THINKS = (
    r"(?:th(?:inks?|ought|inking)|believe[sd]?|assume[sd]?|reckons?|suppose[sd]?|imagine[sd]?|figure[sd]|expects?"
    r"|hopes?|hoped"
    r"|wish(?:es|ed)?|dream(?:s|ed|t)?|fear(?:s|ed)?|suspect(?:s|ed)?|presume[sd]?|would (?:love|like) to|swear by"
    r"|(?:is|are|was|were|seems?|feels?|sounds?) (?:\w+ )?(?:convinced|sure|certain|adamant|persuaded|confident"
    r"|under the impression|of the (?:opinion|view)))"
)
_READS = (
    r"(?:reads?|says|said|states?|stated|goes|went|runs?|ran|means?|meant|has|had|stood|stands|is written|was written"
    r"|begins"
    r"|began|starts|started|ends|opens|continues|translates|calls|lists|shows?|claims?|ought to read|should read)"
)
_WRONG = (
    r"(?:true|false|untrue|a lie|lies|wrong|made up|invented|nonsense|fiction|fictional|rubbish|a joke|correct|right)"
)

_FRONTED = (
    r"^\W*(?:last night,? |tonight,? |today,? |and |so )*(?:in|during|from|for|as) (?:my|the|a|an|his|her|our|this"
    r"|that|another|some|one"
    rf"|last night's) (?:\w+ )?(?:{_FICTION_NOUN}|{_FICTION_PERSON}|games?)\b(?! (?:club|night|group|school|room"
    rf"|theory)\b)"
)
_WITHIN = re.compile(
    rf"{_FRONTED}|\b(?:in (?:the (?:exact |own )?words of|(?:his|her|their|{_N}'s|my [\w-]+'s) (?:\w+ )?(?:words"
    rf"|opinion|view|mind|eyes"
    rf"|version|account|story))\b|to (?:quote|cite|paraphrase)\b|(?:quoting|citing|paraphrasing|per|quote"
    rf"|unquote)\s+{_N}"
    rf"|in (?:an?other|a (?:different|parallel|previous|past|former|second|better|perfect)|some other|my (?:next|past"
    rf"|previous|other)|the next) (?:life|world|universe|timeline|reality|version)\b"
    rf"|(?:it|i|we|he|she|they|you) (?:was|were|is|are|am|has been|have been|had been|got) (?:\w+ly |once |just "
    rf"|also )?(?:put"
    rf"|told|informed|suggested|claimed|reported|rumou?red|alleged|believed|assumed|assured|led to believe|quoted"
    rf"|misquoted|dictated|overheard)\b"
    rf"|\b(?:it|this|that)(?:'s| is| was) (?:all |just |an? |only )*(?:fake|false|untrue|lies?|hoax|myth|rumou?r"
    rf"|jokes?|made up|nonsense"
    rf"|fiction|not (?:true|so|the case))\b"
    rf"|(?<!my )(?:the|a|an|this|that|one|his|her|their|whose|another|every|some) (?:[\w'-]+ ){{0,5}}?(?:{_TEXT_NOUN}"
    rf"|{_FICTION_NOUN})(?: (?:in|on|at|of|from|by|over|with) (?:[\w'-]+ ?){{1,4}}?)? ?(?:on and on |also |simply "
    rf"|just )*{_READS}\b"
    rf"|(?:^|[,;.] ?|\b)(?:it|this|that|there it) (?:also |simply |just |clearly )?(?:reads?|stood|stands|says|said"
    rf"|states"
    rf"|goes|runs|means|translates|is written|was written)\b"
    rf"|^\W*(?:on|in|inside|under|at the (?:bottom|top|end|back) of) (?:the|a|an|this|that|his|her|their"
    rf"|{_N}'s) (?:[\w'-]+ )?"
    rf"(?:{_TEXT_NOUN}|{_FICTION_NOUN})(?=,| it\b| there\b| stood\b)"
    rf"|^\W*(?:as |so |and |but |then |what |how |when |like |{_N}, )*{_THIRD} {_OFTEN}*(?:{_SAYS}"
    rf"|{_THINKS})\b(?! (?:hello|hi|yes|no"
    rf"|so|goodbye|bye|sorry|thanks)\b)"
    rf"|^\W*{_THIRD} [^,.;:!?]{{1,40}} and {_OFTEN}*{_SAYS}\b"
    rf"|(?:,|;|\band|\bbut|\bor|[-–—(])\s*(?:as |so |or so |what )?{_THIRD} {_OFTEN}*(?:{_SAYS}|{_THINKS})\b)",
    re.I,
)
_ASKS = re.compile(r"\b(?:ask(?:s|ed|ing)?|wonder(?:s|ed)?|inquire[sd]?|wants? to know|wanted to know)\b", re.I)
_BEHIND = re.compile(
    rf"(?:[,;(–—]|\s-)\s*(?:those|these|that|this|which) (?:are|were|is|was) (?:his|her|their|{_N}'s|my [\w-]+'s"
    rf"|not my)\b[^,.!?]{{0,30}}[.!]*\s*$|"
    rf"(?:[,;(–—]|\s-)\s*(?:or |at least |well |and )*(?:so |as |that's what |that is what "
    rf"|which is what )*(?:{_SAYS} {_THIRD}"
    rf"|{_THIRD} {_OFTEN}*(?!(?:wrote|writes|texted|messaged|e-?mailed) (?:me|us)\b)(?:{_SAYS}|{_THINKS}))(?: (?:me"
    rf"|us|it|that|so|this|him|her|them|of|about|to|himself|herself"
    rf"|themselves|myself|everyone|yesterday|today|once|again|anyway|then|later|people|loudly"
    rf"|proudly)){{0,5}}\s*[)\"]?\s*[.!]*\s*$",
    re.I,
)
_TAKEN_BACK = re.compile(
    rf"^\W*(?:(?:but|and|well|of course|actually|by the way|no|wait|hang on|sorry|oh|ok|okay),? |,)*(?:"
    rf"(?:i was |i'm |i am |i )?(?:just|only) (?:testing|checking|trying|test(?:ed)?|practi[sc]ing|copying|copied"
    rf"|quoting|quoted|reading|kidding)\b|"
    rf"(?:none|nothing|not (?:a (?:word|bit)|one word|much|half)) of (?:that|this|it|the above|which) (?:is|was|holds)"
    rf"|(?:not |never )?(?:true|so),? (?:of course )?(?:not|at all)"
    rf"|(?:all (?:of )?|every word of )?(?:that|this|it|the above|these|those)(?:'s| is| was| are| were| isn't"
    rf"| wasn't) (?:all |just "
    rf"|of course |obviously |only |complete |pure |total |not |never |so )*{_WRONG}(?! (?:about|for|now)\b)"
    rf"|(?:that|this|it|these|those|the above)(?:'s| is| was| are| were) (?:not |only |just |at least )?(?:(?:what"
    rf"|how)(?! (?:i|we|you|my)\b| i')|as|from|by|said by"
    rf"|written by|taken from|copied from|a quote|the (?:opening|beginning|start|text|words|plot|part) of|{_N}'s"
    rf"|my [\w-]+'s"
    rf"|(?:his|her|their)(?: \w+)? (?:words|view|story|joke|line|idea)|{_N}(?:,| (?:speaking|talking|again))"
    rf"|(?:my|the|our|a) {_PERSON_NOUN}\b,? not (?:me|i)\b|not (?:me|my|i|mine)\b)"
    rf"|(?:said|says|wrote|writes|claims|claimed|thinks|according to|signed|quote from|quoted from|thus|so spoke"
    rf"|words of)\b"
    rf"(?! (?:i|that i|my)\b)|not (?:me|my words|i)\b|(?:his|her|their|{_N}'s) (?:words|joke|idea|opinion|view)\b)",
    re.I,
)

_OWN_LABEL = re.compile(
    r"^\W*(?:(?:hey|hi|hello|ok|okay|so|well|oh|right|alright|now|yes|no|and|but)[,!]?\s+)*(?:long story short"
    r"|to be clear|in short|you asked|the"
    r" thing is|(?:as )?for (?:work|home|me|fun|now)|(?:a|an|the|my|our|some|one|two|three|four|a few|few|more|quick"
    r"|small|short|big|great|good|bad|new"
    r"|latest|other"
    r"|another|just|also|so|and|ok|okay|well|here's|here is|here are|this is|these are|important|little|happy|sad|fun"
    r"|random"
    r"|personal|first|second|last|brief|minor|basic|general|actually)\s+)*(?:news|updates?|corrections?"
    r"|notes?(?: to (?:self"
    r"|myself|you))?|reminders?|facts?|things?|points?|infos?|information|background|context|summary|status|situation"
    r"|p\.?s\.?"
    r"|fyi|btw|edit|tl;?dr|remember|memo|goals?|plans?|me|myself|about me|profile|bio|intro|introduction|answer|truth"
    r"|reason"
    r"|problem|issue|request|confession|details?|changes?|preferences?|list|again|so again|anyway|basics|home|work"
    r"|job|food"
    r"|health|family|hobby|hobbies|name|today|yesterday|now|result|conclusion|decision|mood|life|warning|disclaimer"
    r"|question"
    r"|answers|choice|favou?rites?|data|stuff|recap|correction of mine|important|urgent|(?:my )?story|for (?:the|your"
    r"|my) (?:records?|context|info\w*|reference|notes?|files?)|who i am|where i (?:live|work|stand)|what i (?:do"
    r"|like))"
    r"(?:\s+(?:about|on|of|for|from|with|to) (?:me|myself|my \w+|today|the (?:day|week)|you|us|your (?:notes|memory"
    r"|records?)"
    r"|memory|facts|things))?\s*$",
    re.I,
)
_NAMED = re.compile(
    rf"^\W*(?:and |then |so )?(?:[A-Z]|@\w+|[A-Z]{{3,}}[A-Z ]*|{_N}(?:,| \d| (?=\())[^:]*"
    rf"|{_N} [A-ZÀ-Þ][\w'’.-]+[^:]*)\s*(?:\([^)]*\))?\s*$"
)
_ONE_WORD = re.compile(r"^\W*(?:and |then |so )?[\w'-]+\s*(?:\([^)]*\))?\s*$")
_NO_NAME = re.compile(
    r"\b\w{2,}(?:ing|ions?|ment|ness|ity|ance|ence|ous|ive|able|ible|ful|tant|gent|lth|rgy|gies|ary|ly|ics|al)\s*$",
    re.I,
)
_PERSON_ONLY = re.compile(
    rf"^\W*(?:and |then |so )?(?:(?:my|our|the|his|her|their|your|a|an|one|another|some"
    rf"|{_N}'s) )?(?:[\w'-]+ ){{0,3}}?{_PERSON_NOUN}"
    rf"(?: (?:at|in|on|from|of|with|next|number|no|two|three|four|\d+) ?[\w' -]{{0,30}})?\s*(?:\([^)]*\))?\s*$",
    re.I,
)
_FIELDS = re.compile(
    rf"\b(?:{_TEXT_NOUN}|{_FICTION_NOUN}|{_FICTION_PERSON}|nobody|no one|never|not|by mistake|mistaken\w*|error"
    rf"|wrong\w*|false\w*|lies?|fake"
    rf"|translat\w+|means?|meant|pretend\w*|imagin\w+|suppos\w+|wish\w*|if|someone else|somebody else|other people"
    rf"|rule"
    rf"|told|heard|overheard|read|copied|quoted|like this|as follows)\b|'s (?:rule|motto|line|view|opinion|wish"
    rf"|answer|version)\b",
    re.I,
)
_MINE = re.compile(r"^\W*(?:so |and |but |also |well )*(?:i|i'm|i've|i'd|we|we're|we've)\b", re.I)

_OTHER_PERSON = re.compile(
    rf"\b(?:he|she|they|him|her|his|them|their|someone|somebody|everyone|everybody|nobody|people)\b|(?<=\w ){_N}"
    rf"|\b(?:the|an?|my|our|that|this|another|one|two|little|big"
    rf"|\w+'s) (?:[\w-]+ )?{_PERSON_NOUN}\b"
    r"|^\W*(?:from|on|in|at|under|inside|over|behind|after|before) (?:the|an?|this|that|his|her|their|some)\b",
    re.I,
)

_FINITE = re.compile(
    r"\b(?:is|are|was|were|am|be|been|has|have|had|do|does|did|will|would|can|could|should|may|might|must|shall|i|we"
    r"|you|got|came"
    r"|went|made|took|gave|saw|found|lost|sent|bought|lay|sat|stood|rang|let|\w{3,}ed|makes|comes|takes|looks|seems"
    r"|works|lives"
    r"|likes|loves|needs|wants|gets|gives)\b|(?:it|that|he|she|there|what|here|who|where|let|this)'s \b|'(?:m|re|ve"
    r"|ll|d) ",
    re.I,
)
_HEADING = re.compile(
    rf"^\W{{0,3}}(?:\w[\w'-]*,? ){{0,6}}?(?:{_TEXT_NOUN}|{_FICTION_NOUN})(?=\s*(?:$|[.!:,()#]|\d|(?:number|no|from|by"
    rf"|of|to"
    rf"|for|in|on|at|about"
    rf"|today|yesterday|one|two|three|four|five|six)\b))",
    re.I,
)
_OWN_HEADING = re.compile(
    r"^\W{0,3}(?:(?:my|our|side|quick|small|short|important|personal)\b|notes?\b|memo\b|thank|sorry|congrat|great|nice"
    r"|good|lovely|cool|wow|love"
    r"|no\b|yes\b|ok\b|okay\b|what|such|question|looking|back\b|off\b|busy|just|happy|new\b|more\b|so\b|about\b"
    r"|interesting|funny)",
    re.I,
)
_ADDRESSED = re.compile(r"\b(?:thanks?|you|your)\b", re.I)
_MATERIAL = re.compile(
    r"^\W*(?:(?:please|can|could|would|will|you|now|kindly|help|me|just|quickly|first) )*(?:translate|proofread"
    r"|rephrase|reword|paraphrase"
    r"|rewrite|re-write|correct|polish|spell-?check|reformulate|repeat|dictate|type up|transcribe|summari[sz]e"
    r"|check my (?:\w+ )?(?:grammar"
    r"|spelling|english|homework|text|essay))\b"
    r"|^\W*who (?:\w+ )?(?:wrote|said|says|writes) (?:this|that|it)\b.*\?\s*$|\b(?:know|heard?|like) (?:the|this|that"
    r"|a) (?:joke|riddle|saying"
    r"|proverb|quote|one)\b.*\?\s*$"
    r"|^\W*(?:is|are|does|do|how|what|which|where)\b.*\b(?:sentence|phrase|line|words?|text|paragraph|grammar"
    r"|spelling|wording|translation)s?\b"
    r".*\?\s*$",
    re.I,
)
_PORTRAIT = re.compile(r"^\W*[A-ZÀ-Þ][\w'-]+ [A-ZÀ-Þ][\w'-]+(?:,\s*(?:aged? )?\d{1,2}\b|\s*\(\d|\s+[·•|])[^.!?\n]*$")
_ANNOUNCES = re.compile(
    rf"\b(?:this|these|the following|the next|one|such an?) (?:[\w-]+ )?(?:{_TEXT_NOUN}|{_FICTION_NOUN})\s*[.:!]*\s*$"
    rf"|\b(?:like this|as follows|word for word|verbatim|in these words|what (?:follows|comes next))\b[^.]{{0,20}}$"
    rf"|\b(?:his|her|their|{_N}'s|my [\w-]+'s) (?:exact |own |very |last |first )*words\s*[.:!]*\s*$"
    rf"|^\W*(?:now |then |so |here |and )*(?:the|my|our|a|an|one|his|her|this"
    rf"|your) (?:[\w'-]+ ){{0,2}}?{_FICTION_PERSON}\b(?! is (?:called|named)\b)"
    rf"|{_FRONTED}|^\W*this is {_N}.{{0,20}}, not\b"
    rf"|\bi\b.{{0,60}}\bin (?:my|a|the|this|that|his|her) (?:\w+ )?(?:dreams?|daydreams?|nightmares?|fantas(?:y"
    rf"|ies))\b"
    rf"|(?:^\W*(?:please |now |just |and )*|\b(?:you|let's|let us|to|we) (?:\w+ ){{0,2}}?)(?:imagine|picture|pretend"
    rf"|suppose|assume|envision)\b"
    rf"|\b(?:write|wrote|written|compose[sd]?|invent(?:ed)?|ma[dk]e up|draft(?:ed)?) (?:an?|some|the"
    rf"|this) (?:[\w-]+ ){{0,2}}?(?:{_TEXT_NOUN}"
    rf"|{_FICTION_NOUN}) (?:about|by|of|as|on) (?!me\b|my|our)"
    rf"|^\W*(?:the|an?|this|that|his|her|their|{_N}'s|it|my [\w-]+'s) (?:[\w'-]+ ){{0,4}}?(?:{_READS}|{_SAYS}"
    rf"|promises) (?:it|this|so|thus"
    rf"|the following|something|something \w+)\s*[.:!]*\s*$"
    rf"|^\W*(?:here|there)(?:'s| is| are| goes)? (?:how|what|the|an?|his|her|their|{_N}'s)\b.*(?:{_N}|{_TEXT_NOUN}"
    rf"|{_FICTION_NOUN})[^.]*[.!]\s*$"
    rf"|\b(?:repeat(?:ed|ing|s)?|quot(?:ed|ing|es)|copied|copying|copies|recit\w+|cit(?:ed|ing"
    rf"|es)) .{{0,40}}(?:{_TEXT_NOUN}|\bhim|\bher|\bthem|{_N})"
    rf"|\bopposite day\b|\bapril fools?\b"
    rf"|\b(?:i|we)(?:'m| am| was|'ll be| will be| become|'d be) (?:now |tonight |suddenly |really )*(?:some(?:one"
    rf"|body) else|a different"
    rf" (?:person|man|woman)|another (?:person|man|woman)|not myself|not me)\b"
    rf"|\byou(?:'re| are| be| play|'ll be) .{{1,40}}(?:\band|,|;)\s*i(?:'m| am|'ll be| play| be|'ll play)\b"
    rf"|\b(?:we|let's|i|let us) (?:now |will |shall |are |'re |am |'m )*(?:rehears\w+|role-?play\w*"
    rf"|act(?:ing)? (?:out|as)|improvis\w+"
    rf"|perform\w*|recit\w+|dictat\w+|impersonat\w+|imitat\w+|mimic\w*|read(?:ing)? (?:aloud|out)|sing(?:ing)?"
    rf"|speak(?:ing)? (?:as|for) (?:{_N}|(?:the|my|a) {_FICTION_PERSON})"
    rf"|play(?:ing)? (?:the (?:part|role)|a (?:game|part|role|scene)|as))\b"
    rf"|\b(?:introduce[sd]? (?:him|her|it|them)sel(?:f|ves)|speaks? (?:first|up)|spoke (?:first|up)"
    rf"|takes the (?:floor|stage)|reads? (?:aloud"
    rf"|out)|picks? up the (?:phone|mic)|clears? (?:his|her) throat|begins? to (?:speak|read|sing|talk))\s*[.:!]*\s*$",
    re.I,
)
_TEXT_LEFT = re.compile(
    rf"\b{_THIRD} {_OFTEN}*(?:put|left|leaves|wrote|sent|sends|posted|pinned|stuck|handed|slipped|gave|hung|read"
    rf"|typed|scribbled|printed)"
    rf"\b.{{0,30}}\b{_TEXT_NOUN}\b",
    re.I,
)
_MARK = re.compile(r":(?=\s)|(?<=\s)[-–](?=\s)|—")
_LONGEST_HEADING = 9
"""Words of a heading at most."""
_TAIL = 30
"""Characters behind a verb of saying that leave what was said to the next paragraph."""
_HEADING_ENDS = 100
"""Characters that a heading has not."""

_STATEMENT = re.compile(
    r"[\s\"“‘'(*_-]*(?:i|i'm|i've|i'd|my|we|we're|we've|our|it's|it is|always|never|whenever|from now|call|do|don't"
    r"|please|mine|me)\b",
    re.I,
)
_DOUBTS = re.compile(
    r"(?:,|;|[-–—(])\s*(?:or |but |and )?(?=[^?]{0,40}\b(?:says?|said|told|thinks?|true|right|wrong|sure|really"
    r"|correct|serious)\b)"
    r"(?:\w+'?\w* ?){1,5}\?+$",
    re.I,
)


def others(text: str, sentences: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Characters [start, end) of `text` that are not its writer's own words; `sentences` are those of it, in order."""
    found: list[tuple[int, int]] = []
    until = -1
    for n, (start, end) in enumerate(sentences):
        start += len(text[start:end]) - len(text[start:end].lstrip())
        sentence = text[start:end]
        if start < until:
            found.append((start, end))
            continue
        if n and _TAKEN_BACK.search(sentence):
            found.append((max(0, text.rfind("\n\n", 0, start)), end))
            continue
        own_until = _own_part(sentence)
        if own_until is not None:
            found.append((start + own_until, end))
        if n + 1 < len(sentences) and (_announces(sentence) or _writes(text, sentence, end)):
            found.append((end, until := _paragraph_end(text, end)))
    return found


def leaves_text(text: str) -> bool:
    """Whether somebody else left a text in what `text` tells, so that an order beside may be that text's."""
    return _TEXT_LEFT.search(text) is not None


def is_own_label(head: str) -> bool:
    """Whether what stands before a colon announces the writer's own words: "Two things", "Quick update"."""
    return _OWN_LABEL.match(head) is not None


def _own_part(sentence: str) -> int | None:
    """Where in a sentence somebody else's words begin; 0 if all of it is his, None if nothing is."""
    bare = sentence.rstrip()
    if _BEHIND.search(sentence) or (bare.endswith("?") and _DOUBTS.search(bare)):
        return 0
    within = _WITHIN.search(sentence)
    at = within.end() - len(within.group().lstrip(" ,;-–—(")) if within and not _ASKS.search(within.group()) else None
    for mark in _MARK.finditer(sentence, 0, len(sentence) if at is None else at):
        if _STATEMENT.match(sentence, mark.end()) and _introduces(sentence[: mark.start()], mark.group()):
            return 0
    return at


def _introduces(head: str, mark: str) -> bool:
    """Whether what stands before a colon or a dash says that somebody else speaks behind it."""
    if is_own_label(head):
        return False
    is_heading = _is_short(head) and not _FINITE.search(head)
    if is_heading and (_NAMED.match(head) or _PERSON_ONLY.match(head) or _is_heading(head)):
        return True
    if mark != ":" or _ASKS.search(head):
        return False
    if _ONE_WORD.match(head):
        return not _NO_NAME.search(head)
    if _OTHER_PERSON.search(head) and not _MINE.match(head):
        return True
    return _FIELDS.search(head) is not None or (_WITHIN.search(head) is not None and not _ASKS.search(head))


def _is_heading(text: str) -> bool:
    if _PORTRAIT.match(text):
        return True
    return bool(_HEADING.match(text)) and not (_OWN_HEADING.match(text) or _ADDRESSED.search(text))


def _announces(sentence: str) -> bool:
    """Whether the sentences behind this one are words that it announces."""
    bare = sentence.strip()
    if _MATERIAL.search(bare):
        return True
    if bare.endswith("?"):
        return False
    if bare.endswith(":"):
        return _introduces(bare[:-1], ":")
    if _ANNOUNCES.search(bare):
        return True
    return _is_short(bare) and not _FINITE.search(bare) and _is_heading(bare)


def _writes(text: str, sentence: str, end: int) -> bool:
    """Whether somebody wrote, and a paragraph of its own follows."""
    said = _WITHIN.search(sentence)
    is_by_itself = said is not None and len(sentence) - said.end() < _TAIL and not _ASKS.search(sentence)
    return is_by_itself and text[end:].lstrip(" \t").startswith(("\n\n", "\n \n"))


def _is_short(text: str) -> bool:
    return len(text) < _HEADING_ENDS and len(text.split()) <= _LONGEST_HEADING


def _paragraph_end(text: str, at: int) -> int:
    """Where the paragraph ends that goes on at `at`, or the next one if none does."""
    while at < len(text) and text[at].isspace():
        at += 1
    blank = text.find("\n\n", at)
    return len(text) if blank < 0 else blank
