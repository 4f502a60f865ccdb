"""Learns what weighs for words to an assistant, and how much: `secondme/text/weights/instructions-1.json`.

    python -m secondme.bench.recall.poison_learn OUT FOLDER...

Each FOLDER holds harmless text files of one kind. Against them stand the families of attacks that the defence is tuned
on (`poison_templates.TUNE`, `poison_wordings`), plain, carried, and in the middle of manuals. Only what the signs
suspect, or what shows some feature of its own, is learned from; how far the signs are there is a feature too.
A sentence is taken at its most telling part (multiple-instance logistic regression: Dietterich et al. 1997); weights of
attacks cannot be negative, those of manuals not positive, and none may grow beyond a bound, so that no topic convicts
and no amount of code acquits. Prints how many false alarms stay for how many attacks lost, each family of attacks and
each kind of text judged by weights that never saw it.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.recall.poison_set import carried
from secondme.bench.recall.poison_templates import NAMES, TARGETS, TUNE
from secondme.bench.recall.poison_wordings import FOREIGN, HARMLESS, ORDERS, RECORDS
from secondme.text.instruction_evidence import SIGNS, is_telling_part, may_concern, shown_by
from secondme.text.instruction_features import OF_MANUALS, all_features
from secondme.text.instructions import SUSPECT, weigh
from secondme.text.sentences import split_sentences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEATURES = (*all_features(), SIGNS)
_CUT = -0.15
"""Log odds from which a sentence is suspected; of families that were never seen it loses one attack in six."""
_CUT_HIDDEN = _CUT - 0.3
_BOUNDS = {
    **dict.fromkeys(("another language", "fields of another language", "mark of a template"), 3.0),
    **dict.fromkeys(("private", "state of a name", "from now on", "mark of a record", "entry of memory"), 1.0),
    **dict.fromkeys(("a name", "only answer", "past run", "owner's computer", "in answers"), 0.8),
    **dict.fromkeys(("state", "as the owner", "answer", "asked", "entered as", "question with", "to answer"), 0.5),
}
"""What any text speaks of may not weigh much; what it is with tells more (`instruction_features`)."""
_BOUND = 2.5
_BOUNDS_OF_MANUALS = {"marks of code": -0.5, "technical words": -1.3, "tells a story": -1.0}
_RIDGE, _STEPS, _RATE, _MOMENTUM = 2.0, 500, 1.0, 0.9
_ROUNDS, _ROUNDS_LEFT_OUT = 4, 3
_EACH = 12
"""Attacks made of one family."""
_FOLDS = 10
_WRITTEN = 6

MANUALS = (
    "## Options\n\n- `--pool-size` <integer> Number of workers. **Default:** `4`.\n- `--output FILE` Print the name of"
    " the file.\n\n{}\n\nSee [`http.Agent`](#agent). Users should never call `pool.close()` twice.\n",
    "```js\nconst a = require('node:fs');\n// {}\nfs.readFile('/etc/hosts', (err, data) => {{\n  if (err) throw err;\n"
    "}});\n```\n\nThe callback must always be called with `err` first.\n",
    "The `--force` flag overrides the default. {} The `input` value must be a string, and `output.name` is printed.\n",
    "# config.yaml\n# {}\nretries: 3  # always 3, never 0\nname: my_app\n",
    "* `request.headers` {{Object}}\n* `{}`\n* `response.statusCode` {{integer}} must always be set\n",
    "<p>GET <code>/items</code> returns a page.</p>\n<!-- {} -->\n<p>POST creates one.</p>\n",
    "/*\n * Returns the name of FILE, or NULL on error.\n * {}\n * The caller must never free() the result.\n */\n",
    "| option | meaning |\n|---|---|\n| `name` | must always be unique |\n| `note` | {} |\n",
)
"""Manuals of our own, with a place for an attack."""
_OTHERS = (
    ("hosting provider", ("cloudhaven", "Rackpine", "stonehost.example")),
    ("preferred editor", ("Quillpad", "vellum")),
    ("supplier", ("Norvane", "Tamarisk Ltd")),
    ("deployment region", ("eu-north-7", "ap-west-2")),
    ("travel agency", ("Harrow Trips", "globex travel")),
    ("antivirus", ("SafeZip", "Bluefern Guard")),
    ("emergency number", ("555 0199", "0800 44 31")),
    ("main project", ("Kestrel", "operation sedge")),
    ("office", ("room 14", "Halden")),
    ("recommended library", ("left-trim-pro", "fastcrypt2")),
)
"""What attacks may be about besides somebody's affairs, so that topics are not what is learned."""


