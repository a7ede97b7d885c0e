"""A stage that keeps its input alone: everything else is computed again when its backward comes.

Running statistics have moved on when the stage ran first, so what the second run does to buffers is undone.
"""

from __future__ import annotations

from collections.abc import Callable

from ...autograd.recompute import checkpoint
from ...nn.module import Module
from ...tensor import Tensor


def recomputed(module: Module) -> Callable[[Tensor], Tensor]:
    """What computes as `module` does, and in backward once more. (`autograd.recompute`)

    >>> layer, x = nn.BatchNorm1d(2, momentum=1.0), minipar.tensor([[0.0, 2.0], [4.0, 4.0]])
    >>> minipar.parallel.pipeline.recomputed.recomputed(layer)(x).sum().backward()
    >>> layer.running_mean, layer.num_batches_tracked.item()
    (tensor([2., 3.]), 1)
    """
    return lambda x: checkpoint(_Twice(module), x)


class _Twice:
    """One call of the module, and its repetitions."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._has_run = False

    def __call__(self, x: Tensor) -> Tensor:
        before = [(buffer, buffer.array.copy()) for buffer in self._module.buffers()] if self._has_run else []
        self._has_run = True
        made = self._module(x)
        for buffer, array in before:
            buffer.array[...] = array
        return made
