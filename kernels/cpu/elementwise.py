"""A function of one number, written in plain Python, becomes one of whole arrays: one pass over memory, by vector
registers, cut among threads where that pays.

    @elementwise
    def leaky_relu(x, slope):               # -> leaky_relu(array, 0.01)
        return x if x > 0 else x * slope

    @gradient
    def leaky_relu_gradient(g, x, slope):   # -> leaky_relu_gradient(array, array, 0.01)
        return g if x > 0 else g * slope

NumPy takes a pass and a temporary array for each operation. Here LLVM turns the loop into vector code: both sides of a
condition are computed and one is chosen, so a function may hold conditions, but no loops, and of the transcendental
functions those of `approximate`.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any

import numpy as np
from numba import njit, prange
from numba.extending import overload

from .compile import compiled
from .signatures import real_signatures
from .threads import threads_for

COST = 8  # of an element, in multiply-adds
ALONE = 50_000  # elements that one thread is done with before a second one has begun

_inlined = njit(error_model="numpy", fastmath={"contract"})


def elementwise(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """f(x, *numbers) of a number x as f(array, *numbers), of float32 or float64; the numbers must be floats.

    The result lies in memory as the array does (channels last stays channels last).
    """
    inner = _inlined(function)

    def loop(x, _, y, numbers):
        for i in range(len(x)):
            y[i] = inner(x[i], *_reals(numbers, x[i]))

    of_two = _of_arrays(loop, function, function.__code__.co_argcount - 1)

    @posing_as(function, [*signature(function).parameters])
    def of_one(x: np.ndarray, *numbers: float) -> np.ndarray:
        return of_two(x, x, *numbers)

    return of_one


def gradient(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """f(g, x, *numbers) of two numbers as f(array, array, *numbers), of arrays of one shape."""
    inner = _inlined(function)

    def loop(g, x, dx, numbers):
        for i in range(len(x)):
            dx[i] = inner(g[i], x[i], *_reals(numbers, x[i]))

    return posing_as(function, [*signature(function).parameters])(
        _of_arrays(loop, function, function.__code__.co_argcount - 2)
    )


def gradient_by_pieces(function: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """f(g, x, dx), which sets dx from g and x, all of a thousand elements, as f(array, array)."""
    inner = _inlined(function)

    def loop(g, x, dx, numbers):
        for i in range(0, len(x), 1024):
            inner(g[i : i + 1024], x[i : i + 1024], dx[i : i + 1024])

    return posing_as(function, [*signature(function).parameters][:2])(_of_arrays(loop, function, 0))


def posing_as(formula: Callable[..., Any], parameters: list[str]) -> Callable[[Callable[..., Any]], Any]:
    """A decorator: what a factory made has the name, the module and the description of its formula, and parameters."""

    def pose(made: Any) -> Any:
        wraps(formula)(made)
        made.__signature__ = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in parameters])
        return made

    return pose


def _of_arrays(loop: Callable[..., None], function: Callable[..., Any], numbers: int) -> Callable[..., np.ndarray]:
    """A function of g, x and numbers that returns what `loop` sets from (g, x, result, numbers), in rows."""
    # In place, for a call with arrays counts their owners up and down, 20 ns each.
    loop = njit(error_model="numpy", fastmath={"contract"}, inline="always")(loop)

    def alone(g, x, y, numbers):
        if len(g) != len(x) or len(y) != len(x):
            raise ValueError("x and its gradient must have one size")
        loop(g, x, y, numbers)

    def of_threads(g, x, y, numbers, threads):
        if len(g) != len(x) or len(y) != len(x):
            raise ValueError("x and its gradient must have one size")
        n = len(x)
        for thread in prange(threads):
            first, last = thread * n // threads, (thread + 1) * n // threads
            loop(g[first:last], x[first:last], y[first:last], numbers)

    arguments = "in1 in1 out1 " + (f"UniTuple(float64,{numbers})" if numbers else "Tuple(())")
    alone.__name__, of_threads.__name__ = f"_{function.__name__}", f"_{function.__name__}_of_threads"
    alone.__module__ = of_threads.__module__ = function.__module__
    one = compiled(real_signatures(arguments))(alone)
    many = compiled(real_signatures(f"{arguments} int64"), parallel=True)(of_threads)

    def of_arrays(g: np.ndarray, x: np.ndarray, *numbers: float) -> np.ndarray:
        if not x.flags.c_contiguous:
            axes = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
            there = np.ascontiguousarray(x.transpose(axes))
            return of_arrays(g.transpose(axes), there, *numbers).transpose(np.argsort(axes))
        y = np.empty(x.shape, x.dtype)
        threads = 1 if x.size < ALONE else threads_for(COST * x.size, x.size)
        if threads == 1:
            one(g.ravel(), x.ravel(), y.ravel(), numbers)
        else:
            many(g.ravel(), x.ravel(), y.ravel(), numbers, threads)
        return y

    return of_arrays


def _reals(numbers, like):
    """The numbers in the dtype of another."""
    return tuple(type(like)(number) for number in numbers)


@overload(_reals, jit_options={"error_model": "numpy"})
def _reals_of_one_dtype(numbers, like):
    return [
        lambda numbers, like: (),
        lambda numbers, like: (type(like)(numbers[0]),),
        lambda numbers, like: (type(like)(numbers[0]), type(like)(numbers[1])),
        lambda numbers, like: (type(like)(numbers[0]), type(like)(numbers[1]), type(like)(numbers[2])),
    ][len(numbers)]
