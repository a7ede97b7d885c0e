"""The simulator of kernels: right ones run, and each kind of fault is found with its line."""

import numpy as np
import pytest
from kernel_faults import assert_fault
from numba import cuda, float32, int32, types, uint32

from minipar.kernels.simulate import run


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def test_a_reduction_over_a_three_dimensional_grid_runs():
    def kernel(x, total):
        left = cuda.shared.array(4, float32)
        t = cuda.threadIdx.x + 2 * cuda.threadIdx.y
        block = cuda.blockIdx.x + cuda.gridDim.x * (cuda.blockIdx.y + cuda.gridDim.y * cuda.blockIdx.z)
        left[t] = x[block * 4 + t]
        cuda.syncthreads()
        if t == 0:
            total[block] = left[0] + left[1] + left[2] + left[3]

    x, total = np.arange(48, dtype=np.float32), zeros(12)
    run(kernel, (2, 3, 2), (2, 2), x, total)
    np.testing.assert_array_equal(total, x.reshape(12, 4).sum(1))


def test_grid_and_gridsize_count_over_blocks():
    def kernel(seen, sizes):
        x, y = cuda.grid(2)
        across, down = cuda.gridsize(2)
        seen[y, x] = across * y + x
        if x == 0 and y == 0:
            sizes[0], sizes[1], sizes[2] = across, down, cuda.gridsize(1)

    seen, sizes = np.full((4, 6), -1), np.zeros(3, np.int64)
    run(kernel, (3, 2), (2, 2), seen, sizes)
    np.testing.assert_array_equal(seen.ravel(), np.arange(24))
    assert sizes.tolist() == [6, 4, 6]


def test_kernels_decorated_for_numba_and_two_arrays_on_one_line_run():
    @cuda.jit
    def kernel(x):
        a, b = cuda.shared.array(1, float32), cuda.shared.array(1, float32)
        a[0], b[0] = 1, 2
        x[0] = a[0] * 10 + b[0]

    x = zeros(1)
    run(kernel, 1, 1, x)
    assert x[0] == 12


def test_a_read_that_no_barrier_orders_after_a_write_is_a_race():
    def kernel(y):
        a = cuda.shared.array(4, float32)
        t = cuda.threadIdx.x
        a[t] = t
        y[t] = a[3 - t]  # fault

    assert_fault(r"(data race|uninitialised read)", kernel, 1, 4, zeros(4))


def test_a_write_that_no_barrier_orders_after_a_read_is_a_race():
    def kernel(y):
        a = cuda.shared.array(4, float32)
        t = cuda.threadIdx.x
        a[t] = t
        cuda.syncthreads()
        y[t] = a[(t + 1) % 4]
        a[t] = 0  # fault

    assert_fault(
        "data race.*is read by thread 0 of block 0 in line.*written in line.*by thread 1 of", kernel, 1, 4, zeros(4)
    )


def test_a_write_after_reads_of_several_threads_is_a_race_whoever_read_last():
    def kernel(y):
        a = cuda.shared.array(1, float32)
        t = cuda.threadIdx.x
        if t == 0:
            a[0] = 1
        cuda.syncthreads()
        y[t] = a[0]
        if t == 3:
            a[0] = 2  # fault

    assert_fault("data race.*is read by other threads", kernel, 1, 4, zeros(4))


def test_two_writes_of_one_element_are_a_race_and_a_barrier_between_them_is_none():
    def kernel(y, wait):
        t = cuda.threadIdx.x
        if t == 0:
            y[0] = 1
        if wait:
            cuda.syncthreads()
        if t == 1:
            y[0] = 2  # fault

    assert_fault("data race.*is written by thread 0 of block 0", kernel, 1, 2, zeros(1), False)
    run(kernel, 1, 2, zeros(1), True)


def test_blocks_race_whatever_barriers_they_pass():
    def kernel(y):
        cuda.syncthreads()
        y[0] = cuda.blockIdx.x  # fault

    assert_fault("data race.*block 0.*block 1", kernel, 2, 1, zeros(1))


