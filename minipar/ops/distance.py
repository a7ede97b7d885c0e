"""Distances between all vectors of one set and of another, or of the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank
from .index import getitem
from .magnitude import abs_, sign
from .norm import vector_norm
from .op import Op, array_of, check_dtypes
from .select import where
from .shape import reshape

_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


class Largest(Op):
    """y = max |x| along the last axis; unlike a norm's, its gradient goes in full to every element as large."""

    saves = (0,)
    saves_output = True

    def forward(self, x):
        return namespace(x).abs(x).max(-1)

    def vjp(self, g, x, y):
        g, y = (reshape(part, (*part.shape, 1)) for part in (g, y))
        return where(abs_(x) == y, sign(x) * g, 0.0)


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str | None = _MODES[0]) -> Any:
    """‖x₁ᵢ − x₂ⱼ‖ₚ of every row i of x1 (…, P, M) and j of x2 (…, R, M): (…, P, R). Leading axes are broadcast.

    p ≥ 0, also ∞; the gradient at distance 0 is 0. Differences are always taken, never a matrix product of large
    numbers, whatever PyTorch's `compute_mode` allows. RuntimeError for wrong shapes, dtypes, or a negative p.

    >>> minipar.cdist(minipar.tensor([[0.0, 0.0]]), minipar.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    check_dtypes("cdist", x1, x2)
    if rank(x1) < 2 or rank(x2) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"cdist: x1 (…, P, M) and x2 (…, R, M) must have rows of one length, got shapes {tuple(x1.shape)} and "
            f"{tuple(x2.shape)}"
        )
    if compute_mode is not None and compute_mode not in _MODES:
        raise ValueError(f"cdist: compute_mode must be one of {', '.join(_MODES)}, not {compute_mode!r}")
    rows = reshape(x1, (*x1.shape[:-1], 1, x1.shape[-1]))
    return _norm("cdist", rows - reshape(x2, (*x2.shape[:-2], 1, *x2.shape[-2:])), p)


@on_its_gpu
def pdist(input: Any, p: float = 2.0) -> Any:
    """‖xᵢ − xⱼ‖ₚ of every two rows i < j of input (N, M), one after the other: (N(N − 1)/2,).

    RuntimeError for wrong shapes, dtypes, or a negative p.

    >>> F.pdist(minipar.tensor([[0.0], [1.0], [3.0]]))
    tensor([1., 3., 2.])
    """
    check_dtypes("pdist", input)
    if len(input.shape) != 2:
        raise RuntimeError(f"pdist: input must have shape (N, M), not {tuple(input.shape)}")
    first, second = namespace(array_of(input)).asarray(np.triu_indices(input.shape[0], 1))
    return _norm("pdist", getitem(input, first) - getitem(input, second), p)


def _norm(name: str, gaps: Any, p: float) -> Any:
    if p < 0:
        raise RuntimeError(f"{name}: p must be 0 or more, not {p}")
    if p == math.inf and gaps.shape[-1]:
        return Largest()(gaps)
    p = 2 if p == math.inf else p  # the largest of nothing is 0, as any other norm
    return vector_norm(gaps, p, -1)
