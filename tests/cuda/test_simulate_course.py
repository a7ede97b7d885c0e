"""Kernels as students write them: right ones, counted by hand, and the wrong versions, each found in its line."""

import numpy as np
import pytest
from kernel_faults import assert_fault
from numba import cuda, float32, int32

from minipar.kernels.simulate import run

ALL = 0xFFFFFFFF


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-8, 9, shape).astype(np.float32)


def test_a_grid_stride_loop():
    def add(x, y, z):
        for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
            z[i] = x[i] + y[i]

    def one_too_many(x, y, z):
        i = cuda.grid(1)
        while i <= x.size:
            z[i] = x[i] + y[i]  # fault
            i += cuda.gridsize(1)

    x, y, z = numbers(100), numbers(100), zeros(100)
    report = run(add, 2, 32, x, y, z)
    np.testing.assert_array_equal(z, x + y)
    # 64 threads go round twice; the second time, a warp is whole and another has 4 lanes at work.
    assert report.count("global", "load").requests == 2 * 4
    assert report.count("global", "load").transactions == 2 * (4 + 4 + 4 + 1)
    assert_fault(r"index out of bounds: x\[100\].*by thread 4 of block 1", one_too_many, 2, 32, x, y, z)


def test_a_tree_of_sums():
    def tree(x, total):
        part = cuda.shared.array(64, float32)
        i = cuda.threadIdx.x
        part[i] = x[cuda.grid(1)]
        half = 32
        while half > 0:
            cuda.syncthreads()
            if i < half:
                part[i] += part[i + half]
            half //= 2
        if i == 0:
            cuda.atomic.add(total, 0, part[0])

    def no_barrier(x, total):
        part = cuda.shared.array(64, float32)
        i = cuda.threadIdx.x
        part[i] = x[cuda.grid(1)]
        cuda.syncthreads()
        half = 32
        while half > 0:
            if i < half:
                part[i] += part[i + half]  # fault
            half //= 2
        if i == 0:
            cuda.atomic.add(total, 0, part[0])

    def barrier_in_the_branch(x, total):
        part = cuda.shared.array(64, float32)
        i = cuda.threadIdx.x
        part[i] = x[cuda.grid(1)]
        if i < 32:
            cuda.syncthreads()  # fault
            part[i] += part[i + 32]

    def not_atomic(x, total):
        if cuda.threadIdx.x == 0:
            total[0] += x[cuda.blockIdx.x]  # fault

    x, total = numbers(128), zeros(1)
    report = run(tree, 2, 64, x, total)
    assert total[0] == x.sum()
    assert report.barriers == 2 * 6
    assert report.bank_conflicts == 0
    assert_fault("data race: part", no_barrier, 2, 64, x, total)
    assert_fault("divergent barrier: 32 threads returned", barrier_in_the_branch, 2, 64, x, total)
    assert_fault("data race: total.* of block 0 .*blocks run in any order, read", not_atomic, 2, 64, x, total)


def test_a_sweep_with_strides_conflicts_in_its_banks():
    """Blelloch's sweep up: sums of neighbours 2, 4, 8, … apart."""

    def sweep(x, y):
        part = cuda.shared.array(64, float32)
        i = cuda.threadIdx.x
        part[i] = x[i]
        part[i + 32] = x[i + 32]
        stride = 1
        while stride < 64:
            cuda.syncthreads()
            right = 2 * stride * (i + 1) - 1
            if right < 64:
                part[right] += part[right - stride]
            stride *= 2
        cuda.syncthreads()
        y[i] = part[63]

    x, y = numbers(64), zeros(32)
    report = run(sweep, 1, 32, x, y)
    assert (y == x.sum()).all()
    # Distances of 2 to 32 words leave 32, 16, 8, 4 and 2 lanes at work, of which two meet in each bank; each of these
    # five steps loads twice and stores once. The last has one lane.
    assert report.bank_conflicts == 5 * 3


