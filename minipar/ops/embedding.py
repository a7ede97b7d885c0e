"""Rows of a table, picked by number."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import looks_only, rank, tensor_dtype
from .index import Indexed, PutItem
from .op import array_of, check_devices


class Embedding(Indexed):
    """indices (…), weight (rows, width) → (…, width). A row's gradient is the sum over its uses; padding gets none.

    With `by_frequency` it is the mean over its uses instead.
    """

    __slots__ = ("padding", "by_frequency", "source")
    kernels_only = True

    def __init__(self, indices, padding, by_frequency):
        self.index = array_of(indices)
        self.picks = [indices] if isinstance(indices, Value) else []
        self.padding, self.by_frequency = padding, by_frequency

    def forward(self, weight):
        self.source = weight.shape
        try:
            return kernel("embedding_forward", weight)(weight, self.index)
        except IndexError as error:
            raise IndexError(f"embedding: {error}") from None

    def vjp(self, g, *_):
        if isinstance(g, Value):
            return self._composite(g)
        backward = kernel("embedding_backward", g)
        return backward(g, self.index, self.source[0], self.padding, self.by_frequency, self.room(0))

    def _composite(self, g):
        if self.padding is not None:
            g = g * (self.index != self.padding)[..., None]
        if self.by_frequency:
            uses = namespace(self.index).bincount(self.index.reshape(-1), minlength=self.source[0])
            g = g / uses[self.index][..., None].astype(g.dtype)
        return PutItem(self.index, self.source)(g)


def embedding(
    input: Any,
    weight: Any,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Rows `input` (any shape, integers) of weight (rows, width): shape input.shape + (width,).

    Row `padding_idx` gets no gradient. With `max_norm`, rows that are used and whose `norm_type`-norm is larger are
    scaled down to it first, in place. With `scale_grad_by_freq` a row's gradient is divided by how often it is used.
    IndexError for a number outside [0, rows), TypeError unless they are integers, RuntimeError unless weight has two
    axes; NotImplementedError for `sparse`.

    >>> F.embedding(minipar.tensor([2, 0]), minipar.tensor([[1., 2.], [3., 4.], [5., 6.]]))
    tensor([[5., 6.],
            [1., 2.]])
    """
    if sparse:
        raise NotImplementedError("embedding: sparse=True is not supported: gradients are dense here")
    check_devices("embedding", input, weight)
    numbers = _numbers("embedding", input, weight)
    if padding_idx is not None:
        padding_idx = normal_padding("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        _check_rows("embedding", numbers, weight.shape[0])
        renormalize(weight, numbers, max_norm, norm_type)
    return Embedding(input, padding_idx, scale_grad_by_freq)(weight)


def check_numbers(name: str, input: Any, weight: Any) -> Any:
    """The row numbers as an array, if they are numbers of rows of a table."""
    numbers = _numbers(name, input, weight)
    _check_rows(name, numbers, weight.shape[0])
    return numbers


def _numbers(name: str, input: Any, weight: Any) -> Any:
    """The row numbers as an array, if they may be numbers of rows of a table; nobody has looked at them."""
    numbers = array_of(input)
    if rank(weight) != 2:
        raise RuntimeError(f"{name}: weight must have shape (rows, width), not {tuple(weight.shape)}")
    if tensor_dtype(numbers).kind not in "iu":
        raise TypeError(f"{name}: input must hold integers, not {numbers.dtype.name}")
    return numbers


@looks_only
def _check_rows(name: str, numbers: Any, rows: int) -> None:
    if numbers.size and (int(numbers.min()) < 0 or int(numbers.max()) >= rows):
        raise IndexError(f"{name}: input must be in [0, {rows}), got {int(numbers.min())} to {int(numbers.max())}")


def normal_padding(name: str, padding_idx: int | None, rows: int) -> int | None:
    """A possibly negative row number, counted from 0."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueError(f"{name}: padding_idx must be in [{-rows}, {rows}), got {padding_idx}")
    return padding_idx % rows


@on_its_gpu
def renormalize(weight: Any, numbers: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows `numbers` whose norm is larger down to max_norm, in place and off the tape."""
    array = array_of(weight)
    xp = namespace(array)
    used = xp.unique(numbers)
    norms = xp.linalg.norm(array[used], ord=norm_type, axis=1)
    large = norms > max_norm
    if not large.any():
        return
    array[used[large]] *= (max_norm / (norms[large] + 1e-7)).astype(array.dtype)[:, None]
    if array is not weight:
        weight.bump("embedding with max_norm")
