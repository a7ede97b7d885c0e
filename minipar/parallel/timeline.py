"""The timeline: what each rank did, and when.

    def train(comm):
        with timeline.record() as recording:
            for x, y in batches:
                with timeline.span("forward"):
                    loss = loss_fn(model(x), y)
                with timeline.span("backward"):
                    loss.backward()
                comm.all_reduce(gradients)  # recorded by itself
        return timeline.merge(comm, recording)

    recordings = parallel.launch(train, workers=2)[0]
    Path("trace.json").write_text(json.dumps(timeline.chrome_trace(recordings)))  # open it at ui.perfetto.dev

A recording is a list of `Span`, which can be kept, pickled and worked on as any other list. While no thread of a
process records, a span costs about 0.1 µs and a communicator call the question whether anybody listens.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from .comm import Communicator, spans

__all__ = ["Span", "chrome_trace", "merge", "record", "span"]

COMPUTE, COMMUNICATION = "compute", "communication"  # kinds of spans; a user may have others
_NOTHING = nullcontext()


class Span(NamedTuple):
    """Something that a rank did from `start_ns` to `end_ns`, nanoseconds of one clock for all processes of a machine.

    `rank` is 0 until `merge` has put the ranks together. Spans of kind "communication" are communicator calls: `nbytes`
    is the size of the array that the rank passes (or gets, if it passes none), `number` counts the collective calls,
    which all ranks make in the same order (of messages, which are not counted, it is 0), and `waited_ns` is how long of
    the time nothing was done for the call, because another rank was late.

    >>> from minipar.parallel import timeline
    >>> timeline.Span(0, "compute", "forward", start_ns=1000, end_ns=3500).duration_ns
    2500
    """

    rank: int
    kind: str
    name: str
    start_ns: int
    end_ns: int
    nbytes: int = 0
    number: int = 0
    waited_ns: int = 0

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


class _ThisThread(threading.local):
    recording: list[Span] | None = None


_this_thread = _ThisThread()
_lock = threading.Lock()
_recorders = 0  # threads of this process that record


@contextmanager
def record() -> Iterator[list[Span]]:
    """Inside, spans and communicator calls of this thread are added to the list that is returned, as they end.

    Every rank records for itself, in processes as in threads. RuntimeError if this thread records already.

    >>> from minipar.parallel import timeline
    >>> with timeline.record() as recording:
    ...     with timeline.span("forward"):
    ...         pass
    >>> [span.name for span in recording]
    ['forward']
    """
    if _this_thread.recording is not None:
        raise RuntimeError("record: this thread is recording already, and one recording cannot lie in another")
    recording: list[Span] = []
    _this_thread.recording = recording
    _count(+1)
    try:
        yield recording
    finally:
        _this_thread.recording = None
        _count(-1)


def span(name: str, kind: str = COMPUTE) -> AbstractContextManager[Any]:
    """What is done inside is a span, if this thread records. Spans may lie in one another. TypeError: no str.

    >>> from minipar.parallel import timeline
    >>> with timeline.record() as recording, timeline.span("batch 3", kind="input"):
    ...     pass
    >>> recording[0][:3]
    (0, 'input', 'batch 3')
    """
    if not isinstance(name, str) or not isinstance(kind, str):
        raise TypeError(f"span: name and kind must be str, not {type(name).__name__} and {type(kind).__name__}")
    recording = _this_thread.recording if spans.listener is not None else None
    return _NOTHING if recording is None else _Open(name, kind, recording)


def add(span: Span) -> None:
    """Into the recording of this thread, if it records: what others have done for it."""
    if _this_thread.recording is not None:
        _this_thread.recording.append(span)


class _Open:
    """A span that has not ended. (A generator with @contextmanager would take three times as long.)"""

    __slots__ = ("_name", "_kind", "_recording", "_start")

    def __init__(self, name: str, kind: str, recording: list[Span]) -> None:
        self._name, self._kind, self._recording = name, kind, recording

    def __enter__(self) -> None:
        self._start = spans.clock()

    def __exit__(self, *_: object) -> None:
        self._recording.append(Span(0, self._kind, self._name, self._start, spans.clock()))


def merge(comm: Communicator, recording: Sequence[Span]) -> list[list[Span]]:
    """The recordings of all ranks, by rank, each span with its rank: a collective call, after the recording.

    TypeError for anything but a communicator and a list of spans.

    >>> from minipar.parallel import timeline
    >>> def work(comm):
    ...     with timeline.record() as recording:
    ...         comm.barrier()
    ...     return timeline.merge(comm, recording)
    >>> recordings = minipar.parallel.launch(work, workers=2, backend="thread")[0]
    >>> [[(span.rank, span.name) for span in recording] for recording in recordings]
    [[(0, 'barrier')], [(1, 'barrier')]]
    """
    if not isinstance(comm, Communicator):
        raise TypeError(f"merge takes a Communicator and a recording, not {type(comm).__name__} first")
    check_recording("merge", recording)
    return comm.all_gather_object([span._replace(rank=comm.rank) for span in recording])


def chrome_trace(recordings: Sequence[Sequence[Span]]) -> dict[str, Any]:
    """The recordings as Chrome's trace events, which Perfetto (ui.perfetto.dev) draws, once written as JSON.

    Each rank is a process of the picture, with the computing in one row and communication in others; spans of one row
    lie in one another or side by side, so calls that were under way at the same time get a row each. Microseconds since
    the first span began. Format: "Trace Event Format", Google, 2016. TypeError for anything but a list of recordings.

    >>> from minipar.parallel import timeline
    >>> trace = timeline.chrome_trace([[timeline.Span(0, "compute", "forward", start_ns=1000, end_ns=3500)]])
    >>> [(event["name"], event["ts"], event["dur"]) for event in trace["traceEvents"] if event["ph"] == "X"]
    [('forward', 0.0, 2.5)]
    """
    for recording in recordings:
        check_recording("chrome_trace", recording)
    everything = [span for recording in recordings for span in recording]
    origin = min((span.start_ns for span in everything), default=0)
    events: list[dict[str, Any]] = []
    for rank in sorted({span.rank for span in everything}):
        events.append({"ph": "M", "name": "process_name", "pid": rank, "tid": 0, "args": {"name": f"rank {rank}"}})
        row_ends: list[int] = []  # when the last call of each row of communication ended
        for one in sorted((span for span in everything if span.rank == rank), key=lambda span: span.start_ns):
            row = 0 if one.kind != COMMUNICATION else 1 + _free_row(row_ends, one)
            events.append(_event(one, row, origin))
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def check_recording(verb: str, recording: Any) -> None:
    if not isinstance(recording, Sequence) or not all(isinstance(one, Span) for one in recording):
        what = "a recording" if verb == "merge" else "a list of recordings, one a rank"
        raise TypeError(f"{verb} takes {what}, and a recording is a list of Span: not {type(recording).__name__}")


def _free_row(row_ends: list[int], span: Span) -> int:
    """The first row whose last span has ended when this one begins; a new one if there is none."""
    row = next((row for row, end in enumerate(row_ends) if end <= span.start_ns), len(row_ends))
    row_ends[row:] = [span.end_ns, *row_ends[row + 1 :]]
    return row


def _event(span: Span, row: int, origin: int) -> dict[str, Any]:
    event: dict[str, Any] = {"ph": "X", "name": span.name, "cat": span.kind, "pid": span.rank, "tid": row}
    event |= {"ts": (span.start_ns - origin) / 1e3, "dur": span.duration_ns / 1e3}
    if span.kind == COMMUNICATION:
        event["args"] = {"bytes": span.nbytes, "waited µs": span.waited_ns / 1e3}
        if span.number:
            event["args"]["call"] = span.number
    return event


def _count(change: int) -> None:
    """The communicators' hook is empty while nobody records."""
    global _recorders
    with _lock:
        _recorders += change
        spans.listener = _hear if _recorders else None


def _hear(kind: str, number: int, nbytes: int, start_ns: int, end_ns: int, waited_ns: int) -> None:
    recording = _this_thread.recording
    if recording is not None:  # another thread may be the one that records
        recording.append(Span(0, COMMUNICATION, kind, start_ns, end_ns, nbytes, number, waited_ns))
