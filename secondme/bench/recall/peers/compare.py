"""Starts the child process, ranks what needs no library, and makes rows of all rankings."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from secondme.bench.recall.peers.dialogues import Dialogue, counts, read, recall
from secondme.bench.recall.peers.exchange import (
    DEPTH,
    Answer,
    Conversation,
    Request,
    read_answers,
    write_request,
)
from secondme.bench.rows import Row
from secondme.errors import BackendUnavailable, UsageError

if TYPE_CHECKING:
    from secondme.bench.recall import Tools
    from secondme.runtime.base import Embedder, FloatMatrix

PEERS = ("bm25s", "dense", "rrf", "mem0")
_INSTALLED = frozenset({"bm25s", "mem0"})
_RRF = 60  # Cormack et al. 2009
VARIABLE = "SECONDME_PEERS_PYTHON"
_ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENT = _ROOT / "build" / "mem0"
"""Where `make bench PEERS=mem0` puts the environment."""

_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from secondme.bench.recall.peers.worker import main; sys.exit(main(sys.argv[1:]))"
)
"""The program's folder comes last on the path, so that the child's own packages are the ones it finds."""

Rankings = list[list[list[int]]]


def chosen(names: str) -> tuple[str, ...]:
    """Peers from a list with commas, or `all`. Raises UsageError for a name that is none."""
    wanted = PEERS if names == "all" else tuple(name.strip() for name in names.split(","))
    for name in wanted:
        if name not in PEERS:
            raise UsageError(f"there is no peer {name}", hint=f"there are: {', '.join(PEERS)}")
    return wanted


def python() -> Path:
    """The Python of the peers' environment. Raises UsageError if there is none."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else ENVIRONMENT / "bin" / "python"
    if not path.exists():
        raise UsageError(
            f"there is no {path}" if named else "bm25s and mem0ai are not installed",
            hint=f"run: make bench PEERS=mem0; or name the Python of an environment that has them in {VARIABLE}",
        )
    return path


def rows(path: Path, tools: Tools, ours: Mapping[str, float]) -> Iterator[Row]:
    """Rows of `ours` beside every peer: evidence recall of all categories, and milliseconds of a write and a search.

    ours: figures of the same run by case. Where a case is missing, the peer's figure stands alone, its name in the
    case. Raises UsageError as `chosen` and `python` do, BackendUnavailable if the child process fails.
    """
    peers = chosen(tools.options.peers)
    if _installed(peers):
        python()
    dialogues = read(path, tools.options.limit)
    tools.say("embedding turns and questions for the peers")
    vectors = [_vectors(dialogue, tools.embedder) for dialogue in dialogues]
    answers = _answers(peers, dialogues, vectors, tools.say)
    n = counts(dialogues)
    for name in peers:
        rankings = _rankings(name, dialogues, vectors, answers)
        for k in (5, 10):
            for category, value in recall(dialogues, rankings, k).items():
                yield _beside(f"locomo/recall@{k}/{category}", "%", n[category], (name, value), ours)
        if name in answers:
            yield from _times(answers[name], ours)


def _times(answer: Answer, ours: Mapping[str, float]) -> Iterator[Row]:
    for case, seconds in (("write_ms", answer.write_s), ("search_p95_ms", answer.search_s)):
        ordered = sorted(seconds)
        place = len(ordered) // 2 if case == "write_ms" else int(0.95 * (len(ordered) - 1))
        yield _beside(f"locomo/{case}", "ms", len(ordered), (answer.peer, 1000 * ordered[place]), ours)


def _beside(case: str, unit: str, n: int, peer: tuple[str, float], ours: Mapping[str, float]) -> Row:
    name, theirs = peer
    value = ours.get(case)
    if value is None:
        return Row("recall", f"{case}/{name}", theirs, unit, n)
    better = (theirs, value) if unit == "ms" else (value, theirs)
    return Row("recall", case, value, unit, n, name, theirs, better[0] / better[1] if better[1] else None)


# Rankings ------------------------------------------------------------------------------------------------------


def _vectors(dialogue: Dialogue, embedder: Embedder) -> FloatMatrix:
    """Rows of the turns, then of the questions; a text too long for the embedder by its first tokens."""
    import numpy as np

    texts = [*dialogue.turns, *(asked.question for asked in dialogue.asked)]
    return np.stack([text.pooled for text in embedder.embed_tokens(texts)])


def _rankings(
    name: str, dialogues: Sequence[Dialogue], vectors: Sequence[FloatMatrix], answers: Mapping[str, Answer]
) -> Rankings:
    if name in answers:
        return answers[name].rankings
    dense = [_dense(dialogue, rows) for dialogue, rows in zip(dialogues, vectors, strict=True)]
    if name == "dense":
        return dense
    pairs = zip(answers["bm25s"].rankings, dense, strict=True)
    return [[fused(one) for one in zip(words, near, strict=True)] for words, near in pairs]


def _dense(dialogue: Dialogue, rows: FloatMatrix) -> list[list[int]]:
    import numpy as np

    n_turns = len(dialogue.turns)
    order = np.argsort(-(rows[n_turns:] @ rows[:n_turns].T), axis=1, kind="stable")
    ranked: list[list[int]] = order[:, :DEPTH].tolist()
    return ranked


def fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Reciprocal rank fusion: the sum over rankings of 1 / (60 + rank), highest first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, place in enumerate(ranking, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (_RRF + rank)
    return sorted(scores, key=lambda place: (-scores[place], place))


# The child process ---------------------------------------------------------------------------------------------


def _installed(peers: Sequence[str]) -> tuple[str, ...]:
    """Those of the child process that `peers` need; the fusion needs the words' ranking."""
    needed = {*peers, *(["bm25s"] if "rrf" in peers else [])} & _INSTALLED
    return tuple(name for name in PEERS if name in needed)


def _answers(
    peers: Sequence[str], dialogues: Sequence[Dialogue], vectors: Sequence[FloatMatrix], say: Callable[[str], None]
) -> dict[str, Answer]:
    asked = _installed(peers)
    if not asked:
        return {}
    conversations = tuple(Conversation(d.turns, tuple(a.question for a in d.asked)) for d in dialogues)
    with tempfile.TemporaryDirectory(prefix="secondme-peers-") as name:
        folder = Path(name)
        request = Request(asked, vectors[0].shape[1], conversations)
        write_request(folder, request, [rows.tobytes() for rows in vectors])
        _run(folder, say)
        try:
            return read_answers(folder, request)
        except ValueError as error:
            raise _failed("the peers' process answered what cannot be read", "") from error


def _run(folder: Path, say: Callable[[str], None]) -> None:
    complaints = folder / "stderr"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    command = [str(python()), "-c", _START, str(_ROOT), str(folder)]
    try:
        with (
            complaints.open("wb") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
            ) as child,
        ):
            try:
                for line in child.stdout or ():
                    say(line.rstrip("\n"))
            except BaseException:
                child.kill()
                raise
    except OSError as error:
        raise _failed("the peers' Python does not start", "") from error
    if child.returncode:
        lines = complaints.read_text("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        raise _failed(f"the peers' process ended with status {child.returncode}", last)


def _failed(message: str, last_line: str) -> BackendUnavailable:
    hint = f"{last_line[:160]}; " if last_line else ""
    return BackendUnavailable(message, hint=f"{hint}install them anew with: make bench PEERS=mem0")