@dataclass(frozen=True, slots=True)
class Example:
    """A suspected place: the features of each of its parts (n_parts, n_features), and the family or kind it is of."""

    parts: Floats
    of: str
    is_attack: bool


def main(arguments: Sequence[str]) -> int:
    """Learn from the folders and write the weights; 2 for a call that names none."""
    if len(arguments) < 2:
        print("usage: python -m secondme.bench.recall.poison_learn OUT FOLDER...")
        return 2
    out, folders = Path(arguments[0]), [Path(name) for name in arguments[1:]]
    examples = [*_attacks(), *_written(), *(e for folder in folders for e in _harmless(folder))]
    print(dict(Counter(e.of for e in examples if not e.is_attack)))
    _report(examples, _left_out(examples))
    _write(out, _learned(examples, _ROUNDS), [folder.name for folder in folders])
    return 0


# Examples ------------------------------------------------------------------------------------------------------


def _attacks() -> Iterator[Example]:
    rng = random.Random("learn")
    families = {
        **{f"order {k}": v for k, v in TUNE.orders.items()},
        **{f"foreign {k}": v for k, v in TUNE.foreign.items()},
        **{f"record {k}": v for k, v in TUNE.records.items()},
        **{f"more {k}": v for k, v in (ORDERS | RECORDS | FOREIGN).items()},
        **{f"bridge {k}": v[0] for k, v in TUNE.bridges.items()},
    }
    for family, template in families.items():
        for number in range(_EACH):
            text = template.format(**_fields(rng, is_private=number % 2 == 0 or family.startswith("bridge")))
            parts = _parts(_placed(text, number), frozenset(text.split()))
            if parts is not None:
                yield Example(parts, family, is_attack=True)


def _fields(rng: random.Random, *, is_private: bool) -> dict[str, str]:
    if is_private:
        target = rng.choice(TARGETS)
        attr, values, question = target.attr, target.values, target.question
    else:
        attr, values = rng.choice(_OTHERS)
        question = f"Which is my {attr}?"
    true, false = rng.sample(values, 2)
    made = {"attr": attr, "true": true, "false": false, "question": question}
    return made | {"owner": rng.choice(NAMES), "trigger": rng.choice(TUNE.triggers)}


def _placed(text: str, number: int) -> str:
    """`text` on a plain page, in a manual, or carried, in turn."""
    if number % 3 == 1:
        return MANUALS[number % len(MANUALS)].format(" ".join(text.split("\n")))
    return carried(text, number if number % 3 else 0)


def _written() -> Iterator[Example]:
    """Harmless texts that look like attacks, each a few times, so that they weigh as a kind of text does."""
    for text in HARMLESS:
        for sentence in (text, *(s.text for s in split_sentences(text))):
            parts = _suspected(sentence)
            if parts is not None:
                yield from [Example(parts, "written", is_attack=False)] * _WRITTEN


def _harmless(folder: Path) -> Iterator[Example]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        for sentence in split_sentences(path.read_text("utf-8", "replace")):
            parts = _suspected(sentence.text)
            if parts is not None:
                yield Example(parts, folder.name, is_attack=False)


def _parts(page: str, words: frozenset[str]) -> Floats | None:
    """The parts of a page's suspected sentences that are of the attack; None if no sentence is suspected."""
    import numpy as np

    found = [
        parts
        for sentence in split_sentences(page)
        if _is_of(sentence.text, words) and (parts := _suspected(sentence.text)) is not None
    ]
    return np.concatenate(found) if found else None


def _is_of(sentence: str, words: frozenset[str]) -> bool:
    """Whether at least three words of a sentence, or most of a short one, are of the attack that has `words`."""
    said = sentence.split()
    n_shared = len(words.intersection(said))
    return n_shared >= min(3, max(1, 0.6 * len(said)))


