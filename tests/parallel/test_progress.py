"""What becomes of calls that are interrupted, polled, refused in the middle, or left behind by who made them."""

import contextlib
import os
import sys
import time
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm import process
from minipar.parallel.comm.inbox import Inbox
from tests.parallel.interrupted import at_most

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Bell(Exception):
    pass


def is_interrupted(comm, begin):
    if comm.rank == 1:
        time.sleep(0.6)
    else:
        with contextlib.suppress(Bell), at_most(0.2, Bell):
            begin(comm)
    comm.barrier()  # out of step: nobody may be told that all have come


@pytest.mark.parametrize(
    "begin",
    [
        lambda comm: comm.all_reduce(np.ones(100)),
        lambda comm: comm.send(np.ones(1 << 18), 1),
    ],
)
def test_an_interrupted_call_fails_its_communicator(begin):
    with pytest.raises(parallel.WorkerError, match="rank 0 has failed before"):
        parallel.launch(is_interrupted, begin, workers=2, timeout=20)


def polls(comm):
    peer = 1 - comm.rank
    work = comm.isend(np.ones(1 << 20), peer)
    deadline = time.monotonic() + 20
    while not work.done():  # each takes in what the other sends
        assert time.monotonic() < deadline
    return comm.recv(peer).sum()


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_who_polls_makes_room_for_others(backend):
    assert parallel.launch(polls, workers=2, backend=backend, timeout=20) == [1 << 20, 1 << 20]


def polls_for_ever(comm):
    if comm.rank == 1:
        raise KeyError("on purpose")
    work = comm.irecv(1)
    while not work.done():
        time.sleep(1e-3)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_who_polls_hears_of_failures(backend):
    with pytest.raises(parallel.WorkerError, match="on purpose") as caught:
        parallel.launch(polls_for_ever, workers=2, backend=backend, timeout=20)
    assert "has failed" in str(caught.value) or "rank 0" in str(caught.value)


def only_meets_itself(comm):
    """Rank 0's calls never have to wait long, and it never looks at its messages; rank 1 needs it to."""
    group = comm.split(comm.rank)
    if comm.rank == 1:
        comm.send(np.ones(1 << 18), 0)
        comm.send(np.ones(1), 0, tag=1)
        return None
    deadline = time.monotonic() + 20
    last = comm.irecv(1, tag=1)
    while not last._finished:
        group.barrier()
        assert time.monotonic() < deadline
        if group._number % 1000 == 0 and last.done():
            break
    return comm.recv(1).size


def test_a_sender_needs_any_call_of_the_other_rank():
    assert parallel.launch(only_meets_itself, workers=2, timeout=10)[0] == 1 << 18


def refused(comm):
    if comm.rank == 1:
        comm.send(np.ones(3), 0)
        comm.send(np.ones(3), 0)
        return None
    with pytest.raises(ValueError, match="out is"):
        comm.recv(1, out=np.empty(4))
    assert comm.doing().startswith("running user code")
    return comm.recv(1).tolist()


def test_a_refused_recv_is_over():
    assert parallel.launch(refused, workers=2, timeout=20)[0] == [1.0] * 3


def cannot_be_packed(comm):
    with pytest.raises(TypeError):
        comm.broadcast_object((_ for _ in ()), root=comm.rank)
    with pytest.raises(TypeError):
        comm.all_gather_object(_ for _ in ())
    return comm.all_gather_object(comm.rank)


@pytest.mark.parametrize("backend", ["thread", "process"])
def test_what_cannot_be_packed_is_refused_before_anybody_hears_of_it(backend):
    assert parallel.launch(cannot_be_packed, workers=2, backend=backend, timeout=20) == [[0, 1]] * 2


def names_its_own_call(comm):
    comm.all_reduce(np.zeros(3))
    comm.split(0).all_reduce(np.zeros(3))
    if comm.rank == 0:
        comm.all_reduce(np.zeros(3))
    else:
        comm.broadcast(np.zeros(5))


def test_a_message_names_the_call_not_one_of_a_group():
    with pytest.raises(parallel.MismatchError, match=r"rank 0 called all_reduce #3 float64 \(3,\) sum, but") as caught:
        raise_cause(names_its_own_call)
    assert "among" not in str(caught.value).partition("but rank 1")[0]


def raise_cause(fn):
    try:
        parallel.launch(fn, workers=2, timeout=20)
    except parallel.WorkerError as error:
        raise error.cause from None


def scatters_within_one_block(comm):
    block = comm.empty((comm.size + 1, 20_000), np.float64)
    block[:] = np.arange(comm.size + 1)[:, None]
    comm.barrier()
    return comm.scatter(block[: comm.size] if comm.rank == 0 else None, out=block[comm.size])[0]


def test_a_row_of_registered_memory_comes_from_the_root_alone():
    assert parallel.launch(scatters_within_one_block, workers=3, timeout=20) == [0.0, 1.0, 2.0]


def mappings():
    return Path("/proc/self/maps").read_text().count("memfd:minipar"), len(list(Path("/proc/self/fd").iterdir()))


def makes_many(comm):
    comm.split(0).close()
    comm.empty(5)
    before = mappings()
    for _ in range(20):
        group = comm.split(0)
        group.all_reduce(np.ones(5))
        group.close()
        array = comm.empty(5000)
        comm.all_reduce(array)
    del group, array
    return before, mappings(), len(comm._family)


def test_groups_and_arrays_leave_nothing():
    for before, after, communicators in parallel.launch(makes_many, workers=2, timeout=20):
        assert after <= before
        assert communicators == 1


def forks(comm):
    comm.barrier()
    child = os.fork()
    if child == 0:
        try:
            comm.barrier()
        except parallel.CommunicatorError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    comm.barrier()


def test_a_forked_process_is_nobodys_rank():
    parallel.launch(forks, workers=2, timeout=20)


def test_an_inbox_keeps_order_and_forgets_what_is_over():
    inbox = Inbox()
    first, second = inbox.ask(1, 0), inbox.ask(1, 0)
    for number in range(2):
        inbox.put(1, 0, np.array(number))
    assert inbox.take(second) == 1
    third = inbox.ask(1, 0)
    assert not inbox.has(third)
    assert inbox.take(first) == 0
    inbox.put(1, 0, np.array(2))
    assert inbox.take(third) == 2
    assert not any((inbox._asked, inbox._arrived, inbox._taken, inbox._arrays))


def test_a_communicator_stays_with_its_rank():
    with pytest.raises(parallel.WorkerError, match="belongs to its rank and cannot be sent"):
        parallel.launch(lambda comm: comm, workers=2, timeout=20)


@pytest.mark.parametrize(("has_cores", "offers", "longest"), [(True, 3989, 100e-6), (False, 98, 1e-3)])
def test_a_wait_offers_its_core_then_sleeps_sooner_where_ranks_share_cores(has_cores, offers, longest, monkeypatch):
    done = []
    monkeypatch.setattr(process.os, "sched_yield", lambda: done.append("offer"))
    monkeypatch.setattr(process.time, "sleep", done.append)
    comm = object.__new__(process.ProcessCommunicator)
    comm._has_cores = has_cores
    for turn in range(1, 9000):
        comm._rest(turn, lambda: False)
    assert done[:offers] == ["offer"] * offers
    sleeps = done[offers:]
    assert sleeps[0] == 50e-6
    assert sleeps == sorted(sleeps)
    assert sleeps[-1] == pytest.approx(longest)
