"""How many bytes of parameters, gradients and optimizer state a rank holds: what ZeRO's formula speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..nn.module import Module
from ..tensor import Tensor
from .trainer import ParallelModel


@dataclass(frozen=True)
class BytesHeld:
    """Bytes on this rank: of `parameters`, of their `gradients`, and of what the `optimizer` keeps of each.

    >>> minipar.parallel.BytesHeld(parameters=128, gradients=64, optimizer=128).total
    320
    """

    parameters: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """Of all three."""
        return self.parameters + self.gradients + self.optimizer


def bytes_held(model: ParallelModel | Module, optimizer: Any) -> BytesHeld:
    """What of a model's training state this rank has in memory now.

    Memory that several tensors look at counts once, a buffer that is kept for gradients counts whether they are there
    or not, and of the optimizer's state what has the shape of its parameter (a momentum; not a count of steps). A
    parameter that zero=3 has let go is one number, stretched to its shape: it counts as nothing.

    TypeError for what is neither a `ParallelModel` nor a Module.

    >>> def held(comm, zero):
    ...     net = minipar.parallel.parallelize(nn.Linear(7, 4), minipar.parallel.Mesh(comm, data=2), zero=zero)
    ...     step = optim.Adam(net.parameters())
    ...     _ = net.train_step(F.mse_loss, step, minipar.ones(6, 7), minipar.zeros(6, 4))
    ...     return minipar.parallel.bytes_held(net, step)
    >>> for zero in range(4):
    ...     minipar.parallel.launch(held, zero, workers=2, backend="thread")[0]
    BytesHeld(parameters=128, gradients=128, optimizer=256)
    BytesHeld(parameters=128, gradients=128, optimizer=128)
    BytesHeld(parameters=128, gradients=64, optimizer=128)
    BytesHeld(parameters=64, gradients=64, optimizer=128)
    """
    if isinstance(model, ParallelModel):
        held = [p for module in model.modules() for p in module.parameters()] + list(model.parameters())
    elif isinstance(model, Module):
        held = list(model.parameters())
    else:
        raise TypeError(f"model must be a ParallelModel or a Module, not {type(model).__name__}")
    gradients = [p.grad.array for p in held if p.grad is not None]
    kept = [p.buffer.grad for p in held if p.buffer is not None and p.in_buffer()]
    moments = [
        value.array
        for p, state in optimizer.state.items()
        for value in state.values()
        if isinstance(value, Tensor) and value.shape == p.shape
    ]
    return BytesHeld(_bytes(p.array for p in held), _bytes(gradients + kept), _bytes(moments))


def _bytes(arrays: Iterable[Any]) -> int:
    """Of memory that at least one of the arrays, each without gaps, looks at."""
    counted = end = 0
    for start, stop in sorted(_place(array) for array in arrays if array.size and not _is_let_go(array)):
        counted += max(stop - max(start, end), 0)
        end = max(stop, end)
    return counted


def _place(array: Any) -> tuple[int, int]:
    on_device = getattr(array, "__cuda_array_interface__", None)
    start = (array.__array_interface__ if on_device is None else on_device)["data"][0]
    return start, start + array.nbytes


def _is_let_go(array: Any) -> bool:
    return array.size > 1 and not any(array.strides)
