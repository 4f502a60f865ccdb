"""Small made-up data in the form that `secondme bench cartridges` reads."""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path

_SUBJECTS = ("river", "harbour", "council", "orchard", "railway", "market", "garden", "school", "bridge", "castle")
_VERBS = ("crossed", "supplied", "governed", "surrounded", "followed", "replaced", "restored", "measured")
_ADJECTIVES = ("northern", "ancient", "narrow", "wooden", "crowded", "quiet", "famous", "eastern")


def write_paragraphs(path: Path, n: int) -> Path:
    """Paragraphs of six sentences, with two questions on each."""
    rng = random.Random(7)
    paragraphs = []
    for i in range(n):
        subjects = [f"{rng.choice(_ADJECTIVES)} {rng.choice(_SUBJECTS)}" for _ in range(6)]
        others = [f"{rng.choice(_ADJECTIVES)} {rng.choice(_SUBJECTS)} of {1000 + 10 * i + j}" for j in range(6)]
        verbs = [rng.choice(_VERBS) for _ in range(6)]
        sentences = [
            f"The {s} {v} the {o} and little else besides." for s, v, o in zip(subjects, verbs, others, strict=True)
        ]
        questions = [
            {"question": f"What did the {subjects[j]} do with, in place {i}.{j}?", "answers": [others[j].split()[0]]}
            for j in (0, 1)
        ]
        paragraphs.append({"title": f"Place_{i}", "context": " ".join(sentences), "qas": questions})
    path.write_text(json.dumps(paragraphs), "utf-8")
    return path


def write_pairs(path: Path, n: int, n_pairs: int) -> Path:
    """Records of random keys and values, as key-value retrieval has them."""
    rng = random.Random(7)

    def some() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    lines = []
    for _ in range(n):
        pairs = [[some(), some()] for _ in range(n_pairs)]
        key, value = rng.choice(pairs)
        lines.append(json.dumps({"ordered_kv_records": pairs, "key": key, "value": value}))
    path.write_text("\n".join(lines), "utf-8")
    return path
