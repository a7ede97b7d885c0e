"""What the simulator makes of a kernel's Python: what Numba makes of it, or it is refused by name."""

import math

import numba
import numpy as np
import pytest
from kernel_faults import assert_fault
from numba import cuda, float32
from numba.cuda import grid, shared, syncthreads, threadIdx

from minipar.kernels.simulate import KernelError, clock, run

ALL = 0xFFFFFFFF
NUMBERS: list[int] = []
WEIGHTS = np.array([1, 2, 4, 8], np.float32)
HALVES = (0.5, 0.25)


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def test_mathematics_is_that_of_a_gpu_where_python_raises():
    def kernel(x, y):
        y[0] = math.exp(x[0])
        y[1] = math.log(x[1])
        y[2] = math.sqrt(-x[0])
        y[3] = x[0] / x[1]
        y[4] = 1.0 / x[1]
        y[5] = math.pow(x[0], 2)
        y[6] = math.atan2(x[1], x[0])
        y[7] = math.floor(x[2]) + math.ceil(x[2])

    y = zeros(8)
    run(kernel, 1, 1, np.array([1000, 0, 2.5], np.float32), y)
    np.testing.assert_array_equal(y, np.array([np.inf, -np.inf, np.nan, np.inf, np.inf, 1e6, 0, 5], np.float32))


def test_float32_stays_float32_in_functions_and_a_literal_is_a_float64():
    def kernel(x, y):
        y[0] = math.exp(x[0])
        y[1] = math.erf(x[0])
        y[2] = x[0] * 0.1
        y[3] = x[0] * HALVES[1] * 0.4

    y = np.zeros(4)
    x = np.float32(1.1)
    run(kernel, 1, 1, np.array([x]), y)
    assert y[0] == np.exp(x)
    assert y[1] == np.float32(math.erf(x))
    assert y[2] == np.float64(x) * 0.1
    assert y[3] == np.float64(x) * 0.25 * 0.4


def test_a_float_argument_divides_by_zero_as_on_a_gpu():
    def kernel(y, a):
        y[0] = a / (a - a)

    y = zeros(1)
    run(kernel, 1, 1, y, 1.5)
    assert y[0] == np.inf


def test_truth_values_add_as_integers():
    def kernel(mask, y):
        local = cuda.local.array(1, numba.boolean)
        local[0] = numba.boolean(3)
        y[0] = mask[0] + mask[0] + local[0]

    y = np.zeros(1, np.int32)
    run(kernel, 1, 1, np.array([True]), y)
    assert y[0] == 3


def test_names_imported_from_numba_cuda_wait_too():
    def kernel(y):
        tile = shared.array(4, float32)
        i = grid(1)
        tile[threadIdx.x] = i
        syncthreads()
        y[i] = tile[3 - i]

    y = zeros(4)
    run(kernel, 1, 4, y)
    assert y.tolist() == [3, 2, 1, 0]


def test_bits_and_choices():
    def kernel(y, x):
        y[0] = cuda.popc(x)
        y[1] = cuda.clz(x)
        y[2] = cuda.ffs(x)
        y[3] = cuda.brev(x)
        y[4] = cuda.selp(x > 0, 7, 8)

    y = np.zeros(5, np.int64)
    run(kernel, 1, 1, y, 12)
    assert y.tolist() == [2, 28, 3, 0b11 << 28, 7]
    run(kernel, 1, 1, y, -1)
    assert y.tolist() == [32, 0, 1, 2**32 - 1, 8]
    with pytest.raises(NotImplementedError, match=r"32-bit integers only, got 4294967296 in line \d+ of kernel"):
        run(kernel, 1, 1, y, 2**32)


def test_atomics_that_compare_or_wrap():
    def kernel(y, old):
        old[0] = cuda.atomic.cas(y, 0, 5, 9)
        old[1] = cuda.atomic.cas(y, 0, 5, 7)
        for _ in range(3):
            cuda.atomic.inc(y, 1, 1)
            cuda.atomic.dec(y, 2, 1)

    y, old = np.array([5, 0, 1]), np.zeros(2, np.int64)
    run(kernel, 1, 1, y, old)
    assert (y.tolist(), old.tolist()) == ([9, 1, 0], [5, 9])


