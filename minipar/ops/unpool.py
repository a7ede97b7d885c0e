"""Max-unpooling: the maxima back at their places, zeros elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import tensor_shape
from .index import SetItem
from .op import array_of, check_dtypes
from .shape import reshape
from .windows import Sizes, sizes


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima (N, C, L) or (C, L) put back at the `indices` that `max_pool1d` returned; see `max_unpool2d`.

    >>> F.max_unpool1d(minipar.tensor([[4.0, 3.0]]), minipar.tensor([[1, 2]]), 2)
    tensor([[0., 4., 3., 0.]])
    """
    return _unpooled("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima (N, C, H, W) or (C, H, W) put back at the flat `indices` that `max_pool2d` returned, zeros elsewhere.

    The output is (H − 1)·stride − 2·padding + kernel_size high, or `output_size`, where several sizes would have
    pooled to this one. Of two maxima for one place the last stays. RuntimeError where shapes or indices do not fit.

    >>> F.max_unpool2d(minipar.tensor([[[4.0]]]), minipar.tensor([[[1]]]), 2)
    tensor([[[0., 4.],
             [0., 0.]]])
    """
    return _unpooled("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Sizes,
    stride: Any = None,
    padding: Sizes = 0,
    output_size: Sequence[int] | None = None,
) -> Any:
    """Maxima (N, C, D, H, W) or (C, D, H, W) put back at the `indices` of `max_pool3d`; see `max_unpool2d`.

    >>> F.max_unpool3d(minipar.ones(1, 1, 1, 1), minipar.tensor([[[[7]]]]), 2).flatten()
    tensor([0., 0., 0., 0., 0., 0., 0., 1.])
    """
    return _unpooled("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


@on_its_gpu
def _unpooled(
    name: str, dims: int, x: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Any:
    check_dtypes(name, x)
    shape, of_indices = tuple(x.shape), tuple(tensor_shape(indices))
    if len(shape) not in (dims + 1, dims + 2) or of_indices != shape:
        raise RuntimeError(
            f"{name}: input and indices must have one shape of {dims + 1} or {dims + 2} axes, got {shape} and "
            f"{of_indices}"
        )
    if indices.dtype.kind != "i":
        raise RuntimeError(f"{name}: indices must be integers, not {indices.dtype.name}")
    window, frame = sizes(kernel_size, dims, "kernel_size", 1), sizes(padding, dims, "padding", 0)
    step = window if stride is None else sizes(stride, dims, "stride", 1)
    output = _output(name, x.shape[-dims:], window, step, frame, output_size)
    lead = tuple(x.shape[:-dims])
    planes, places, size = math.prod(lead), math.prod(x.shape[-dims:]), math.prod(output)
    flat = array_of(indices).reshape(planes, places)
    if flat.size and not (flat.min() >= 0 and flat.max() < size):
        raise RuntimeError(f"{name}: indices must be in [0, {size}) for the output {output}, got {flat.max()}")
    xp = namespace(flat)
    rows = xp.broadcast_to(xp.arange(planes)[:, None], flat.shape)
    zeros = xp.zeros((planes, size), x.dtype)
    return reshape(SetItem((rows, flat.copy()))(zeros, reshape(x, (planes, places))), (*lead, *output))


def _output(name: str, pooled: Any, window: Any, step: Any, frame: Any, wanted: Sequence[int] | None) -> tuple:
    default = tuple([(n - 1) * s - 2 * p + k for n, k, s, p in zip(pooled, window, step, frame)])
    if wanted is None:
        return default
    output = tuple(wanted)[-len(default) :]
    if len(output) != len(default) or any(not n - s < m < n + s for m, n, s in zip(output, default, step)):
        raise ValueError(f"{name}: output_size must be less than one stride {step} from {default}, got {tuple(wanted)}")
    return output
