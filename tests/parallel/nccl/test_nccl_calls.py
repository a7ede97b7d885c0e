"""What NCCL is given for each call, in which stream, and when a call is complete."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn, parallel
from minipar.parallel import gradients
from minipar.parallel.comm.nccl_link import Link
from tests.parallel.nccl.nccl_programs import check_every_call, every_call, train
from tests.parallel.nccl.threads_with_nccl import launch

INT8, INT32, FLOAT32, FLOAT64, SUM, MAX = 0, 2, 7, 8, 0, 2  # NCCL's numbers


REACHES = "backward reaches the first layer"


def array(comm: Any, dtype: str = "f", shape: Any = (2, 3)) -> Any:
    import cupy

    return cupy.full(shape, comm.rank + 1, dtype)


GIVEN = {
    "all_reduce": (lambda c: c.all_reduce(array(c)), ["allReduce"], (6, FLOAT32, SUM)),
    "mean": (lambda c: c.all_reduce(array(c), "mean"), ["allReduce"], (6, FLOAT32, SUM)),
    "largest int": (lambda c: c.all_reduce(array(c, "i"), "max"), ["allReduce"], (6, INT32, MAX)),
    "largest float, where NaN may be": (lambda c: c.all_reduce(array(c), "max"), ["allGather"], (24, INT8)),
    "complex sum": (lambda c: c.all_reduce(array(c, "F")), ["allReduce"], (12, FLOAT32, SUM)),
    "complex product": (lambda c: c.all_reduce(array(c, "F"), "prod"), ["allGather"], (48, INT8)),
    "short sum": (lambda c: c.all_reduce(array(c, "h")), ["allGather"], (12, INT8)),
    "in order": (lambda c: c.all_reduce(array(c), algorithm="in-order"), ["allGather"], (24, INT8)),
    "ring": (lambda c: c.all_reduce(array(c), algorithm="ring"), ["send", "recv"], None),
    "broadcast": (lambda c: c.broadcast(array(c), 1), ["broadcast"], (24, INT8, 1)),
    "reduce": (lambda c: c.reduce(array(c), 1), ["reduce"], (6, FLOAT32, SUM, 1)),
    "all_gather": (lambda c: c.all_gather(array(c)), ["allGather"], (24, INT8)),
    "reduce_scatter": (lambda c: c.reduce_scatter(array(c)), ["reduceScatter"], (3, FLOAT32, SUM)),
    "reduce_scatter of shorts": (lambda c: c.reduce_scatter(array(c, "h")), ["send", "recv"], None),
    "gather": (lambda c: c.gather(array(c), 1), ["send", "recv"], None),
    "scatter": (lambda c: c.scatter(array(c) if c.rank else None, 1), ["send", "recv"], None),
    "all_to_all": (lambda c: c.all_to_all(array(c)), ["send", "recv"], None),
    "empty arrays": (lambda c: c.all_reduce(array(c, shape=(0, 2))), [], None),
    "an array on the host": (lambda c: c.all_reduce(np.ones(3)), [], None),
    "barrier": (lambda c: c.barrier(), [], None),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_nccl_is_given(name: str, nccl: SimpleNamespace) -> None:
    call, names, arguments = GIVEN[name]

    def fn(comm: Any) -> list[int]:
        call(comm)
        return [comm._gpu.stream.ptr, *(channel.gpu.stream.ptr for channel in comm._outgoing.values())]

    streams = launch(fn)
    assert {given for _, given, _ in nccl.calls} == set(names)
    for rank, given, told in nccl.calls:
        assert given in ("send", "recv") or told[-1] == streams[rank][0], "not in the communicator's stream"
        assert arguments is None or told[2:-1] == arguments
    assert nccl.mismatches == []


def test_what_was_computed_before_a_call_is_in_it(nccl: SimpleNamespace) -> None:
    """The communicator's stream waits for the one that is current when the call is made, not when it is carried out."""

    def fn(comm: Any) -> None:
        side = nccl.cupy.cuda.Stream(non_blocking=True)
        with side:
            work = comm.all_reduce(array(comm), async_op=True)
        work.wait()
        (event,) = [event for what, event in comm._gpu.stream.given if what == "wait"]
        assert event.recorded is side

    launch(fn)


