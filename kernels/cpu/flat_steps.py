"""An optimizer's formula for one element becomes a step over flat rows: one compiled pass, cut among threads.

    @flat_step
    def _adagrad(p, g, total, unused, lr, eps):     # -> _adagrad(p, g, total, (0.1, 1e-10)), of rows

The formula takes an element of the parameters, of the gradient and of two rows of state, then numbers in float64; it
returns the new elements of p and of the state that it has. NumPy reads and writes memory a dozen times a step; here
every element is loaded once and stored once, a vector register at a time. What is made of numbers alone LLVM computes
once, before the loop: in float64, then rounded to the rows' dtype by `real`, as PyTorch does. Small rows are updated by
the calling thread; large ones are cut among threads, which changes no bit, since no element looks at another.
"""

from collections.abc import Callable
from typing import Any

from numba import njit, prange

from .compile import compiled
from .threads import threads_for

SPLIT = 100_000  # elements; fewer are updated before a second thread has woken up
WORK = 10  # of one element, in multiply-adds

_inlined = njit(error_model="numpy")
_in_place = njit(error_model="numpy", inline="always")  # a call with arrays counts their owners up and down: 20 ns each


def flat_step(formula: Callable[..., Any]) -> Callable[..., None]:
    """A function of p, g and the rows of state, all contiguous (n,), and a tuple of the formula's numbers, all floats.

    A state that the formula calls `unused` is not among them. ValueError for lengths that differ, TypeError unless all
    rows are float32 or all float64.
    """
    inner = _inlined(formula)
    names = formula.__code__.co_varnames[: formula.__code__.co_argcount]
    states = sum(not name.startswith("unused") for name in names[2:4])

    def without_state(p, g, _, __, numbers):
        for k in range(len(p)):
            p[k] = inner(p[k], g[k], p[k], p[k], *numbers)

    def with_one(p, g, state, _, numbers):
        for k in range(len(p)):
            p[k], state[k] = inner(p[k], g[k], state[k], p[k], *numbers)

    def with_two(p, g, first, second, numbers):
        for k in range(len(p)):
            p[k], first[k], second[k] = inner(p[k], g[k], first[k], second[k], *numbers)

    update = _in_place((without_state, with_one, with_two)[states])

    # Each twice, and with no more rows than there are: what may start threads takes 0.3 us longer, even if it does not.
    @_in_place
    def alone(p, g, first, second, numbers):
        _check(p, g, first, second)
        update(p, g, first, second, numbers)

    alone_of = (
        lambda p, g, numbers: alone(p, g, g, g, numbers),
        lambda p, g, state, numbers: alone(p, g, state, g, numbers),
        lambda p, g, first, second, numbers: alone(p, g, first, second, numbers),
    )[states]

    def of_threads(p, g, first, second, numbers, threads):
        _check(p, g, first, second)
        size = len(p)
        for t in prange(threads):
            a, b = t * size // threads, (t + 1) * size // threads
            update(p[a:b], g[a:b], first[a:b], second[a:b], numbers)

    alone_of.__name__, of_threads.__name__ = formula.__name__, f"{formula.__name__}_of_threads"
    alone_of.__module__ = of_threads.__module__ = formula.__module__
    numbers = f"UniTuple(float64, {len(names) - 4})"
    rows = [f"{real}[::1], " for real in ("float32", "float64")]
    one = compiled([f"void({row * (2 + states)}{numbers})" for row in rows])(alone_of)
    many = compiled([f"void({row * 4}{numbers}, int64)" for row in rows], parallel=True)(of_threads)

    def large(p, g, first, second, numbers):
        many(p, g, first, second, numbers, threads_for(WORK * p.size, p.size))

    return (
        lambda p, g, numbers: one(p, g, numbers) if p.size < SPLIT else large(p, g, g, g, numbers),
        lambda p, g, a, numbers: one(p, g, a, numbers) if p.size < SPLIT else large(p, g, a, g, numbers),
        lambda p, g, a, b, numbers: one(p, g, a, b, numbers) if p.size < SPLIT else large(p, g, a, b, numbers),
    )[states]


@_in_place
def _check(p, g, first, second):
    if len(g) != len(p) or len(first) != len(p) or len(second) != len(p):
        raise ValueError("p, g and the optimizer's state must have one length")


@_inlined
def descent(p, g, weight_decay, maximize):
    """The gradient to descend, of one element; weight_decay and maximize (0 or 1) are float64."""
    real = type(p)
    gradient = -g if maximize != 0 else g
    return gradient + real(weight_decay) * p if weight_decay != 0 else gradient
