"""What is there only once: unique and unique_consecutive. No gradient."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import needs_tensors
from .shape import normal_dim


def unique(
    input: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The distinct elements, or with `dim` the distinct slices along that axis, in order with either `sorted`.

    Also returns, where asked, for each element of input its place among them (`return_inverse`) and how often each
    occurs (`return_counts`), int64. Every NaN counts as distinct.

    >>> minipar.unique(minipar.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    return _unique(input, return_inverse, return_counts, dim, consecutive=False)


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Each run of equal elements (or, with `dim`, of equal slices) as one; otherwise as `unique`.

    >>> minipar.unique_consecutive(minipar.tensor([1, 1, 2, 2, 1]))
    tensor([1, 2, 1])
    """
    return _unique(input, return_inverse, return_counts, dim, consecutive=True)


@on_its_gpu
def _unique(input: Any, return_inverse: bool, return_counts: bool, dim: int | None, consecutive: bool) -> Any:
    needs_tensors(input)
    x = input.array
    xp = namespace(x)
    axis = None if dim is None else normal_dim(dim, x.ndim)
    lines = x.reshape(-1) if axis is None or not x.ndim else xp.moveaxis(x, axis, 0)
    rows = lines.reshape(len(lines), -1) if lines.size else xp.zeros((len(lines), 1), x.dtype)
    order = xp.arange(len(rows)) if consecutive or not rows.shape[1] else xp.lexsort(rows.T[::-1])
    ordered = rows[order]
    begins = xp.ones(len(rows), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(1)
    first = xp.flatnonzero(begins)
    found = lines[order[first]]
    results = [found if axis is None or not x.ndim else xp.moveaxis(found, 0, axis)]
    if return_inverse:
        inverse = xp.empty(len(rows), "int64")
        inverse[order] = xp.cumsum(begins) - 1
        results.append(inverse if axis is not None and x.ndim else inverse.reshape(x.shape))
    if return_counts:
        results.append(xp.diff(xp.append(first, len(rows))))
    values = tuple([tape.new_value(xp.array(result, order="C")) for result in results])
    return values if len(values) > 1 else values[0]
