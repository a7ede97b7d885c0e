"""What the tests of this folder share: the same computation on NumPy arrays and on doubles of CuPy's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

import minipar

ELSEWHERE = "cuda:1"  # a GPU that is not the current one: everything must go there by itself
CREATE = {
    "tensor", "as_tensor", "asarray", "zeros", "ones", "empty", "full", "eye", "arange", "linspace", "logspace",
    "rand", "randn", "randint", "randperm", "tril_indices", "triu_indices",
}  # fmt: skip


class Placed:
    """minipar, whose tensors are made on `device`."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __getattr__(self, name: str) -> Any:
        found = getattr(minipar, name)
        return partial(found, device=self.device) if name in CREATE else found

    def from_numpy(self, array: np.ndarray) -> minipar.Tensor:
        return minipar.from_numpy(array).to(self.device)


def flat(results: Any) -> list[Any]:
    """The tensors of nested tuples, lists and dicts, in order."""
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, (tuple, list)):
        return [y for part in results for y in flat(part)]
    return [results] if isinstance(results, minipar.Tensor) else []


def arrays(tensors: Sequence[minipar.Tensor], device: str) -> list[np.ndarray]:
    """Copies in NumPy, of tensors that must be on `device`."""
    assert {str(x.device) for x in tensors} <= {device}, [str(x.device) for x in tensors]
    return [np.array(x.detach().cpu().numpy()) for x in tensors]


def weights_like(y: minipar.Tensor, seed: int, device: str) -> minipar.Tensor:
    drawn = np.asarray(np.random.default_rng(seed).standard_normal(y.shape))
    return minipar.from_numpy(drawn.astype(y.dtype)).to(device)


def derived(run: Callable[..., Any], inputs: list[np.ndarray], device: str, second: bool = True) -> list[np.ndarray]:
    """The results of run(m, *inputs) on a device and their derivatives, as NumPy arrays."""
    minipar.manual_seed(0)
    leaves = [minipar.tensor(a, device=device, requires_grad=a.dtype.kind == "f") for a in inputs]
    return with_derivatives(flat(run(Placed(device), *leaves)), leaves, device, second)


def with_derivatives(
    results: list[minipar.Tensor], leaves: Sequence[minipar.Tensor], device: str, second: bool = True
) -> list[np.ndarray]:
    """The results, and their first (both ways) and second gradients, as NumPy arrays."""
    found = arrays(results, device)
    smooth = [y for y in results if y.requires_grad]
    wanted = [x for x in leaves if x.requires_grad]
    if not smooth or not wanted:
        return found
    grad = partial(minipar.autograd.grad, materialize_grads=True, retain_graph=True)
    seeds = [weights_like(y, 1 + i, device) for i, y in enumerate(smooth)]
    if second:
        first = grad(smooth, wanted, seeds, create_graph=True)
        found += arrays(first, device)
        again = [g for g in first if g.requires_grad]
        if again:
            found += arrays(grad(again, wanted, [weights_like(g, 50 + i, device) for i, g in enumerate(again)]), device)
    return found + arrays(grad(smooth, wanted, seeds), device)


def assert_the_same(run: Callable[..., Any], inputs: list[np.ndarray], second: bool = True, **tolerance: float) -> None:
    """`derived` on the double must equal `derived` on NumPy, in number, shape and dtype too."""
    ours, theirs = (derived(run, inputs, device, second) for device in ("cpu", ELSEWHERE))
    assert_equal_arrays(ours, theirs, **tolerance)


def assert_equal_arrays(ours: list[np.ndarray], theirs: list[np.ndarray], **tolerance: float) -> None:
    assert [(a.shape, a.dtype) for a in ours] == [(a.shape, a.dtype) for a in theirs]
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(b, a, **{"rtol": 1e-12, "atol": 1e-12, **tolerance})
