"""Documents to measure cartridges on: paragraphs of a question set, joined, with facts planted between sentences.

Nothing ships with the program; the caller brings XQuAD-like paragraphs (`title`, `context`, `qas`) and, if wanted,
records of key-value retrieval ("Lost in the Middle", Liu et al. 2023).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from secondme.bench.cartridges.facts import Fact, facts, n_gaps, plant
from secondme.bench.cartridges.prompts import FORMATS, Format, Tokenizer
from secondme.errors import UsageError

MAX_ANSWER_TOKENS = 14
"""Longer gold answers are sentences, on which an exact match says little."""

N_CONTINUATION = 100
"""Tokens of a document's own text held back from it, to see how it goes on."""

Kind = Literal["text", "fact", "pair"]
Part = Literal["dev", "proof", "all"]


@dataclass(frozen=True, slots=True)
class Question:
    """`tail` follows the document's tokens in the prompt; `gold` are the tokens of the first answer."""

    kind: Kind
    text: str
    answers: tuple[str, ...]
    tail: tuple[int, ...]
    gold: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A prompt is `prefix + tokens + tail` of a question; `continuation` is how the text goes on after `tokens`.

    `ends` are the tokens that end an answer. A name tells apart all that differs in any of these.
    """

    name: str
    text: str
    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    continuation: tuple[int, ...]
    questions: tuple[Question, ...]
    ends: frozenset[int]

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)

    @property
    def end(self) -> int:
        """The position of the tail's first token."""
        return len(self.prefix) + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What documents are made of. 120 paragraphs make ten of 2,000 tokens and more: eight for proof, and two, the
    second of every five, to choose parameters on.

    n_documents: how many the paragraphs are shared out to. n_tokens: about so many each at most, 0 for all there are.
    n_questions, n_facts: of each document; of the facts a model of 135 million parameters answers about half with its
    full cache, and only those count. seed: other seeds plant other facts.
    """

    n_documents: int = 10
    n_tokens: int = 0
    n_questions: int = 16
    n_facts: int = 20
    seed: str = "proof"
    format: str = "cloze"


def documents(path: Path, tokenizer: Tokenizer, recipe: Recipe, *, part: Part = "all") -> Iterator[Document]:
    """One document after the other, always the same. Raises UsageError for a file that is no such set."""
    paragraphs = read_paragraphs(path)
    shares = _shared(paragraphs, min(recipe.n_documents, len(paragraphs)), tokenizer)
    planted = facts(recipe.n_facts * len(shares), seed=recipe.seed, avoid=_joined(paragraphs))
    for i, share in enumerate(shares):
        if part == "all" or (part == "dev") == (i % 5 == 1):
            yield _document(i, share, planted[i :: len(shares)], tokenizer, recipe)


def read_paragraphs(path: Path) -> list[dict[str, Any]]:
    """Raises UsageError unless the file is a JSON list of paragraphs with title, context and questions."""
    try:
        table = json.loads(path.read_text("utf-8"))
        for paragraph in table:
            if not isinstance(paragraph["title"] + paragraph["context"], str):
                raise TypeError
            if not all(isinstance(qa["question"] + qa["answers"][0], str) for qa in paragraph["qas"]):
                raise TypeError
    except OSError as error:
        raise UsageError(f"cannot read {path}", hint="name a file of XQuAD paragraphs: --xquad FILE") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"{path} holds no paragraphs with questions",
            hint='it should be a JSON list of {"title", "context", "qas": [{"question", "answers"}]}',
        ) from error
    if not table:
        raise UsageError(f"{path} is empty", hint="name a file of XQuAD paragraphs: --xquad FILE")
    return list(table)


def _shared(paragraphs: Sequence[dict[str, Any]], n: int, tokenizer: Tokenizer) -> list[list[dict[str, Any]]]:
    """Shares of nearly the same length: the longest first, each to the share that has the least so far."""
    lengths = [len(tokenizer.tokenize(_joined([p]))) for p in paragraphs]
    shares: list[list[int]] = [[] for _ in range(n)]
    for i in sorted(range(len(paragraphs)), key=lambda i: -lengths[i]):
        min(shares, key=lambda share: sum(lengths[j] for j in share)).append(i)
    return [[paragraphs[i] for i in sorted(share)] for share in shares]


def _document(
    i: int, share: Sequence[dict[str, Any]], planted: Sequence[Fact], tokenizer: Tokenizer, recipe: Recipe
) -> Document:
    form = FORMATS[recipe.format]
    room = recipe.n_tokens - sum(len(tokenizer.tokenize(" " + f.sentence)) for f in planted)
    share, body, held_back = _cut(share, room if recipe.n_tokens else 0, tokenizer)
    planted = planted[: n_gaps(body)]
    text = plant(body, planted, seed=f"{recipe.seed} {i}")
    asked = _asked(share, body, tokenizer, form)[: recipe.n_questions]
    asked += [_fact(f, tokenizer, form) for f in planted]
    return Document(
        name="-".join(map(str, ("text", i, *astuple(recipe)))),
        text=text,
        prefix=tuple(tokenizer.tokenize(form.head, special=True)),
        tokens=tuple(tokenizer.tokenize(text)),
        continuation=tuple(tokenizer.tokenize(held_back)),
        questions=tuple(asked),
        ends=_ends(form, tokenizer),
    )


def _cut(
    share: Sequence[dict[str, Any]], n_tokens: int, tokenizer: Tokenizer
) -> tuple[Sequence[dict[str, Any]], str, str]:
    """(paragraphs, their text, its last tokens): the first ones, as many as fit into `n_tokens` (0: all)."""
    n = len(share)
    tokens = tokenizer.tokenize(_joined(share))
    while n_tokens and n > 1 and len(tokens) > n_tokens + N_CONTINUATION:
        n -= 1
        tokens = tokenizer.tokenize(_joined(share[:n]))
    text = _joined(share[:n])
    n_kept = len(tokens) - min(N_CONTINUATION, len(tokens) // 8)
    at = text.rfind(" ", 0, len(tokenizer.detokenize(tokens[:n_kept])) + 1)
    return share[:n], text[:at], text[at:]


def _joined(share: Sequence[dict[str, Any]]) -> str:
    return "\n\n".join(f"{p['title'].replace('_', ' ')}\n{p['context'].strip()}" for p in share)


def _asked(share: Sequence[dict[str, Any]], body: str, tokenizer: Tokenizer, form: Format) -> list[Question]:
    """The first questions of all paragraphs, then the second ones; without those whose answer is long or held back."""
    n = max(len(p["qas"]) for p in share)
    turns = [p["qas"][i] for i in range(n) for p in share if i < len(p["qas"])]
    asked = [_question("text", qa["question"].strip(), tuple(qa["answers"]), tokenizer, form) for qa in turns]
    return [q for q in asked if len(q.gold) <= MAX_ANSWER_TOKENS and q.answers[0] in body]


def _question(kind: Kind, text: str, answers: tuple[str, ...], tokenizer: Tokenizer, form: Format) -> Question:
    tail = tokenizer.tokenize(form.tail.replace("{question}", text), special=True)
    return Question(kind, text, answers, tuple(tail), tuple(tokenizer.tokenize(form.lead + answers[0])))


def _fact(fact: Fact, tokenizer: Tokenizer, form: Format) -> Question:
    """The answer is begun with the words that lead to it: a small model then gives what it has read, not a guess."""
    tail = tokenizer.tokenize(form.tail.replace("{question}", fact.question), special=True)
    tail += tokenizer.tokenize(form.lead + fact.lead)
    gold = tokenizer.tokenize(" " + fact.answer)
    return Question("fact", fact.question, (fact.answer,), tuple(tail), tuple(gold))


def _pair(key: str, value: str, tokenizer: Tokenizer) -> Question:
    """The line is begun again and no question asked, after which a small model gives keys for values."""
    gold = tokenizer.tokenize(" " + value)
    return Question("pair", key, (value,), tuple(tokenizer.tokenize(f"\n\n{key}:")), tuple(gold))


def _ends(form: Format, tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(tokens[0] for end in form.ends if len(tokens := tokenizer.tokenize(end, special=True)) == 1)


def pair_documents(path: Path, tokenizer: Tokenizer, recipe: Recipe, *, n_pairs: int = 40) -> Iterator[Document]:
    """A document of "key: value" lines for each record of the file. Raises UsageError for a file that is none.

    Each record's own question comes first; more ask for other keys, evenly spread.
    """
    form = FORMATS[recipe.format]
    for i, (pairs, key) in enumerate(read_pairs(path)[: recipe.n_documents]):
        at = next(j for j, pair in enumerate(pairs) if pair[0] == key)
        start = min(max(0, at - n_pairs // 2), max(0, len(pairs) - n_pairs))
        lines = pairs[start : start + n_pairs]
        step = max(1, len(lines) // max(1, recipe.n_questions))
        chosen = [pairs[at], *(pair for pair in lines[::step] if pair[0] != key)][: recipe.n_questions]
        yield Document(
            name="-".join(map(str, ("pairs", i, n_pairs, *astuple(recipe)))),
            text=(text := "\n".join(f"{k}: {v}" for k, v in lines)),
            prefix=tuple(tokenizer.tokenize(form.head, special=True)),
            tokens=tuple(tokenizer.tokenize(text)),
            continuation=(),
            questions=tuple(_pair(k, v, tokenizer) for k, v in chosen),
            ends=_ends(form, tokenizer),
        )


def read_pairs(path: Path) -> list[tuple[list[tuple[str, str]], str]]:
    """(pairs, the key asked for) of each record. Raises UsageError."""
    try:
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        read = [([(str(k), str(v)) for k, v in r["ordered_kv_records"]], str(r["key"])) for r in records]
    except OSError as error:
        raise UsageError(f"cannot read {path}", hint="name a file of key-value records: --kv75 FILE") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} holds no records of keys and values",
            hint='a line should be {"ordered_kv_records": [[key, value], ...], "key": ..., "value": ...}',
        ) from error
    if not read or any(key not in dict(pairs) for pairs, key in read):
        raise UsageError(f"{path} has a record that lacks its key", hint="take the file as it was published")
    return read


def joined(parts: Sequence[Document], *, n_questions: int = 0) -> Document:
    """Documents one after the other in one prompt, with `n_questions` of each (0: all).

    Raises ValueError if their prefixes differ.
    """
    if len({part.prefix for part in parts}) != 1:
        raise ValueError("documents of one prompt have one prefix")
    return replace(
        parts[-1],
        name="+".join(part.name for part in parts),
        text="".join(part.text for part in parts),
        tokens=tuple(token for part in parts for token in part.tokens),
        questions=tuple(q for part in parts for q in part.questions[: n_questions or None]),
    )
