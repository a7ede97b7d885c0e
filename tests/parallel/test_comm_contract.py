"""What every communicator promises, case by case: what the random programs of contract/ meet seldom or never.

Each check is a function of a rank; all of them run in one launch, because starting processes is what takes the time.
Expected values are computed from all ranks' inputs, which every rank can draw for itself.
"""

import functools
import sys
import time
import weakref

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm.slots import CHUNK

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers need not import pytest

DTYPES = [*"?bhilqBHILQ", "e", "f", "d", "g", "F", "D", "G", ">f4", ">i8", ">c16"]
OPS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def equal(actual, expected, what):
    assert actual.dtype == expected.dtype, (what, actual.dtype, expected.dtype)
    np.testing.assert_array_equal(actual, expected, err_msg=str(what), strict=True)


def draw(rng, shape, dtype):
    """Values for which the order of a float sum matters, and whose products stay finite, in every dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 100, shape).astype(dtype)
    values = rng.uniform(-3, 3, shape)
    if dtype.kind == "c":
        values = values + 1j * rng.uniform(-3, 3, shape)
    return np.asarray(values, dtype=dtype)


def lay_out(values, layout):
    """The same values with other strides; a fresh, writable array."""
    if layout == "sliced" and values.ndim:
        room = np.empty((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
        array = room[..., ::2]
    elif layout == "reversed" and values.ndim:
        array = np.empty(values.shape, values.dtype)[::-1]
    elif layout == "transposed":
        array = np.empty(values.shape[::-1], values.dtype).T
    else:
        array = np.empty(values.shape, values.dtype)
    array[...] = values
    return array


LAYOUTS = ("plain", "sliced", "reversed", "transposed")
SHAPES = ((), (0,), (1,), (3,), (5, 4), (2, 3, 4), (0, 3), (17, 1))


def reduced(values, op):
    """Left to right over the ranks, in the arrays' own dtype."""
    total = functools.reduce(OPS[op], values)
    total = np.asarray(total, dtype=values[0].dtype)
    return np.asarray(total / len(values), dtype=total.dtype) if op == "mean" else total


def allowed(op, dtype):
    kind = np.dtype(dtype).kind
    return not (op == "mean" and kind not in "fc") and not (op in ("max", "min") and kind == "c")


def check_every_dtype_and_operation(comm):
    for number, dtype in enumerate(DTYPES):
        for op in OPS:
            values = [draw(np.random.default_rng((number, rank)), (3, 5), dtype) for rank in range(comm.size)]
            array = lay_out(values[comm.rank], LAYOUTS[(number + comm.rank) % 4])
            if not allowed(op, dtype):
                with_error(TypeError, op, comm.all_reduce, array, op)
                continue
            returned = comm.all_reduce(array, op)
            assert returned is array
            if op == "prod" and array.dtype.kind == "c":  # NumPy's complex product may be fused or not
                np.testing.assert_allclose(array, reduced(values, op), rtol=1e-3 if array.dtype.char == "e" else 1e-5)
            else:
                equal(array, reduced(values, op), ("all_reduce", dtype, op))
        root = number % comm.size
        array = lay_out(values[comm.rank], LAYOUTS[comm.rank % 4])
        assert comm.broadcast(array, root) is array
        equal(array, values[root], ("broadcast", dtype, root))


def check_sizes_around_a_chunk(comm):
    for dtype in (np.float32, np.int8):
        items = CHUNK // np.dtype(dtype).itemsize
        for length in (items - 1, items, items + 1, 2 * items, 3 * items + 7):
            base = (np.arange(length) % 13).astype(dtype)
            array = base * dtype(comm.rank + 1)
            equal(comm.all_reduce(array), base * dtype(sum(range(comm.size + 1))), length)
            array = base + dtype(comm.rank)
            equal(comm.broadcast(array, comm.size - 1), base + dtype(comm.size - 1), length)


