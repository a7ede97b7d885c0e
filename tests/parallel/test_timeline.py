"""The timeline: what is recorded, by whom, and what it costs where nobody records."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn, optim, parallel
from minipar.parallel import launch, timeline
from minipar.parallel.comm import spans
from minipar.parallel.timeline import Span


@pytest.fixture(autouse=True)
def the_hook_is_empty_again():
    assert spans.listener is None
    yield
    assert spans.listener is None


def two_steps(comm):
    array = np.full(1000, comm.rank, np.float32)
    comm.barrier()  # before the recording: not in it
    with timeline.record() as recording:
        for _ in range(2):
            with timeline.span("step"):
                with timeline.span("backward"):
                    pass
                comm.all_reduce(array)
        if comm.rank == 0:
            comm.send(array, 1, tag=7)
        else:
            comm.recv(0, tag=7)
    comm.barrier()  # after it
    return timeline.merge(comm, recording)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_every_rank_records_its_own_calls_and_spans(backend):
    first, second = launch(two_steps, workers=2, backend=backend)
    assert first == second
    for rank, recording in enumerate(first):
        assert [span.rank for span in recording] == [rank] * 7
        assert [span.name for span in recording[:6]] == ["backward", "all_reduce", "step"] * 2
        assert recording[6].name == ("recv" if rank else "send")
        assert [span.kind for span in recording[:3]] == ["compute", "communication", "compute"]
        backward, reduced, step = recording[:3]
        assert (backward.nbytes, reduced.nbytes) == (0, 4000)
        assert step.start_ns <= backward.start_ns <= backward.end_ns <= reduced.start_ns
        assert reduced.start_ns + reduced.waited_ns <= reduced.end_ns <= step.end_ns
        assert recording[4].number == recording[1].number + 1
    assert first[0][1].number == 2, "the barrier before the recording was the first call"
    one, other = (recording[1] for recording in first)
    assert one.number == other.number
    assert max(one.start_ns, other.start_ns) <= min(one.end_ns, other.end_ns), "one clock, and nobody ends alone"


def exchanges(comm):
    other = 1 - comm.rank
    comm.barrier()
    with timeline.record() as recording:
        work = comm.irecv(other)
        comm.send(np.zeros(10), other)
        work.wait()
        comm.all_reduce(np.zeros(3))
        comm.send_object("text", other)
        comm.recv_object(other)
    return recording


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_a_message_has_bytes_on_both_sides_and_no_number(backend):
    for recording in launch(exchanges, workers=2, backend=backend):
        told = {span.name: (span.number, span.nbytes) for span in recording}
        packed = told["send_object"][1]
        assert packed > len("text")
        assert told == {
            "irecv": (0, 80),
            "send": (0, 80),
            "all_reduce": (2, 24),
            "send_object": (0, packed),
            "recv_object": (0, packed),
        }


def test_who_comes_first_waits(monkeypatch):
    def meet(comm):
        with timeline.record() as recording:
            if comm.rank:
                threading.Event().wait(0.2)
            comm.barrier()
        return recording[0].waited_ns

    early, late = launch(meet, workers=2, backend="thread")
    assert early > 1.5e8
    assert late < 1e8


def test_an_asynchronous_call_lasts_until_it_is_complete():
    def overlap(comm):
        array = np.ones(100_000)
        with timeline.record() as recording:
            work = comm.all_reduce(array, async_op=True)
            with timeline.span("meanwhile"):
                threading.Event().wait(0.05)
            work.wait()
        return recording

    for recording in launch(overlap, workers=2, backend="process"):
        reduced = next(span for span in recording if span.name == "all_reduce")
        meanwhile = next(span for span in recording if span.name == "meanwhile")
        assert reduced.start_ns <= meanwhile.start_ns


def test_without_a_recording_nothing_is_heard():
    def quiet(comm):
        with timeline.span("unheard") as nothing:
            comm.barrier()
        return nothing, spans.listener

    assert launch(quiet, workers=2, backend="thread") == [(None, None)] * 2
    assert timeline.span("a") is timeline.span("b")  # nothing is even made


def test_a_thread_that_does_not_record_leaves_no_trace_in_one_that_does():
    def only_the_first(comm):
        if comm.rank:
            with timeline.span("unheard"):
                comm.barrier()
                comm.barrier()
            return []
        with timeline.record() as recording:
            comm.barrier()
            comm.barrier()
        return recording

    first, second = launch(only_the_first, workers=2, backend="thread")
    assert [span.name for span in first] == ["barrier", "barrier"]
    assert second == []


def test_the_hook_goes_when_the_last_recording_ends():
    inside, outside = threading.Event(), threading.Event()

    def record_long():
        with timeline.record():
            inside.set()
            outside.wait(5)

    other = threading.Thread(target=record_long)
    with timeline.record():
        other.start()
        assert inside.wait(5)
    assert spans.listener is not None
    outside.set()
    other.join()
    assert spans.listener is None


def test_an_exception_ends_the_span_and_the_recording():
    with pytest.raises(ZeroDivisionError), timeline.record() as recording, timeline.span("fails"):
        1 / 0  # noqa: B018
    assert [span.name for span in recording] == ["fails"]
    with timeline.record() as recording:
        pass
    assert recording == []


def test_recordings_do_not_nest():
    with timeline.record(), pytest.raises(RuntimeError, match="recording already"), timeline.record():
        pass


def test_a_recording_can_be_pickled():
    with timeline.record() as recording, timeline.span("forward"):
        pass
    again = pickle.loads(pickle.dumps(recording))
    assert again == recording
    assert again[0].duration_ns == recording[0].end_ns - recording[0].start_ns


def test_a_trace_for_perfetto():
    recordings = [
        [Span(0, "compute", "forward", 5000, 9000), Span(0, "communication", "all_reduce", 7000, 12000, 400, 3, 1500)],
        [Span(1, "compute", "forward", 4000, 9000), Span(1, "communication", "send", 9000, 9500, 40)],
    ]
    trace = json.loads(json.dumps(timeline.chrome_trace(recordings)))
    names = [event["args"]["name"] for event in trace["traceEvents"] if event["ph"] == "M"]
    assert names == ["rank 0", "rank 1"]
    forward, reduced, other, sent = (event for event in trace["traceEvents"] if event["ph"] == "X")
    assert (forward["ts"], forward["dur"], forward["pid"], forward["tid"]) == (1.0, 4.0, 0, 0)
    assert (reduced["ts"], reduced["dur"], reduced["pid"], reduced["tid"]) == (3.0, 5.0, 0, 1)
    assert reduced["args"] == {"bytes": 400, "call": 3, "waited µs": 1.5}
    assert (other["ts"], other["pid"]) == (0.0, 1)
    assert sent["args"] == {"bytes": 40, "waited µs": 0.0}, "a message has no number"


def test_calls_under_way_at_the_same_time_have_rows_of_their_own():
    """Spans of one row may only lie in one another or side by side: else Perfetto draws them wrongly."""
    calls = [(0, 10), (5, 15), (10, 20), (16, 18), (19, 30)]
    recording = [Span(0, "communication", "all_reduce", *call) for call in calls]
    events = [event for event in timeline.chrome_trace([recording])["traceEvents"] if event["ph"] == "X"]
    assert [event["tid"] for event in events] == [1, 2, 1, 2, 2]


def test_an_empty_recording_is_an_empty_trace():
    assert timeline.chrome_trace([[], []])["traceEvents"] == []
    assert timeline.chrome_trace([])["traceEvents"] == []


def test_a_data_parallel_step_is_recorded_part_by_part():
    def train(comm):
        model = parallel.DataParallel(nn.Linear(30, 1), comm)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        x, y = minipar.ones(4, 30), minipar.zeros(4, 1)
        with timeline.record() as recording:
            model.train_step(lambda net, x, y: F.mse_loss(net(x), y), optimizer, x, y)
        return recording

    for recording in parallel.launch(train, workers=2, backend="thread"):
        computing = [span.name for span in recording if span.kind == "compute"]
        assert computing == ["forward", "backward", "gradients of all ranks", "update"]
        backward, exchange = (
            next(span for span in recording if span.name == name) for name in ("backward", "gradients of all ranks")
        )
        largest = max((span for span in recording if span.kind == "communication"), key=lambda span: span.nbytes)
        assert backward.start_ns <= largest.start_ns, "it begins while backward runs"
        assert largest.end_ns <= exchange.end_ns
