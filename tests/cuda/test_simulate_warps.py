"""What the lanes of a warp do together, atomics, and what orders their accesses."""

import numba
import numpy as np
import pytest
from numba import cuda, float32, int32

from minipar.kernels.simulate import KernelError, run

ALL = 0xFFFFFFFF


def test_shuffles_and_votes():
    def kernel(x, y):
        lane = cuda.laneid
        value = x[cuda.threadIdx.x]
        y[0, cuda.threadIdx.x] = cuda.shfl_sync(ALL, value, 3)
        y[1, cuda.threadIdx.x] = cuda.shfl_up_sync(ALL, value, 2)
        y[2, cuda.threadIdx.x] = cuda.shfl_down_sync(ALL, value, 30)
        y[3, cuda.threadIdx.x] = cuda.shfl_xor_sync(ALL, value, 1)
        y[4, cuda.threadIdx.x] = cuda.ballot_sync(ALL, lane % 8 == 1)
        y[5, cuda.threadIdx.x] = cuda.any_sync(ALL, lane == 40) + 2 * cuda.all_sync(ALL, lane < cuda.warpsize)

    x, y = np.arange(64), np.zeros((6, 64), np.int64)
    run(kernel, 1, 64, x, y)
    lanes = np.arange(32)
    expected = [lanes * 0 + 3, np.maximum(lanes - 2, lanes % 2 * (lanes < 2)), (lanes + 30) * (lanes < 2), lanes ^ 1]
    expected[1][:2] = 0, 1
    expected[2][2:] = lanes[2:]
    np.testing.assert_array_equal(y[:4, :32], expected)
    np.testing.assert_array_equal(y[:4, 32:], np.array(expected) + 32)
    assert (y[4] == 0x02020202).all()
    assert (y[5] == 2).all()


def test_a_warp_sums_and_so_do_parts_of_it():
    def kernel(x, y, mask, width):
        value = x[cuda.laneid]
        if mask >> cuda.laneid & 1:
            delta = width // 2
            while delta > 0:
                value += cuda.shfl_xor_sync(mask, value, delta)
                delta //= 2
        y[cuda.laneid] = value

    x = np.arange(32)
    for mask, width in ((ALL, 32), (0xFF, 8), (0xFF00, 8)):
        y = np.zeros(32, np.int64)
        run(kernel, 1, 32, x, y, mask, width)
        there = [lane for lane in range(32) if mask >> lane & 1]
        assert (y[there] == sum(there)).all()
        assert (np.delete(y, there) == np.delete(x, there)).all()


