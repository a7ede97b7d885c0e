"""Random tensors, from this thread's generator or the one given as `generator`.

All but `normal`, `bernoulli` and `multinomial` of tensors take `dtype`, `device` and `requires_grad` as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import device as Device
from ..backend import dtypes, on_device, random
from ..backend.current_gpu import on_gpu_of
from ..ops.accepts import accepts, needs_tensors
from ..tensor import Tensor, wrap
from .factory import factory, float_default, like, number, shape_of, sized


@factory
@sized
def rand(size: Sequence[int], *, dtype: Any = None, generator: Any = None) -> Any:
    """Uniform on [0, 1).

    >>> x = minipar.rand(2, 3)
    >>> bool((x >= 0).all()), bool((x < 1).all())
    (True, True)
    """
    return random.chosen(generator).uniform(size, float_default(dtype))


@factory
@sized
def randn(size: Sequence[int], *, dtype: Any = None, generator: Any = None) -> Any:
    """Standard normal: mean 0, standard deviation 1.

    >>> minipar.randn(2, 3).shape
    (2, 3)
    """
    return random.chosen(generator).normal(size, float_default(dtype))


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
    drawn = random.chosen(generator).integers(low, high, shape_of(size))
    return drawn.astype(dtypes.int64 if dtype is None else dtypes.as_dtype(dtype), copy=False)


@factory
def randperm(n: int, *, dtype: Any = dtypes.int64, generator: Any = None) -> Any:
    """The integers of [0, n) in random order.

    >>> sorted(minipar.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    (length,) = shape_of((n,))
    return random.chosen(generator).permutation(length).astype(dtypes.as_dtype(dtype), copy=False)


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
    low = std if not isinstance(std, Tensor) else std.detach().min().item() if std.numel() else 0
    if not low >= 0:
        raise RuntimeError(f"normal: std must be 0 or more, not {float(low)}")
    if not tensors:
        if size is None:
            raise TypeError("normal: size must be given where mean and std are numbers")
        drawn = randn(size, generator=generator, **options)
        with on_gpu_of(drawn.array):
            scaled = wrap(drawn.array * drawn.dtype.type(std) + drawn.dtype.type(mean))
        return scaled.requires_grad_(drawn.requires_grad)
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
    needs_tensors(input)
    return input.bernoulli(p, generator=generator)


def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """`num_samples` indices of each row of weights (…, categories): see `Tensor.multinomial`.

    >>> minipar.multinomial(minipar.tensor([0.0, 1.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    needs_tensors(input)
    return input.multinomial(num_samples, replacement, generator=generator)


_MOST = 500.0  # a rate whose probability of 0, e⁻ʳ, is far from underflow


def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Counts of events at the rates that `input` holds, in its dtype: k with probability rᵏ e⁻ʳ / k!.

    By inversion: the first k up to which the probabilities sum to more than a uniform number. Large rates are parted,
    as the sum of Poisson numbers is one of the summed rate. RuntimeError for negative rates; floating point only.

    >>> minipar.poisson(minipar.zeros(2))
    tensor([0., 0.])
    """
    accepts("poisson", "f", input)
    rates = on_device(input.array, Device("cpu")).astype(np.float64)
    if not ((rates >= 0) & np.isfinite(rates)).all():
        raise RuntimeError("poisson: the rates in input must be 0 or more, and finite")
    parts = max(1, math.ceil(rates.max(initial=0.0) / _MOST))
    drawn = [_counted(rates / parts, random.chosen(generator)) for _ in range(parts)]
    return wrap(on_device(np.sum(drawn, 0).astype(input.dtype), input.device))


def _counted(rates: np.ndarray, source: random.Generator) -> np.ndarray:
    uniform = source.uniform(rates.shape, np.dtype(np.float64))
    count, probability = np.zeros(rates.shape), np.exp(-rates)
    below = probability.copy()
    while (beyond := (uniform >= below) & (probability > 0)).any():
        count += beyond
        probability = np.where(beyond, probability * rates / np.maximum(count, 1), probability)
        below = np.where(beyond, below + probability, below)
    return count