def test_constant_memory_is_read_only_and_is_counted():
    def kernel(y):
        weights = cuda.const.array_like(WEIGHTS)
        i = cuda.grid(1)
        y[i] = weights[0] + WEIGHTS[i % 4]

    def writes():
        WEIGHTS[0] = 5  # fault

    def updates():
        cuda.atomic.add(WEIGHTS, 1, 1)  # fault

    def outside(y):
        y[0] = WEIGHTS[4]  # fault

    def made_inside(y):
        cuda.const.array_like(y)  # fault

    y = zeros(32)
    report = run(kernel, 1, 32, y)
    assert y[:5].tolist() == [2, 3, 5, 9, 2]
    loads = report.count("constant", "load")
    assert (loads.requests, loads.transactions, loads.efficiency) == (2, 1 + 4, 2 / 5)
    assert_fault(r"WEIGHTS\[0\] is written, but WEIGHTS lies in constant memory", writes, 1, 1)
    assert_fault(r"WEIGHTS\[1\] is updated, but WEIGHTS lies in constant memory", updates, 1, 1)
    assert_fault(r"index out of bounds: WEIGHTS\[4\]", outside, 1, 1, y)
    assert_fault("array_like takes an array from outside of the kernel, got y", made_inside, 1, 1, y)


def test_more_than_constant_memory_holds():
    table = np.zeros(2**14 + 1, np.float32)

    def kernel(y):
        y[0] = table[0]

    with pytest.raises(ValueError, match="table has 65540 bytes, constant memory 65536: make it an argument"):
        run(kernel, 1, 1, zeros(1))


def test_dynamic_shared_memory_has_the_size_of_the_launch():
    def kernel(y, n):
        left = cuda.shared.array(0, float32)
        right = cuda.shared.array(0, float32)  # the same memory, on a GPU too
        i = cuda.threadIdx.x
        left[i] = i
        cuda.syncthreads()
        y[i] = right[n - 1 - i]  # fault

    def two_dtypes():
        cuda.shared.array(0, float32)
        cuda.shared.array(0, numba.int32)

    y = zeros(8)
    run(kernel, 1, 8, y, 8, shared_mem=32)
    assert y.tolist() == list(range(7, -1, -1))
    assert_fault(r"index out of bounds: left\[8\], its shape is \(8,\)", kernel, 1, 8, y, 9, shared_mem=32)
    with pytest.raises(KernelError, match="left has as many bytes as the launch says, which is shared_mem=0 in line"):
        run(kernel, 1, 8, y, 8)
    with pytest.raises(NotImplementedError, match=r"all dynamic shared memory is one: .* in two dtypes in line"):
        run(two_dtypes, 1, 1, shared_mem=32)
    run(kernel, 1, 1, y, 1, shared_mem=100_000)  # more than 48 KB, where it is asked for


def ones(y):
    y[cuda.grid(1)] = 1


def comprehension(y):
    y[0] = max([i for i in range(3)])  # noqa: C416


def listing(y):
    y[0] = max([1, 2])


def slicing(y):
    y[1:] = 0


def returning(y):
    return y[0]


def trying(y):
    try:
        y[0] = 1
    except ValueError:
        y[0] = 2


def shaped_by_an_argument(y):
    cuda.shared.array(y.size, float32)


def shaped_by_a_variable(y):
    n = y.size * 2
    cuda.local.array(n, float32)


def appends(y):
    NUMBERS.append(1)


def plain_function(x):
    return x + 1


def calls_a_plain_function(y):
    y[0] = plain_function(y[0])


def allocates(y):
    y[0] = np.zeros(3)[0]


