"""Activations and their gradients in one pass over memory, where NumPy takes several passes and temporaries.

Each is written once, for a number; `_kernels` makes of it a loop that LLVM turns into vector code, and one of threads.
What comes out lies in memory as what went in (channels last stays channels last).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from .approximate import erf, exp, sigmoid, tanh
from .compile import compiled
from .signatures import real_signatures
from .threads import threads_for

COST = 8  # of an element, in multiply-adds
ALONE = 50_000  # elements that one thread is done with before a second one has begun


def gelu(x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_gelu, x)


def gelu_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_gelu_gradient, x, g)


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_tanh_gelu, x)


def tanh_gelu_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_tanh_gelu_gradient, x, g)


def silu(x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_silu, x)


def silu_gradient(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_silu_gradient, x, g)


def relu_gradient(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See the reference."""
    return _mapped(_relu_gradient, y, g)


def _mapped(kernels: tuple[Any, Any], x: np.ndarray, g: np.ndarray | None = None) -> np.ndarray:
    """The function of each x (and g, of the same shape), as an array that lies in memory as x does."""
    axes = None
    if not x.flags.c_contiguous:
        axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
        x = np.ascontiguousarray(x.transpose(axes))
        g = None if g is None else g.transpose(axes)
    y = np.empty(x.shape, x.dtype)
    flat = x.ravel()
    given = (flat, y.ravel()) if g is None else (flat, g.ravel(), y.ravel())
    threads = 1 if len(flat) < ALONE else threads_for(COST * len(flat), len(flat))
    if threads == 1:
        kernels[0](*given)
    else:
        kernels[1](*given, threads)
    return y if axes is None else y.transpose(np.argsort(axes))


def _kernels(function: Callable[..., Any]) -> tuple[Any, Any]:
    """(a loop over one array, the same by threads) of a function of a number."""
    inner = njit(error_model="numpy", fastmath={"contract"})(function)

    def alone(x, y):
        if len(y) != len(x):
            raise ValueError("x and y must have one size")
        for i in range(len(x)):
            y[i] = inner(x[i])

    def of_threads(x, y, threads):
        if len(y) != len(x):
            raise ValueError("x and y must have one size")
        n = len(x)
        for thread in prange(threads):
            first, last = thread * n // threads, (thread + 1) * n // threads
            of_x, to = x[first:last], y[first:last]
            for i in range(len(of_x)):
                to[i] = inner(of_x[i])

    return _named(function, alone, of_threads, "in1 out1")


def _gradient_kernels(function: Callable[..., Any]) -> tuple[Any, Any]:
    """(a loop over two arrays, the same by threads) of a function of a number and a gradient."""
    inner = njit(error_model="numpy", fastmath={"contract"})(function)

    def loop(x, g, dx):
        for i in range(len(x)):
            dx[i] = inner(x[i], g[i])

    loop.__name__ = function.__name__
    return _gradient_loops(loop)


def _gradient_loops(function: Callable[..., None]) -> tuple[Any, Any]:
    """(a kernel, the same by threads) of a function that sets dx from x and g."""
    loop = njit(error_model="numpy", fastmath={"contract"})(function)

    def alone(x, g, dx):
        if len(g) != len(x) or len(dx) != len(x):
            raise ValueError("x and its gradient must have one size")
        loop(x, g, dx)

    def of_threads(x, g, dx, threads):
        if len(g) != len(x) or len(dx) != len(x):
            raise ValueError("x and its gradient must have one size")
        n = len(x)
        for thread in prange(threads):
            first, last = thread * n // threads, (thread + 1) * n // threads
            loop(x[first:last], g[first:last], dx[first:last])

    return _named(function, alone, of_threads, "in1 in1 out1")


def _named(function: Callable, alone: Callable, of_threads: Callable, arguments: str) -> tuple[Any, Any]:
    alone.__name__ = function.__name__
    of_threads.__name__ = f"{function.__name__}_of_threads"
    return (
        compiled(real_signatures(arguments))(alone),
        compiled(real_signatures(f"{arguments} int64"), parallel=True)(of_threads),
    )


@_kernels
def _gelu(x):
    return x * _normal_cdf(x)


@_gradient_loops
def _gelu_gradient(x, g, dx):
    # In two loops, a thousand numbers at a time: LLVM does not vectorise one that holds erf and exp.
    for start in range(0, len(x), 1024):
        of_x, of_g, to = x[start : start + 1024], g[start : start + 1024], dx[start : start + 1024]
        for i in range(len(of_x)):
            to[i] = _normal_cdf(of_x[i])
        for i in range(len(of_x)):
            to[i] = of_g[i] * (to[i] + _times_density(of_x[i]))


@njit(error_model="numpy", fastmath={"contract"})
def _normal_cdf(x):
    real = type(x)
    return real(0.5) * (real(1) + erf(x * real(math.sqrt(0.5))))


@njit(error_model="numpy", fastmath={"contract"})
def _times_density(x):
    real = type(x)
    return x * (exp(x * x * real(-0.5)) * real(1 / math.sqrt(2 * math.pi)))


@_kernels
def _tanh_gelu(x):
    real = type(x)
    u = real(math.sqrt(2 / math.pi)) * (x + real(0.044715) * (x * x * x))
    return x * real(0.5) * (real(1) + tanh(u))


@_gradient_kernels
def _tanh_gelu_gradient(x, g):
    real = type(x)
    bend = tanh(real(math.sqrt(2 / math.pi)) * (x + real(0.044715) * (x * x * x)))
    slope = real(math.sqrt(2 / math.pi)) * (real(1) + real(3 * 0.044715) * (x * x))
    return g * (real(0.5) * (real(1) + bend) + real(0.5) * x * (real(1) - bend * bend) * slope)


@_kernels
def _silu(x):
    return x * sigmoid(x)


@_gradient_kernels
def _silu_gradient(x, g):
    real = type(x)
    gate = sigmoid(x)
    return g * gate * (real(1) + x * (real(1) - gate))


@_gradient_kernels
def _relu_gradient(y, g):
    return type(g)(0) if y <= 0 else g
