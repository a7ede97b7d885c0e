"""What every communicator promises, on every backend and for 1 to 4 ranks.

Each check is a function of a rank; all of them run in one launch, because starting processes is what takes the time.
Expected values are computed from all ranks' inputs, which every rank can draw for itself.
"""

import functools
import hashlib
import sys
import time

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm.process import CHUNK

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


def check_random_program(comm, seed=0, steps=250):
    """Hundreds of random calls in a row, with stragglers, each compared with what one process computes."""
    digest = hashlib.sha256()
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        dtype, shape = rng.choice(DTYPES), SHAPES[rng.integers(len(SHAPES))]
        values = [draw(rng, shape, dtype) for _ in range(comm.size)]
        layouts = rng.choice(LAYOUTS, comm.size)
        kind, root, op = rng.integers(4), int(rng.integers(comm.size)), str(rng.choice(list(OPS)))
        shift, tag = int(rng.integers(comm.size)), int(rng.integers(3))
        array = lay_out(values[comm.rank], layouts[comm.rank])
        if rng.random() < 0.1 and comm.rank == rng.integers(comm.size):
            time.sleep(2e-3)
        if kind == 0:
            comm.barrier()
            continue
        if kind == 1 and allowed(op, dtype) and not (op == "prod" and values[0].dtype.kind == "c"):
            comm.all_reduce(array, op)
            expected = reduced(values, op)
        elif kind == 2:
            comm.broadcast(array, root)
            expected = values[root]
        else:
            comm.send(array, (comm.rank + shift) % comm.size, tag)
            array[...] = 0  # the message has left
            source = (comm.rank - shift) % comm.size
            array = comm.recv(source, tag)
            expected = values[source]
            assert array.flags.writeable
        equal(array, expected, (step, kind, dtype, shape, op, root))
        if array.dtype.char not in "gG":  # long doubles have padding
            digest.update(array.tobytes())
    return digest.hexdigest()


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


def check_arguments(comm):
    """Wrong arguments are errors of this rank alone, before any other rank is involved."""
    array = np.zeros(3)
    with_error(TypeError, "takes a NumPy array, not list", comm.all_reduce, [1.0])
    with_error(TypeError, "takes a NumPy array, not float64", comm.all_reduce, np.float64(1))
    with_error(TypeError, "takes a NumPy array, not MaskedArray", comm.send, np.ma.zeros(3), 0)
    with_error(TypeError, "numeric dtype, not object", comm.broadcast, np.array([None]))
    with_error(TypeError, "numeric dtype, not <U1", comm.send, np.array(["a"]), 0)
    with_error(ValueError, "read-only", comm.all_reduce, np.broadcast_to(array, (2, 3)))
    with_error(ValueError, "read-only", comm.recv, 0, 0, np.broadcast_to(array, (2, 3)))
    with_error(ValueError, "op='median' is unknown: choose one of sum, mean", comm.all_reduce, array, "median")
    with_error(ValueError, f"root={comm.size} is not a rank", comm.broadcast, array, comm.size)
    with_error(ValueError, "dest=-1 is not a rank", comm.send, array, -1)
    with_error(ValueError, "source=9 is not a rank", comm.recv, 9)
    with_error(TypeError, "", comm.recv, "0")


def check_a_matrix_keeps_its_shape(comm):
    array = np.ones((2, 2)).view(np.matrix) if comm.rank == 0 else np.ones((2, 2))
    comm.all_reduce(array)
    equal(np.asarray(array), np.full((2, 2), float(comm.size)), "matrix")


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]


def every_check(comm):
    digest = ""
    for check in CHECKS:
        result = check(comm)
        digest = result or digest
    return comm.rank, comm.size, repr(comm), digest


@functools.cache
def run(backend, size):
    return parallel.launch(every_check, workers=size, backend=backend, timeout=20)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("backend", ["thread", "process"])
def test_contract(backend, size):
    results = run(backend, size)
    assert [result[:2] for result in results] == [(rank, size) for rank in range(size)]
    assert f"rank 0 of {size}" in results[0][2]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_both_backends_give_the_same_bits(size):
    assert [result[3] for result in run("thread", size)] == [result[3] for result in run("process", size)]