def test_an_asynchronous_call_is_complete_when_all_have_made_it(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        if comm.rank == 1:
            comm.recv_object(0)  # rank 0 has looked
            return comm.all_reduce(array(comm)).tolist()
        mine = array(comm)
        work = comm.all_reduce(mine, async_op=True)
        assert not work.done()
        comm.send_object("go on", 1)
        assert work.wait() is mine
        assert work.done()
        return mine.tolist()

    for debug in (True, False):
        assert launch(fn, debug=debug) == [[[3.0] * 3] * 2] * 2


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_find_their_recv_in_any_order(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        other = 1 - comm.rank
        for tag in (0, 1, 0):
            mine = array(comm, shape=(tag + 1,)) * 10 + tag
            comm.send(mine, other, tag)  # both send before they receive
            mine[...] = -1  # and may change it
        comm.send(np.array([7.0]), other, 1)
        later = comm.irecv(other, 0)
        got = [comm.recv(other, 1), comm.recv(other, 1), later.wait(), comm.recv(other, 0)]
        assert [comm.takes(x) and not isinstance(x, np.ndarray) for x in got] == [True, False, True, True]
        comm.send(array(comm), comm.rank)
        assert comm.recv(comm.rank).tolist() == array(comm).tolist()
        return [x.tolist() for x in got]

    assert launch(fn) == [[[21.0] * 2, [7.0], [20.0], [20.0]], [[11.0] * 2, [7.0], [10.0], [10.0]]]
    assert sorted(given for _, given, _ in nccl.calls) == ["recv"] * 6 + ["send"] * 6


def test_what_is_never_received_holds_nobody_up(nccl: SimpleNamespace) -> None:
    start = time.monotonic()
    launch(lambda comm: comm.send(array(comm), 1 - comm.rank))
    assert time.monotonic() - start < 4.0


def test_closing_waits_for_what_is_still_received(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        if comm.rank == 0:
            comm.send(array(comm), 1)
            return None
        time.sleep(0.3)
        return comm.recv(0).tolist()

    assert launch(fn)[1] == [[1.0] * 3] * 2


def test_closing_waits_for_what_a_group_still_receives(nccl: SimpleNamespace) -> None:
    """Also while the receiver closes another group, in which it receives nothing."""

    def fn(comm: Any) -> Any:
        group, other = comm.split(0), comm.split(0)
        if comm.rank == 0:
            group.send(array(comm), 1)
            other.close()
            return None
        other.close()
        time.sleep(0.3)
        return group.recv(0).tolist()

    assert launch(fn)[1] == [[1.0] * 3] * 2


# -- groups ------------------------------------------------------------------------------------------------------------


def test_a_group_has_an_nccl_of_its_own_once_it_needs_one(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        group = comm.split(comm.rank % 2, key=-comm.rank)
        group.all_reduce(np.ones(1))
        assert group._link is None
        total = group.all_reduce(array(comm)).tolist()
        group.close()
        return group.rank, total[0][0], comm.all_reduce(array(comm)).tolist()[0][0]

    assert launch(fn, size=4) == [(1, 4.0, 10.0), (1, 6.0, 10.0), (0, 4.0, 10.0), (0, 6.0, 10.0)]
    assert nccl.ended == ["destroy"] * 8


# -- training ----------------------------------------------------------------------------------------------------------


def test_gradients_stay_on_the_gpus_and_leave_while_backward_runs(
    nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients.GradientExchange.__init__, "__defaults__", (200, True))  # bytes of a bucket
    order: list[str] = []
    given = Link.give

    def noted(self: Any, post: Any, array: Any) -> Any:
        if self._gpu.number == 0 and len(array):  # nothing goes with what ends it
            order.append(f"sent {array.size}")
        return given(self, post, array)

    monkeypatch.setattr(Link, "give", noted)
    hooked = nn.Linear.forward

    def first_layer(self: Any, x: Any) -> Any:
        made = hooked(self, x)
        if self.in_features == 4 and made.device == minipar.device("cuda", 0):
            made.register_hook(lambda grad: order.append(REACHES))
        return made

    monkeypatch.setattr(nn.Linear, "forward", first_layer)
    (alone,) = parallel.launch(train, workers=1, backend="thread")
    for debug in (True, False):
        order.clear()
        for parameters in launch(train, debug=debug):
            for ours, theirs in zip(parameters, alone):
                np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        sent = [text for text in order if text != REACHES][6:]  # the six parameters come first
        assert sent == ["sent 21", "sent 6", "sent 30", "sent 25"] * 3
        if not debug:  # else a bucket leaves when both ranks have it
            for step in range(3):
                places = [[place for place, text in enumerate(order) if text == x] for x in ("sent 21", REACHES)]
                first, reaches = places[0][step], places[1][step]
                assert first < reaches, order
    assert {datatype for _, name, (_, _, _, datatype, *_) in nccl.calls if name == "allReduce"} == {FLOAT64}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_programs_for_real_gpus(size: int, nccl: SimpleNamespace) -> None:
    check_every_call(launch(every_call, size=size))


# -- launch ------------------------------------------------------------------------------------------------------------


def test_launch(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks are threads here: the double is in this process alone."""
    from minipar.parallel.ranks import processes, threads

    monkeypatch.setattr(processes, "run", threads.run)

    def fn(comm: Any, factor: float) -> Any:
        assert parallel.init() is comm
        assert comm.backend == "nccl"
        total = comm.all_reduce(minipar.full((3,), factor, device="cuda").array)
        return str(comm.device), int(total.device.id), total.tolist()

    assert parallel.launch(fn, 2.0, workers=3, backend="nccl") == [
        (f"cuda:{rank}", rank, [6.0, 6.0, 6.0]) for rank in range(3)
    ]
    assert nccl.ended == ["destroy"] * 3
    given = parallel.launch(fn, 1.0, backend="nccl", devices=["cuda:5", "cuda:2"])
    assert [place for place, *_ in given] == ["cuda:5", "cuda:2"]
    with pytest.raises(ValueError, match=r"backend='nccl' needs a GPU for each rank, and devices\[1\] is 'cpu'"):
        parallel.launch(fn, 1.0, backend="nccl", devices=["cuda:0", "cpu"])
    with pytest.raises(RuntimeError, match="device 'cuda:8' cannot be used: the GPUs here are 0 to 7"):
        parallel.launch(fn, 1.0, workers=9, backend="nccl")


def test_objects_and_host_arrays_go_by_the_host(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        shared = comm.empty(4)
        shared[:] = comm.rank
        return comm.all_gather_object(comm.rank), comm.all_reduce(shared).tolist(), comm.traffic.messages

    assert launch(fn) == [([0, 1], [1.0] * 4, 0)] * 2
    assert nccl.calls == []