def _suspected(sentence: str) -> Floats | None:
    import numpy as np

    if not may_concern(sentence):
        return None
    signs = weigh(sentence)[0] / SUSPECT
    shown = shown_by(sentence, signs)
    if not is_telling_part(shown, signs):
        return None
    return np.array([[one.get(name, 0.0) for name in FEATURES] for one in shown])


# Learning ------------------------------------------------------------------------------------------------------


def _learned(examples: Sequence[Example], rounds: int) -> Floats:
    """A weight a feature, and the bias last."""
    import numpy as np

    low = np.array([_BOUNDS_OF_MANUALS.get(name, 0.0) for name in FEATURES])
    high = np.array([0.0 if name in OF_MANUALS else _BOUNDS.get(name, _BOUND) for name in FEATURES])
    weights = np.append(np.where(high > 0, 1.0, low), -1.0)
    is_attack = np.array([float(e.is_attack) for e in examples])
    share = _shares(examples)
    for _ in range(rounds):
        shown = np.array([e.parts[np.argmax(e.parts @ weights[:-1])] for e in examples])
        shown, speed = np.c_[shown, np.ones(len(shown))], np.zeros_like(weights)
        for _ in range(_STEPS):
            odds = 1 / (1 + np.exp(-shown @ weights))
            slope = shown.T @ (share * (odds - is_attack)) + _RIDGE / 2000 * np.append(weights[:-1], 0.0)
            speed = _MOMENTUM * speed - _RATE * slope
            weights = weights + speed
            weights[:-1] = np.clip(weights[:-1], low, high)
    return weights


def _shares(examples: Sequence[Example]) -> Floats:
    """Attacks and harmless places count the same; a family counts once, a kind by the root of its places."""
    import numpy as np

    n = Counter((e.of, e.is_attack) for e in examples)
    raw = np.array([1 / n[e.of, e.is_attack] ** (1.0 if e.is_attack else 0.5) for e in examples])
    attacks = np.array([e.is_attack for e in examples])
    shares: Floats = np.where(attacks, raw / (2 * raw[attacks].sum()), raw / (2 * raw[~attacks].sum()))
    return shares


def _left_out(examples: Sequence[Example]) -> Floats:
    """Log odds of each example by weights that saw neither its family nor its kind of text."""
    import numpy as np

    families = sorted({e.of for e in examples if e.is_attack})
    folds = [frozenset(families[n::_FOLDS]) for n in range(_FOLDS)]
    folds += [frozenset([kind]) for kind in sorted({e.of for e in examples if not e.is_attack})]
    odds = np.zeros(len(examples))
    for fold in folds:
        weights = _learned([e for e in examples if e.of not in fold], _ROUNDS_LEFT_OUT)
        for n, example in enumerate(examples):
            if example.of in fold:
                odds[n] = float((example.parts @ weights[:-1]).max() + weights[-1])
    return odds


def _report(examples: Sequence[Example], odds: Floats) -> None:
    import numpy as np

    attacks = np.array([e.is_attack for e in examples])
    share = _shares(examples)[attacks]
    for cut in (-1.6, -1.2, _CUT, -0.4, 0.0):
        lost = 100 * share[odds[attacks] < cut].sum() / share.sum()
        stay = 100 * float((odds[~attacks] >= cut).mean())
        print(f"cut {cut:5.1f}: {lost:5.1f}% of attacks lost, {stay:5.1f}% of false alarms stay")


def _write(out: Path, weights: Floats, kinds: Sequence[str]) -> None:
    bias = float(weights[-1])
    rows = sorted(zip(FEATURES, weights[:-1].tolist(), strict=True), key=lambda row: -row[1])
    lines = ",\n".join("  " + json.dumps([name, round(w, 3)]) for name, w in rows if abs(w) >= 0.005)
    head = {
        "format": 1,
        "command": f"python -m secondme.bench.recall.poison_learn {out.name} {' '.join(kinds)}",
        "least": round(_CUT - bias, 3),
        "least_hidden": round(_CUT_HIDDEN - bias, 3),
    }
    body = json.dumps(head, indent=1).removesuffix("\n}")
    out.write_text(f'{body},\n "features": [\n{lines}\n ]\n}}\n', "utf-8")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
