"""Many short calls: from the hundredth on they are compiled, and nobody can tell by the results."""

import sys
import threading
import time

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel.comm.shortcut import MANY, SMALL

pytest.importorskip("numba")
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def warm_up(comm):
    for _ in range(MANY + 1):
        comm.barrier()
    comm.all_reduce(np.zeros(3, np.float32))
    assert comm._shortcut._kinds


def total(arrays, op):
    result = arrays[0].copy()
    for array in arrays[1:]:
        result = result + array
    return result / len(arrays) if op == "mean" else result


def same_as_numpy(comm):
    warm_up(comm)
    rng = np.random.default_rng(1)
    for turn in range(200):
        dtype, op = ("float32", "float64")[turn % 2], ("sum", "mean")[turn // 2 % 2]
        shape = [(5,), (2, 3), (), (0,), (SMALL // 8,), (SMALL // 8 + 1,)][turn % 6]
        arrays = [rng.standard_normal(shape).astype(dtype) for _ in range(comm.size)]
        mine = np.array(arrays[comm.rank])
        comm.all_reduce(mine, op)
        np.testing.assert_array_equal(mine, total(arrays, op).astype(dtype), strict=True)
        if turn % 7 == 0:  # calls of other kinds pass through the same slots
            largest = np.array([comm.rank, turn])
            assert list(comm.all_reduce(largest, "max")) == [comm.size - 1, turn]
            assert comm.all_gather(np.array([turn])).tolist() == [[turn]] * comm.size
        if turn % 11 == comm.rank:
            time.sleep(2e-3)  # late
    return comm._number


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_same_bits_as_numpy(size):
    assert len(set(parallel.launch(same_as_numpy, workers=size, timeout=20))) == 1


def registered_as_numpy(comm):
    warm_up(comm)
    block = comm.empty((3, 50_000))
    for _ in range(MANY + 1):  # of this kind
        comm.all_reduce(block[0])
    rng = np.random.default_rng(1)
    for turn in range(60):
        op, row = ("sum", "mean")[turn % 2], turn % 3
        apart = turn % 10 == 9 and comm.size > 1  # at another place on each rank
        where = slice(comm.rank, comm.rank + 40_000) if apart else slice(turn, 40_000 + turn)
        arrays = [rng.standard_normal(40_000).astype("float32") for _ in range(comm.size)]
        block[row, where] = arrays[comm.rank]
        if turn % 11 == comm.rank:
            time.sleep(2e-3)  # late
        comm.all_reduce(block[row, where] if turn % 7 else np.ascontiguousarray(block[row, where]), op)
        if turn % 7:
            np.testing.assert_array_equal(block[row, where], total(arrays, op).astype("float32"), strict=True)
        assert comm.all_gather(np.array([turn])).tolist() == [[turn]] * comm.size
    assert any(not kind.is_short for kind in comm._shortcut._kinds.values())
    return comm._epoch


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_registered_memory_has_the_same_bits(size):
    assert len(set(parallel.launch(registered_as_numpy, workers=size, timeout=20))) == 1


def in_a_group(comm):
    warm_up(comm)
    group = comm.split(comm.rank % 2)
    here = np.full(4, float(comm.rank))
    for _ in range(MANY + 20):
        here[:] = comm.rank
        group.all_reduce(here)
    assert group._shortcut._kinds
    return here[0]


def test_in_groups():
    assert parallel.launch(in_a_group, workers=4, timeout=20) == [2.0, 4.0, 2.0, 4.0]


def goes_wrong(comm, how):
    warm_up(comm)
    x = np.zeros(4)
    if how == "another call" and comm.rank == 1:
        comm.barrier()
    elif how == "stays away" and comm.rank == 1:
        time.sleep(60)
    elif how == "raises" and comm.rank == 1:
        raise KeyError("on purpose")
    comm.all_reduce(x)


@pytest.mark.parametrize(
    ("how", "words"),
    [("another call", "barrier #"), ("stays away", r"all_reduce #\d+ float64 \(4,\) sum"), ("raises", "on purpose")],
)
def test_errors_are_those_of_the_long_way(how, words):
    started = time.monotonic()
    with pytest.raises(parallel.WorkerError, match=words):
        parallel.launch(goes_wrong, how, workers=2, timeout=1.5)
    assert time.monotonic() - started < 30


def refuses(comm):
    warm_up(comm)
    found = []
    for call in (lambda: comm.all_reduce([1.0]), lambda: comm.all_reduce(np.zeros(3), "median"), in_thread(comm)):
        with pytest.raises((TypeError, ValueError, parallel.CommunicatorError)) as caught:
            call()
        found.append(type(caught.value).__name__)
    read_only = np.zeros(3, np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        comm.all_reduce(read_only)
    comm.all_reduce(np.zeros((4, 6), np.float32)[:, ::2])
    comm.barrier()
    comm.close()
    with pytest.raises(parallel.CommunicatorError, match="closed"):
        comm.barrier()
    return found


def in_thread(comm):
    def call():
        caught = []

        def body():
            try:
                comm.barrier()
            except parallel.CommunicatorError as error:
                caught.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        raise caught[0]

    return call


def test_refusals_are_those_of_the_long_way():
    expected = ["TypeError", "ValueError", "CommunicatorError"]
    assert parallel.launch(refuses, workers=2, timeout=20) == [expected] * 2


def by_reference(comm):
    with minipar.use_kernels("reference"):
        for _ in range(3 * MANY):
            comm.barrier()
        return bool(comm._shortcut._kinds)


def test_reference_kernels_mean_no_compiled_call():
    assert parallel.launch(by_reference, workers=2, timeout=20) == [False, False]
