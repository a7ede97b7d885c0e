"""Losses of pairs of numbers, summed or averaged, and their gradients: each formula is written once, for a number x and
its target t, and becomes one pass over memory. The losses themselves are never kept.

Sums are made as in `squared_error`: blocks in the arrays' dtype, their sums in float64, in order, whatever the number
of threads. Numbers that a formula takes besides are floats.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
from numba import njit, prange

from .approximate import exp, log1p, sigmoid
from .compile import compiled
from .elementwise import posing_as
from .signatures import real_signatures
from .squared_error import BLOCK
from .threads import threads_for

COST = 8  # of an element, in multiply-adds
ALONE = 50_000  # elements that one thread is done with before a second one has begun

_inlined = njit(error_model="numpy", fastmath={"contract"})


def _summed(formula: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """f(x, t, *numbers) of two numbers as the loss f(x, t, mean, *numbers) of two arrays: Σ f, or its mean; 0-d."""
    inner = _inlined(formula)

    # "reassoc": the terms may be added in any order, so a vector register at a time.
    @njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
    def block_sum(x, t, numbers):
        total = x.dtype.type(0)
        for i in range(len(x)):
            total += inner(x[i], t[i], *numbers)
        return total

    def kernel(x, t, mean, loss, numbers, threads):
        if len(t) != len(x):
            raise ValueError("x and t must have one size")
        blocks = (len(x) + BLOCK - 1) // BLOCK
        sums = np.empty(blocks, np.float64)
        if threads == 0:
            for k in range(blocks):
                sums[k] = block_sum(x[k * BLOCK : (k + 1) * BLOCK], t[k * BLOCK : (k + 1) * BLOCK], numbers)
        else:
            for thread in prange(threads):
                for k in range(thread * blocks // threads, (thread + 1) * blocks // threads):
                    sums[k] = block_sum(x[k * BLOCK : (k + 1) * BLOCK], t[k * BLOCK : (k + 1) * BLOCK], numbers)
        total = 0.0
        for k in range(blocks):
            total += sums[k]
        loss[()] = total / len(x) if mean else total

    run = _compiled(kernel, formula, "in1 in1 boolean out0")

    @posing_as(formula, ["x", "t", "mean", *_numbers(formula)])
    def of_arrays(x: np.ndarray, t: np.ndarray, mean: bool, *numbers: float) -> np.ndarray:
        loss = np.empty((), x.dtype)
        run(x.ravel(), t.ravel(), mean, loss, numbers, _threads(x.size))
        return loss

    return of_arrays


def _spread(formula: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """∂f/∂x(x, t, *numbers) of two numbers as f(g, x, t, mean, *numbers): the gradient of x (any shape) from g, 0-d."""
    inner = _inlined(formula)

    @_inlined
    def loop(factor, x, t, dx, numbers):
        for i in range(len(x)):
            dx[i] = factor * inner(x[i], t[i], *numbers)

    def kernel(g, x, t, mean, dx, numbers, threads):
        n = len(x)
        if len(t) != n or len(dx) != n or len(g) != 1:
            raise ValueError("x and t must have one size")
        factor = x.dtype.type(g[0] / n if mean else g[0])
        if threads == 0:
            loop(factor, x, t, dx, numbers)
        else:
            for thread in prange(threads):
                a, b = thread * n // threads, (thread + 1) * n // threads
                loop(factor, x[a:b], t[a:b], dx[a:b], numbers)

    run = _compiled(kernel, formula, "in1A in1 in1 boolean out1")

    @posing_as(formula, ["g", "x", "t", "mean", *_numbers(formula)])
    def of_arrays(g: np.ndarray, x: np.ndarray, t: np.ndarray, mean: bool, *numbers: float) -> np.ndarray:
        dx = np.empty(x.shape, x.dtype)
        run(g.reshape(-1), x.ravel(), t.ravel(), mean, dx.ravel(), numbers, _threads(x.size))
        return dx

    return of_arrays


def _numbers(formula: Callable[..., Any]) -> list[str]:
    """What a formula takes besides x and t."""
    return [*signature(formula).parameters][2:]


def _compiled(kernel: Callable[..., None], formula: Callable[..., Any], arguments: str) -> Any:
    kernel.__name__, kernel.__module__ = f"_{formula.__name__}", formula.__module__
    numbers = len(_numbers(formula))
    numbers_type = f"UniTuple(float64,{numbers})" if numbers else "Tuple(())"
    return compiled(real_signatures(f"{arguments} {numbers_type} int64"), parallel=True)(kernel)


def _threads(size: int) -> int:
    """0 for a plain loop. There LLVM may add up in another order than in threads: so the size alone decides."""
    return 0 if size < ALONE else threads_for(COST * size, size // BLOCK)


@_summed
def absolute_error_loss(x, t):
    return abs(x - t)


@_spread
def absolute_error_gradient(x, t):
    real, difference = type(x), x - t
    below = real(-1) if difference < 0 else real(0)  # also of NaN, as in PyTorch
    return real(1) if difference > 0 else below


@_summed
def huber_error_loss(x, t, width, scale):
    real, distance = type(x), abs(x - t)
    near = real(width) if distance > real(width) else distance
    return (near * near * real(0.5) + (distance - near) * real(width)) * real(scale)


@_spread
def huber_error_gradient(x, t, width, scale):
    real, difference = type(x), x - t
    difference = real(width) if difference > real(width) else difference
    return (real(-width) if difference < real(-width) else difference) * real(scale)


@_summed
def logistic_error_loss(x, t):
    real = type(x)
    below = x if x < 0 else real(0)
    return (real(1) - t) * x - (below - log1p(exp(-abs(x))))


@_spread
def logistic_error_gradient(x, t):
    return sigmoid(x) - t
