"""Entries of an axis picked by number, and the sum of what goes to the same number: each is the other's transpose."""

from typing import Any

from .namespace import array_namespace

Array = Any
Shape = tuple[int, ...]


def pick_rows(x: Array, numbers: Array, dim: int) -> Array:
    """y, as x with `numbers` (any shape, integers; negative ones count from the end) in the place of axis `dim`.

    IndexError for a number outside the axis (on a GPU nobody looks).
    """
    return x[(slice(None),) * dim + (numbers,)]


def add_rows(g: Array, numbers: Array, shape: Shape, dim: int) -> Array:
    """y of this shape: at each number of axis `dim`, the sum of the entries of g (as of pick_rows) that have it."""
    xp = array_namespace(g)
    y = xp.zeros(shape, g.dtype)
    xp.add.at(y, (slice(None),) * dim + (numbers,), g)
    return y


def pick_along(x: Array, index: Array, dim: int) -> Array:
    """y[i, j] = x[index[i, j], j] for dim 0, and so on: axes beside `dim` may be shorter in `index` than in x."""
    return x[_along(index, dim)]


def add_along(g: Array, index: Array, shape: Shape, dim: int, base: Array | None = None) -> Array:
    """y of this shape: g, of the shape of `index`, added to `base` (or to zeros) where pick_along would take it."""
    xp = array_namespace(g)
    y = xp.zeros(shape, g.dtype) if base is None else base.copy()
    xp.add.at(y, _along(index, dim), g)
    return y


def embedding_forward(weight: Array, numbers: Array) -> Array:
    """Rows `numbers` of weight (rows, width). IndexError for one outside [0, rows) (on a GPU nobody looks)."""
    if not array_on_device(numbers) and numbers.size and (numbers.min() < 0 or numbers.max() >= len(weight)):
        raise IndexError(f"input must be in [0, {len(weight)}), got {numbers.min()} to {numbers.max()}")
    return weight[numbers]


def embedding_backward(
    g: Array, numbers: Array, rows: int, padding: int | None, by_frequency: bool, out: Array | None = None
) -> Array:
    """The gradient of weight (rows, width): each row is the sum of g (…, width) over its uses; row `padding` is 0.

    With `by_frequency` it is the mean over its uses. Written to `out` if it is given.
    """
    xp = array_namespace(g)
    if padding is not None:
        g = g * (numbers != padding)[..., None]
    if by_frequency:
        uses = xp.bincount(numbers.reshape(-1), minlength=rows)
        g = g / uses[numbers][..., None].astype(g.dtype)
    total = add_rows(g, numbers, (rows, g.shape[-1]), 0)
    if out is None:
        return total
    out[...] = total
    return out


def array_on_device(array: Array) -> bool:
    """Does looking at its numbers mean to wait for a GPU?"""
    return array_namespace(array).__name__ != "numpy"


def _along(index: Array, dim: int) -> tuple:
    places = list(array_namespace(index).ogrid[tuple([slice(n) for n in index.shape])])
    places[dim] = index
    return tuple(places)
