"""Covariance and correlation of variables, each of which is a row of observations."""

from __future__ import annotations

from typing import Any
from warnings import warn

from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_shape
from .extremes import clamp
from .linalg import mm
from .op import array_of
from .power import sqrt
from .reduce import mean, sum
from .shape import reshape, transpose
from .triangle import diagonal


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """Σ w (x − mean x)(x − mean x)ᵀ / norm of input (variables, observations), or of one variable (observations,).

    The norm is the number of observations minus `correction`. `fweights` (whole numbers) say how often each
    observation counts, `aweights` how much: then the norm is Σw − correction · Σ(w · aweights) / Σw, w their product.
    RuntimeError for more than two axes, or weights that do not fit.

    >>> minipar.cov(minipar.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if rank(input) > 2:
        raise RuntimeError(f"cov: input must have at most two axes, not shape {tuple(input.shape)}")
    x = input if len(input.shape) == 2 else reshape(input, (1, -1))
    count = x.shape[1]
    _check_weights("fweights", fweights, count, "iu")
    _check_weights("aweights", aweights, count, "f")
    x = x if x.dtype.kind == "f" else x * 1.0
    if aweights is None:
        weights = fweights
    else:
        weights = aweights if fweights is None else fweights * aweights
    if weights is None:
        centred = x - mean(x, 1, True)
        weighted, norm = centred, count - correction
    else:
        total = sum(weights)
        if float(array_of(total)) == 0:
            raise RuntimeError("cov: fweights and aweights must not sum to zero")
        centred = x - sum(x * weights, 1, True) / total
        weighted = centred * weights
        twice = aweights is not None and correction != 0
        norm = total - (correction * sum(weights * aweights) / total if twice else correction)
    if float(array_of(norm)) <= 0:
        warn("cov: there are no more observations than correction takes off; dividing by 0", stacklevel=2)
    norm = clamp(norm, min=0) if hasattr(norm, "shape") else float(max(norm, 0))
    found = mm(centred, transpose(weighted, 0, 1)) / norm
    return reshape(found, ()) if x.shape[0] == 1 else found


def corrcoef(input: Any) -> Any:
    """Pearson's correlation of the rows of input: their covariance over the product of standard deviations, in [−1, 1].

    >>> minipar.corrcoef(minipar.tensor([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    if rank(input) > 2:
        raise RuntimeError(f"corrcoef: input must have at most two axes, not shape {tuple(input.shape)}")
    found = cov(input)
    if not len(found.shape):
        return found / found
    spread = sqrt(diagonal(found))
    return clamp(found / reshape(spread, (-1, 1)) / spread, -1, 1)


@on_its_gpu
def _check_weights(name: str, weights: Any, count: int, kinds: str) -> None:
    if weights is None:
        return
    if tuple(tensor_shape(weights)) != (count,) or weights.dtype.kind not in kinds:
        what = "integers" if "i" in kinds else "floating-point numbers"
        raise RuntimeError(
            f"cov: {name} must be {what} of shape ({count},), one for each observation, not {weights.dtype.name} of "
            f"shape {tuple(weights.shape)}"
        )
    if count and float(array_of(weights).min()) < 0:
        raise RuntimeError(f"cov: {name} must not be negative")
