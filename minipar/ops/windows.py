"""What convolution, pooling and their like share: arguments with one number an axis, and the batch axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .index import PutItem
from .shape import reshape

Sizes = int | Sequence[int]


def sizes(value: Any, count: int, name: str, least: int) -> tuple[int, ...]:
    """One int for all `count` spatial axes, or one for each. RuntimeError for another count, or below `least`.

    >>> from minipar.ops.windows import sizes
    >>> sizes(3, 2, "stride", 1), sizes((1, 2), 2, "stride", 1)
    ((3, 3), (1, 2))
    """
    given = (value,) if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else (value,)
    if isinstance(value, str) or not all(isinstance(n, int) for n in given):
        raise TypeError(f"{name} must be an int or {count} ints, not {value!r}")
    if len(given) not in (1, count):
        raise RuntimeError(f"{name} must be an int or {count} ints, one for each spatial axis, got {value!r}")
    if any(n < least for n in given):
        raise RuntimeError(f"{name} must be at least {least}, got {value!r}")
    return given * count if len(given) == 1 else given


def batched(name: str, dims: int, input: Any, function: Callable[[Any], Any]) -> Any:
    """function(input) of a batch (N, C, *spatial); a single sample (C, *spatial) is made a batch of one for it.

    RuntimeError for an input of another rank than dims + 1 or dims + 2, and for what a kernel refuses (ValueError).
    """
    rank = len(input.shape)
    if rank == dims + 2:
        try:
            return function(input)
        except ValueError as error:
            raise RuntimeError(f"{name}: {error}") from None
    if rank != dims + 1:
        axes = ("L",) if dims == 1 else ("D", "H", "W")[-dims:]
        raise RuntimeError(
            f"{name}: input must have shape (N, C, {', '.join(axes)}) or (C, {', '.join(axes)}), "
            f"not {tuple(input.shape)}"
        )
    outputs = batched(name, dims, reshape(input, (1, *input.shape)), function)
    if isinstance(outputs, tuple):
        return tuple([reshape(y, y.shape[1:]) for y in outputs])
    return reshape(outputs, outputs.shape[1:])


def framed(x: Any, before: Sequence[int], after: Sequence[int]) -> Any:
    """`x` with zeros around its last axes: before[i] entries in front of the i-th of them, after[i] behind it."""
    if not any(before) and not any(after):
        return x
    lead, spatial = x.shape[: len(x.shape) - len(before)], x.shape[len(x.shape) - len(before) :]
    inside = (..., *[slice(start, start + n) for start, n in zip(before, spatial)])
    return PutItem(inside, (*lead, *[a + n + b for a, n, b in zip(before, spatial, after)]))(x)


def with_unit_axis(x: Any) -> Any:
    """(…, L) as (…, 1, L): what is one-dimensional is two-dimensional with a height of 1."""
    return reshape(x, (*x.shape[:-1], 1, x.shape[-1]))


def without_unit_axis(x: Any) -> Any:
    return reshape(x, (*x.shape[:-2], x.shape[-1]))