def check_five_megabytes(comm):
    values = [np.random.default_rng(rank).standard_normal((1024, 641)) for rank in range(comm.size)]
    array = np.empty((641, 1024)).T
    array[...] = values[comm.rank]
    equal(comm.all_reduce(array, "mean"), reduced(values, "mean"), "5 MB, transposed")
    comm.send(values[comm.rank], (comm.rank + 1) % comm.size)  # all send before any receives
    equal(comm.recv((comm.rank - 1) % comm.size), values[comm.rank - 1], "5 MB round the ring")


def check_order_of_the_sum(comm):
    """Of three ranks 1e8, 1, -1e8 in float32, only left to right gives what the promise says, to the bit."""
    values = [np.full(1000, value, np.float32) for value in (1e8, 1.0, -1e8, 3.0)[: comm.size]]
    equal(comm.all_reduce(values[comm.rank].copy()), reduced(values, "sum"), "order")


def check_nan_and_infinity(comm):
    array = np.array([np.nan if comm.rank == 0 else 1.0, np.inf, -0.0])
    comm.all_reduce(array, "max")
    equal(array, np.array([np.nan, np.inf, -0.0]), "nan")
    assert np.signbit(array[2])


def check_many_barriers(comm):
    """No rank is ever more than one round ahead, in hundreds of rounds."""
    rounds = np.zeros(comm.size, np.int64)
    for number in range(300):
        comm.barrier()
        rounds[:] = 0
        rounds[comm.rank] = number
        comm.all_reduce(rounds, "max")
        equal(rounds, np.full(comm.size, number), number)


def check_a_barrier_waits(comm):
    """The last to arrive is late; nobody leaves before it has come."""
    late = comm.size - 1
    arrived = np.zeros(1)
    comm.barrier()
    if comm.rank == late:
        time.sleep(0.05)
        arrived[0] = time.monotonic()
    comm.barrier()
    left = time.monotonic()
    comm.broadcast(arrived, root=late)
    assert left >= arrived[0]


def check_messages(comm):
    if comm.size == 1:
        comm.send(np.arange(3), 0, tag=1)
        equal(comm.recv(0, tag=1), np.arange(3), "to itself")
        return
    if comm.rank == 0:
        for value, tag in ((1, 5), (2, 6), (3, 5)):
            comm.send(np.array(value), 1, tag)
        comm.send(np.arange(6.0).reshape(2, 3).T, 1, tag=7)
        comm.send(np.ones((300, 1000)), 1, tag=8)  # rank 1 is in a barrier, which takes messages in
        comm.barrier()
    elif comm.rank == 1:
        comm.barrier()
        assert [int(comm.recv(0, tag)) for tag in (6, 5, 5)] == [2, 1, 3]
        out = np.zeros((3, 2), order="F")
        assert comm.recv(0, 7, out=out) is out
        equal(out, np.arange(6.0).reshape(2, 3).T, "into out")
        words = "out is float32 (3,), but the message of rank 0, tag 8, is float64 (300, 1000)"
        with_error(ValueError, words, comm.recv, 0, 8, np.zeros(3, np.float32))
    else:
        comm.barrier()
    comm.barrier()


def with_error(kind, words, function, *arguments, **options):
    message = None
    try:
        function(*arguments, **options)
    except kind as error:
        message = str(error)
    assert message is not None, f"{kind.__name__} was not raised by {function.__name__}{arguments}"
    assert words in message


def check_halo_exchange(comm):
    """All receive before they send: what is under way does not wait for its turn, except among equal messages."""
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    here = np.full(1000, float(comm.rank))
    works = [comm.irecv(left, 1), comm.irecv(right, 2), comm.isend(here, right, 1), comm.isend(here, left, 2)]
    comm.barrier()
    from_left, from_right = (work.wait() for work in works[:2])
    equal(from_left, np.full(1000, float(left)), "from the left")
    equal(from_right, np.full(1000, float(right)), "from the right")
    assert [work.wait() for work in works[2:]] == [None, None]


