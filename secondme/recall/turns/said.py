"""Features of how something was said: by whom and when, how long, asking or telling, and what kind of answer it holds.

All of them are looks of a text by rules, and none asks what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from secondme.recall.turns.asked import Asked
from secondme.recall.turns.pool import Pool
from secondme.recall.turns.words import Counted, Spoken
from secondme.text.dates import resolve
from secondme.text.terms import fold

Floats = NDArray[np.float32]
Columns = dict[str, Floats]

_WORDS: dict[str, tuple[int, str]] = {
    "first_person": (4, "i my me we our im ive mine us"),
    "second_person": (4, "you your yours"),
    "time": (
        2,
        """yesterday today tonight tomorrow ago recently since last next weekend summer winter spring autumn morning
        monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
        september october november december""",
    ),
    "number": (
        3,
        """one two three four five six seven eight nine ten once twice first second third couple several few dozen""",
    ),
    "reason": (
        1,
        "because since reason inspired motivate motivated motivates motivation why help helps wanted want love means",
    ),
    "feeling": (
        3,
        """feel feels feeling feelings felt happy sad excited proud nervous scared grateful thankful stress stressed
        stressful amazing awesome love loved great wonderful thrilled anxious tough hard relax relaxed relaxing peace
        peaceful""",
    ),
    "future": (1, "will going gonna plan plans planning planned next soon wait forward hope want thinking"),
    "liking": (1, "like love enjoy favorite favourite into fan prefer passion passionate"),
    "parting": (1, "bye care thanks thank luck"),
    "unit": (1, "year years month months week weeks day days hour hours"),
    "span": (1, "for since past last over"),
}
_ROWS = {name: n for n, name in enumerate(_WORDS)}
_NUMBER, _TIME = _ROWS["number"], _ROWS["time"]
_MOST = np.array([most for most, _ in _WORDS.values()], np.float32)
_ROWS_OF: dict[str, tuple[int, ...]] = {}
for _name, (_most, _listed) in _WORDS.items():
    for _word in _listed.split():
        _ROWS_OF[_word] = (*_ROWS_OF.get(_word, ()), _ROWS[_name])
_CAPITALISED = re.compile(r"[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_BEFORE_A_NAME = frozenset("abcdefghijklmnopqrstuvwxyz,")
_PLACE = re.compile(r"\b(?:in|at|to|from|near|around|visit(?:ed|ing)?) (?:the |a |my )?[A-Z][a-z]+")
_QUOTED = re.compile(r'["“][^"“”]{2,60}["”]')
_REACTIONS = frozenset(
    "thanks thank wow hey hi cool great awesome sounds nice that glad yeah yep sure haha absolutely definitely".split()
)
_SHARES = " [shares "
_A_MONTH = 32


def _names(text: str) -> list[str]:
    """Runs of capitalised words within a sentence: its first word is none."""
    names = []
    for found in _CAPITALISED.finditer(text):
        at = found.start()
        if at > 1 and text[at - 1] == " " and text[at - 2] in _BEFORE_A_NAME:
            names.append(found.group())
        elif rest := found.group().partition(" ")[2]:
            names.append(rest)
    return names


def looks(texts: Sequence[str], spoken: Spoken) -> Floats:
    """What `LOOKS` names, of each of n texts [n, 19]; `spoken` are their words."""
    rest = [_rest(text, heads) for text, heads in zip(texts, spoken.heads, strict=True)]
    table = np.concatenate([_counts(spoken), np.array(rest, np.float32).reshape(len(rest), len(_REST))], axis=1)
    found: Floats = np.minimum(table, _BOUNDS)
    return found


def _counts(spoken: Spoken) -> Floats:
    """How many words of each text are in each of the lists, and of what looks like them [n, 11]."""
    codes = spoken.codes
    listed = np.zeros((len(codes), len(_WORDS)), np.float32)
    for word in _ROWS_OF.keys() & codes.keys():
        listed[codes[word], _ROWS_OF[word]] = 1
    for word, code in codes.items():
        if word[0] <= "9" and word.isdigit():
            listed[code, _NUMBER] = 1
            listed[code, _TIME] = len(word) == 4 and word[:2] in ("19", "20")
    has = np.asarray(listed.any(axis=1))[spoken.at]
    of = spoken.of[has]
    found = [np.bincount(of, column, len(spoken)) for column in listed[spoken.at[has]].T]
    return np.stack(found, axis=1).astype(np.float32)


def _rest(text: str, heads: Sequence[str]) -> tuple[float, ...]:
    """What no list of words tells; `heads` are the first two words."""
    names = _names(text)
    titles = sum([" " in name for name in names]) if names else 0
    if '"' in text or "“" in text:
        titles += len(_QUOTED.findall(text))
    shares = _SHARES in text
    told = (text.partition(_SHARES)[0] if shares else text).rstrip()
    return (
        len(names),
        titles,
        names != [] and _PLACE.search(text) is not None,
        text.count(","),
        shares,
        "?" in told,
        told.endswith("?"),
        not _REACTIONS.isdisjoint(heads),
    )


_REST = {"names": 4, "title": 2, "place": 1, "commas": 4, "shares": 1, "asks": 1, "ends_asking": 1, "reacts": 1}
LOOKS = (*_WORDS, *_REST)
_BOUNDS = np.concatenate([_MOST, np.array([*_REST.values()], np.float32)])


def said_features(asked: Asked, pool: Pool, counted: Counted) -> Columns:
    """Columns [n] by name."""
    columns = dict(zip(LOOKS, looks([turn.text for turn in pool.turns], counted).T, strict=True))
    columns["duration"] = columns["unit"] * columns["span"]
    columns |= _dates(asked, pool, columns["time"] + columns["unit"] > 0)
    columns |= _size(counted) | _place(pool) | _speaker(asked, pool, counted) | _day(asked, pool)
    return columns


def _dates(asked: Asked, pool: Pool, likely: NDArray[np.bool_]) -> Columns:
    """How many dates are told, up to two, where a question asks when; and how well they fit the days it is about.

    Only turns with a word of time, `likely`, are looked at, and only for such questions.
    """
    found = {name: np.zeros(len(pool), np.float32) for name in ("dates", "told_day", "told_within")}
    asks_when, span = asked.form.kind in ("when", "how long"), asked.span
    if not asks_when and span is None:
        return found | {"told_day_near": found["told_day"]}
    for n in np.flatnonzero(likely).tolist():
        told = resolve(pool.turns[n].text, date.fromordinal(int(pool.days[n])))
        found["dates"][n] = asks_when * min(2, len(told))
        if span is None:
            continue
        for when in told:
            fit, within = _overlap((when.start.toordinal(), when.end.toordinal()), span)
            found["told_day"][n] = max(found["told_day"][n], fit * when.certainty)
            found["told_within"][n] = max(found["told_within"][n], within * when.certainty)
    near = [pool.shifted(found["told_day"], offset) for offset in (-2, -1, 1, 2)]
    return found | {"told_day_near": np.max(near, axis=0)}


def _overlap(told: tuple[int, int], asked: tuple[int, int]) -> tuple[float, float]:
    """Days in both, of all days and of those told."""
    shared = min(told[1], asked[1]) - max(told[0], asked[0]) + 1
    if shared <= 0:
        return 0.0, 0.0
    return shared / (max(told[1], asked[1]) - min(told[0], asked[0]) + 1), shared / (told[1] - told[0] + 1)


def _size(counted: Counted) -> Columns:
    n = len(counted)
    rarity = np.bincount(counted.content_of, counted.rarity[counted.content_at], n)
    return {
        "length": np.log1p(counted.lengths),
        "distinct": np.log1p(np.bincount(counted.turns, minlength=n)).astype(np.float32),
        "rarity": (rarity / counted.lengths).astype(np.float32),
    }


def _place(pool: Pool) -> Columns:
    """How many turns of its conversation are at hand before and after each, up to ten, in tens."""
    n = np.arange(len(pool))
    before = n - pool.starts[pool.of]
    after = np.r_[pool.starts[1:], len(pool)][pool.of] - n
    return {
        "from_start": (np.minimum(before, 10) / 10).astype(np.float32),
        "from_end": (np.minimum(after, 10) / 10).astype(np.float32),
    }


def _speaker(asked: Asked, pool: Pool, counted: Counted) -> Columns:
    """1 for the one whom the question is about, 0 for others, a half where it does not say."""
    half = np.full(len(pool), 0.5, np.float32)
    if len(asked.names) == 1:
        theirs = {who for who in {t.speaker for t in pool.turns} if fold(who) == asked.names[0]}
        named = np.array([t.speaker in theirs for t in pool.turns], np.float32)
    elif asked.of_owner or asked.of_assistant:
        role = "user" if asked.of_owner else "assistant"
        named = np.array([t.role == role and not t.speaker for t in pool.turns], np.float32)
    else:
        named = half
    sure = np.float32(named is not half)
    mentions = [any(name in text for name in asked.names) for text in counted.folded]
    return {"speaker": named, "speaker_sure": named * sure, "mentions": np.array(mentions, np.float32)}


def _day(asked: Asked, pool: Pool) -> Columns:
    """The day it was said against the days the question is about; `month` is right in any year."""
    zero = np.zeros(len(pool), np.float32)
    if asked.span is None:
        return {"day_in": zero, "day_near": zero, "day_after": zero, "day_exact": zero, "month": zero}
    first, last = asked.span
    days = pool.days
    away = np.where(days < first, first - days, np.where(days > last, days - last, 0)).astype(np.float32)
    since = np.clip(days - last, 0, 400).astype(np.float32)
    within = ((days >= first) & (days <= last)).astype(np.float32)
    short = last - first < _A_MONTH
    months = {date.fromordinal(d).month for d in (first, last)} if short else set()
    of_month = {int(d): float(date.fromordinal(int(d)).month in months) for d in np.unique(days)}
    return {
        "day_in": within,
        "day_near": np.exp(-away / 7),
        "day_after": np.where((since > 0) & (since <= 31), np.exp(-since / 10), 0).astype(np.float32),
        "day_exact": within * np.float32(last - first < 10),
        "month": np.array([of_month[int(d)] for d in days], np.float32),
    }
