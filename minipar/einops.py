"""minipar's tensors in einops: rearrange, reduce, repeat, einsum, pack, unpack and parse_shape, with gradients.

einops asks the subclasses of its AbstractBackend which of them a tensor belongs to; the one here is registered by being
defined. `import minipar` does so where einops was imported before it; where it is imported after, `import
minipar.einops` does. Rearrange and Reduce are einops' layers, as modules of minipar.

>>> import minipar.einops
>>> from einops import rearrange, reduce
>>> rearrange(minipar.arange(6), "(rows columns) -> columns rows", rows=2)
tensor([[0, 3],
        [1, 4],
        [2, 5]])
>>> reduce(minipar.ones(2, 3, 4), "n c w -> c", "mean")
tensor([1., 1., 1.])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from einops._backends import AbstractBackend
from einops.layers import RearrangeMixin, ReduceMixin

from .creation import arange, from_numpy
from .nn import Module
from .ops.einsum import einsum
from .ops.join import cat, stack
from .ops.repeat import tile
from .ops.shape import expand, permute, unsqueeze
from .tensor import Tensor

__all__ = ["Rearrange", "Reduce"]


class MiniparBackend(AbstractBackend):
    """What einops needs to know of a Tensor."""

    framework_name = "minipar"

    def is_appropriate_type(self, tensor: Any) -> bool:
        return isinstance(tensor, Tensor)

    def is_float_type(self, x: Tensor) -> bool:
        return x.dtype.kind == "f"

    def from_numpy(self, x: np.ndarray) -> Tensor:
        tensor = from_numpy(x)
        return tensor.requires_grad_() if self.is_float_type(tensor) else tensor

    def to_numpy(self, x: Tensor) -> np.ndarray:
        return x.numpy(force=True)

    def arange(self, start: int, stop: int) -> Tensor:
        return arange(start, stop)

    def transpose(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return permute(x, axes)

    def reduce(self, x: Tensor, operation: str, axes: Sequence[int]) -> Tensor:
        if operation in ("any", "all", "prod"):  # of one axis at a time
            for axis in sorted(axes, reverse=True):
                x = getattr(x, operation)(axis)
            return x
        return getattr(x, {"min": "amin", "max": "amax"}.get(operation, operation))(tuple(axes))

    def stack_on_zeroth_dimension(self, tensors: list[Tensor]) -> Tensor:
        return stack(tensors)

    def add_axis(self, x: Tensor, new_position: int) -> Tensor:
        return unsqueeze(x, new_position)

    def add_axes(self, x: Tensor, n_axes: int, pos2len: Mapping[int, int]) -> Tensor:
        """New axes at these positions, repeated to these lengths: as views."""
        sizes = [-1] * n_axes
        for position, length in pos2len.items():
            x = unsqueeze(x, position)
            sizes[position] = length
        return expand(x, sizes)

    def tile(self, x: Tensor, repeats: Sequence[int]) -> Tensor:
        return tile(x, repeats)

    def concat(self, tensors: Sequence[Tensor], axis: int) -> Tensor:
        return cat(tensors, axis)

    def einsum(self, pattern: str, *x: Tensor) -> Tensor:
        return einsum(pattern, *x)


class Rearrange(RearrangeMixin, Module):
    """einops.rearrange of a pattern as a layer.

    >>> from minipar.einops import Rearrange
    >>> Rearrange("n c h w -> n (c h w)")(minipar.zeros(2, 3, 4, 5)).shape
    (2, 60)
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._apply_recipe(input)


class Reduce(ReduceMixin, Module):
    """einops.reduce of a pattern as a layer.

    >>> from minipar.einops import Reduce
    >>> Reduce("n c (h 2) (w 2) -> n c h w", "max")(minipar.zeros(2, 3, 4, 6)).shape
    (2, 3, 2, 3)
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._apply_recipe(input)