def test_reading_what_another_block_wrote_and_writing_what_others_read_are_races():
    def reads(y):
        if cuda.blockIdx.x == 0:
            y[0] = 1
        else:
            y[1] = y[0]  # fault

    def writes(y):
        y[1 + cuda.blockIdx.x] = y[0]
        cuda.syncthreads()
        if cuda.blockIdx.x == 2:
            y[0] = 1  # fault

    assert_fault("data race.*written by thread 0 of block 0", reads, 2, 1, zeros(2))
    assert_fault("data race.*read by other threads", writes, 3, 1, zeros(4))


def test_a_barrier_that_some_threads_miss_is_divergent():
    def kernel(y):
        if cuda.threadIdx.x < 2:
            cuda.syncthreads()  # fault

    assert_fault(r"divergent barrier: 2 threads returned.*2 threads waiting at line", kernel, 1, 4, zeros(1))


def test_two_barriers_in_different_lines_are_not_one_barrier():
    def kernel(y):
        if cuda.threadIdx.x == 0:
            cuda.syncthreads()  # fault
        else:
            cuda.syncthreads()

    assert_fault("divergent barrier: 1 thread waiting at line", kernel, 1, 2, zeros(1))


@pytest.mark.parametrize(("index", "message"), [(-1, "negative index"), (4, "index out of bounds")])
def test_indices_outside_global_memory(index, message):
    def kernel(y, i):
        y[i] = 1  # fault

    assert_fault(message, kernel, 1, 1, zeros(4), index)


@pytest.mark.parametrize(("index", "message"), [(-1, "negative index"), (3, "index out of bounds")])
def test_indices_outside_shared_and_local_memory(index, message):
    def shared(i):
        a = cuda.shared.array((2, 3), float32)
        a[0, i] = 1  # fault

    def local(i):
        a = cuda.local.array(3, float32)
        a[i] = 1  # fault

    assert_fault(message, shared, 1, 1, index)
    assert_fault(message, local, 1, 1, index)


def test_an_index_with_too_few_axes():
    def kernel():
        a = cuda.shared.array((2, 3), float32)
        a[0] = 1  # fault

    assert_fault("has 2 axes", kernel, 1, 1)


def test_memory_that_was_never_written():
    def shared(y):
        a = cuda.shared.array(2, float32)
        y[0] = a[1]  # fault

    def local(y):
        a = cuda.local.array(2, float32)
        a[0] += 1  # fault

    def next_block(y):
        a = cuda.shared.array(1, float32)
        if cuda.blockIdx.x == 0:
            a[0] = 1
        else:
            y[0] = a[0]  # fault

    for kernel in (shared, local, next_block):
        assert_fault("uninitialised read", kernel, 2, 1, zeros(1))


def test_integer_casts_are_those_of_c_and_an_int32_must_fit():
    def kernel(y, i):
        y[0] = uint32(i - 1)
        y[1] = int32(i + 2**31 - 1)
        y[2] = int32(i + 2**31)  # fault

    y = np.zeros(3, np.int64)
    assert_fault("int32.2147483648. overflows", kernel, 1, 1, y, 0)
    assert y.tolist() == [2**32 - 1, 2**31 - 1, 0]


def test_float32_arithmetic_rounds_as_float32():
    number = types.float32

    def kernel(y):
        y[0] = number(1) / number(3) - number(0.25)

    y = np.zeros(1)
    run(kernel, 1, 1, y)
    assert y[0] == np.float32(1) / np.float32(3) - np.float32(0.25)


def test_arguments_are_refused_that_a_pointer_could_not_stand_for():
    def kernel(y):
        y[0] = 1

    with pytest.raises(ValueError, match="y must be C-contiguous"):
        run(kernel, 1, 1, zeros(8)[::2])
    with pytest.raises(TypeError, match="too many"):
        run(kernel, 1, 1, zeros(1), 5)
