"""Variance and standard deviation."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dtypes import quiet
from .accepts import needs_float
from .division import div
from .op import Elementwise
from .reduce import Dims, count_of, mean, reduced_dims, sum
from .select import where
from .shape import reshape
from .spelling import numpy_names


class Root(Elementwise):
    """y = √x, whose gradient at 0 is taken to be 0: for the length of a vector, which has a subgradient 0 there."""

    __slots__ = ()
    saves_output = True

    def forward(self, x):
        with quiet():
            return namespace(x).sqrt(x)

    def vjp(self, g, y):
        zero = y == 0
        return where(zero, 0.0, g / where(zero, 1.0, 2.0 * y))


def _moments(name: str, x: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any) -> tuple[Any, Any]:
    """(variance, mean), after PyTorch's two forms of the arguments are told apart."""
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}: unbiased and correction are the same argument; pass one")
    needs_float(name, x)
    correction = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    dims = reduced_dims(dim, len(x.shape))
    middle = mean(x, dims, True)
    centred = x - middle
    squares = sum(centred * centred, dims, keepdim)
    variance = div(squares, float(max(count_of(x, dims) - correction, 0)))
    return variance, reshape(middle, variance.shape)


@numpy_names
def var(
    input: Any,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """Σ (x − mean)² / max(n − correction, 0) over `dim`; the correction is 1, or 0 with `unbiased=False`.

    `var(x, False)` and `var(x, dim, False)` give `unbiased`. NaN where nothing is left to divide. RuntimeError for
    integers, TypeError for both `unbiased` and `correction`.

    >>> minipar.var(minipar.tensor([1.0, 2.0, 3.0, 4.0]), correction=0)
    tensor(1.25)
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


@numpy_names
def std(
    input: Any,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Any:
    """√var, with the arguments of `var`; its gradient is 0 where all are equal.

    >>> minipar.std(minipar.tensor([[1.0, 3.0], [2.0, 2.0]]), dim=1)
    tensor([1.4142, 0.    ])
    """
    return Root()(_moments("std", input, dim, unbiased, keepdim, correction)[0])


@numpy_names
def var_mean(
    input: Any,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """(var, mean), with the arguments of `var`.

    >>> minipar.var_mean(minipar.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    return _moments("var_mean", input, dim, unbiased, keepdim, correction)


@numpy_names
def std_mean(
    input: Any,
    dim: Dims | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Any, Any]:
    """(std, mean), with the arguments of `var`.

    >>> minipar.std_mean(minipar.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    variance, middle = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return Root()(variance), middle
