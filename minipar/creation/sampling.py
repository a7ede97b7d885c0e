"""Random tensors, from this thread's generator or the one given as `generator`.

All but `normal`, `bernoulli` and `multinomial` of tensors take `dtype`, `device` and `requires_grad` as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import dtypes, namespace, on_device, random
from ..tensor import Tensor, wrap
from .factory import factory, float_default, like, number, shape_of, sized


def _source(generator: Any) -> random.Generator:
    return random.default_generator() if generator is None else generator


@factory
@sized
def rand(size: Sequence[int], *, dtype: Any = None, generator: Any = None) -> Any:
    """Uniform on [0, 1).

    >>> x = minipar.rand(2, 3)
    >>> bool((x >= 0).all()), bool((x < 1).all())
    (True, True)
    """
    return _source(generator).uniform(size, float_default(dtype))


@factory
@sized
def randn(size: Sequence[int], *, dtype: Any = None, generator: Any = None) -> Any:
    """Standard normal: mean 0, standard deviation 1.

    >>> minipar.randn(2, 3).shape
    (2, 3)
    """
    return _source(generator).normal(size, float_default(dtype))


@factory
def randint(
    low: Any = None, high: Any = None, size: Any = None, *, dtype: Any = dtypes.int64, generator: Any = None
) -> Any:
    """Integers of [low, high), or of [0, high) as `randint(high, size)`. RuntimeError unless low < high.

    >>> x = minipar.randint(5, 9, (100,))
    >>> x.min().item() >= 5, x.max().item() < 9
    (True, True)
    """
    if isinstance(high, (tuple, list)) and size is None:
        high, size = None, high
    if high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint: size must be given, a tuple of ints")
    low, high = int(number(0 if low is None else low, "randint: low")), int(number(high, "randint: high"))
    if high <= low:
        raise RuntimeError(f"randint: high must be above low, got low={low}, high={high}")
    drawn = _source(generator).integers(low, high, shape_of(size))
    return drawn.astype(dtypes.int64 if dtype is None else dtypes.as_dtype(dtype), copy=False)


@factory
def randperm(n: int, *, dtype: Any = dtypes.int64, generator: Any = None) -> Any:
    """The integers of [0, n) in random order.

    >>> sorted(minipar.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    (length,) = shape_of((n,))
    return _source(generator).permutation(length).astype(dtypes.as_dtype(dtype), copy=False)


def rand_like(input: Tensor, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """`rand` in the shape, dtype and device of `input`, unless others are given.

    >>> minipar.rand_like(minipar.zeros(2, 3)).shape
    (2, 3)
    """
    return like(rand, input, dtype=dtype, device=device, options=options)


def randn_like(input: Tensor, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
    """`randn` in the shape, dtype and device of `input`, unless others are given.

    >>> minipar.randn_like(minipar.zeros(2, 3)).shape
    (2, 3)
    """
    return like(randn, input, dtype=dtype, device=device, options=options)


def randint_like(
    input: Tensor, low: Any = None, high: Any = None, *, dtype: Any = None, device: Any = None, **options: Any
) -> Tensor:
    """`randint` in the shape, dtype and device of `input`, unless others are given.

    >>> minipar.randint_like(minipar.zeros(2, 3), 5).dtype
    dtype('float32')
    """
    return like(_integers, input, low, high, dtype=dtype, device=device, options=options)


def _integers(size: Sequence[int], low: Any, high: Any, **options: Any) -> Tensor:
    return randint(low, high, size, **options)


def normal(mean: Any, std: Any = 1.0, size: Any = None, *, generator: Any = None, **options: Any) -> Tensor:
    """Normal numbers of mean `mean` and standard deviation `std`: two tensors, a tensor and a number, or two numbers
    and a `size`. RuntimeError for a negative `std`.

    >>> minipar.normal(minipar.zeros(3), 0.0)
    tensor([0., 0., 0.])
    >>> minipar.normal(2.0, 3.0, size=(1, 4)).shape
    (1, 4)
    """
    tensors = [x for x in (mean, std) if isinstance(x, Tensor)]
    low = std if not isinstance(std, Tensor) else std.array.min() if std.array.size else 0
    if not low >= 0:
        raise RuntimeError(f"normal: std must be 0 or more, not {float(low)}")
    if not tensors:
        if size is None:
            raise TypeError("normal: size must be given where mean and std are numbers")
        drawn = randn(size, generator=generator, **options)
        return wrap(drawn.array * drawn.dtype.type(std) + drawn.dtype.type(mean)).requires_grad_(drawn.requires_grad)
    if size is not None or options:
        raise TypeError(f"normal: {', '.join(['size'] * (size is not None) + [*options])} is for numbers alone")
    shape = np.broadcast_shapes(*[tuple(x.shape) for x in tensors])
    drawn = randn(shape, generator=generator, dtype=tensors[0].dtype, device=tensors[0].device)
    return (drawn * _detached(std) + _detached(mean)).to(tensors[0].dtype)


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def bernoulli(input: Tensor, p: float | None = None, *, generator: Any = None) -> Tensor:
    """1 with the probability that `input` holds at each element (or `p` everywhere), else 0, in input's dtype.

    RuntimeError for a probability outside [0, 1].

    >>> minipar.bernoulli(minipar.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    return input.detach().clone().bernoulli_(input if p is None else p, generator=generator)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """`num_samples` indices of each row of weights (…, categories), drawn in proportion to the weights. int64.

    With replacement by the inverse of the cumulative sum; without, those with the smallest exponential numbers divided
    by their weight (Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006). RuntimeError for
    weights that are negative, not finite or sum to 0, and for more samples than categories without replacement.

    >>> minipar.multinomial(minipar.tensor([0.0, 1.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    if len(input.shape) not in (1, 2) or input.dtype.kind != "f":
        raise RuntimeError(
            f"multinomial: input must have one axis or two and a floating-point dtype, not shape {input.shape}, "
            f"{input.dtype.name}"
        )
    categories = input.shape[-1]
    if num_samples <= 0 or (not replacement and num_samples > categories):
        raise RuntimeError(
            f"multinomial: num_samples must be positive, and at most the {categories} categories without replacement, "
            f"not {num_samples}"
        )
    xp = namespace(input.array)
    weights = input.array.astype("float64")
    if not (xp.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(-1) > 0).all()):
        raise RuntimeError("multinomial: the weights in input must be finite, 0 or more, and not all 0 in any row")
    count = num_samples if replacement else categories
    drawn = _source(generator).uniform((*input.shape[:-1], count), np.dtype(np.float64))
    uniform = xp.asarray(on_device(drawn, input.device))
    if replacement:
        sums = xp.cumsum(weights, -1)
        targets = uniform * sums[..., -1:]
        found = (sums[..., None, :] <= targets[..., None]).sum(-1)
        return wrap(xp.minimum(found, categories - 1).astype("int64"))
    with dtypes.quiet():
        race = -xp.log1p(-uniform) / weights
    race[weights == 0] = np.inf
    return wrap(xp.argsort(race, -1)[..., :num_samples].astype("int64"))
