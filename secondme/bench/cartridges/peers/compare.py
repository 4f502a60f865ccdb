"""Starts the child process, waits, and makes rows of what it found."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from secondme.bench.cartridges.documents import Document
from secondme.bench.cartridges.metrics import standard_error
from secondme.bench.cartridges.peers.exchange import Answer, Asked, Case, Request, read_answers, write_request
from secondme.bench.rows import Row
from secondme.errors import BackendUnavailable, UsageError

VARIABLE = "SECONDME_PEERS_PYTHON"
_ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENT = _ROOT / "build" / "kvpress"
"""Where `make bench PEERS=kvpress` puts the environment."""

PRESSES = (
    "KVzip",
    "KVgrad",
    "KVCompose",
    "KVzip+",
    "ExpectedAttention",
    "AdaKV+ExpectedAttention",
    "SnapKV",
    "Knorm",
)
"""Those measured when none are named: the ones the field compares with, and the best of the newer ones."""

MORE_PRESSES = (
    "KVzip-layerwise",
    "CriticalAdaKV",
    "CriticalKV",
    "AdaKV+SnapKV",
    "PyramidKV",
    "CapKV",
    "Compactor",
    "TOVA",
    "StreamingLLM",
    "KeyDiff",
    "LagKV",
)

_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from secondme.bench.cartridges.peers.worker import main; sys.exit(main(sys.argv[1:]))"
)
"""The program's folder comes last on the path, so that the child's own packages are the ones it finds."""


@dataclass(frozen=True, slots=True)
class Options:
    """python: of the peers' environment. n_documents, n_questions: at most so many, 0 for all; fewer questions are
    spread over all of them, and are then not quite those of our own figures. timeout_s: for all together."""

    python: Path
    presses: tuple[str, ...] = PRESSES
    n_documents: int = 0
    n_questions: int = 0
    threads: int = 1
    timeout_s: float = 7200.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One press at one tier's bytes, all documents together.

    ratio: f16 bytes over bytes granted; kept: share of (token, head) pairs. recall_kl: mean over gold-answer tokens of
    questions about the text, nats, with its standard error. facts: planted facts whose every token is the likeliest,
    of those for which the peer's own full cache does so.
    """

    press: str
    tier: str
    quantizers: tuple[str, ...]
    ratio: float
    kept: float
    recall_kl: float
    recall_kl_se: float
    facts: tuple[int, int]
    n_questions: int


