"""The English words of which date expressions are made, and fragments of regular expressions that find them."""

from __future__ import annotations

from dataclasses import dataclass

_MONTHS = "january february march april may june july august september october november december".split()
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_TENS = "ten twenties thirties forties fifties sixties seventies eighties nineties".split()

MONTHS = {name[:3]: n for n, name in enumerate(_MONTHS, 1)}
"""Number of a month by the first three letters of its name."""
WEEKDAYS = {name[:3]: n for n, name in enumerate(_WEEKDAYS)}
"""0 is Monday, by the first three letters."""
TENS = {name: n * 10 for n, name in enumerate(_TENS, 1)}

HOLIDAYS: dict[str, tuple[int, int]] = {
    "christmas eve": (12, 24),
    "christmas day": (12, 25),
    "christmas": (12, 25),
    "boxing day": (12, 26),
    "new year's eve": (12, 31),
    "new year's day": (1, 1),
    "new year's": (1, 1),
    "valentine's day": (2, 14),
    "st patrick's day": (3, 17),
    "halloween": (10, 31),
}
MOVABLE = ("thanksgiving", "easter")

MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
WEEKDAY = (
    r"(mon(?:day)?|tue(?:s(?:day)?)?|wed(?:s|nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)\b"
)
DAY_NAME = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
SEASON = r"(spring|summer|autumn|fall|winter)"
YEAR = r"((?:1[5-9]|20|21)\d\d(?!\d)|'\d\d(?!\d))"
DAY = r"(\d{1,2})(?:st|nd|rd|th)?\b"
WHICH = r"(this\s+past|this\s+last|this\s+coming|this|last|past|previous|next|coming|upcoming)"
PART_OF_DAY = r"(?:\s+(?:early\s+)?(?:morning|afternoon|evening|night|noon))?\b"
NUMBER = (
    r"(\d{1,4}|an?\s+(?:few|couple(?:\s+of)?)|(?:some|several|few|couple(?:\s+of)?)|half\s+an?|an?|"
    + "|".join(_NUMBERS[1:])
    + r")"
)
UNIT = (
    r"(minute|min|hour|hr|day|night|weekend|week|fortnight|month|year|yr|decade|" + DAY_NAME + r"|spring|summer|winter)"
    r"s?\b"
)
HOLIDAY = "(" + "|".join([*HOLIDAYS, *MOVABLE]).replace("'s", "['’]?s").replace("st pat", r"st\.?\s+pat") + r")\b"

DIGITS = frozenset({"0"})
MONTH_WORDS = frozenset([*_MONTHS, *MONTHS, "sept"])
WEEKDAY_WORDS = frozenset([*_WEEKDAYS, *WEEKDAYS, "tues", "weds", "thur", "thurs"])
WHICH_WORDS = frozenset("this last past previous next coming upcoming".split())
SEASON_WORDS = frozenset("spring summer autumn fall winter".split())
HOLIDAY_WORDS = frozenset(name.split("'")[0].split(" ")[0] for name in (*HOLIDAYS, *MOVABLE)) | {"valentines"}
NUMBER_WORDS = frozenset(["a", "an", "some", "several", "few", "couple", "half", *_NUMBERS[1:]])
UNIT_WORDS = frozenset("minutes hours days nights weekends weeks fortnights months years decades".split())

SPAN_WORD = r"(day|night|evening|morning|week|weekend|month|year|" + DAY_NAME + ")"


@dataclass(frozen=True, slots=True)
class Count:
    """How many: exactly, where `low` and `high` agree; `half` stands for a fraction."""

    low: int
    high: int
    half: bool = False


def month_number(word: str) -> int:
    return MONTHS[word[:3].lower()]


def weekday_number(word: str) -> int:
    return WEEKDAYS[word[:3].lower()]


def count_of(word: str) -> Count:
    """What a match of `NUMBER` says: "a few" is two to five, "several" three to eight."""
    words = word.lower().split()
    if words[-1].isdecimal():
        return Count(int(words[-1]), int(words[-1]))
    if words[0] == "half":
        return Count(1, 1, half=True)
    if "few" in words or words[0] == "some":
        return Count(2, 5)
    if "several" in words:
        return Count(3, 8)
    if "couple" in words:
        return Count(2, 2)
    n = _NUMBERS.index(words[0]) if words[0] in _NUMBERS else 1
    return Count(n, n)


def year_of_word(word: str, century_from: int) -> int:
    """The year that `2023` or `'23` names; two digits mean the last such year before `century_from`, or that one."""
    digits = word.lstrip("'’")
    if len(digits) == 4:
        return int(digits)
    year = century_from - century_from % 100 + int(digits)
    return year - 100 if year > century_from else year
