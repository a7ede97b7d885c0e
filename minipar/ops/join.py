"""Joining tensors: along an axis that they have (cat), or along a new one (stack)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..backend import namespace
from ..tape import Value
from .accepts import rank
from .op import Op, promoted
from .shape import narrow, normal_dim, reshape, unsqueeze
from .spelling import numpy_names


class Cat(Op):
    """The operands one after the other along an axis."""

    __slots__ = ("dim", "sizes")

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *parts):
        self.sizes = [part.shape[self.dim] for part in parts]
        return namespace(parts[0]).concatenate(parts, self.dim)

    def vjp(self, g):
        pieces, start = [], 0
        for size in self.sizes:
            pieces.append(narrow(g, self.dim, start, size))
            start += size
        return tuple(pieces)


class Stack(Op):
    """The operands, of one shape, along a new axis."""

    __slots__ = ("dim",)

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *parts):
        return namespace(parts[0]).stack(parts, self.dim)

    def vjp(self, g):
        from .split import select

        return tuple([select(g, self.dim, i) if need else None for i, need in enumerate(self.needs)])


@numpy_names
def cat(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors joined along an existing axis, promoted to one dtype. `concat` and `concatenate` are other names.

    Sizes must agree in every other axis (else RuntimeError); tensors of shape (0,) are left out, as in PyTorch.
    ValueError if there are none.

    >>> minipar.cat([minipar.zeros(2), minipar.ones(1)])
    tensor([0., 0., 1.])
    """
    tensors = _listed("cat", tensors)
    if not tensors:
        raise ValueError("cat: tensors must not be empty, got an empty list")
    for i, t in enumerate(tensors):
        if not len(t.shape):
            raise RuntimeError(f"cat: tensors[{i}] is 0-d and has no axis to be joined along; use stack")
    tensors = promoted(tensors)
    parts = [t for t in tensors if tuple(t.shape) != (0,)] or tensors
    shape = parts[0].shape
    dim = normal_dim(dim, len(shape))
    for t in parts:
        if [n for i, n in enumerate(t.shape) if i != dim] != [n for i, n in enumerate(shape) if i != dim]:
            raise RuntimeError(
                f"cat: sizes must agree except in dim {dim}, got shapes {[tuple(t.shape) for t in tensors]}"
            )
    return Cat(dim)(*parts)


concat = concatenate = cat


@numpy_names
def stack(tensors: Sequence[Any], dim: int = 0) -> Any:
    """The tensors, all of one shape, along a new axis `dim`. RuntimeError if there are none or shapes differ.

    >>> minipar.stack([minipar.tensor([1, 2]), minipar.tensor([3, 4])], 1)
    tensor([[1, 3],
            [2, 4]])
    """
    tensors = _some("stack", tensors)
    if any(t.shape != tensors[0].shape for t in tensors):
        raise RuntimeError(f"stack: shapes must be equal, got {[tuple(t.shape) for t in tensors]}")
    return Stack(normal_dim(dim, len(tensors[0].shape) + 1))(*promoted(tensors))


def hstack(tensors: Sequence[Any]) -> Any:
    """The tensors side by side: along axis 1, or 0 if they have only one axis (0-d ones get one).

    >>> minipar.hstack([minipar.zeros(2, 1), minipar.ones(2, 2)])
    tensor([[0., 1., 1.],
            [0., 1., 1.]])
    """
    tensors = [atleast_1d(t) for t in _some("hstack", tensors)]
    return cat(tensors, 0 if len(tensors[0].shape) == 1 else 1)


def vstack(tensors: Sequence[Any]) -> Any:
    """The tensors below each other, along axis 0; one of a single axis is a row. `row_stack` is another name.

    >>> minipar.vstack([minipar.zeros(2), minipar.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return cat([atleast_2d(t) for t in _some("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors: Sequence[Any]) -> Any:
    """The tensors behind each other, along axis 2, after `atleast_3d`.

    >>> minipar.dstack([minipar.zeros(2), minipar.ones(2)]).shape
    (1, 2, 2)
    """
    return cat([atleast_3d(t) for t in _some("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Any]) -> Any:
    """The tensors side by side, along axis 1; one of a single axis is a column.

    >>> minipar.column_stack([minipar.tensor([1, 2]), minipar.tensor([3, 4])])
    tensor([[1, 3],
            [2, 4]])
    """
    columns = [reshape(t, (-1 if len(t.shape) else 1, 1)) if len(t.shape) <= 1 else t
               for t in _listed("column_stack", tensors)]  # fmt: skip
    return cat(columns, 1)


def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors with one axis, others as they are. Several tensors (or a list of them) give a tuple.

    >>> minipar.atleast_1d(minipar.tensor(5))
    tensor([5])
    """
    return _each(lambda t: t if rank(t) else reshape(t, (1,)), tensors)


def atleast_2d(*tensors: Any) -> Any:
    """Tensors of fewer than two axes with leading ones: n numbers are a row. Several tensors give a tuple.

    >>> minipar.atleast_2d(minipar.zeros(3)).shape
    (1, 3)
    """
    return _each(lambda t: t if rank(t) >= 2 else unsqueeze(atleast_1d(t), 0), tensors)


def atleast_3d(*tensors: Any) -> Any:
    """Tensors of fewer than three axes with more: (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1). Several: a tuple.

    >>> minipar.atleast_3d(minipar.zeros(3)).shape
    (1, 3, 1)
    """
    return _each(lambda t: t if rank(t) >= 3 else unsqueeze(atleast_2d(t), -1), tensors)


def block_diag(*tensors: Any) -> Any:
    """The matrices along the diagonal of a larger one that is zero elsewhere; fewer than two axes make a row.

    >>> minipar.block_diag(minipar.ones(1, 2), minipar.ones(1))
    tensor([[1., 1., 0.],
            [0., 0., 1.]])
    """
    from .pad import constant_pad

    if not tensors:
        raise ValueError("block_diag needs at least one tensor")
    blocks = [atleast_2d(t) for t in promoted(tensors)]
    for i, block in enumerate(blocks):
        if len(block.shape) != 2:
            raise RuntimeError(f"block_diag: tensor {i} must have two axes or fewer, not shape {tuple(block.shape)}")
    widths = [block.shape[1] for block in blocks]
    return cat([constant_pad(block, (sum(widths[:i]), sum(widths[i + 1 :]))) for i, block in enumerate(blocks)])


def _some(name: str, tensors: Any) -> list[Any]:
    """A sequence of one tensor or more as a list, else RuntimeError."""
    tensors = _listed(name, tensors)
    if not tensors:
        raise RuntimeError(f"{name}: tensors must not be empty, got an empty list")
    return tensors


def _listed(name: str, tensors: Any) -> list[Any]:
    """A sequence of tensors as a list. TypeError for anything else, a single tensor included."""
    if isinstance(tensors, (list, tuple)) and all(hasattr(t, "dtype") for t in tensors):
        return list(tensors)
    given = f"{type(tensors).__name__} of {tuple(type(t).__name__ for t in tensors)}" if isinstance(
        tensors, (list, tuple)) else type(tensors).__name__  # fmt: skip
    raise TypeError(f"{name}: tensors must be a list or tuple of tensors, not {given}")


def _each(change: Callable[[Any], Any], tensors: tuple) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        return tuple([change(t) for t in tensors[0]])
    if not all(isinstance(t, Value) for t in tensors):
        raise TypeError(f"expected tensors, not {', '.join(type(t).__name__ for t in tensors)}")
    return change(tensors[0]) if len(tensors) == 1 else tuple([change(t) for t in tensors])
