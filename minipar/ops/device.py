"""Moving to another device."""

from __future__ import annotations

from ..backend import device, device_of, on_device
from .op import Op


class Move(Op):
    """y = x on another device; the gradient comes back to x's."""

    __slots__ = ("target", "source")

    def __init__(self, target: device) -> None:
        self.target = target

    def _gpu_elsewhere(self, inputs):
        """The target's is made current where it is needed."""

    def forward(self, x):
        self.source = device_of(x)
        return on_device(x, self.target)

    def vjp(self, g):
        return Move(self.source)(g)