def check_a_rank_that_waits_carries_on_with_the_rest(comm):
    """Waiting for a message, a rank does its part in collectives under way, in this communicator and in others."""
    if comm.size == 1:
        return
    group = comm.split(0, key=-comm.rank)
    for where in (comm, group):
        array = np.full(300_000, float(comm.rank))
        if comm.rank == 1:
            work = where.all_reduce(array, async_op=True)
            comm.recv(0)
            work.wait()
        else:
            time.sleep(0.01)
            where.all_reduce(array)
            if comm.rank == 0:
                comm.send(array, 1)
        equal(array, np.full(300_000, float(sum(range(comm.size)))), where)
    group.close()


def check_out_may_be_the_array(comm):
    array = np.arange(3.0) + comm.rank
    assert comm.all_reduce(array, out=array) is array
    equal(array, reduced([np.arange(3.0) + rank for rank in range(comm.size)], "sum"), "all_reduce")
    array = np.arange(3.0) + comm.rank
    result = comm.reduce(array, comm.size - 1, out=array)
    assert result is (array if comm.rank == comm.size - 1 else None)
    table = np.arange(comm.size**2, dtype=np.int32).reshape(comm.size, comm.size)
    mine = table + 100 * comm.rank
    assert comm.all_to_all(mine, out=mine) is mine
    equal(mine, np.stack([table[comm.rank] + 100 * rank for rank in range(comm.size)]), "all_to_all")


def check_out_may_overlap_the_array(comm):
    """As with NumPy, the result is that of arrays which do not."""
    whole = np.zeros((comm.size, 2000))
    whole[comm.rank] = comm.rank + 1
    comm.all_gather(whole[comm.rank], out=whole)
    wanted = np.repeat(np.arange(1.0, comm.size + 1)[:, None], 2000, axis=1)
    equal(whole, wanted, "all_gather")
    for root in range(comm.size):
        array = np.arange(comm.size * 2000.0).reshape(comm.size, 2000)
        out = array[(comm.rank + 1) % comm.size]
        comm.scatter(array if comm.rank == root else None, root, out=out)
        equal(out.copy(), np.arange(comm.rank * 2000.0, (comm.rank + 1) * 2000.0), "scatter")
    array = np.tile(np.arange(1.0, comm.size + 1)[:, None], 2000)
    out = array[(comm.rank + 1) % comm.size]
    comm.reduce_scatter(array, out=out)
    equal(out.copy(), np.full(2000, comm.size * (comm.rank + 1.0)), "reduce_scatter")
    room = np.arange(20_001.0)
    before = room[1:].copy()
    comm.all_reduce(room[1:], out=room[:-1])
    equal(room[:-1], before * comm.size, "all_reduce")


def check_objects_of_every_kind(comm):
    class Local:
        value = 3

    functions = comm.all_gather_object(lambda x, rank=comm.rank: x + rank)
    assert [function(1) for function in functions] == [1 + rank for rank in range(comm.size)]
    assert comm.broadcast_object(Local if comm.rank == 0 else None).value == 3


def check_every_byte_order_after_many_calls(comm):
    for _ in range(150):
        comm.barrier()
    for dtype in ("f4", ">f4", "<f4", "f8", ">f8", "e", "g"):
        for op in ("sum", "mean"):
            values = [draw(np.random.default_rng(rank), (3,), dtype) for rank in range(comm.size)]
            equal(comm.all_reduce(values[comm.rank].copy(), op), reduced(values, op), (dtype, op))


def check_registered_memory_outlives_its_array(comm):
    """A slice keeps the memory; new memory is not mixed up with what has gone."""
    for round_ in range(3):
        whole = comm.empty((4, 10_000), np.float32)
        part = whole[1 + round_ % 2]
        del whole
        part[...] = comm.rank + round_
        other = comm.empty(20_000)
        other[...] = -1
        comm.all_reduce(part)
        equal(part, np.full(10_000, sum(range(comm.size)) + round_ * comm.size, np.float32), round_)
        equal(other, np.full(20_000, -1, np.float32), "the other")


def check_a_closed_group(comm):
    group = comm.split(0)
    group.close()
    with_error(parallel.CommunicatorError, "closed", group.barrier)
    comm.barrier()


