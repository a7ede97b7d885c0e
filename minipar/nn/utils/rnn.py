"""Sequences of several lengths in one batch: padded to one length, or packed without padding.

Padded, sequences a (3 steps), b (2) and c (1) are a block whose missing steps hold some value. Packed, they are the
rows a0 b0 c0 | a1 b1 | a2, one step after the other, the longest sequence first, with batch sizes 3, 2, 1. Both hold
the same elements, in one order: each conversion is one pick, or one placing, by the mask of the steps that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...backend import device_of, on_device
from ...ops.gather import index_select
from ...ops.index import PutItem, getitem
from ...ops.join import cat
from ...ops.select import where
from ...ops.shape import transpose
from ...tensor import Tensor, wrap

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """data (N, …): the rows of all steps; batch_sizes (T,): how many sequences have each step.

    `sorted_indices` says which sequence of the caller's each sorted one is, and `unsorted_indices` the other way round
    (None: they came sorted). Made by pack_padded_sequence and pack_sequence; recurrent layers take and return it.

    >>> pack = nn.utils.rnn.pack_sequence([minipar.tensor([1, 2, 3]), minipar.tensor([4, 5])])
    >>> pack.data, pack.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """With its data (and its indices, as they lie beside it) converted or moved, as by Tensor.to."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [None if i is None else i.to(data.device) for i in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *indices)

    def float(self) -> PackedSequence:
        return self.to(np.dtype(np.float32))

    def double(self) -> PackedSequence:
        return self.to(np.dtype(np.float64))

    def half(self) -> PackedSequence:
        return self.to(np.dtype(np.float16))

    def cpu(self) -> PackedSequence:
        return self.to("cpu")

    def cuda(self) -> PackedSequence:
        return self.to("cuda")

    @property
    def is_cuda(self) -> bool:
        return bool(self.data.device.type == "cuda")


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack input (T, B, …), or (B, T, …) with `batch_first`: the first lengths[i] steps of sequence i.

    `lengths`: B integers ≥ 1 and ≤ T, a list or a tensor. RuntimeError for other lengths, and unless they descend;
    without `enforce_sorted` the sequences are sorted, and the pack remembers how.

    >>> x = minipar.tensor([[1, 2, 0], [3, 0, 0]])
    >>> nn.utils.rnn.pack_padded_sequence(x, [2, 1], batch_first=True).data
    tensor([1, 3, 2])
    """
    if input.ndim < 2:
        raise RuntimeError(f"pack_padded_sequence: input must have 2 or more dimensions, got shape {input.shape}")
    numbers = _lengths("pack_padded_sequence", lengths)
    x = transpose(input, 0, 1) if batch_first else input
    steps, batch = x.shape[:2]
    if len(numbers) != batch:
        raise RuntimeError(f"pack_padded_sequence: lengths must be {batch} numbers, one a sequence, got {len(numbers)}")
    if not batch or numbers.min() < 1 or numbers.max() > steps:
        raise RuntimeError(
            f"pack_padded_sequence: lengths must be from 1 to the {steps} steps of input, got {numbers.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-numbers, kind="stable")
        numbers = numbers[order]
        x = index_select(x, 1, _beside(order, x))
    elif (numbers[1:] > numbers[:-1]).any():
        raise RuntimeError(
            f"pack_padded_sequence: lengths must descend, got {numbers.tolist()}; sort the sequences, or pass "
            "enforce_sorted=False"
        )
    present = np.arange(numbers[0])[:, None] < numbers
    data = getitem(x[: int(numbers[0])], _beside(present, x))
    sizes = wrap(present.sum(1).astype(np.int64))
    if order is None:
        return PackedSequence(data, sizes)
    return PackedSequence(data, sizes, _beside(order, x), _beside(np.argsort(order), x))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """(padded (T, B, …), lengths (B,)) of a pack, in the order in which the sequences were packed.

    (B, T, …) with `batch_first`; missing steps hold `padding_value`; T is the longest length, or `total_length`, which
    must not be less (ValueError).

    >>> pack = nn.utils.rnn.pack_sequence([minipar.tensor([1, 2]), minipar.tensor([3])])
    >>> nn.utils.rnn.pad_packed_sequence(pack, batch_first=True, padding_value=-1)
    (tensor([[ 1,  2], [ 3, -1]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"pad_packed_sequence: sequence must be a PackedSequence, not {type(sequence).__name__}")
    sizes = sequence.batch_sizes.numpy()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                f"pad_packed_sequence: total_length must be at least the longest length {steps}, got {total_length}"
            )
        steps = total_length
    present = np.zeros((steps, int(sizes[0])), bool)
    present[: len(sizes)] = np.arange(sizes[0]) < sizes[:, None]
    padded = _placed(sequence.data, present, padding_value)
    lengths = present.sum(0).astype(np.int64)
    if sequence.unsorted_indices is not None:
        padded = index_select(padded, 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu().numpy()]
    return (transpose(padded, 0, 1) if batch_first else padded), wrap(lengths)


def pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Sequences (length, …) side by side, padded to the longest: (T, B, …), or (B, T, …) with `batch_first`.

    `padding_side` is "right" or "left" (else ValueError). RuntimeError if there are none, or other axes differ.

    >>> nn.utils.rnn.pad_sequence([minipar.tensor([1, 2]), minipar.tensor([3])], batch_first=True, padding_side="left")
    tensor([[1, 2],
            [0, 3]])
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side must be 'right' or 'left', not {padding_side!r}")
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: sequences must be one or more tensors, got none")
    if any(not s.ndim or s.shape[1:] != sequences[0].shape[1:] for s in sequences):
        raise RuntimeError(
            f"pad_sequence: sequences must agree in all axes but the first, got {[s.shape for s in sequences]}"
        )
    lengths = np.array([len(s) for s in sequences])
    longest = int(lengths.max())
    present = np.arange(longest) < lengths[:, None]
    if padding_side == "left":
        present = present[:, ::-1]
    rows = cat([s for s in sequences if len(s)] or sequences[:1])
    padded = _placed(rows, present, padding_value)
    return padded if batch_first else transpose(padded, 0, 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of padded (T, B, …), or (B, T, …) with `batch_first`, each cut to its length.

    ValueError unless there is one length a sequence.

    >>> nn.utils.rnn.unpad_sequence(minipar.tensor([[1, 2], [3, 0]]), minipar.tensor([2, 1]), batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    numbers = _lengths("unpad_sequence", lengths)
    x = padded_sequences if batch_first else transpose(padded_sequences, 0, 1)
    if len(numbers) != len(x):
        raise ValueError(f"unpad_sequence: lengths must be {len(x)} numbers, one a sequence, got {len(numbers)}")
    return [x[i, :length] for i, length in enumerate(numbers.tolist())]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (length, …); they must come with descending lengths, unless not `enforce_sorted`.

    >>> nn.utils.rnn.pack_sequence([minipar.tensor([1]), minipar.tensor([2, 3])], enforce_sorted=False).data
    tensor([2, 1, 3])
    """
    sequences = list(sequences)
    return pack_padded_sequence(pad_sequence(sequences), [len(s) for s in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed, in their order.

    >>> pack = nn.utils.rnn.pack_sequence([minipar.tensor([1, 2]), minipar.tensor([3])])
    >>> nn.utils.rnn.unpack_sequence(pack)
    [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def _lengths(name: str, lengths: Any) -> np.ndarray:
    numbers = lengths.cpu().numpy() if isinstance(lengths, Tensor) else np.asarray([int(n) for n in lengths])
    if numbers.ndim != 1:
        raise RuntimeError(f"{name}: lengths must be of 1 dimension, got shape {numbers.shape}")
    return numbers.astype(np.int64)


def _beside(array: np.ndarray, x: Tensor) -> Tensor:
    """The array as a tensor on x's device."""
    return wrap(on_device(array, device_of(x.array)))


def _placed(rows: Tensor, present: np.ndarray, padding_value: float) -> Tensor:
    """A block of shape (*present.shape, …) that holds the rows where `present`, in order, and the value elsewhere."""
    shape = (*present.shape, *rows.shape[1:])
    mask = _beside(present, rows)
    block = PutItem(mask.array, shape)(rows)
    if padding_value == 0:
        return block
    return where(mask.reshape(present.shape + (1,) * (rows.ndim - 1)), block, padding_value)
