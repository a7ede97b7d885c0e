"""Intrinsics and device functions: simulated, compiled where the compiler is, and part of the cache key."""

import numpy as np
import pytest
from numba import cuda, float32, int32, uint32
from numba.types import float16

from minipar.kernels.cuda import compiler, detect
from minipar.kernels.cuda.intrinsics import (
    load4,
    load_pairs,
    mma_bf16,
    mma_f16,
    mma_tf32,
    pack_bf16,
    pack_f16,
    store4,
    to_tf32,
)
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.simulate import KernelError
from minipar.kernels.simulate.execute import execute

usable, reason = detect.compiler_status()
FLOAT32 = np.dtype(np.float32)
RNG = np.random.default_rng(0)


def reversing(count: int, threads: int, factor: float = 1.0):
    """A kernel that reverses ``count`` numbers four by four through shared memory, and scales them."""
    scale = float(factor)
    half = count // 2

    @cuda.jit(device=True, forceinline=True)
    def scaled(x):
        return x * float32(scale)

    @cuda.jit(device=True, forceinline=True)
    def stored(tile, x, i):  # waits for the others, too
        a, b, c, d = load4(x, i)
        store4(tile, i, scaled(a), scaled(b), scaled(c), scaled(d))
        cuda.syncthreads()

    def reverse(x, y):
        tile = cuda.shared.array(count, float32, alignment=16)
        i = int32(cuda.threadIdx.x * 4)
        stored(tile, x, i)
        a, b, c, d = load4(tile, int32(count - 4 - i))
        store4(y, i, d, c, b, a)

    assert half * 2 == count == threads * 4
    return Kernel(reverse, FLOAT32, pointers=2, threads=threads)


