"""What a screen is told is less than what happens, and never wrong at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from secondme.tui.tally import IngestView, folded, gathered, views
from secondme.types import (
    AnswerEvent,
    FileProgress,
    FileRemoved,
    FileRenamed,
    FileSkipped,
    FileStarted,
    FileStored,
    FileUnchanged,
    IngestDone,
    IngestEvent,
    Notice,
    PrefillProgress,
    ScanProgress,
    TokenText,
)

DONE = IngestDone(1, 1, 1, 1, 5, 100, 0.5, 0.4)


def ticking(step_s: float) -> Callable[[], float]:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += step_s
        return now

    return clock


def test_slow_tokens_pass_one_by_one() -> None:
    events: list[AnswerEvent] = [TokenText("a"), TokenText("b"), TokenText("c")]
    assert list(gathered(iter(events), ticking(1.0))) == events


def test_fast_tokens_are_joined_and_stay_in_order() -> None:
    events: list[AnswerEvent] = [TokenText(str(n)) for n in range(1000)]
    events[500:500] = [Notice("halfway"), PrefillProgress(1, 2)]
    out = list(gathered(iter(events), ticking(0.001)))
    assert len(out) < 100
    assert isinstance(out[0], TokenText) and out[0].text == "0"  # the first token is shown at once
    at = out.index(Notice("halfway"))
    before = "".join(e.text for e in out[:at] if isinstance(e, TokenText))
    assert before == "".join(map(str, range(500)))
    assert out[at + 1] == PrefillProgress(1, 2)
    assert "".join(e.text for e in out if isinstance(e, TokenText)) == "".join(map(str, range(1000)))


def ingested() -> Iterator[IngestEvent]:
    yield ScanProgress(4)
    yield FileStarted("a", 0, 4)
    yield FileProgress("a", 2, 5)
    yield FileStored("a", 5, 1, 4)
    yield FileUnchanged("b", 2, 4)
    yield FileSkipped("c", "no text", "", 3, 4)
    yield FileRemoved("d")
    yield FileRenamed("e", "f")
    yield DONE


def test_every_event_is_counted() -> None:
    seen = []
    view = IngestView()
    for event in ingested():
        view = folded(view, event)
        seen.append(view)
    assert seen[2].n_chunks_file == 2
    assert (view.n_found, view.n_done, view.n_total, view.n_chunks, view.n_chunks_file) == (4, 3, 4, 5, 0)
    assert view.skip == FileSkipped("c", "no text", "", 3, 4) and view.n_skipped == 1
    assert view.done == DONE and view.path == "f"


def test_progress_is_thinned_but_each_end_is_told() -> None:
    def twice() -> Iterator[IngestEvent]:
        for _ in range(2):
            yield from (FileUnchanged(str(n), n, 2000) for n in range(2000))
            yield from ingested()

    out = list(views(twice(), ticking(0.0005)))
    assert len(out) < 200
    ends = [view for view in out if view.done is not None]
    assert len(ends) == 2
    assert [view.n_chunks for view in ends] == [5, 5]  # the count starts anew after each end