def python() -> Path:
    """The Python of the peers' environment. Raises UsageError if there is none."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else ENVIRONMENT / "bin" / "python"
    if not path.exists():
        raise UsageError(
            f"there is no {path}" if named else "kvpress is not installed",
            hint=f"run: make bench PEERS=kvpress; or name the Python of an environment that has it in {VARIABLE}",
        )
    return path


def chosen(names: str) -> tuple[str, ...]:
    """Presses from a list with commas, or `all`; "" for PRESSES. Raises UsageError for a name that is none."""
    known = PRESSES + MORE_PRESSES
    if names in ("", "all"):
        return known if names else PRESSES
    wanted = tuple(name.strip() for name in names.split(","))
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no press {name}", hint=f"there are: {', '.join(known)}")
    return wanted


def compare(
    model: Path,
    documents: Sequence[tuple[Document, Mapping[str, float]]],
    options: Options,
    progress: Callable[[str], None],
) -> list[Outcome]:
    """What the presses keep of each document in the bytes that our tiers took for it.

    model: the GGUF file. documents: with tier to how many times smaller than f16 ours is; if some ask about their text,
    the others are left out, as they are of our recall KL. Raises BackendUnavailable if the child process fails or takes
    too long.
    """
    about_text = [one for one in documents if any(q.kind == "text" for q in one[0].questions)] or list(documents)
    picked = [(_picked(d, options.n_questions), ratios) for d, ratios in about_text[: options.n_documents or None]]
    cases = tuple(
        Case(d.prefix, d.tokens, tuple(Asked(q.tail, q.gold) for q in d.questions), dict(ratios))
        for d, ratios in picked
    )
    with tempfile.TemporaryDirectory(prefix="secondme-peers-") as name:
        folder = Path(name)
        write_request(folder, Request(str(model.resolve()), options.presses, options.threads, cases))
        _run(folder, options, progress)
        try:
            answers = list(read_answers(folder))
        except ValueError as error:
            raise _failed("kvpress's process answered what cannot be read", "") from error
    return outcomes([d for d, _ in picked], answers)


def _picked(document: Document, n: int) -> Document:
    from dataclasses import replace

    questions = [q for q in document.questions if q.gold]
    if n and len(questions) > n:
        step = len(questions) / n
        questions = [questions[int(i * step)] for i in range(n)]
    return replace(document, questions=tuple(questions))


def _run(folder: Path, options: Options, progress: Callable[[str], None]) -> None:
    import threading

    complaints = folder / "stderr"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    command = [str(options.python), "-c", _START, str(_ROOT), str(folder)]
    try:
        with complaints.open("wb") as errors:
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
            )
    except OSError as error:
        raise _failed("kvpress's Python does not start", "") from error
    late = threading.Event()

    def stop() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(options.timeout_s, stop)
    timer.start()
    try:
        with child:
            for line in child.stdout or ():
                progress(line.rstrip("\n"))
    except BaseException:
        child.kill()
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise BackendUnavailable(
            f"kvpress took longer than {options.timeout_s:.0f} s", hint="ask for fewer documents, questions or presses"
        )
    if child.returncode:
        lines = complaints.read_text("utf-8", "replace").split("\n")
        raise _failed(
            f"kvpress's process ended with status {child.returncode}",
            next((line.strip() for line in reversed(lines) if line.strip()), ""),
        )


def _failed(message: str, last_line: str) -> BackendUnavailable:
    hint = f"{last_line[:160]}; " if last_line else ""
    return BackendUnavailable(message, hint=f"{hint}install it anew with: make bench PEERS=kvpress")


def outcomes(documents: Sequence[Document], answers: Iterable[Answer]) -> list[Outcome]:
    """The answers of all documents together, in the order in which presses and tiers first came."""
    full: dict[int, Answer] = {}
    groups: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        if answer.press:
            groups.setdefault((answer.tier, answer.press), []).append(answer)
        else:
            full[answer.case] = answer
    return [_outcome(documents, full, group) for group in groups.values()]


def _outcome(documents: Sequence[Document], full: Mapping[int, Answer], group: Sequence[Answer]) -> Outcome:
    sums: list[tuple[float, int]] = []
    n_recalled = n_facts = 0
    for answer in group:
        questions = documents[answer.case].questions
        hits = zip(questions, answer.hits, full[answer.case].hits, strict=True)
        facts = [hit for question, hit, known in hits if question.kind == "fact" and known]
        n_recalled, n_facts = n_recalled + sum(facts), n_facts + len(facts)
        asked = list(zip(questions, answer.kl, strict=True))
        about = [(q, kl) for q, kl in asked if q.kind == "text"] or asked
        sums += [(kl, len(q.gold)) for q, kl in about]
    weights = [documents[a.case].n_tokens for a in group]
    return Outcome(
        press=group[0].press,
        tier=group[0].tier,
        quantizers=tuple(sorted({a.quantizer for a in group})),
        ratio=sum(weights) / sum(w / a.ratio for w, a in zip(weights, group, strict=True)),
        kept=sum(w * a.kept for w, a in zip(weights, group, strict=True)) / sum(weights),
        recall_kl=sum(kl for kl, _ in sums) / sum(n for _, n in sums),
        recall_kl_se=standard_error(sums),
        facts=(n_recalled, n_facts),
        n_questions=len(sums),
    )


def rows(found: Iterable[Outcome], ours: Mapping[str, float], facts: Mapping[str, float]) -> Iterator[Row]:
    """For each press and tier `<tier>/recall_kl`, and `<tier>/facts_ratio` (%) where facts were asked for.

    ours: recall KL of each tier in the same run; facts: percent of facts recalled. Tiers not in them give no row.
    """
    for outcome in found:
        tier, peer = outcome.tier, f"kvpress/{outcome.press}"
        if (value := ours.get(tier)) is not None:
            ratio = outcome.recall_kl / value if value > 0 else None
            yield Row(
                "cartridges",
                f"{tier}/recall_kl",
                value,
                "nats",
                outcome.n_questions,
                peer,
                outcome.recall_kl,
                ratio,
            )
        n_recalled, n_facts = outcome.facts
        if n_facts and (percent := facts.get(tier)) is not None:
            theirs = 100 * n_recalled / n_facts
            ratio = percent / theirs if theirs else None
            yield Row("cartridges", f"{tier}/facts_ratio", percent, "%", n_facts, peer, theirs, ratio)
