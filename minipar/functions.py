"""Functions of `torch` that are methods elsewhere here, and those that are plainer there than in nn.functional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nn import functional as F
from .ops.accepts import needs_tensors
from .tensor import Tensor

__all__ = [
    "alpha_dropout",
    "clone",
    "detach",
    "dropout",
    "embedding",
    "feature_alpha_dropout",
    "get_device",
    "group_norm",
    "is_complex",
    "is_signed",
    "layer_norm",
    "numel",
]

# ── methods ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, which stays on the tape: `input.clone()`.

    >>> minipar.clone(minipar.tensor([1, 2]))
    tensor([1, 2])
    """
    needs_tensors(input)
    return input.clone(memory_format=memory_format)


def detach(input: Tensor) -> Tensor:
    """The same memory off the tape: `input.detach()`.

    >>> minipar.detach(minipar.ones(1, requires_grad=True)).requires_grad
    False
    """
    needs_tensors(input)
    return input.detach()


def numel(input: Tensor) -> int:
    """The number of elements.

    >>> minipar.numel(minipar.ones(2, 3))
    6
    """
    needs_tensors(input)
    return input.numel()


def get_device(input: Tensor) -> int:
    """The number of the GPU that holds the memory; −1 on the CPU.

    >>> minipar.get_device(minipar.ones(2))
    -1
    """
    needs_tensors(input)
    return input.get_device()


def is_complex(input: Tensor) -> bool:
    """Are the elements complex? Never, here.

    >>> minipar.is_complex(minipar.ones(2))
    False
    """
    needs_tensors(input)
    return input.is_complex()


def is_signed(input: Tensor) -> bool:
    """Can the dtype hold negative numbers?

    >>> minipar.is_signed(minipar.ones(2)), minipar.is_signed(minipar.ones(2).byte())
    (True, False)
    """
    needs_tensors(input)
    return input.is_signed()


# ── plainer than nn.functional's ──────────────────────────────────────────────────────────────────────────────────────


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`F.dropout`, with nothing left to a default. ValueError unless 0 ≤ p ≤ 1.

    >>> minipar.dropout(minipar.ones(2), 0.5, train=False)
    tensor([1., 1.])
    """
    return F.dropout(input, p, train)


def alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`F.alpha_dropout`, with nothing left to a default. ValueError unless 0 ≤ p ≤ 1.

    >>> minipar.alpha_dropout(minipar.ones(2), 0.5, train=False)
    tensor([1., 1.])
    """
    return F.alpha_dropout(input, p, train)


def feature_alpha_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """`F.feature_alpha_dropout`, with nothing left to a default. ValueError unless 0 ≤ p ≤ 1.

    >>> minipar.feature_alpha_dropout(minipar.ones(1, 2), 0.5, train=False)
    tensor([[1., 1.]])
    """
    return F.feature_alpha_dropout(input, p, train)


def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """`F.embedding` with the table first; a negative `padding_idx` means that no row is padding.

    >>> minipar.embedding(minipar.tensor([[1.0], [2.0]]), minipar.tensor([1, 1, 0])).flatten()
    tensor([2., 2., 1.])
    """
    padding = None if padding_idx < 0 else padding_idx
    return F.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """`F.layer_norm`. `cudnn_enable` is a permission that nothing here makes use of.

    >>> minipar.layer_norm(minipar.tensor([1.0, 3.0]), (2,), eps=0.0)
    tensor([-1.,  1.])
    """
    return F.layer_norm(input, normalized_shape, weight, bias, eps)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """`F.group_norm`. `cudnn_enabled` is a permission that nothing here makes use of.

    >>> minipar.group_norm(minipar.tensor([[1.0, 3.0]]), 1, eps=0.0)
    tensor([[-1.,  1.]])
    """
    return F.group_norm(input, num_groups, weight, bias, eps)
