"""Standardising along axes: subtract the mean, divide by the standard deviation (or by the root mean square alone).

The core of batch, layer, group, instance and RMS norm, which differ in the axes and in how the result is scaled; and
these norms as a whole: layer and RMS norm of rows, batch and group norm of x (N, C, P), with the P positions of each
channel.
"""

from typing import Any

import numpy as np

from .namespace import accumulator_dtype, array_namespace

Array = Any


def standardize_forward(
    x: Array, axes: tuple[int, ...], eps: float, centred: bool
) -> tuple[Array, Array, Array, Array | None]:
    """(x̂, 1/σ, variance, mean): x̂ = (x − mean)/σ with σ² = variance + ε, over `axes`, which are kept with size 1.

    Not `centred`: the mean is taken for 0 (and None is returned for it). float16 is computed in float32, and so are its
    statistics.
    """
    xp = array_namespace(x)
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(all="ignore"):
        mean = wide.mean(axes, keepdims=True) if centred else None
        difference = wide if mean is None else wide - mean
        variance = (difference * difference).mean(axes, keepdims=True)
        inverse = 1.0 / xp.sqrt(variance + variance.dtype.type(eps))
        return (difference * inverse).astype(x.dtype, copy=False), inverse, variance, mean


def standardize_backward(g: Array, standardized: Array, inverse: Array, axes: tuple[int, ...], centred: bool) -> Array:
    """dx = (g − mean g − x̂ mean(g x̂)) / σ, means over `axes`; not `centred`: without the first mean."""
    wide = g.astype(inverse.dtype, copy=False)
    with np.errstate(all="ignore"):
        dx = wide - standardized * (wide * standardized).mean(axes, keepdims=True)
        if centred:
            dx -= wide.mean(axes, keepdims=True)
        dx *= inverse
        return dx.astype(g.dtype, copy=False)


def layer_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centred: bool
) -> tuple[Array, tuple[Array, Array]]:
    """(y, what the gradient needs): rows x (R, W) standardised, times weight, plus bias (W elements, or None)."""
    standardized, inverse, _, _ = standardize_forward(x, (1,), eps, centred)
    y = standardized if weight is None else standardized * weight.reshape(-1)
    return y if bias is None else y + bias.reshape(-1), (standardized, inverse)


def layer_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: tuple[Array, Array],
    centred: bool,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """dx (R, W) from the gradient g of y; those of weight and bias are written to the arrays given for them."""
    standardized, inverse = statistics
    if dweight is not None:
        dweight[...] = (g * standardized).sum(0).reshape(dweight.shape)
    if dbias is not None:
        dbias[...] = g.sum(0).reshape(dbias.shape)
    scaled = g if weight is None else g * weight.reshape(-1)
    return standardize_backward(scaled, standardized, inverse, (1,), centred)


def batch_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float, running: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """(y, statistics): x (N, C, P) standardised channel by channel, times weight, plus bias ((C,), or None).

    statistics (2, C) in float64 are mean and variance: those of the batch, or `running`, used as they are.
    """
    if running is None:
        statistics = _moments(x, (0, 2)).reshape(2, -1)
    else:
        statistics = array_namespace(x).stack(running).astype(np.float64)
    return _scaled(_standardized(x, statistics[:, None, :, None], eps), weight, bias), statistics


def batch_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: Array,
    eps: float,
    of_batch: bool,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """dx (N, C, P) from the gradient g of y; those of weight and bias are written to the arrays given for them.

    Not `of_batch`: mean and variance were constants, not x's own.
    """
    standardized = _standardized(x, statistics[:, None, :, None], eps)
    _write_sums(g, standardized, dweight, dbias)
    inverse = _inverse(x, statistics[1, :, None], eps)
    scaled = _scaled(g, weight, None)
    if of_batch:
        return standardize_backward(scaled, standardized, inverse, (0, 2), True)
    with np.errstate(all="ignore"):
        return (scaled * inverse).astype(g.dtype, copy=False)


def group_norm_forward(
    x: Array, groups: int, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array]:
    """(y, statistics): each group of channels of each sample of x (N, C, P) standardised, times weight, plus bias.

    weight and bias are (C,) or None. statistics (2, N, groups) in float64 are mean and variance. As many groups as
    channels: instance norm.
    """
    seen = x.reshape(len(x), groups, x.shape[1] // groups * x.shape[2])  # −1 would not do for no samples
    statistics = _moments(seen, (2,)).reshape(2, len(x), groups)
    return _scaled(_standardized(seen, statistics[..., None], eps).reshape(x.shape), weight, bias), statistics


def group_norm_backward(
    g: Array,
    x: Array,
    weight: Array | None,
    statistics: Array,
    eps: float,
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> Array:
    """dx (N, C, P) from the gradient g of y; those of weight and bias are written to the arrays given for them."""
    samples, groups = statistics.shape[1:]
    view = samples, groups, x.shape[1] // groups * x.shape[2]
    standardized = _standardized(x.reshape(view), statistics[..., None], eps)
    _write_sums(g, standardized.reshape(x.shape), dweight, dbias)
    inverse = _inverse(x, statistics[1, ..., None], eps)
    return standardize_backward(_scaled(g, weight, None).reshape(view), standardized, inverse, (2,), True).reshape(
        x.shape
    )


def follow_statistics(
    running_mean: Array, running_var: Array, statistics: Array, count: int, momentum: float | Array
) -> None:
    """In place: running ← (1 − momentum) running + momentum new, where new is the average of statistics (2, …, C).

    The variance of `count` numbers becomes a sample's: n/(n − 1) of a population's. `momentum` may be an array of one
    number, too.
    """
    mean, variance = statistics.reshape(2, -1, len(running_mean)).mean(1)
    for running, new in ((running_mean, mean), (running_var, variance * (count / max(count - 1, 1)))):
        running[...] = ((1 - momentum) * running + momentum * new).astype(running.dtype, copy=False)


def _moments(x: Array, axes: tuple[int, ...]) -> Array:
    """Mean and variance over some axes, in float64."""
    _, _, variance, mean = standardize_forward(x, axes, 0.0, True)
    return array_namespace(x).stack((mean, variance)).astype(np.float64)


def _inverse(x: Array, variance: Array, eps: float) -> Array:
    """1/σ in the dtype that x is computed in."""
    wide = accumulator_dtype(x.dtype)
    with np.errstate(all="ignore"):
        return (1.0 / array_namespace(x).sqrt(variance + eps)).astype(wide, copy=False)


def _standardized(x: Array, statistics: Array, eps: float) -> Array:
    """x̂ for statistics that are broadcast along x."""
    with np.errstate(all="ignore"):
        inverse = _inverse(x, statistics[1], eps)
        return ((x - statistics[0].astype(inverse.dtype)) * inverse).astype(x.dtype, copy=False)


def _scaled(x: Array, weight: Array | None, bias: Array | None) -> Array:
    """x (N, C, P) times weight plus bias, channel by channel."""
    y = x if weight is None else x * weight[:, None]
    return y if bias is None else y + bias[:, None]


def _write_sums(g: Array, standardized: Array, dweight: Array | None, dbias: Array | None) -> None:
    if dweight is not None:
        dweight[...] = (g * standardized).sum((0, 2))
    if dbias is not None:
        dbias[...] = g.sum((0, 2))