def check_a_matrix_keeps_its_shape(comm):
    array = np.ones((2, 2)).view(np.matrix) if comm.rank == 0 else np.ones((2, 2))
    comm.all_reduce(array)
    equal(np.asarray(array), np.full((2, 2), float(comm.size)), "matrix")


def check_objects_and_arrays_with_one_tag(comm):
    """Each message is what it was sent as, also the bytes of an array that could be those of an object."""
    comm.send_object({"rank": comm.rank}, (comm.rank + 1) % comm.size, tag=4)
    comm.send(np.frombuffer(b"N.", np.uint8), (comm.rank + 1) % comm.size, tag=4)  # b"N." is None, pickled
    before = (comm.rank - 1) % comm.size
    assert comm.recv_object(before, tag=4) == {"rank": before}
    equal(comm.recv(before, tag=4), np.frombuffer(b"N.", np.uint8), "bytes")


def check_no_array_outlives_its_call(comm):
    calls = {
        "all_reduce": lambda array: comm.all_reduce(array),
        "broadcast": lambda array: comm.broadcast(array),
        "all_gather": lambda array: comm.all_gather(array),
        "all_to_all": lambda array: comm.all_to_all(array),
        "send": lambda array: (comm.send(array, comm.rank), comm.recv(comm.rank)),
        "asynchronous": lambda array: comm.all_reduce(array, async_op=True).wait(),
    }
    for verb, call in calls.items():
        array = np.zeros((comm.size, 1000))
        seen = weakref.ref(array)
        call(array)
        del array
        comm.barrier()  # a thread that is late still looks at it
        assert seen() is None, verb


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]


def every_check(comm):
    for check in CHECKS:
        check(comm)
    return comm.rank, comm.size, repr(comm)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("backend", ["thread", "process", "mpi"])
def test_contract(backend, size):
    if backend == "mpi":
        pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    results = parallel.launch(every_check, workers=size, backend=backend, timeout=20)
    assert [result[:2] for result in results] == [(rank, size) for rank in range(size)]
    assert f"rank 0 of {size}" in results[0][2]


KINDS = {
    "recv of an object": (
        lambda comm: comm.send_object([1, 2], 1, 3),
        lambda comm: comm.recv(0, 3),
        "rank 0 sent an object, with tag 3, but rank 1 receives an array: "
        "send goes with recv, send_object with recv_object",
    ),
    "recv of an object into an array": (
        lambda comm: comm.send_object([1, 2], 1, 3),
        lambda comm: comm.recv(0, 3, np.empty(19, np.uint8)),
        "rank 0 sent an object, with tag 3, but rank 1 receives an array: ",
    ),
    "irecv of an object": (
        lambda comm: comm.send_object([1, 2], 1),
        lambda comm: comm.irecv(0).wait(),
        "rank 0 sent an object, with tag 0, but rank 1 receives an array: ",
    ),
    "recv_object of an array": (
        lambda comm: comm.send(np.zeros((2, 2)), 1, 3),
        lambda comm: comm.recv_object(0, 3),
        "rank 0 sent an array, float64 (2, 2), with tag 3, but rank 1 receives an object: ",
    ),
    "recv_object of an array that can be unpickled": (
        lambda comm: comm.isend(np.frombuffer(b"N.", np.uint8), 1).wait(),
        lambda comm: comm.recv_object(0),
        "rank 0 sent an array, uint8 (2,), with tag 0, but rank 1 receives an object: ",
    ),
}


def receive_the_other_kind(comm, kind):
    send, receive, words = KINDS[kind]
    comm.barrier()
    if comm.rank == 0:
        send(comm)
    if comm.rank == 1:
        with_error(parallel.MismatchError, words, receive, comm)


@pytest.mark.parametrize("backend", ["thread", "process", "mpi"])
def test_receiving_an_object_as_an_array_or_the_other_way_round_names_both_sides(backend):
    if backend == "mpi":
        pytest.importorskip("mpi4py", reason='the mpi backend needs mpi4py and an MPI: pip install ".[mpi]"')
    for kind in KINDS if backend != "mpi" else list(KINDS)[::3]:
        parallel.launch(receive_the_other_kind, kind, workers=2, backend=backend, timeout=20)
