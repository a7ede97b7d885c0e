"""An optimizer's memory of past gradients, laid out like the parameters: as slices of flat arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..nn.parameter import FlatBuffer
from ..tensor import Tensor, wrap

STEP = "step"
NUMBERS = (STEP, "mu_product", "eta", "mu")  # entries that are one number (NAdam's, ASGD's); all others are like p


class FlatState:
    """One array a name ("exp_avg", …) parallel to a FlatBuffer's data, with a view for every slot; made when asked for.

    NUMBERS lie in one float32 array with an element a slot, in the CPU's memory wherever the parameters are.
    """

    def __init__(self, buffer: FlatBuffer) -> None:
        # No reference to the buffer: it is what this state is kept by, and must be free to go.
        self.spans, self.shapes = buffer.spans, [view.shape for view in buffer.data_views]
        self.xp, self.dtype = namespace(buffer.data), buffer.data.dtype
        self.arrays: dict[str, Any] = {}
        self.views: dict[str, list[Any]] = {}

    def view(self, name: str, slot: int) -> Any:
        """The slot's part of the array of this name."""
        if name not in self.arrays:
            self._make(name)
        return self.views[name][slot]

    def _make(self, name: str) -> None:
        if name in NUMBERS:
            flat = np.zeros(len(self.spans), np.float32)
            self.views[name] = [flat[slot : slot + 1].reshape(()) for slot in range(len(flat))]
        else:
            flat = self.xp.zeros(self.spans[-1][1], self.dtype)
            self.views[name] = [flat[a:b].reshape(shape) for (a, b), shape in zip(self.spans, self.shapes)]
        self.arrays[name] = flat


@on_its_gpu
def settle(entry: dict[str, Any], start: dict[str, float], p: Any, flat: FlatState | None) -> bool:
    """Make one parameter's state ready for a step: every name there, in its slot of `flat` if the parameter has one.

    What is missing is filled with its `start`; what was put there from elsewhere (a loaded state dict) moves into the
    slot, and its tensor with it. Returns whether all of it was missing: the parameter's first step. RuntimeError where
    a part is missing or has another shape than the parameter.
    """
    fresh = all(entry.get(name) is None for name in start)
    for name, value in start.items():
        tensor = entry.get(name)
        if tensor is None and not fresh:
            raise RuntimeError(f"the optimizer's state of a parameter of shape {tuple(p.shape)} lacks {name!r}")
        if tensor is None:
            tensor = entry[name] = filled(name, p, value)
        elif not isinstance(tensor, Tensor):
            tensor = entry[name] = wrap(np.asarray(tensor, np.float32))
        shape = () if name in NUMBERS else tuple(p.shape)
        if tuple(tensor.shape) != shape:
            raise RuntimeError(
                f"the optimizer's {name!r} has shape {tuple(tensor.shape)}, its parameter {tuple(p.shape)}: "
                "was p.data replaced? then clear it: optimizer.state.pop(p)"
            )
        if flat is None:
            _compact(tensor, name, p)
        else:
            _move(tensor, flat.view(name, p.slot))
    return fresh


@on_its_gpu
def filled(name: str, p: Tensor, value: float) -> Tensor:
    """A parameter's state as it starts."""
    xp = namespace(p.array)
    return wrap(np.full((), value, np.float32) if name in NUMBERS else xp.full(p.shape, value, p.dtype))


def _compact(tensor: Tensor, name: str, p: Tensor) -> None:
    """Kernels want the state in one piece and of the parameter's dtype."""
    if name not in NUMBERS:
        tensor.array = namespace(p.array).ascontiguousarray(tensor.array, p.dtype).reshape(p.shape)


def _move(tensor: Tensor, view: Any) -> None:
    if tensor.array is not view:
        view[...] = tensor.array
        tensor.array = view
