"""Convolution (cross-correlation, as in PyTorch) over one, two or three axes.

A convolution is linear in the image and linear in the weight: ⟨g, x ∗ w⟩ is a sum of products g·x·w, one of each.
Fix two of the three, and the gradient by the third is a kernel of its own: `Convolution` (the gradient by g),
`ConvInput` (by x) and `ConvWeight` (by w). The gradients of each are the two others, so these three operations can be
differentiated as often as one likes, on the same three kernels. ConvInput run forwards is the transposed convolution
(conv_transpose.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..backend import namespace
from ..backend.dispatch import kernel
from ..tape import Value
from .accepts import rank, tensor_shape
from .op import Op, check_dtypes
from .reduce import added_up, sum
from .select import where
from .windows import Sizes, batched, framed, sizes, with_unit_axis, without_unit_axis


class _Conv(Op):
    """Base of the three; geometry = (stride, padding, dilation, groups), its first three with one entry an axis."""

    __slots__ = ("geometry", "shapes")
    saves = (0, 1)
    needed_for = MappingProxyType({0: 1, 1: 0})

    def __init__(self, *geometry: Any) -> None:
        self.geometry = geometry

    @property
    def fuses(self) -> bool:
        """Do the kernels cut off as a ReLU does, and add up the bias's gradient? Those of two axes do."""
        return len(self.geometry[0]) == 2

    def kernel(self, part: str, array: Any) -> Callable[..., Any]:
        return kernel(f"conv{len(self.geometry[0])}d_{part}", array)


class Convolution(_Conv):
    """x (N, C, *spatial), weight (O, C/groups, *kernel), bias (O,) or absent → y (N, O, *output)"""

    def forward(self, x, weight, bias=None):
        self.shapes = x.shape, weight.shape
        return self.kernel("forward", x)(x, weight, bias, *self.geometry)

    def vjp(self, g, x, weight):
        if isinstance(g, Value) or not self.fuses:
            return self._simple_vjp(g, x, weight)
        return self._fused_vjp(g, x, weight, None)

    def _simple_vjp(self, g, x, weight):
        """In operations that have gradients of their own."""
        dx = ConvInput(self.shapes[0], *self.geometry)(g, weight) if self.needs[0] else None
        dw = ConvWeight(self.shapes[1], *self.geometry)(g, x) if self.needs[1] else None
        if len(self.needs) == 2:
            return dx, dw
        return dx, dw, sum(g, (0, *range(2, len(g.shape)))) if self.needs[2] else None

    def _fused_vjp(self, g, x, weight, gate):
        """On arrays: the sums of g come with the weight's gradient, and both may be computed where they are kept.

        The compiled kernels read `gate` beside g. Where a launch is what costs, g is gated once, for all of them.
        """
        if gate is not None and not isinstance(g, np.ndarray):
            g, gate = kernel("relu_gradient", g)(g, gate), None
        dx = dw = db = None
        with_bias = len(self.needs) == 3 and self.needs[2]
        if self.needs[0]:
            dx = self.kernel("grad_input", g)(g, weight, self.shapes[0], *self.geometry, gate)
        if self.needs[1]:
            grad_weight = self.kernel("grad_weight", g)
            if with_bias:
                dw, db = grad_weight(g, x, self.shapes[1], *self.geometry, gate, True, self.room(1), self.room(2))
            else:
                dw = grad_weight(g, x, self.shapes[1], *self.geometry, gate, False, self.room(1))
        elif with_bias:
            db = added_up(g if gate is None else kernel("relu_gradient", g)(g, gate), (0, 2, 3), keepdim=False)
        return (dx, dw) if len(self.needs) == 2 else (dx, dw, db)


class RectifiedConvolution(Convolution):
    """relu(Convolution) as one node; its gradient passes where the output is above 0."""

    saves_output = True

    def forward(self, x, weight, bias=None):
        self.shapes = x.shape, weight.shape
        if self.fuses:
            return self.kernel("forward", x)(x, weight, bias, *self.geometry, True)
        y = self.kernel("forward", x)(x, weight, bias, *self.geometry)
        return namespace(y).maximum(y, y.dtype.type(0), out=y)

    def vjp(self, g, x, weight, y):  # type: ignore[override]
        if isinstance(g, Value) or not self.fuses:
            return self._simple_vjp(where(y <= 0, 0.0, g), x, weight)
        return self._fused_vjp(g, x, weight, y)


class ConvInput(_Conv):
    """g (N, O, *output), weight → the gradient by the input, of its shape: each g is spread over its window."""

    __slots__ = ("input_shape",)

    def __init__(self, input_shape: Sequence[int], *geometry: Any) -> None:
        super().__init__(*geometry)
        self.input_shape = input_shape

    def forward(self, g, weight):
        self.shapes = g.shape, weight.shape
        return self.kernel("grad_input", g)(g, weight, self.input_shape, *self.geometry)

    def vjp(self, x, g, weight):
        dg = Convolution(*self.geometry)(x, weight) if self.needs[0] else None
        dw = ConvWeight(self.shapes[1], *self.geometry)(g, x) if self.needs[1] else None
        return dg, dw


