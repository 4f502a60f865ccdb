"""The forms a date expression can have, each a pattern with a function that reckons what it means.

Each form names the words it can begin with, so that most of a text costs one look into a table. A function returns None
for what only looks like a date ("you may 5 times"), and lets ValueError and OverflowError through for what no calendar
has (31 February), which `dates.resolve` takes as no date.
"""

from __future__ import annotations

from secondme.text import date_words as w
from secondme.text.date_absolute import (
    read_day_month,
    read_decade,
    read_holiday,
    read_iso,
    read_iso_month,
    read_iso_week,
    read_month,
    read_month_day,
    read_numeric,
    read_quarter,
    read_season,
    read_year,
)
from secondme.text.date_frame import Maker
from secondme.text.date_relative import (
    read_ago,
    read_ahead,
    read_before_last,
    read_day_of_month,
    read_deictic,
    read_lasting,
    read_recent,
    read_unit,
    read_weekday,
)

_OF_YEAR = rf"(?:,?\s+(?:of\s+)?(?:{w.YEAR}|{w.WHICH}\s+year\b))?"

_NAMED = rf"(?:{w.DAY_NAME},?\s+(?:the\s+)?)?"

_NOT_CLOCK = r"(?![\d:%])(?!\s*[ap]\.?m\b)"

_ABOUT = r"(?:(?:about|around|roughly|almost|nearly|over|exactly|just|like|maybe|only)\s+)?"

_AND_A_HALF = r"(\s+and\s+a\s+half)?"

_MEASURES = "kg|km|kms|miles|steps|dollars|euros|pounds|bucks|people|words|points|calories|pages|times|feet|metres"

_JOINT = r"-|–|to|through|and|&"

_SPANS = w.SPAN_WORD[1:-1]

Form = tuple[frozenset[str], str, Maker]

FORMS: tuple[Form, ...] = (
    (w.DIGITS, r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)(?:T\d\d:?\d\d[\d:.]*Z?)?", read_iso),
    (w.DIGITS, r"(\d{4})-?W(\d\d)\b", read_iso_week),
    (w.DIGITS, r"((?:19|20)\d\d)-(0[1-9]|1[0-2])(?![-\d])", read_iso_month),
    (w.DIGITS, r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)(?![\d/]|\.\d)", read_numeric),
    (
        w.DIGITS | w.WEEKDAY_WORDS,
        rf"{_NAMED}{w.DAY}(?:\s*(?:{_JOINT})\s*{w.DAY})?\s*(?:of\s+)?{w.MONTH}{_OF_YEAR}",
        read_day_month,
    ),
    (
        w.MONTH_WORDS | w.WEEKDAY_WORDS,
        rf"{_NAMED}{w.MONTH}\s+(?:the\s+)?{w.DAY}{_NOT_CLOCK}(?:\s*({_JOINT})\s*{w.DAY}{_NOT_CLOCK})?{_OF_YEAR}",
        read_month_day,
    ),
    (w.MONTH_WORDS | w.WHICH_WORDS, rf"(?:{w.WHICH}\s+)?{w.MONTH}{_OF_YEAR}", read_month),
    (w.SEASON_WORDS | w.WHICH_WORDS | {"the"}, rf"(?:{w.WHICH}\s+|(the)\s+)?{w.SEASON}\b{_OF_YEAR}", read_season),
    (frozenset({"q"}), r"Q([1-4])(?:\s+(?:of\s+)?|[-/])((?:19|20)\d\d)(?!\d)", read_quarter),
    (w.HOLIDAY_WORDS | w.WHICH_WORDS, rf"(?:{w.WHICH}\s+)?{w.HOLIDAY}{_OF_YEAR}", read_holiday),
    (
        frozenset({"the", "yesterday", "today", "tonight", "tomorrow", "last", "this"}),
        r"(the\s+day\s+before\s+yesterday|the\s+day\s+after\s+tomorrow|yesterday|today|tonight|tomorrow|last\s+night"
        r"|last\s+evening|this\s+(?:morning|afternoon|evening)|the\s+other\s+(?:day|night|week))\b" + w.PART_OF_DAY,
        read_deictic,
    ),
    (
        frozenset({"the"}),
        rf"the\s+({_SPANS}|spring|summer|autumn|fall|winter)\s+(before\s+last|after\s+next)\b",
        read_before_last,
    ),
    (
        w.WHICH_WORDS | {"the", "these"},
        rf"(?:(?:the|these|this)\s+)?(last|past|previous|next|coming)\s+{w.NUMBER}\s+{w.UNIT}",
        read_recent,
    ),
    (
        w.WHICH_WORDS | {"the"},
        rf"(?:(the)\s+)?{w.WHICH}\s+(week|weekend|fortnight|month|year|decade|{w.WEEKDAY[1:-3]})\b(?!s)"
        + w.PART_OF_DAY,
        read_unit,
    ),
    (
        w.DIGITS | w.NUMBER_WORDS | w.UNIT_WORDS,
        rf"(?:{w.NUMBER}{_AND_A_HALF}\s+)?{w.UNIT}{_AND_A_HALF}\s+"
        r"(ago|back(?!\s+(?:to|in|at|from|with|home))|from\s+now)\b",
        read_ago,
    ),
    (
        frozenset({"for"}),
        rf"for\s+{_ABOUT}(?:the\s+(?:last|past)\s+)?{w.NUMBER}{_AND_A_HALF}\s+{w.UNIT}(?!\s+(?:ago|back)\b)",
        read_lasting,
    ),
    (frozenset({"in", "within"}), rf"(?:with)?in\s+{_ABOUT}{w.NUMBER}\s+{w.UNIT}(['’]?\s+time\b)?", read_ahead),
    (
        w.DIGITS | {"the"},
        r"(?:the\s+)?((?:1[5-9]|20)\d0)['’]?s\b|the\s+(?:early\s+|mid-?\s*|late\s+)?['’]?([1-9]0)['’]?s\b"
        rf"|the\s+({'|'.join(list(w.TENS)[1:])})\b",
        read_decade,
    ),
    (w.WEEKDAY_WORDS, rf"{w.WEEKDAY}(?:,?\s+(?:of\s+)?{w.WHICH}\s+week\b)?" + w.PART_OF_DAY, read_weekday),
    (
        frozenset({"the"}),
        rf"the\s+(\d{{1,2}})(?:st|nd|rd|th)\b(?:\s+of\s+{w.WHICH}\s+month)?(?=\s*(?:[.,;:!?)]|$|\b(?:and|at|I|we|to|after|before|when|with|for|because|since|he|she|they|it|so|but)\b))",
        read_day_of_month,
    ),
    (w.DIGITS, rf"(?:1[5-9]|20|21)\d\d(?![\w%°]|['’]s\b|[/.,:]\d|-\d(?!\d{{3}}\b)|\s*(?:{_MEASURES})\b)", read_year),
)
