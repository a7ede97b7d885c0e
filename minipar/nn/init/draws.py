"""Initial values that are drawn, each element for itself."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ...backend import device_of, on_device
from ...backend.dtypes import is_floating
from ...backend.random import Generator, chosen
from ...ops.accepts import tensor_dtype, tensor_shape
from ...tape import set_grad_mode
from ...tensor import Tensor, wrap

_REAL = np.dtype(np.float64)


def fill(tensor: Tensor, array: Any) -> Tensor:
    """tensor ← array, wherever the tensor is; not recorded."""
    with set_grad_mode(False):
        return tensor.copy_(wrap(on_device(array, device_of(tensor.array))))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Uniform on [a, b). RuntimeError for a > b.

    >>> w = nn.init.uniform_(minipar.empty(3, 5), 2.0, 3.0)
    >>> bool((w >= 2).all() and (w < 3).all())
    True
    """
    if a > b:
        raise RuntimeError(f"uniform_ draws from [a, b), but a={a} > b={b}")
    draw = chosen(generator).uniform(tensor_shape(tensor), tensor.dtype)
    return fill(tensor, (draw * (b - a) + a).astype(tensor.dtype))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal with the given mean and standard deviation. RuntimeError for a negative one.

    >>> nn.init.normal_(minipar.empty(2), mean=3.0, std=0.0)
    tensor([3., 3.])
    """
    if not std >= 0:
        raise RuntimeError(f"normal_ needs a std of at least 0, not {std}")
    draw = chosen(generator).normal(tensor_shape(tensor), tensor.dtype)
    return fill(tensor, (draw * std + mean).astype(tensor.dtype))


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Normal with what lies outside [a, b] drawn again, until all is inside.

    Where much would be drawn again, proposals are uniform on [a, b], and accepted as often as the density at their
    place is of that at its top. Warns of a mean more than 2 std outside of [a, b]. RuntimeError for a > b, TypeError
    for integers.

    >>> w = nn.init.trunc_normal_(minipar.empty(100), a=-0.5, b=0.5)
    >>> bool((abs(w) <= 0.5).all())
    True
    """
    if not is_floating(tensor_dtype(tensor)):
        raise TypeError(f"trunc_normal_ needs a tensor of a floating-point dtype, not {tensor.dtype.name}")
    if a > b:
        raise RuntimeError(f"trunc_normal_ keeps to [a, b], but a={a} > b={b}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    draw = chosen(generator)
    share_inside = _normal_cdf((b - mean) / std) - _normal_cdf((a - mean) / std)
    propose = _normal_proposals if share_inside > 0.3 else _uniform_proposals
    low, high = tensor.dtype.type(a), tensor.dtype.type(b)
    values = np.empty(tensor.numel(), tensor.dtype)
    pending = np.arange(len(values))
    while len(pending):
        proposed, accepted = propose(draw, len(pending), mean, std, a, b)
        proposed = proposed.astype(tensor.dtype)
        accepted &= (proposed >= low) & (proposed <= high)
        values[pending[accepted]] = proposed[accepted]
        pending = pending[~accepted]
    return fill(tensor, values.reshape(tensor.shape))


def _normal_cdf(x: float) -> float:
    return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0


def _normal_proposals(draw: Generator, count: int, mean: float, std: float, a: float, b: float) -> Any:
    return draw.normal((count,), _REAL) * std + mean, np.ones(count, bool)


def _uniform_proposals(draw: Generator, count: int, mean: float, std: float, a: float, b: float) -> Any:
    values = draw.uniform((count,), _REAL) * (b - a) + a
    top = max(a, min(mean, b))
    density = np.exp((((top - mean) / std) ** 2 - ((values - mean) / std) ** 2) / 2)
    return values, draw.uniform((count,), _REAL) <= density
