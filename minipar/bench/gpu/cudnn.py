"""The convolutions of ResNet-18 and of the articles' CNN, forward and both gradients, against PyTorch's: cuDNN's.

Each is timed twice: once where neither side may multiply with fewer bits than float32 has, once where both may use
TF32. cuDNN chooses its algorithm as it does for PyTorch by default (not by trying them all).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ...kernels.cuda import precision
from .cases import ARTICLES_CNN, RESNET18, Convolution
from .check import Check
from .kernel_checks import Kernels, Transfer
from .timing import Stopwatch, Timing, compare, copies

OPPONENT = "cuDNN"
KERNELS = ("conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight")
ALL = (*RESNET18, *ARTICLES_CNN)


class Mode(NamedTuple):
    """How both sides multiply: minipar's precision, may cuDNN use TF32, and how far two results may differ."""

    ours: str
    tf32: bool
    difference: float  # of the largest number of the result


MODES = {"float32": Mode("highest", False, 1e-4), "TF32": Mode("high", True, 5e-3)}


def title(kernel: str, mode: str) -> str:
    """The name of a timing."""
    return f"{kernel}, {mode}"


def cudnn_timings(
    kernels: Kernels,
    torch: Any,
    put: Transfer,
    share: Callable[[Any], Any],
    stopwatch: Stopwatch,
    convolutions: Iterable[Convolution] = ALL,
) -> Iterator[Check | Timing]:
    """Each convolution without a bias; `share` makes a PyTorch tensor of what `put` has made, in the same memory.

    The results of both sides are compared: what computes something else is not fast.
    """
    for c in convolutions:
        drawn = _drawn(c)
        count = copies(sum(array.nbytes for array in drawn))
        stored = [[put(array) for array in drawn] for _ in range(count)]
        operands = [(arrays, [share(array) for array in arrays]) for arrays in stored]
        flop = 2 * math.prod(c.y) * math.prod(c.w[1:])
        for name in KERNELS:
            mine, others = partial(OURS[name], kernels[name], c), partial(THEIRS[name], torch, c)
            for label, mode in MODES.items():
                with minipar_as(mode), pytorch_as(mode, torch):
                    yield compare(title(name, label), str(c), mine, others, operands, flop, stopwatch, OPPONENT)
                    found, right = share(mine(*operands[0])), others(*operands[0])
                    error = float((found - right).abs().max() / right.abs().max())
                yield Check(f"{title(name, label)}, as timed, beside cuDNN", str(c), error, mode.difference)
        del stored, operands  # before the next, larger ones


def same_bits_checks(kernels: Kernels, put: Transfer, convolutions: Iterable[Convolution] = ALL) -> Iterator[Check]:
    """How many numbers of a result have other bits the second time. (This compiles what `cudnn_timings` needs, too.)"""
    for c in convolutions:
        operands = [put(array) for array in _drawn(c)]
        for name in KERNELS:
            for label, mode in MODES.items():
                with minipar_as(mode):
                    first, second = (OURS[name](kernels[name], c, operands, None) for _ in range(2))
                yield Check(f"{title(name, label)}, the same bits twice", str(c), float((first != second).sum()), 0.0)


def _drawn(c: Convolution) -> list[np.ndarray]:
    """x, w and g."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in (c.x, c.w, c.y)]


@contextmanager
def minipar_as(mode: Mode) -> Iterator[None]:
    """Inside, our side multiplies so."""
    before = precision.in_use()
    precision.use(mode.ours)
    try:
        yield
    finally:
        precision.use(before)


@contextmanager
def pytorch_as(mode: Mode, torch: Any) -> Iterator[None]:
    """Inside, their side multiplies so."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = mode.tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


# Of our kernel, or PyTorch, the convolution, and the operands x, w and g of both sides.

OURS: dict[str, Callable[..., Any]] = {
    "conv2d_forward": lambda kernel, c, a, _: kernel(a[0], a[1], None, *c.geometry),
    "conv2d_grad_input": lambda kernel, c, a, _: kernel(a[2], a[1], c.x, *c.geometry),
    "conv2d_grad_weight": lambda kernel, c, a, _: kernel(a[2], a[0], c.w, *c.geometry),
}
THEIRS: dict[str, Callable[..., Any]] = {
    "conv2d_forward": lambda torch, c, _, t: torch.nn.functional.conv2d(t[0], t[1], None, *c.geometry),
    "conv2d_grad_input": lambda torch, c, _, t: _backward(torch, c, t, (True, False, False))[0],
    "conv2d_grad_weight": lambda torch, c, _, t: _backward(torch, c, t, (False, True, False))[1],
}


def _backward(torch: Any, c: Convolution, tensors: list[Any], wanted: tuple[bool, bool, bool]) -> Any:
    """What PyTorch's own backward calls: gradients by (input, weight, bias)."""
    x, w, g = tensors
    return torch.ops.aten.convolution_backward(
        g, x, w, None, c.stride, c.padding, c.dilation, False, (0, 0), c.groups, wanted
    )
