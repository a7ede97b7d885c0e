"""NCCL's own calls that do not return, as the first of a kind while ranks connect: an error in time, and no hang.

The stand-in's first calls wait for all ranks inside the call. Whoever makes one on a rank's own thread hangs here.
"""

from __future__ import annotations

import re
import threading
import time
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from minipar import parallel
from tests.cupy_double.double_nccl import NcclCommunicator, NcclError
from tests.parallel.nccl.test_nccl_failure import error_of, ones
from tests.parallel.nccl.threads_with_nccl import launch

FIRST: dict[str, Callable[[Any], Any]] = {
    "all_reduce": lambda comm: comm.all_reduce(ones()),
    "broadcast": lambda comm: comm.broadcast(ones()),
    "all_gather": lambda comm: comm.all_gather(ones()),
    "reduce_scatter": lambda comm: comm.reduce_scatter(ones(3)),
    "all_to_all": lambda comm: comm.all_to_all(ones(3)),
}


@pytest.mark.parametrize("name", FIRST)
def test_a_rank_that_does_not_come_to_a_first_call_is_named(name: str, nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> None:
        comm.reduce(ones())  # NCCL is there
        comm.timeout = 0.3
        if comm.rank == 1:
            time.sleep(2.0)
        FIRST[name](comm)

    said = str(error_of(fn, size=3, debug=False))
    assert re.search(rf"CommunicatorTimeout: rank [02], in {name} #2 float32 \(3,\)", said)
    assert "waited 0.3 s: rank 1 is running user code after reduce #1" in said
    assert nccl.ended[:2] == ["abort", "abort"]  # of rank 0 and rank 2


@pytest.mark.parametrize("name", FIRST)
def test_a_rank_that_dies_before_a_first_call_is_named(name: str, nccl: SimpleNamespace) -> None:
    told = {}

    def fn(comm: Any) -> None:
        comm.reduce(ones())
        if comm.rank == 1:
            time.sleep(0.1)
            raise KeyError("broken")
        try:
            FIRST[name](comm)
        except parallel.PeerFailedError as error:
            told[comm.rank] = str(error)
            raise

    assert "rank 1 raised KeyError: 'broken'" in str(error_of(fn, size=3, debug=False))
    assert told.keys() == {0, 2}
    assert all(text.startswith("rank 1 has failed, while rank") for text in told.values())


def test_a_sender_is_held_up_by_nobody_and_may_fail(nccl: SimpleNamespace) -> None:
    """Its first message connects, which rank 1 does not: neither later messages nor `fail` wait for that."""
    seconds = []

    def fn(comm: Any) -> None:
        if comm.rank == 1:
            time.sleep(0.5)
            comm.recv_object(0, tag=7)  # never sent
        start = time.monotonic()
        for _ in range(3):
            comm.send(ones(), 1)
        seconds.append(time.monotonic() - start)
        time.sleep(0.2)
        raise KeyError("broken")

    assert "rank 0 raised KeyError: 'broken'" in str(error_of(fn))
    assert max(seconds) < 0.4


def test_a_receiver_does_not_wait_for_ever_while_it_connects(
    nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0 has told of an array, and NCCL does not send it."""
    monkeypatch.setattr(NcclCommunicator, "send", lambda *_: time.sleep(2.0))

    def fn(comm: Any) -> None:
        comm.timeout = 0.3
        if comm.rank == 0:
            comm.send(ones(), 1)
            time.sleep(1.0)
        else:
            comm.recv(0)

    said = str(error_of(fn))
    assert re.search(r"CommunicatorTimeout: rank 1, in recv .* waited 0.3 s: rank 0 is running user code", said)


def test_an_abort_that_does_not_return_holds_nobody_up(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []

    def stuck(self: Any) -> None:
        entered.append(threading.current_thread())
        time.sleep(3.0)

    monkeypatch.setattr(NcclCommunicator, "abort", stuck)

    def fn(comm: Any) -> None:
        comm.all_reduce(ones())
        if comm.rank == 1:
            raise KeyError("broken")
        comm.all_reduce(ones())

    start = time.monotonic()
    assert "rank 1 raised KeyError" in str(error_of(fn, size=3))
    assert time.monotonic() - start < 2.5
    assert len(entered) >= 3
    assert {thread.name for thread in entered} == {"minipar aborts NCCL"}


def test_a_communicator_that_is_made_after_its_rank_has_failed_is_aborted(
    nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = NcclCommunicator.__init__

    def slow(self: Any, *arguments: Any) -> None:
        made(self, *arguments)
        time.sleep(0.5)

    monkeypatch.setattr(NcclCommunicator, "__init__", slow)

    def fn(comm: Any) -> None:
        comm.timeout = 0.1
        comm.all_reduce(ones())

    assert "waited 0.1 s" in str(error_of(fn))
    deadline = time.monotonic() + 5.0
    while len(nccl.ended) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert nccl.ended == ["abort", "abort"]


# -- what NCCL says ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "words"), [(6, "ncclRemoteError, another"), (7, "unset NCCL_COMM_BLOCKING")])
def test_statuses_that_cupy_has_no_words_for(
    status: int, words: str, nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, *arguments: Any) -> None:
        raise NcclError(status)  # which is a KeyError, as CuPy's

    monkeypatch.setattr(NcclCommunicator, "allReduce", broken)
    said = str(error_of(lambda comm: comm.all_reduce(ones())))
    assert re.search(rf"CommunicatorError: NCCL failed while rank \d was in all_reduce #1 .*: status {status}, ", said)
    assert words in said


def test_what_nccl_complains_of_a_message_is_told(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> None:
        raise NcclError(5)

    monkeypatch.setattr(NcclCommunicator, "send", lambda *_: time.sleep(2.0))
    monkeypatch.setattr(NcclCommunicator, "check_async_error", broken)

    def fn(comm: Any) -> None:
        if comm.rank == 0:
            comm.send(ones(), 1)
            time.sleep(1.0)
        else:
            comm.recv(0)

    assert re.search(r"CommunicatorError: NCCL failed while rank 1 was in recv .*INVALID_USAGE", str(error_of(fn)))


def test_an_error_that_another_rank_has_caused_names_that_rank(
    nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL sees a connection end before the ranks have heard who died."""
    told = []

    def broken(self: Any, *arguments: Any) -> None:
        raise NcclError(6)

    monkeypatch.setattr(NcclCommunicator, "allReduce", broken)

    def fn(comm: Any) -> None:
        comm.all_gather(ones())
        if comm.rank == 1:
            time.sleep(0.3)
            raise KeyError("broken")
        try:
            comm.all_reduce(ones())
        except parallel.PeerFailedError as error:
            told.append(str(error))
            raise

    assert "rank 1 raised KeyError: 'broken'" in str(error_of(fn, debug=False))
    assert "rank 1 has failed, while rank 0 was in all_reduce #2" in told[0]


# -- streams and memory ------------------------------------------------------------------------------------------------


def test_messages_that_nobody_receives_do_not_fill_the_gpu_s_queue(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        if comm.rank == 0:
            for number in range(200):
                comm.send(ones() * number, 1)
            comm.send_object("sent", 1, tag=1)
            return None
        comm.recv_object(0, tag=1)
        return [comm.recv(0)[0].item() for _ in range(200)]

    assert launch(fn)[1] == list(range(200))
    assert nccl.deepest[0] <= 64


def test_more_streams_than_queues_are_warned_of(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fn(comm: Any) -> None:
        for _ in range(3):
            group = comm.split(0)
            group.all_reduce(ones())
            group.close()
        comm.all_reduce(ones())  # one stream at a time, so far
        comm.split(0).all_reduce(ones())

    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "2")
    told = r"2 streams on cuda:0 are more than the 2 queues .*CONNECTIONS=32"
    with pytest.raises(parallel.WorkerError, match=told):  # warnings are errors here
        launch(fn, size=1)
    monkeypatch.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "8")
    launch(lambda comm: (comm.all_reduce(ones()), comm.split(0).all_reduce(ones())), size=1)


def test_what_comes_from_others_shares_a_stream(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> int:
        for peer in range(comm.size):
            if peer != comm.rank:
                comm.send(ones(), peer)
        for peer in range(comm.size):
            if peer != comm.rank:
                comm.recv(peer)
        return comm.rank

    launch(fn, size=4)
    streams = [{arguments[-1] for r, name, arguments in nccl.calls if (r, name) == (1, "recv")}]
    assert len(streams) == 1


@pytest.mark.parametrize("name", ["all_gather", "scatter", "reduce_scatter", "recv", "irecv"])
def test_what_a_call_hands_out_is_memory_of_the_caller_s_stream(name: str, nccl: SimpleNamespace) -> None:
    """CuPy gives it out again, when it is freed, in the stream that it was allocated in: the one that reads it."""
    calls: dict[str, Callable[[Any], Any]] = {
        "all_gather": lambda comm: comm.all_gather(ones()),
        "scatter": lambda comm: comm.scatter(ones(2) if comm.rank == 0 else None, async_op=True).wait(),
        "reduce_scatter": lambda comm: comm.reduce_scatter(ones(2)),
        "recv": lambda comm: (comm.send(ones(), 1 - comm.rank), comm.recv(1 - comm.rank))[1],
        "irecv": lambda comm: (comm.send(ones(), 1 - comm.rank), comm.irecv(1 - comm.rank).wait())[1],
    }

    def fn(comm: Any) -> None:
        own = nccl.cupy.cuda.Stream(non_blocking=True)
        with own:
            result = calls[name](comm)
        assert result._memory._stream is own

    launch(fn)


def test_arrays_of_a_call_are_kept_until_it_is_over(nccl: SimpleNamespace) -> None:
    """Also when nobody waits for it any more: the GPU may still read them."""

    def fn(comm: Any) -> Any:
        comm.all_reduce(ones())  # they connect
        if comm.rank == 1:
            comm.recv_object(0)
            return comm.all_reduce(ones()).tolist()
        mine = ones()
        kept = weakref.ref(mine)
        comm.all_reduce(mine, async_op=True)
        del mine
        while len(nccl.calls) < 3:
            time.sleep(1e-3)
        comm._queue[0].drop()
        assert kept() is not None
        comm._queue.clear()
        given = comm._link._under_way[-1]
        comm.send_object("go on", 1)
        while not given.is_over():
            time.sleep(1e-3)
        return None

    launch(fn, debug=False)
