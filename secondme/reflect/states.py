"""Claims from what the owner is and likes: an occupation, a diet, an age, a name; tastes and preferences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from secondme.reflect.claims import Says
from secondme.reflect.found import ADVERBS, I_AM, I_DO, Found, compiled, end_of
from secondme.reflect.negation import Plain
from secondme.reflect.values import first_words, is_role, looks_like, split_list
from secondme.text.terms import fold

_DIETS = (
    r"(?:an?\s+)?(vegan|vegetarian|pescatarian|flexitarian|lactose[- ]intolerant|gluten[- ]intolerant"
    r"|gluten[- ]free|halal|kosher|"
    r"carnivore|teetotal(?:ler)?|on a (?:keto|paleo|low[- ]carb|gluten[- ]free|vegan|vegetarian) diet)"
)
_STATUS = r"(single|married|engaged|divorced|widowed|separated|in a relationship|a widow|a widower)"
_DIET = compiled(
    r"^(?:i am|i'm|im|i went|i became|i've become|i have become|i turned|i've gone|i have gone|i've been|i "
    r"have been|i was)"
    + ADVERBS
    + r"(?:\s+(?:a|an|strict|strictly|turned|gone|become|became|went))*\s+"
    + _DIETS
    + r"\b"
)
_STATUS_IS = compiled(
    r"^(?:i am|i'm|im|we are|we're|i got|we got|i was|i've got|i just got|we just got)"
    + ADVERBS
    + r"\s+(?:recently |just |happily |newly )?"
    + _STATUS
    + r"(?=$|[,.!]|\s+(?:now|again|since|last|in|on|for|to|with|and|yesterday|this)\b)"
)
_ROLE = compiled(
    r"^i(?:'m|m|'ve| am| have)?"
    + ADVERBS
    + r"(?:\s+(?:got promoted to|been promoted to|was promoted to|work (?:full|part)[- ]time|work|been working|working"
    r"|worked|was|became|become|been|am employed|employed|started working|started|got a job|have a job|a job"
    r"|found a job|got hired|retrained))?" + ADVERBS + r"\s+(?:as\s+)?(?:(an?|the|our|your)\s+)?"
)
_AGE = compiled(
    I_AM + r"\s+(\d{1,3})(?: years? old| years? of age|yo| y/o)?(?=$|\s*[,.!]|\s+(?:now|and|years old|as of"
    r"|since|already|today)\b)|"
    r"^(?:i|i've|i have)(?: just| recently)?\s+turned (\d{1,3})\b|^my age is (\d{1,3})\b"
)
_HEIGHT = compiled(
    I_AM + r"\s+(\d(?:[.,]\d+)?\s?m(?:eters?|etres?)?|\d{3}\s?cm|\d'\s?\d{0,2}\"?|\d (?:feet|foot|ft)(?: "
    r"\d{1,2}(?: inches)?)?)(?: tall)?\b"
)
_ALLERGIC = compiled(
    I_AM + r"\s+(?:severely |deathly |badly |slightly |highly |a bit |mildly )?(?:allergic to|intolerant "
    r"to|intolerant of)\s+|"
    r"^i(?:'ve| have|'ve got)?(?: got| developed| have)? an? (?:\w+ )?(?:allergy|intolerance) to\s+"
)
_ALLERGY = compiled(r"^i(?:'ve| have| suffer from)?(?: got| have)? an? (?P<v>\w+(?: \w+)?) (?:allergy|intolerance)\b")
_HEALTH = compiled(
    r"^i(?:'ve| have| suffer from|'m diagnosed with|'ve been diagnosed with| was diagnosed with| have been "
    r"diagnosed with)(?: got)?"
    + ADVERBS
    + r"\s+(?:been diagnosed with )?(?:an? |the )?(?P<v>(?:\w+ )?(?:diabetes|asthma|migraines?"
    r"|epilepsy|arthritis|adhd|add|"
    r"hypertension|high blood pressure|low blood pressure|hay fever|celiac disease|coeliac disease"
    r"|insomnia|anemia|anaemia|psoriasis|"
    r"eczema|tinnitus|depression|anxiety|dyslexia|scoliosis|endometriosis|glaucoma|hypothyroidism|crohn's "
    r"disease|ms|ibs|autism|"
    r"parkinson's|sleep apnea|sciatica))\b"
)
_NATIONS = frozenset(
    """german french italian spanish portuguese dutch belgian swiss austrian polish czech slovak hungarian romanian
    bulgarian greek turkish russian ukrainian swedish norwegian danish finnish icelandic irish scottish welsh
    english british american canadian mexican brazilian argentinian chilean colombian peruvian australian japanese
    chinese korean vietnamese thai indonesian indian pakistani bangladeshi iranian iraqi israeli egyptian moroccan
    tunisian nigerian kenyan ethiopian ghanaian south-african filipino malaysian singaporean taiwanese croatian
    serbian slovenian albanian estonian latvian lithuanian cuban jamaican""".split()
)
_PLAIN_NAME = compiled(r"^(?:i am|i'm)\s+(?P<v>(?-i:[A-ZÀ-Þ][\w'-]+(?: [A-ZÀ-Þ][\w'.-]+){0,2}))(?=$|,)")
_EMPLOYED = compiled(r"\s+(?:at|for|with)\s+(?=(?-i:[A-Z]))")


def states(clause: Plain) -> Iterator[Found]:
    """What the owner is: an occupation, a diet, an age, a name."""
    text, says = clause.text, clause.says
    for pattern, name in ((_DIET, "diet"), (_STATUS_IS, "relationship status"), (_HEIGHT, "height")):
        match = pattern.search(text)
        if match:
            over: Says = "held" if says == "holds" and re.match(r"i was\b", text, re.I) else says
            yield Found(name, match.group(1), 0, match.end(1), name.replace(" ", "-"), over)
            return
    match = _AGE.search(text)
    if match and says == "holds":
        value = match.group(1) or match.group(2) or match.group(3)
        yield Found("age", value, 0, match.end(), "age")
        return
    match = _ALLERGIC.search(text)
    if match:
        raw = text[match.end() :]
        for one in split_list(first_words(raw, "thing")):
            if looks_like("thing", one):
                yield Found("allergy", one, 0, end_of(clause, raw, one, match.end()), "allergic", says)
        return
    for pattern, name, rule in ((_ALLERGY, "allergy", "allergic"), (_HEALTH, "health", "health")):
        match = pattern.search(text)
        if match:
            yield Found(name, match.group("v"), 0, match.end("v"), rule, says)
            return
    if re.match(r"i was born\b", text, re.I) and says == "holds":
        yield from _born(text)
        return
    yield from _roles(clause)


def _born(text: str) -> Iterator[Found]:
    for match in re.finditer(r"\b(?:on|in|at)\s+(?:the\s+)?", text, re.I):
        rest = text[match.end() :]
        piece = re.split(r"\s+(?:in|on|at|and|to|but)\s+|, (?=in |on |a )", rest)[0].strip(" ,.")
        end = match.end() + len(piece)
        if re.fullmatch(r"(?:19|20)\d\d", piece):
            yield Found("birth year", piece, 0, end, "born")
        elif re.search(r"\d", piece) and looks_like("date", piece):
            yield Found("birthday", piece, 0, end, "born")
        elif piece[:1].isupper() and not looks_like("date", piece):
            place = first_words(piece, "place")
            if looks_like("place", place):
                yield Found("birthplace", place, 0, end, "born")


def _roles(clause: Plain) -> Iterator[Found]:
    text, says = clause.text, clause.says
    match = _ROLE.search(text)
    if not match:
        return
    start = re.match(r"[a-z']+(?: [a-z]+)?", text, re.I)
    opening = match.group().lower()
    raw = text[match.end() :]
    value = first_words(raw, "role")
    firm = " as " in f" {opening}" or "promoted" in opening
    bare = re.fullmatch(r"\s*(?:now|again)?\W*", raw[len(value) :]) is not None and re.match(
        r"i'?m\b|i am\b", text, re.I
    )
    if value and (match.group(1) or firm or (bare and value.islower())) and is_role(value) and start:
        over: Says = "held" if says == "holds" and re.match(r"i (?:was|worked)\b(?! promoted)", text, re.I) else says
        of = re.match(r"\s+of\s+[\w ]+?(?=\s+(?:at|for|in|with)\b|$)", raw[len(value) :])
        value += of.group() if of else ""
        yield Found("job", _with_article(match.group(1), value), 0, match.end() + len(value), "role", over)
        firm_match = _EMPLOYED.search(raw)
        if firm_match:
            employer = first_words(raw[firm_match.end() :], "org")
            if looks_like("org", employer):
                yield Found("employer", employer, 0, match.end() + firm_match.end() + len(employer), "role-at", over)
        return
    named = _PLAIN_NAME.search(text)
    if named and says == "holds":
        value = named.group("v")
        if fold(value) in _NATIONS:
            yield Found("nationality", value, 0, named.end(), "nationality")
        elif looks_like("name", value) and text[0] == "I":
            yield Found("name", value, 0, named.end(), "plain-name")
    elif re.match(r"(?:i am|i'm)" + ADVERBS + r"\s+(?:an? )?(\w+)$", text, re.I) and fold(text.split()[-1]) in _NATIONS:
        yield Found("nationality", text.split()[-1], 0, len(text), "nationality", says)
    elif re.match(r"i(?:'m| am| have|'ve)" + ADVERBS + r"\s+retired\b", text, re.I):
        yield Found("job", "retired", 0, len(text), "retired", says)


def _with_article(article: str | None, value: str) -> str:
    return f"{article.lower()} {value}" if article and article.lower() in ("a", "an", "the") else value


# Tastes --------------------------------------------------------------------------------------------------------

_LIKE = compiled(
    I_DO
    + r"\s+(?:like|love|enjoy|adore|am fond of|am into|am a (?:big |huge |great )?fan of|am crazy about)\s+|"
    + I_AM
    + r"\s+(?:into|fond of|crazy about|a (?:big |huge |great )?fan of|a lover of|keen on)\s+|"
    r"^i(?:'ve| have) (?:come|grown|started|begun) to (?:like|love|enjoy)\s+|^i (?:started|began) (?:liking"
    r"|loving|enjoying)\s+"
)
_DISLIKE = compiled(
    I_DO + r"\s+(?:hate|dislike|can't stand|cannot stand|can't bear|detest|loathe|despise|can't abide|am "
    r"sick of|am tired of)\s+|"
    r"^i(?:'ve| have) (?:come|grown|started) to (?:hate|dislike)\s+|" + I_AM + r"\s+(?:sick of|no fan of|tired of)\s+"
)
_EAT = compiled(I_DO + r"\s+(eat|drink|smoke)\s+(?=\w)")
_PREFER = compiled(
    I_DO + r"\s+prefer\s+(?P<v>.+?)(?:\s+(?:to|over|rather than|instead of|more than|than)\s+(?P<w>.+))?$"
)
_CANT_EAT = compiled(r"^i (?:can't|cannot|mustn't|must not|am not allowed to) (?:eat|have|drink)\s+")


def tastes(clause: Plain) -> Iterator[Found]:
    """Likes, dislikes and preferences."""
    text, says = clause.text, clause.says
    if says == "holds" and re.match(r"(?:i|we) prefer|(?:i|we)(?: \w+)? prefer", text, re.I):
        match = _PREFER.search(text)
        if match:
            value = first_words(match.group("v"), "thing")
            other = first_words(match.group("w") or "", "thing")
            if looks_like("thing", value) and not re.match(r"(?:not|that|when|if|your)\b", value, re.I):
                text_ = f"I prefer {value} to {other}." if other else ""
                end = match.start("v") + len(value)
                yield Found("prefers", value, 0, match.end("w") if other else end, "prefer", text=text_, replaces=other)
        return
    for pattern, name in ((_LIKE, "likes"), (_DISLIKE, "dislikes")):
        match = pattern.search(text)
        if not match:
            continue
        raw = text[match.end() :]
        for one in _liked(raw):
            end = end_of(clause, raw, one, match.end())
            if says == "ends" and name == "likes" and not clause.any_more:
                yield Found("dislikes", one, 0, end, "dislike")
            else:
                yield Found(name, one, 0, end, name.rstrip("s"), says)
        return
    match = _EAT.search(text)
    if match and says == "ends":
        raw = text[match.end() :]
        value = first_words(raw, "thing")
        if looks_like("thing", value) and len(value.split()) <= 3:
            yield Found(
                f"does not {match.group(1).lower()}", value, 0, end_of(clause, raw, value, match.end()), "avoid"
            )
        return
    match = _CANT_EAT.search(text)
    if match:
        raw = text[match.end() :]
        for one in split_list(first_words(raw, "thing")):
            if looks_like("thing", one) and len(one.split()) <= 3:
                yield Found("does not eat", one, 0, end_of(clause, raw, one, match.end()), "avoid")


def _liked(raw: str) -> list[str]:
    value = first_words(raw, "thing")
    if re.match(
        r"(?:the (?:idea|way|fact|sound|look|answer|suggestion|plan|first|second|last|one|new)|your|this"
        r"|that|these|those|how|it\b|"
        r"you\b|to (?:know|see|hear|ask|be|have|get|think|do)\b|my (?!\w+'s )|when|what|being able|hearing "
        r"from|talking to you|working with you)",
        value,
        re.I,
    ):
        return []
    found = [
        re.sub(r"^(?:to|the taste of)\s+", "", one) if one.lower().startswith("the taste") else one
        for one in split_list(value)
    ]
    return [one for one in found if (looks_like("thing", one) or re.match(r"to \w{3,}", one)) and len(one.split()) <= 6]