def multiply_tf32(A, B, C):
    lane = int32(cuda.laneid)
    g = int32(lane // 4)
    t = int32(lane % 4)
    a0 = to_tf32(A[int32(g * 8 + t)])
    a1 = to_tf32(A[int32((g + 8) * 8 + t)])
    a2 = to_tf32(A[int32(g * 8 + t + 4)])
    a3 = to_tf32(A[int32((g + 8) * 8 + t + 4)])
    b0 = to_tf32(B[int32(t * 8 + g)])
    b1 = to_tf32(B[int32((t + 4) * 8 + g)])
    zero = float32(0)
    d0, d1, d2, d3 = mma_tf32(a0, a1, a2, a3, b0, b1, zero, zero, float32(1), zero)
    C[int32(g * 8 + 2 * t)] = d0
    C[int32(g * 8 + 2 * t + 1)] = d1
    C[int32((g + 8) * 8 + 2 * t)] = d2
    C[int32((g + 8) * 8 + 2 * t + 1)] = d3


def multiply_bf16(A, B, C):
    lane = int32(cuda.laneid)
    g = int32(lane // 4)
    t = int32(lane % 4)
    k = int32(2 * t)
    low = int32(g * 16 + k)
    high = int32((g + 8) * 16 + k)
    a0 = pack_bf16(A[low], A[int32(low + 1)])
    a1 = pack_bf16(A[high], A[int32(high + 1)])
    a2 = pack_bf16(A[int32(low + 8)], A[int32(low + 9)])
    a3 = pack_bf16(A[int32(high + 8)], A[int32(high + 9)])
    b0 = pack_bf16(B[int32(k * 8 + g)], B[int32((k + 1) * 8 + g)])
    b1 = pack_bf16(B[int32((k + 8) * 8 + g)], B[int32((k + 9) * 8 + g)])
    zero = float32(0)
    d0, d1, d2, d3 = mma_bf16(a0, a1, a2, a3, b0, b1, zero, zero, zero, zero)
    C[int32(g * 8 + 2 * t)] = d0
    C[int32(g * 8 + 2 * t + 1)] = d1
    C[int32((g + 8) * 8 + 2 * t)] = d2
    C[int32((g + 8) * 8 + 2 * t + 1)] = d3


def multiply_f16(A, B, C):
    """The product of A (16, 16) and B (16, 8), rounded."""
    lane = int32(cuda.laneid)
    g = int32(lane // 4)
    t = int32(lane % 4)
    k = int32(2 * t)
    low = int32(g * 16 + k)
    high = int32((g + 8) * 16 + k)
    a0 = pack_f16(A[low], A[int32(low + 1)])
    a1 = pack_f16(A[high], A[int32(high + 1)])
    a2 = pack_f16(A[int32(low + 8)], A[int32(low + 9)])
    a3 = pack_f16(A[int32(high + 8)], A[int32(high + 9)])
    b0 = pack_f16(B[int32(k * 8 + g)], B[int32((k + 1) * 8 + g)])
    b1 = pack_f16(B[int32((k + 8) * 8 + g)], B[int32((k + 9) * 8 + g)])
    zero = float32(0)
    d0, d1, d2, d3 = mma_f16(a0, a1, a2, a3, b0, b1, zero, zero, zero, zero)
    C[int32(g * 8 + 2 * t)] = float16(d0)
    C[int32(g * 8 + 2 * t + 1)] = float16(d1)
    C[int32((g + 8) * 8 + 2 * t)] = float16(d2)
    C[int32((g + 8) * 8 + 2 * t + 1)] = float16(d3)


def compare_pairs(x, y):
    """y[i] is 1 where the i-th word of x's first eight numbers, by way of shared memory, is the pair it should be."""
    words = cuda.shared.array(4, uint32, alignment=16)
    a, b, c, d = load_pairs(x, int32(0))
    store4(words, int32(0), a, b, c, d)
    a, b, c, d = load4(words, int32(0))
    y[0] = float16(a == pack_f16(x[0], x[1]))
    y[1] = float16(b == pack_f16(x[2], x[3]))
    y[2] = float16(c == pack_f16(x[4], x[5]))
    y[3] = float16(d == pack_f16(x[6], x[7]))


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def test_vectors_and_device_functions_run():
    kernel = reversing(32, 8, 3.0)
    x, y = numbers(32), np.zeros(32, np.float32)
    execute(kernel.function, 1, 8, (x, y))
    np.testing.assert_array_equal(y, x[::-1] * np.float32(3))


@pytest.mark.parametrize(("start", "message"), [(2, "misaligned vector: x.2., no multiple of 4"), (8, "out of bounds")])
def test_a_vector_must_be_aligned_and_inside(start, message):
    def kernel(x, y, i):
        y[0], y[1], y[2], y[3] = load4(x, i)

    with pytest.raises(KernelError, match=message):
        execute(kernel, 1, 1, (numbers(8), np.zeros(4, np.float32), start))


def test_a_vector_of_an_array_that_is_not_aligned_is_refused():
    def kernel(x):
        a = cuda.shared.array(4, float32)
        store4(a, 0, x[0], x[1], x[2], x[3])

    def copy(x):
        store4(x, 0, *load4(x, 4))

    with pytest.raises(KernelError, match="misaligned vector: a starts at a multiple of 4 bytes"):
        execute(kernel, 1, 1, (numbers(4),))
    with pytest.raises(KernelError, match="misaligned vector: x starts at a multiple of 8 bytes"):
        execute(copy, 1, 1, (numbers(10)[2:],))
    execute(copy, 1, 1, (numbers(12)[4:],))


def test_every_element_of_a_vector_races():
    def kernel(x):
        if cuda.threadIdx.x == 0:
            store4(x, 0, float32(1), float32(1), float32(1), float32(1))
        else:
            x[3] = 2

    with pytest.raises(KernelError, match=r"data race: x\[3\] is written by thread 0"):
        execute(kernel, 1, 2, (numbers(4),))


def test_a_warp_multiplies_in_tf32():
    a, b, c = numbers(16, 8), numbers(8, 8), np.zeros((16, 8), np.float32)
    execute(multiply_tf32, 1, 32, (a.ravel(), b.ravel(), c.reshape(-1)))
    expected = a.astype(np.float64) @ b
    expected[8:, 0::2] += 1
    np.testing.assert_allclose(c, expected, atol=1e-2)
    assert np.abs(c - expected).max() > 1e-5  # the operands were rounded


def test_a_warp_multiplies_in_bf16():
    a, b, c = numbers(16, 16), numbers(16, 8), np.zeros((16, 8), np.float32)
    execute(multiply_bf16, 1, 32, (a.ravel(), b.ravel(), c.reshape(-1)))
    np.testing.assert_allclose(c, a.astype(np.float64) @ b, atol=0.1)
    whole = RNG.integers(-8, 9, (16, 16)).astype(np.float32)
    execute(multiply_bf16, 1, 32, (whole.ravel(), np.eye(16, 8, dtype=np.float32).ravel(), c.reshape(-1)))
    np.testing.assert_array_equal(c, whole[:, :8])


def test_a_warp_multiplies_in_f16():
    a, b, c = (numbers(*shape).astype(np.float16) for shape in ((16, 16), (16, 8), (16, 8)))
    execute(multiply_f16, 1, 32, (a.ravel(), b.ravel(), c.reshape(-1)))
    np.testing.assert_array_equal(c, (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16))


def test_float16_in_pairs():
    x, y = np.arange(8, dtype=np.float16) - 3, np.zeros(4, np.float16)
    execute(compare_pairs, 1, 1, (x, y))
    np.testing.assert_array_equal(y, 1)
    with pytest.raises(KernelError, match="misaligned vector: x starts at a multiple of 8 bytes"):
        execute(compare_pairs, 1, 1, (np.zeros(12, np.float16)[4:], y))


def test_roundings():
    x = np.array([1 + 2**-11, -(1 + 2**-11), 1 + 2**-11 - 2**-20, np.inf, 0], np.float32)
    rounded = [float(to_tf32.twin(number)) for number in x]
    assert rounded == [1 + 2**-10, -(1 + 2**-10), 1, np.inf, 0]  # ties away from zero
    assert pack_bf16.twin(1.0, -2.0) == 0xC0003F80
    assert pack_f16.twin(np.float16(1), np.float16(-2)) == 0xC0003C00
    assert pack_bf16.twin(1 + 2**-8, 1 + 3 * 2**-8) == 0x3F823F80  # ties to even
    assert np.isnan(to_tf32.twin(np.float32(np.nan)))
    unrounded = np.float32(1 + 3 * 2**-12)  # nearest is 1 + 2^-10; but a tensor core reads the upper bits alone
    assert set(mma_tf32.warp_twin([(unrounded,) * 4 + (1, 1, 0, 0, 0, 0)] * 32)) == {(8, 8, 8, 8)}


def test_a_warp_is_whole():
    a, b, c = numbers(128), numbers(64), np.zeros(128, np.float32)

    def half(A, B, C):
        if cuda.threadIdx.x < 16:
            zero = float32(0)
            mma_tf32(zero, zero, zero, zero, zero, zero, zero, zero, zero, zero)

    with pytest.raises(KernelError, match=r"divergent warp collective: 16 threads returned .*waiting for mma_tf32"):
        execute(half, 1, 32, (a, b, c))
    with pytest.raises(KernelError, match="mma_tf32 needs 32 lanes, its warp has 16, in line"):
        execute(multiply_tf32, 1, 16, (a, b, c))


@pytest.mark.skipif(not usable, reason=reason)
@pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
def test_they_compile_to_the_instructions_they_stand_for(capability):
    kernel = reversing(128, 32)
    ptx = compiler.to_ptx(kernel, capability)
    for instruction in ("ld.global.v4.f32", "st.shared.v4.f32", "ld.shared.v4.f32", "st.global.v4.f32", "bar.sync"):
        assert ptx.count(instruction) == 1
    assert "call" not in ptx.replace("callseq", "")  # the device functions are inlined
    built = compiler.build(kernel, capability)
    assert (built.stack, built.spills, built.double_instructions) == (0, 0, 0)
    for function, dtype, pointers, instruction in (
        (multiply_tf32, "float32", 3, "mma.sync.aligned.m16n8k8.row.col.f32.tf32"),
        (multiply_bf16, "float32", 3, "mma.sync.aligned.m16n8k16.row.col.f32.bf16"),
        (multiply_f16, "float16", 3, "mma.sync.aligned.m16n8k16.row.col.f32.f16"),
        (compare_pairs, "float16", 2, "ld.global.v4.u32"),
    ):
        product = Kernel(function, np.dtype(dtype), pointers, threads=32)
        assert instruction in compiler.to_ptx(product, capability)
        assert compiler.build(product, capability).code.startswith(b"\x7fELF")


def test_the_cache_key_knows_what_device_functions_and_intrinsics_do(monkeypatch):
    monkeypatch.setattr(compiler, "version", lambda package: "1")  # which may not be installed

    def key(*arguments):
        return compiler.identity(reversing(*arguments), (9, 0))

    assert key(32, 8, 2.0) == key(32, 8, 2.0)
    assert key(32, 8, 2.0) != key(32, 8, 3.0)  # a constant of a device function
    for text in ("load4(x, i)", "x * float32(scale)", "cvt.rna.tf32.f32"):
        assert text in key(32, 8)