@pytest.mark.parametrize(
    ("kernel", "error", "message"),
    [
        (comprehension, TypeError, "a list comprehension in line {1} of comprehension, which a kernel cannot have"),
        (listing, TypeError, "a list in line {1} of listing"),
        (trying, TypeError, "try in line {1} of trying"),
        (returning, TypeError, "return of a value in line {1} of returning: a kernel returns nothing, it writes"),
        (shaped_by_an_argument, TypeError, "shape of an array must be constant in line {1} .*, y is known when"),
        (shaped_by_a_variable, TypeError, "shape of an array must be constant in line {2} .*, n is known when"),
        (appends, TypeError, "a kernel cannot use NUMBERS, which is a list"),
        (calls_a_plain_function, TypeError, r"decorate plain_function by @cuda.jit\(device=True\)"),
        (allocates, TypeError, "a kernel cannot use numpy.zeros"),
        (slicing, NotImplementedError, "does not know a slice: index its elements in line {1} of slicing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_no_kernel_can_do_is_refused(kernel, error, message):
    first = kernel.__code__.co_firstlineno
    with pytest.raises(error, match=message.replace("{1}", str(first + 1)).replace("{2}", str(first + 2))):
        run(kernel, 1, 1, zeros(4))


def test_arrays_of_things_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match=r"y must be an array of numbers, got one of \[\('f', '<f4'\)\]"):
        run(ones, 1, 1, np.zeros(4, [("f", np.float32)]))


def test_what_the_simulator_does_not_know_of_arrays_has_a_name():
    def transposed(y):
        y[0] = y.T[0]

    def through(y):
        for number in y:
            y[0] = number

    with pytest.raises(NotImplementedError, match=r"does not know y\.T in line \d+ of transposed by thread 0"):
        run(transposed, 1, 1, zeros(1))
    with pytest.raises(NotImplementedError, match=r"does not go through y: write a loop over its indices in line"):
        run(through, 1, 1, zeros(1))


def test_a_barrier_under_another_name_is_refused_and_not_forgotten():
    def kernel(y):
        wait = cuda.syncthreads
        y[cuda.threadIdx.x] = 1
        wait()

    with pytest.raises(NotImplementedError, match=r"knows cuda\.syncthreads by its own name only in line"):
        run(kernel, 1, 2, zeros(2))


def test_indices_that_are_no_integers():
    def halves(y):
        y[cuda.threadIdx.x / 2] = 1  # fault

    def line(y):
        y[0][1] = 1  # fault

    assert_fault(r"y is indexed by 0\.0, no integer: did you mean // for /\?", halves, 1, 1, zeros(4))
    assert_fault(r"y has 2 axes, indexed by 0: write y\[i, j\]", line, 1, 1, np.zeros((2, 2)))


def test_what_python_raises_is_a_fault_with_its_line():
    @cuda.jit(device=True)
    def divide(a, b):
        return a // b

    def by_zero(y, n):
        y[0] = divide(cuda.threadIdx.x, n)

    def raises(y):
        if cuda.threadIdx.x == 3:
            raise ValueError("too large")  # fault

    def undefined(y):
        y[0] = nowhere  # noqa: F821  # fault

    line = divide.py_func.__code__.co_firstlineno + 2
    with pytest.raises(KernelError, match=f"ZeroDivisionError: .* in line {line} of divide by thread 0 of block 0"):
        run(by_zero, 1, 1, zeros(1), 0)
    assert_fault("ValueError: too large .*by thread 3 of block 0", raises, 1, 4, zeros(1))
    assert_fault("NameError: name 'nowhere' is not defined", undefined, 1, 1, zeros(1))


def test_loops_that_do_not_end(monkeypatch):
    monkeypatch.setattr(clock, "ROUNDS", 1000)

    def spins(y):
        while y[0] == 0:  # until another thread writes
            y[1] = 1  # fault

    def waits():
        while cuda.threadIdx.x >= 0:
            cuda.syncthreads()  # fault

    assert_fault("a while loop that does not end", spins, 1, 1, zeros(2))
    monkeypatch.setattr("minipar.kernels.simulate.blocks.WAITS", 100)
    assert_fault("a loop that does not end. After 100 waits, 2 threads waiting at line", waits, 1, 2)


def test_an_array_given_twice_is_one_memory_and_another_view_is_refused():
    def shift(x, y):
        i = cuda.threadIdx.x
        y[i] = x[i + 1]  # fault

    def copy(x, y):
        y[cuda.threadIdx.x] = x[cuda.threadIdx.x]

    x = zeros(9)
    run(shift, 1, 8, x, zeros(9))
    run(copy, 1, 9, x, x)
    assert_fault(r"data race: x\[1\] is read by thread 0 .*, with no barrier between, written", shift, 1, 8, x, x)
    with pytest.raises(ValueError, match="y shares memory with x but is another view of it: copy one of them"):
        run(shift, 1, 4, x, x[1:])


def largest_and_smallest(x, y):
    y[0], y[1] = max(x[0], x[1]), min(x[0], x[1])
    y[2], y[3] = max(x[1], x[0]), min(x[1], x[0])


def test_of_a_number_and_a_nan_max_and_min_are_the_number_as_on_a_gpu():
    y = np.zeros(4, np.float32)
    run(largest_and_smallest, 1, 1, np.array([np.nan, 2], np.float32), y)
    np.testing.assert_array_equal(y, [2, 2, 2, 2])
