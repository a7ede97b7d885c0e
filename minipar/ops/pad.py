"""Padding, as `F.pad`: constant for any axes; reflect, replicate and circular for the last one to three."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from ..backend.dtypes import scalar_like
from .accepts import rank
from .index import PutItem, SetItem, getitem
from .join import cat
from .op import array_of
from .repeat import flip
from .shape import expand, ints, narrow

_MODES = ("constant", "reflect", "replicate", "circular")


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """`input` with `pad` = (before, after) entries more along the last axis, (…, …) along the one before, and so on.

    Negative numbers cut off. What is added is, by `mode`: "constant", the number `value` (0 by default); "reflect", the
    mirror image without the edge; "replicate", the edge; "circular", the other end. The last three pad the last one of
    two or three axes, two of three or four, or three of four or five, as in PyTorch.

    >>> x = minipar.tensor([[1.0, 2.0, 3.0]])
    >>> F.pad(x, (1, 2))
    tensor([[0., 1., 2., 3., 0., 0.]])
    >>> F.pad(x, (2, 1), "reflect")
    tensor([[3., 2., 1., 2., 3., 2.]])
    """
    amounts = ints(pad, "pad")
    ndim = rank(input)
    if len(amounts) % 2 or len(amounts) > 2 * ndim:
        raise RuntimeError(f"pad: pad must hold two numbers for each of at most {ndim} axes, got {amounts}")
    if mode not in _MODES:
        raise NotImplementedError(f"pad: mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if mode == "constant":
        return constant_pad(input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f"pad: value is for mode='constant' alone, got value={value} with mode={mode!r}")
    if len(amounts) not in (2, 4, 6) or ndim - len(amounts) // 2 not in (1, 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last axis of 2 or 3, two of 3 or 4, or three of 4 or 5; got {amounts} for "
            f"shape {tuple(input.shape)}"
        )
    for i in range(0, len(amounts), 2):
        input = _pad_axis(input, ndim - 1 - i // 2, amounts[i], amounts[i + 1], mode)
    return input


@on_its_gpu
def constant_pad(input: Any, pad: Sequence[int], value: float = 0) -> Any:
    """`F.pad` with mode "constant".

    >>> minipar.ops.pad.constant_pad(minipar.ones(2), (1, 0), 5.0)
    tensor([5., 1., 1.])
    """
    shape, kept, place = list(input.shape), [slice(None)] * len(input.shape), [slice(None)] * len(input.shape)
    for i in range(0, len(pad), 2):
        axis, before, after = len(shape) - 1 - i // 2, pad[i], pad[i + 1]
        size = shape[axis]
        shape[axis] = size + before + after
        if shape[axis] < 0:
            raise RuntimeError(f"pad: {(before, after)} cuts more than the {size} entries of dim {axis}")
        kept[axis] = slice(max(-before, 0), max(size - max(-after, 0), max(-before, 0)))
        place[axis] = slice(max(before, 0), max(shape[axis] - max(after, 0), max(before, 0)))
    inner = getitem(input, tuple(kept)) if min(pad, default=0) < 0 else input
    if value == 0:
        return PutItem(tuple(place), tuple(shape))(inner)
    array = array_of(input)
    return SetItem(tuple(place))(namespace(array).full(shape, scalar_like(value, array, array.dtype)), inner)


def _pad_axis(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """One axis: what is cut off first, then what is added."""
    size = x.shape[axis]
    limit = {"reflect": size - 1, "circular": size, "replicate": max(before, after) if size else 0}[mode]
    if max(before, after) > limit:
        raise RuntimeError(
            f"pad: mode {mode!r} can add at most {limit} entries to dim {axis} of shape {tuple(x.shape)}, not "
            f"{(before, after)}"
        )
    cut_before, cut_after = max(-before, 0), max(-after, 0)
    if cut_before + cut_after > size:
        raise RuntimeError(f"pad: {(before, after)} cuts more than the {size} entries of dim {axis}")
    kept = narrow(x, axis, cut_before, size - cut_before - cut_after)
    if mode == "circular":  # PyTorch mirrors and repeats what was there, but goes around what is left
        x = kept
    parts = [kept]
    if before > 0:
        parts.insert(0, _border(x, axis, before, mode, first=True))
    if after > 0:
        parts.append(_border(x, axis, after, mode, first=False))
    return cat(parts, axis)


def _border(x: Any, axis: int, count: int, mode: str, first: bool) -> Any:
    """What is added before the first entry, or after the last."""
    size = x.shape[axis]
    if mode == "circular":
        return narrow(x, axis, size - count if first else 0, count)
    if mode == "reflect":
        return flip(narrow(x, axis, 1 if first else size - 1 - count, count), axis)
    edge = narrow(x, axis, 0 if first else size - 1, 1)
    return expand(edge, [count if i == axis else n for i, n in enumerate(x.shape)])
