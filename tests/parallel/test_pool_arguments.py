"""What a pool sends to its workers: what is put, what is large, and what cannot travel."""

import os
import sys
import threading
import warnings
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from tests.parallel.rank_programs import pids

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def descriptors():
    return list(Path("/proc/self/fd").iterdir())


# -- what is put -------------------------------------------------------------------------------------------------------


def test_what_is_put_is_loaded_once_and_lies_in_shared_memory(pool):
    table = np.arange(50_000.0)

    def look(comm, arguments):
        (found,) = arguments["tables"]
        return id(found), found["table"].flags.writeable, float(found["table"].sum()), found["name"]

    handle = pool.put({"table": table, "name": "squares"})
    table[:] = 0  # what was put is what it was then
    first = pool.run(look, {"tables": [handle]})
    assert [result[1:] for result in first] == [(False, 1249975000.0, "squares")] * 2
    assert pool.run(look, {"tables": [handle]}) == first
    assert pool.run(lambda comm, other: None, pool.put(3)) == [None, None]
    assert repr(handle) == "<Handle of dict, 0.4 MB>"


def test_what_is_put_goes_with_its_handle(pool):
    def held(comm):
        from minipar.parallel.ranks import handles

        return len(handles.held) + len(handles._packed)

    before = len(descriptors())
    (count,) = set(pool.run(held))
    handle = pool.put(np.zeros(50_000))
    assert pool.run(lambda comm, array: array.size, handle) == [50_000] * 2
    assert len(descriptors()) == before + 1
    assert set(pool.run(held)) == {count + 1}
    del handle
    assert len(descriptors()) == before
    assert set(pool.run(held)) == {count}


def test_a_function_may_close_over_what_was_put(pool):
    handle = pool.put("word")
    assert pool.run(lambda comm: f"{handle}{comm.rank}") == ["word0", "word1"]


def test_new_workers_are_sent_what_was_put(own_pool):
    handle = own_pool.put(np.arange(20_000))
    total = int(np.arange(20_000).sum())
    assert own_pool.run(lambda comm, array: int(array.sum()), handle) == [total] * 2
    with pytest.raises(parallel.WorkerError):
        own_pool.run(lambda comm: os._exit(1))
    assert own_pool.run(lambda comm, array: int(array.sum()), handle) == [total] * 2


def test_a_handle_elsewhere_than_in_its_pool(pool):
    handle = pool.put(3)
    words = "a handle stands for its object only in a call of run of the pool that made it"
    with pytest.raises(TypeError, match=words):
        cloudpickle.dumps(handle)
    with pytest.raises(TypeError, match=words):
        parallel.launch(lambda comm, x: None, handle)
    with pytest.raises(TypeError, match="this lock cannot be sent to other processes"):
        pool.put(threading.Lock())


def test_with_threads_what_is_put_is_itself():
    with parallel.Pool(backend="thread") as pool:
        value = [1]
        assert pool.put(value) is value


def test_what_cannot_travel_leaves_the_pool_as_it_was(pool):
    before = pids(pool)
    with pytest.raises(TypeError, match=r"Pool\.run: argument 1, of type lock, cannot be sent to other processes"):
        pool.run(lambda comm, lock: None, threading.Lock())
    with pytest.raises(TypeError, match=r"Pool\.run needs a function to run on every rank, not int"):
        pool.run(3)
    with pytest.raises(parallel.WorkerError, match="returning its result, of type generator"):
        pool.run(lambda comm: (n for n in range(3)))
    assert pids(pool) == before


# -- warnings of large functions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["launch", "Pool.run"])
def test_a_large_function_is_warned_of_where_it_was_given(call, pool):
    huge = np.zeros(3 << 20, np.uint8)

    def mentions(comm):
        return huge.nbytes

    run = pool.run if call == "Pool.run" else parallel.launch
    with pytest.warns(UserWarning, match=rf"given to {call} carries 3.0 MB: huge \(3.0 MB\)") as caught:
        run(mentions)  # here
    assert caught[0].filename == __file__
    assert "# here" in Path(__file__).read_text().splitlines()[caught[0].lineno - 1]
    handle = pool.put(huge)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool.run(lambda comm, huge: huge.nbytes, huge)
        pool.run(lambda comm, huge: huge.nbytes, handle)