def test_a_device_function_may_wait_too():
    @cuda.jit(device=True)
    def warp_sum(value):
        for bits in (16, 8, 4, 2, 1):
            value += cuda.shfl_xor_sync(ALL, value, bits)
        return value

    def kernel(x, y):
        partial = cuda.shared.array(2, numba.int32)
        total = warp_sum(x[cuda.threadIdx.x])
        if cuda.laneid == 0:
            partial[cuda.threadIdx.x // 32] = total
        cuda.syncthreads()
        y[cuda.threadIdx.x] = partial[0] + partial[1]

    y = np.zeros(64, np.int32)
    run(kernel, 1, 64, np.arange(64, dtype=np.int32), y)
    assert (y == 2016).all()


def test_lanes_at_different_functions_of_a_warp_diverge():
    def kernel(y):
        if cuda.laneid < 8:
            cuda.shfl_sync(ALL, 1, 0)
        else:
            cuda.syncwarp()

    def absent(y):
        if cuda.laneid > 0:
            cuda.syncwarp()

    def waits_for_the_block(y):
        if cuda.threadIdx.x == 40:
            cuda.syncthreads()
        else:
            cuda.syncwarp()

    first = kernel.__code__.co_firstlineno
    message = (
        rf"divergent warp collective: 8 threads waiting for shfl_sync in line {first + 2} \(the first is thread 0\), "
    )
    message += rf"24 threads waiting for syncwarp in line {first + 4} \(the first is thread 8\)"
    with pytest.raises(KernelError, match=message):
        run(kernel, 1, 32, np.zeros(1))
    with pytest.raises(KernelError, match=r"1 thread returned .*, 31 threads waiting for syncwarp in line"):
        run(absent, 1, 32, np.zeros(1))
    with pytest.raises(KernelError, match=r"warp collective: 1 thread waiting at line \d+ .the first is thread 40"):
        run(waits_for_the_block, 1, 64, np.zeros(1))


def test_a_lane_that_takes_no_part_cannot_be_asked():
    def kernel(y):
        if cuda.laneid < 4:
            cuda.shfl_sync(0xF, 1, 9)

    with pytest.raises(KernelError, match="shfl_sync: lane 0 reads the value of lane 9, which takes no part, in line"):
        run(kernel, 1, 32, np.zeros(1))


def exchange(wait: bool, partner: int):
    """Each thread writes an element of shared memory, and reads its partner's."""

    def kernel(y):
        a = cuda.shared.array(64, int32)
        i = cuda.threadIdx.x
        a[i] = i
        if wait:
            cuda.syncwarp()
        y[i] = a[i ^ partner]

    return kernel


def test_syncwarp_orders_the_accesses_of_one_warp():
    y = np.zeros(64, np.int64)
    run(exchange(True, 5), 1, 64, y)
    np.testing.assert_array_equal(y, np.arange(64) ^ 5)
    with pytest.raises(KernelError, match=r"uninitialised read|data race"):
        run(exchange(False, 5), 1, 64, y)
    with pytest.raises(KernelError, match="data race"):
        run(exchange(True, 32), 1, 64, y)


def test_a_write_after_reads_of_the_warp_is_ordered_by_syncwarp_and_after_those_of_others_not():
    def kernel(y, others):
        a = cuda.shared.array(64, int32)
        i = cuda.threadIdx.x
        a[i] = i
        cuda.syncthreads()
        y[i] = a[32 if others else i // 32 * 32]
        cuda.syncwarp()
        if i == 32:
            a[32] = 0

    run(kernel, 1, 64, np.zeros(64), 0)
    with pytest.raises(KernelError, match=r"data race: a\[32\] is read by other threads"):
        run(kernel, 1, 64, np.zeros(64), 1)


def test_a_shuffle_orders_no_memory():
    def kernel(y):
        if cuda.laneid == 0:
            y[0] = 1
        cuda.shfl_sync(ALL, 1, 0)
        if cuda.laneid == 1:
            y[0] = 2

    with pytest.raises(KernelError, match="data race"):
        run(kernel, 1, 32, np.zeros(1))


def test_atomics_do_not_race_with_each_other():
    def histogram(x, counts):
        cuda.atomic.add(counts, x[cuda.grid(1)], 1)

    x, counts = np.random.default_rng(0).integers(0, 5, 256), np.zeros(5, np.int32)
    report = run(histogram, 4, 64, x, counts)
    np.testing.assert_array_equal(counts, np.bincount(x))
    assert report.count("global", "atomic").requests == 8

    def others(y, old):
        i = cuda.grid(1)
        old[i] = cuda.atomic.max(y, 0, i)
        cuda.atomic.min(y, 1, i)
        cuda.atomic.sub(y, 2, i)
        cuda.atomic.exch(y, 3, 7)

    y, old = np.array([0, 9, 6, 0]), np.zeros(4, np.int64)
    run(others, 2, 2, y, old)
    assert y.tolist() == [3, 0, 0, 7]
    assert old.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize("first", ["atomic", "plain"])
@pytest.mark.parametrize("access", ["read", "write"])
def test_atomics_race_with_plain_accesses(first, access):
    def kernel(y, atomic_first, write):
        if (cuda.threadIdx.x == 0) == atomic_first:
            cuda.atomic.add(y, 0, 1)
        elif write:
            y[0] = 5
        else:
            y[1] = y[0]

    with pytest.raises(KernelError, match=r"data race: y\[0\] is .*updated atomically"):
        run(kernel, 1, 2, np.zeros(2), first == "atomic", access == "write")


def test_atomics_in_shared_memory_need_a_first_value():
    def kernel(y, start):
        a = cuda.shared.array(1, float32)
        if start and cuda.threadIdx.x == 0:
            a[0] = 0
        cuda.syncthreads()
        cuda.atomic.add(a, 0, 2)
        cuda.syncthreads()
        y[cuda.threadIdx.x] = a[0]

    y = np.zeros(40, np.float32)
    run(kernel, 1, 40, y, True)
    assert (y == 80).all()
    with pytest.raises(KernelError, match=r"uninitialised read of a\[0\]"):
        run(kernel, 1, 40, y, False)


def test_integers_stored_must_fit_or_wrap_as_in_c():
    def kernel(y, number):
        y[0] = number

    small = np.zeros(1, np.int32)
    with pytest.raises(KernelError, match=r"int32\(2147483648\) overflows in line"):
        run(kernel, 1, 1, small, 2**31)
    unsigned = np.zeros(1, np.uint8)
    run(kernel, 1, 1, unsigned, -1)
    assert unsigned[0] == 255


def test_numba_may_be_spelled_out():
    def kernel(y):
        i = numba.int32(numba.cuda.grid(1))
        a = numba.cuda.shared.array(4, numba.float32)
        a[i] = numba.float32(i) / numba.float32(3)
        numba.cuda.syncthreads()
        y[i] = a[3 - i]

    y = np.zeros(4, np.float32)
    run(kernel, 1, 4, y)
    np.testing.assert_array_equal(y, np.arange(4, dtype=np.float32)[::-1] / np.float32(3))


def test_more_shared_memory_than_a_block_has():
    def kernel():
        a = cuda.shared.array(12289, float32)
        a[0] = 1

    with pytest.raises(KernelError, match="49156 bytes of shared memory, a block has 49152 in line"):
        run(kernel, 1, 1)
