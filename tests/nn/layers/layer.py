"""What one row of the table of layers is, and how a layer is compared with PyTorch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import numpy as np

Arrays = tuple[np.ndarray, ...]


def normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    """Inputs of these shapes, of normal numbers."""
    return lambda draw: tuple(np.asarray(draw.standard_normal(shape)) for shape in shapes)


@dataclass(frozen=True)
class Layer:
    """One layer in one configuration, spelled alike in minipar and PyTorch.

    `make(nn)` builds it from `minipar.nn` or `torch.nn`. `inputs` draws its arguments as arrays (float64 ones get a
    gradient), or is a list of such functions for several shapes. `call(layer, *inputs)` is how it is applied, where
    that is not `layer(*inputs)`; it returns a tensor or nested tuples of tensors. `train` are the modes to compare in:
    leave out training where the layer draws random numbers, which differ between the two libraries. `second` is False
    where PyTorch itself has no second derivative.
    """

    name: str
    make: Callable[[Any], Any]
    inputs: Callable[[np.random.Generator], Arrays] | Sequence[Callable[[np.random.Generator], Arrays]]
    call: Callable[..., Any] = lambda layer, *inputs: layer(*inputs)
    train: tuple[bool, ...] = (True, False)
    second: bool = True

    def __str__(self) -> str:
        return self.name

    def draws(self) -> st.SearchStrategy[Arrays]:
        kinds = [self.inputs] if callable(self.inputs) else list(self.inputs)
        return st.builds(
            lambda kind, seed: kind(np.random.default_rng(seed)), st.sampled_from(kinds), st.integers(0, 99)
        )


def flat(outputs: Any) -> list[Any]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, (tuple, list)):
        return [y for part in outputs for y in flat(part)]
    return [] if outputs is None else [outputs]


def weighted(T: Any, tensors: Sequence[Any], seed: int) -> Any:
    """A scalar that every element of the tensors enters with a weight of its own."""
    total = 0
    for i, y in enumerate(tensors):
        weights = np.asarray(np.random.default_rng(seed + i).standard_normal(tuple(y.shape)))
        total = total + (y * T.tensor(weights, dtype=y.dtype)).sum()
    return total


def everything(T: Any, layer: Any, case: Layer, arrays: Arrays) -> dict[str, np.ndarray]:
    """Outputs, first and second gradients of inputs and parameters, and the buffers afterwards, as arrays by name."""
    inputs = [T.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
    outputs = flat(case.call(layer, *inputs))
    found = {f"output {i}": y.detach().numpy() for i, y in enumerate(outputs)}
    leaves = {f"input {i}": x for i, x in enumerate(inputs) if x.requires_grad}
    leaves |= {name: p for name, p in layer.named_parameters() if p.requires_grad}
    smooth = [y for y in outputs if y.requires_grad]
    if smooth and leaves:
        first = T.autograd.grad(
            weighted(T, smooth, 50), list(leaves.values()), create_graph=case.second, allow_unused=True
        )
        known = {name: g for name, g in zip(leaves, first) if g is not None}
        found |= {f"gradient of {name}": g.detach().numpy() for name, g in known.items()}
        if case.second:
            total = weighted(T, list(known.values()), 70)
            if total.requires_grad:
                second = T.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
            else:  # straight functions: one library may record a second derivative of nothing but zeros, the other none
                second = [T.zeros_like(x) for x in leaves.values()]
            found |= {f"second gradient of {name}": g.numpy(force=True) for name, g in zip(leaves, second)}
    return found | {f"buffer {name}": b.numpy() for name, b in layer.named_buffers()}