class ConvWeight(_Conv):
    """g (N, O, *output), x → the gradient by the weight, of its shape: each tap's correlation of g with x."""

    __slots__ = ("weight_shape",)

    def __init__(self, weight_shape: Sequence[int], *geometry: Any) -> None:
        super().__init__(*geometry)
        self.weight_shape = weight_shape

    def forward(self, g, x):
        self.shapes = g.shape, x.shape
        return self.kernel("grad_weight", g)(g, x, self.weight_shape, *self.geometry)

    def vjp(self, weight, g, x):
        dg = Convolution(*self.geometry)(x, weight) if self.needs[0] else None
        dx = ConvInput(self.shapes[1], *self.geometry)(g, weight) if self.needs[1] else None
        return dg, dx


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Any:
    """Convolve input (N, C, L) or (C, L) with weight (O, C/groups, k), and add bias (O,): (N, O, OL) or (O, OL).

    y[n, o, i] = bias[o] + Σ_c Σ_t weight[o, c, t] · input[n, c, i·stride − padding + t·dilation], zero outside, and
    OL = ⌊(L + 2·padding − dilation·(k − 1) − 1) / stride⌋ + 1. Arguments and errors as in `conv2d`.

    >>> F.conv1d(minipar.tensor([[1.0, 2.0, 3.0, 4.0]]), minipar.tensor([[[1.0, -1.0]]]))
    tensor([[-1., -1., -1.]])
    """
    return convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Any:
    """Convolve images (N, C, H, W) or one image (C, H, W) with weight (O, C/groups, kh, kw), and add bias (O,).

    Output height ⌊(H + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, width alike; `padding` may be "valid" (none)
    or "same" (as large as the input, stride 1 only; where the padding is odd, one more row or column behind).
    RuntimeError where shapes, dtypes or sizes do not fit, TypeError for an argument that is no int.

    >>> image = minipar.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> F.conv2d(image, minipar.ones(1, 1, 2, 2)), F.conv2d(image, minipar.ones(3, 1, 3, 3), padding="same").shape
    (tensor([[[10.]]]), (3, 2, 2))
    """
    return convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0, dilation: Sizes = 1, groups: int = 1
) -> Any:
    """Convolve volumes (N, C, D, H, W) or one (C, D, H, W) with weight (O, C/groups, kd, kh, kw), and add bias (O,).

    Sizes, arguments and errors as in `conv2d`, for three axes.

    >>> F.conv3d(minipar.ones(1, 2, 3, 4, 5), minipar.ones(6, 2, 3, 3, 3)).shape
    (1, 6, 1, 2, 3)
    """
    return convolve(3, input, weight, bias, stride, padding, dilation, groups)


def convolve(
    dims: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    operation: type[Convolution] = Convolution,
) -> Any:
    name = f"conv{dims}d"
    if rank(x) != dims + 2:
        return batched(
            name, dims, x, lambda x: convolve(dims, x, weight, bias, stride, padding, dilation, groups, operation)
        )
    check_weight(name, dims, weight, groups)
    o, per_group, *window = weight.shape
    if o % groups:
        raise RuntimeError(f"{name}: groups must divide the {o} output channels, got {groups}")
    if x.shape[1] != per_group * groups:
        raise RuntimeError(
            f"{name}: weight {tuple(weight.shape)} with groups={groups} expects {per_group * groups} input channels, "
            f"got input of shape {tuple(x.shape)}"
        )
    check_bias(name, bias, o)
    check_dtypes(name, x, weight, bias)
    stride, dilation = sizes(stride, dims, "stride", 1), sizes(dilation, dims, "dilation", 1)
    if isinstance(padding, str):
        padding, behind = named_padding(padding, window, stride, dilation)
        x = framed(x, (0,) * dims, behind)
    padding = sizes(padding, dims, "padding", 0)
    span = tuple([d * (k - 1) + 1 for d, k in zip(dilation, window)])
    room = tuple([n + 2 * p for n, p in zip(x.shape[2:], padding)])
    if any(s > r for s, r in zip(span, room)):
        raise RuntimeError(
            f"{name}: the kernel {tuple(window)} with dilation {dilation} spans {span}, more than the padded input "
            f"{room} (input {tuple(x.shape)}, padding {padding})"
        )
    if dims == 1:
        x, weight = with_unit_axis(x), with_unit_axis(weight)
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    y = operation(stride, padding, dilation, groups)(*inputs)
    return without_unit_axis(y) if dims == 1 else y


def check_weight(name: str, dims: int, weight: Any, groups: Any) -> None:
    if rank(weight) != dims + 2 or 0 in weight.shape[2:]:
        raise RuntimeError(
            f"{name}: weight must have {dims + 2} axes, two of channels and {dims} of a window of 1 or more taps, "
            f"not shape {tuple(weight.shape)}"
        )
    if not isinstance(groups, int):
        raise TypeError(f"{name}: groups must be an int, not {groups!r}")
    if groups < 1:
        raise RuntimeError(f"{name}: groups must be at least 1, got {groups}")


def check_bias(name: str, bias: Any, channels: int) -> None:
    if bias is not None and tuple(tensor_shape(bias)) != (channels,):
        raise RuntimeError(f"{name}: bias must have shape ({channels},), not {tuple(bias.shape)}")


def named_padding(
    padding: str, window: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Padding "valid" or "same" as (padding on both sides of each axis, what it needs behind beyond that: 0 or 1)."""
    if padding not in ("valid", "same"):
        raise RuntimeError(f"padding must be 'valid', 'same', an int or one int an axis, not {padding!r}")
    if padding == "same" and any(s != 1 for s in stride):
        raise RuntimeError(f"padding='same' needs stride 1, got {tuple(stride)}")
    total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, window)]
    return tuple([n // 2 for n in total]), tuple([n % 2 for n in total])
