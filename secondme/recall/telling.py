"""What one statement tells by its form: that something changed, what is over, whether it points back, whom it is about.

All of it is told from words and marks alone, so that it works on what no rule reads. Nothing is kept beyond the object:
texts are the owner's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from secondme.text.answers import CRISP, Sort, asks, sorts_of, values_in, without_values
from secondme.text.attributes import attribute, canonical
from secondme.text.terms import QUESTION_WORDS, content_stems, fold, stem

_CHANGE = re.compile(
    r"\b(?:now|actually|instead|after all|turns out|turned out (?:that|to|it|the|we|he|she|i|my)|on second thoughts?"
    r"|chang(?:e[ds]?|ing)|switch(?:ed|ing)?|mov(?:e|ed|ing)|new|no longer|any ?more|correction|update[ds]?|scrap"
    r"|scratch|rather|these days|nowadays|lately|as of|from (?:now|today|here) on|cancel+ed|dropped|ditch(?:ed|ing)"
    r"|end(?:s|ed|ing) up|went with|going with|gone with|replac(?:ed?|ing)|swapp?(?:ed|ing)?|raised?|increased|lowered"
    r"|reduced|revised|bumped|slip(?:ped)?|retired|trad(?:ed|ing)|bought|sold|join(?:ed|ing)|broke up|split|divorced"
    r"|promoted|postponed|rescheduled|delayed|push(?:ed|ing)|shifted|decided|not .{1,30} but|took (?:over|up|on)"
    r"|tak(?:es|ing|en) over|since \w+|sorry|i mean|i meant|wrong|mistake|oops|final(?:ly)?|became|become|gone|renamed"
    r"|upgraded|left|leaving|quit|gave up|given up|started?|starting|found out|transferred|relocated|put me on|rebooked"
    r"|settled on|forget|never ?mind|bye|goodbye|died|migrated|ripped out|no more|isn'?t|aren'?t|out of|went up"
    r"|went down|make (?:that|it)|latest|this time|different|got (?:a|an|rid)|made (?:me|him|her|us|them)|turned|nope"
    r"|wait|retrained|jumped ship|took the (?:job|offer|role)"
    r"|mis(?:read|heard|spoke|typed|remembered)|so (?:i|we|my|our|it'?s))\b|^no\b[,.! ]|^not\b"
    r"|\b\w+ed (?:(?:my|our|the) )?(?:[\w-]+ ){0,2}?to (?-i:[A-Z])"
    r"|^it (?:was|is) .{2,40} (?:that|who)\b",
    re.I,
)
_OVER = re.compile(
    r"\b(?:not|no longer|isn'?t|wasn'?t|instead of|rather than|from|bye|left|quit|sold|dropped|drop|ditched|forget"
    r"|out of|behind|gone off|died|replaced|traded|cancel+ed|swapped|split|broke up|retired|any ?more|without|rid of"
    r"|no more|gone|over|annoyed|too|than|moved|history|used to|don'?t|never ?mind|scrap|stopped|because|ended|closed"
    r"|leave|away|unavailable|lost|hated|failed|fell|finished)\b",
    re.I,
)
_GIVEN_UP = re.compile(
    r"\b(?:from|not|instead of|rather than|no longer|isn'?t|aren'?t|dropp?(?:ed|ing)?|left|quit|sold|bye|forget"
    r"|never ?mind|replac(?:ed|ing)|swapp?(?:ed|ing)|trad(?:ed|ing)(?: in)?|ditch(?:ed|ing)|gone off|ripped out"
    r"|scrap(?:ped)?|cancel+ed|without|out of|over|stopped|gave up|given up|behind|rid of|no more|than)\s+"
    r"(?:(?:the|my|our|a|an|at|in|on|with|to|for|her|his)\s+)*(\w[\w'-]*(?:\s+\w[\w'-]*)?)",
    re.I,
)
_CORRECTS = re.compile(
    r"^\W*(?:(?:ah|hm+|oh|ok(?:ay)?|well|update|edit|they (?:called|rang|wrote)|he said|she said)\W+)*(?:no+|nope|not"
    r"|wait|sorry|oops|whoops|actually|correction|scratch that|strike that|make (?:that|it)|i me(?:an|ant)|typo"
    r"|my (?:bad|mistake)|wrong|h[ao]ng on|hold on|never ?mind|on second thoughts?|or rather|rather|better make"
    r"|should be|it should|that should|turns out it)\b",
    re.I,
)
_POINTS = re.compile(
    r"^(?:\W*(?:\w+\W+){0,3}?)?(?:it|it'?s|its|that|that'?s|this|them|they|they'?re|he|he'?s|she|she'?s|his|her)\b",
    re.I,
)
_MARKERS = frozenset(
    stem(w)
    for w in """no nope not wait sorry oops actually correction scratch make meant mean typo edit update bad mistake
    wrong never mind hmm ah ok okay turns turn out change changed plan plans second thought thoughts let lets rather
    better say said instead now again moved move pushed shifted bumped got get gone went go going new old one different
    really though name time day date place number all final after well thing just still also anymore longer more long
    turned finally lol haha please thanks guess think like fine yeah yes called is are was booked back up down for until
    till from rang told keep take took chose choose want use put end ended it that this they he she i we me him her them
    same as actual im ive weve were its thats hes shes theyre theyve isnt dont wasnt id ill definitely double checked
    check misremembered remembered misread misspoke right""".split()
)
"""Stems that correct, change or fill, and name no matter."""

_OPENING = r"^\W*(?:(?:[Aa]nd|[Ss]o|[Bb]ut|[Oo]h|[Aa]lso|[Ww]ell|btw|[Hh]ey|[Oo]k|[Aa]nyway|[Aa]pparently)[\s,]+)*"
_VERB = (
    r"(?:is|was|has|had|are|were|will|got|just|now|still|went|left|took|said|wants?|isn'?t|never|always|only"
    r"|[\w-]+(?:s|ed|ing))\b"
)
_IS = r"(?:is|was|are|were|has|went|got|needs?|costs?|starts?|closes?|opens?)\b"
_NO_NOUN = (
    r"(?!(?:is|was|has|had|are|were|will|and|in|on|at|of|for|to|with|who|that|just|now|got|still|went|left|moved)\b)"
)
_OWNED = re.compile(
    rf"{_OPENING}(?P<w>(?:[Mm]y|[Oo]ur|[Tt]he)\s+)?(?P<n>[\w-]+(?:\s{_NO_NOUN}[\w-]+){{0,2}}?)"
    rf"(?:(?P<s>['’]s)\s(?=(?:[\w-]+\s){{1,2}}?{_IS})|(?:['’]s)?[\s,]+(?={_VERB})"
    r"|\s(?=(?:in|on|at|of|for|to|with|who|and (?!I\b|i\b|me\b))\b))"
)
_NAMED = re.compile(rf"{_OPENING}([A-ZÀ-Þ][\w-]+)(?:['’]s|\s+from\s+\w+|\s+and\s+(?!(?:I|i|me)\b)\w+)?\s+{_VERB}")
_POSSESSOR = re.compile(rf"{_OPENING}([A-ZÀ-Þ][\w-]+)['’]s\s+(?!{_VERB})(?:[\w-]+\s){{1,2}}?{_IS}")
_ME = re.compile(r"\b(?:me|us)\b", re.I)
_NO_NAMES = frozenset("he she we they there everything nothing something someone somebody today finally".split())


@dataclass(frozen=True, slots=True)
class About:
    """Whom or what a statement begins with. kind: person (a relation), possessor ("the plumber's ..."), name, thing, or
    "" where it is the owner."""

    kind: str = ""
    name: str = ""


@dataclass(frozen=True)
class Telling:
    """One statement, `value` what rules read in it; all else is found when it is first asked for."""

    text: str
    value: str = ""

    @cached_property
    def asks(self) -> bool:
        """Whether it tells nothing."""
        return asks(self.text)

    @cached_property
    def changes(self) -> bool:
        """Whether it says that something is new or otherwise."""
        return _CHANGE.search(self.text) is not None

    @cached_property
    def ends(self) -> bool:
        """Whether it says that something is over."""
        return _OVER.search(self.text) is not None

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of its content words."""
        return content_stems(self.text)

    @cached_property
    def matter(self) -> frozenset[str]:
        """Stems that name what it is about, or its value."""
        return self.stems - _MARKERS

    @cached_property
    def given_up(self) -> frozenset[str]:
        """Stems of what it says is over."""
        return frozenset().union(*(content_stems(m.group(1)) for m in _GIVEN_UP.finditer(self.text))) - _MARKERS

    @cached_property
    def values(self) -> frozenset[str]:
        """Stems of its value, or of what looks like values."""
        return content_stems(self.value if self.value else " ".join(values_in(self.text)))

    @cached_property
    def all_sorts(self) -> frozenset[Sort]:
        """Sorts of all values in it."""
        return sorts_of(self.text)

    @cached_property
    def sorts(self) -> frozenset[Sort]:
        """Sorts that tell its value: the crisp ones; else names and places; else a bare number."""
        found = self.all_sorts
        return (found & CRISP) - {"number"} or found & {"name", "place"} or found & {"number"}

    @cached_property
    def corrects(self) -> bool:
        """Whether it begins as corrections do: no, wait, make that."""
        return _CORRECTS.search(self.text) is not None

    @cached_property
    def points_back(self) -> bool:
        """Whether it has no matter of its own: a value, and words that correct or point back."""
        corrects = self.corrects
        if not corrects and not self.changes:
            return False
        left = content_stems(_CHANGE.sub(" ", without_values(self.text))) - _MARKERS
        if corrects:
            return len(left) <= 2 and bool(left or self.all_sorts)
        if left and not _POINTS.search(self.text):
            return False
        return len(left) <= (1 if self.sorts & CRISP else 2) and bool(self.sorts)

    @cached_property
    def about(self) -> About:
        """Whom it is about, by its first words."""
        owned = _OWNED.search(self.text)
        if owned:
            nouns = owned.group("n").split()
            kin = next((w for w in nouns if is_kin(w)), "")
            if kin:
                done_to_me = self.changes and _ME.search(self.text)
                return About() if done_to_me else About("person", canonical(kin))
            if owned.group("w"):
                return About("possessor" if owned.group("s") else "thing", fold(nouns[0]))
        for kind, pattern in (("possessor", _POSSESSOR), ("name", _NAMED)):
            named = pattern.search(self.text)
            if named is not None and fold(named.group(1)) not in QUESTION_WORDS | _NO_NAMES:
                return About(kind, fold(named.group(1)))
        return About()


_MORE_KIN = frozenset(
    """parents folks grandparents family ex godson goddaughter godmother godfather stepmother stepfather stepmum stepdad
    stepson stepdaughter grandson granddaughter grandchild grandkids grandchildren twins siblings relatives
    babysitter in-laws""".split()
)


def is_kin(word: str) -> bool:
    """Whether `word` is what one calls a person, or a pet, of one's own."""
    if fold(word) in _MORE_KIN or word.endswith(("-in-law", "-in-laws")):
        return True
    known = attribute(word)
    return known is not None and known.takes == "name" and known.name not in ("name", "nickname")