def test_rows_of_a_matrix_by_warps():
    def matvec(a, x, y):
        row = cuda.grid(1) // 32
        total = float32(0)
        for column in range(cuda.laneid, a.shape[1], 32):
            total += a[row, column] * x[column]
        for bits in (16, 8, 4, 2, 1):
            total += cuda.shfl_xor_sync(ALL, total, bits)
        if cuda.laneid == 0:
            y[row] = total

    def by_threads(a, x, y):
        row = cuda.grid(1)
        total = float32(0)
        for column in range(a.shape[1]):
            total += a[row, column] * x[column]
        y[row] = total

    a, x, y = numbers(32, 64), numbers(64), zeros(32)
    report = run(matvec, 8, 128, a, x, y)
    np.testing.assert_array_equal(y, a @ x)
    assert report.count("global", "load").efficiency == 1
    report = run(by_threads, 1, 32, a, x, y)
    np.testing.assert_array_equal(y, a @ x)
    assert report.count("global", "load").transactions == 64 * (32 + 1)  # a column of a, and one number of x


def test_a_stencil_in_three_dimensions():
    def stencil(x, y):
        i, j, k = cuda.grid(3)
        if 0 < i < x.shape[2] - 1 and 0 < j < x.shape[1] - 1 and 0 < k < x.shape[0] - 1:
            y[k, j, i] = x[k, j, i - 1] + x[k, j, i + 1] - x[k - 1, j, i] - x[k, j + 1, i]

    def in_place(x):
        i, j, k = cuda.grid(3)
        if i > 0:
            x[k, j, i] = x[k, j, i - 1]  # fault

    x, y = numbers(4, 4, 8), zeros(4, 4, 8)
    run(stencil, (2, 2, 2), (4, 2, 2), x, y)
    inside = x[1:-1, 1:-1, :-2] + x[1:-1, 1:-1, 2:] - x[:-2, 1:-1, 1:-1] - x[1:-1, 2:, 1:-1]
    np.testing.assert_array_equal(y[1:-1, 1:-1, 1:-1], inside)
    message = r"data race: x\[0, 0, 1\] is written by thread \(1, 0, 0\) of block \(0, 0, 0\)"
    assert_fault(message, in_place, (2, 2, 2), (4, 2, 2), x)


def test_a_histogram_in_shared_memory():
    def histogram(x, counts, clear):
        mine = cuda.shared.array(4, int32)
        t = cuda.threadIdx.x
        if clear and t < 4:
            mine[t] = 0
        cuda.syncthreads()
        cuda.atomic.add(mine, x[cuda.grid(1)], 1)  # fault
        cuda.syncthreads()
        if t < 4:
            cuda.atomic.add(counts, t, mine[t])

    x, counts = np.arange(128, dtype=np.int32) % 4, np.zeros(4, np.int32)
    report = run(histogram, 2, 64, x, counts, True)
    assert counts.tolist() == [32] * 4
    updates = report.count("shared", "atomic")
    assert (updates.requests, updates.transactions) == (4, 4 * 8)  # 32 lanes share four words
    assert report.count("global", "atomic").transactions == 2
    assert_fault(r"uninitialised read of mine\[0\]", histogram, 2, 64, x, counts, False)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.int64, np.float64, bool])
def test_arrays_of_other_dtypes(dtype):
    def copy(x, y):
        i = cuda.grid(1)
        y[i] = x[i]

    x = (np.arange(64) % 2).astype(dtype)
    y = np.zeros(64, dtype)
    report = run(copy, 1, 64, x, y)
    np.testing.assert_array_equal(y, x)
    assert report.global_sectors == 2 * 64 * x.itemsize // 32


def test_a_picture_fits_a_page():
    def fill(y):
        i, j = cuda.grid(2)
        y[j, i] = 1

    lines = run(fill, (16, 16), (16, 16), zeros(256, 256)).draw("y").splitlines()
    assert max(map(len, lines)) <= 102
    assert lines[1].startswith("  0,0:0,0   0,0:1,0")
    assert lines[1].endswith(" …")
