"""PyTorch's own samples of its operations (`torch.testing`'s op_db), carried over to minipar."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import minipar

F = minipar.nn.functional
DTYPES = {
    getattr(torch, name): getattr(minipar, name)
    for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
}

# Where PyTorch's table calls the operation with its arguments in another order than a user does.
CALLED_OTHERWISE: dict[str, Callable[..., Any]] = {
    "where": lambda self, condition, other: minipar.where(condition, self, other),
    "einsum": lambda operands, equation: minipar.einsum(equation, *operands),
    "nn.functional.embedding": lambda weight, indices, **options: F.embedding(indices, weight, **options),
    "nn.functional.embedding_bag": lambda weight, indices, **options: F.embedding_bag(indices, weight, **options),
    **{
        name: lambda x, name=name: getattr(x, name)()
        for name in ("bool", "byte", "double", "float", "half", "int", "long", "short")
    },
    "zero_": lambda x: x.clone().zero_(),
    "polygamma": lambda x, n: minipar.polygamma(n, x),
    "special.polygamma": lambda x, n: minipar.special.polygamma(n, x),
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "H": lambda x: x.H,
    "mH": lambda x: x.mH,
}

RANDOM = (
    *("rand", "dropout", "bernoulli", "normal", "multinomial", "empty", "exponential", "uniform", "rrelu", "gumbel"),
    *("cauchy", "geometric", "nn.functional.scaled_dot_product_attention"),
)
TIES_AS_THEY_COME = ("topk", "kthvalue", "mode", "sort", "argsort", "median", "nanmedian")


class NotCarriedOver(Exception):
    """The sample uses what minipar does not have: complex numbers, sparse tensors, memory layouts."""


def counterpart(name: str) -> Callable[..., Any] | None:
    """minipar's function of this name; a method where there is no function; None if there is neither."""
    if name in CALLED_OTHERWISE:
        return CALLED_OTHERWISE[name]
    found: Any = minipar
    for part in name.split("."):
        found = getattr(found, part, None)
    if callable(found):
        return found
    method = getattr(minipar.Tensor, name, None)
    return method if callable(method) else None


def carried(x: Any, leaves: list[tuple[torch.Tensor, minipar.Tensor]]) -> Any:
    """A PyTorch argument as minipar's. Tensors that require a gradient are noted, both."""
    if isinstance(x, torch.Tensor):
        if x.dtype not in DTYPES or x.is_sparse:
            raise NotCarriedOver(str(x.dtype))
        ours = minipar.from_numpy(x.detach().resolve_neg().numpy().copy(order="K"))
        if x.requires_grad:
            leaves.append((x, ours.requires_grad_()))
        return ours
    if isinstance(x, torch.dtype):
        if x not in DTYPES:
            raise NotCarriedOver(str(x))
        return DTYPES[x]
    if isinstance(x, (torch.layout, torch.memory_format, complex)) or (
        callable(x) and getattr(x, "__module__", "").startswith("torch")
    ):
        raise NotCarriedOver(repr(x))
    if isinstance(x, torch.nn.Module):
        raise NotCarriedOver(repr(x))
    if isinstance(x, torch.device):
        return str(x)
    if isinstance(x, (tuple, list)):
        return type(x)(carried(y, leaves) for y in x) if type(x) in (tuple, list) else tuple(x)
    if isinstance(x, dict):
        return {key: carried(y, leaves) for key, y in x.items()}
    return x


def flat(x: Any) -> list[Any]:
    return [z for y in x for z in flat(y)] if isinstance(x, (tuple, list)) else [x]


def samples(op: Any, dtype: torch.dtype, most: int) -> Iterator[tuple[Any, Any, list]]:
    """(PyTorch's result, a call of minipar's function, the leaves of both) for up to `most` samples."""
    function = counterpart(op.name)
    assert function is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradient = dtype == torch.float64 and op.supports_autograd
        found = op.sample_inputs("cpu", dtype, requires_grad=gradient)
        for _, sample in zip(range(most), found):
            leaves: list = []
            try:
                args = carried((sample.input, *sample.args), leaves)
                options = carried(dict(sample.kwargs), leaves)
            except NotCarriedOver:
                continue
            try:
                theirs = op.op(sample.input, *sample.args, **sample.kwargs)
            except (RuntimeError, NotImplementedError):
                continue  # not implemented there for this dtype
            yield theirs, lambda args=args, options=options: function(*args, **options), leaves


def assert_same(ours: Any, theirs: Any, tolerance: dict[str, float]) -> None:
    """Equal numbers of outputs, and each of the same kind, shape, dtype and value."""
    found, expected = flat(ours), flat(theirs)
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        if isinstance(b, torch.Tensor):
            assert isinstance(a, minipar.Tensor), f"{type(a).__name__} instead of a Tensor"
            x, y = a.detach().numpy(), b.detach().resolve_neg().numpy(force=True)
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x, y, **tolerance)
        elif isinstance(b, float):
            np.testing.assert_allclose(a, b)
        else:
            assert a == b


def assert_same_gradients(ours: Any, theirs: Any, leaves: list) -> None:
    """The gradients of all outputs, randomly weighted, with respect to all leaves; 0 where ours depend on none."""
    pairs = [(a, b) for a, b in zip(flat(ours), flat(theirs)) if isinstance(b, torch.Tensor) and b.requires_grad]
    if not pairs or not leaves:
        return
    draw = np.random.default_rng(0)
    weights = [np.asarray(draw.standard_normal(tuple(b.shape))) for _, b in pairs]
    unused = {"allow_unused": True, "materialize_grads": True}
    expected = torch.autograd.grad(
        [b for _, b in pairs],
        [x for x, _ in leaves],
        [torch.tensor(w, dtype=b.dtype) for w, (_, b) in zip(weights, pairs)],
        **unused,
    )
    ours = [(a, minipar.tensor(w, dtype=a.dtype)) for w, (a, _) in zip(weights, pairs) if a.requires_grad]
    if ours:
        found = minipar.autograd.grad([a for a, _ in ours], [x for _, x in leaves], [w for _, w in ours], **unused)
    else:
        found = tuple(minipar.zeros_like(x) for _, x in leaves)
    assert_same(found, expected, {"rtol": 1e-6, "atol": 1e-8})
