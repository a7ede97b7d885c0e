"""Transposed convolution: the gradient of a convolution by its input, run forwards ("deconvolution"; Zeiler 2010)."""

from __future__ import annotations

from typing import Any

from .accepts import rank
from .conv import ConvInput, check_bias, check_weight
from .op import check_dtypes
from .shape import reshape
from .windows import Sizes, batched, framed, sizes, with_unit_axis, without_unit_axis


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """Spread input (N, C, L) or (C, L) by weight (C, O/groups, k), and add bias (O,): (N, O, OL) or (O, OL).

    OL = (L − 1)·stride − 2·padding + dilation·(k − 1) + output_padding + 1. Arguments and errors as in
    `conv_transpose2d`.

    >>> F.conv_transpose1d(minipar.tensor([[1.0, 2.0]]), minipar.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
    return _spread(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """Spread images (N, C, H, W) or (C, H, W) by weight (C, O/groups, kh, kw), and add bias (O,): (N, O, OH, OW).

    Each pixel adds its value times the window of weights to the output, `stride` apart; then `padding` is cut from
    every side and `output_padding` added behind. OH = (H − 1)·stride − 2·padding + dilation·(kh − 1) +
    output_padding + 1, OW alike. RuntimeError where shapes or dtypes do not fit, where nothing would be left, or
    where output_padding is not smaller than the stride or the dilation.

    >>> F.conv_transpose2d(minipar.ones(1, 2, 4, 4), minipar.ones(2, 3, 3, 3), stride=2, padding=1).shape
    (1, 3, 7, 7)
    """
    return _spread(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """Spread volumes (N, C, D, H, W) or (C, D, H, W) by weight (C, O/groups, kd, kh, kw), and add bias (O,).

    Sizes, arguments and errors as in `conv_transpose2d`, for three axes.

    >>> F.conv_transpose3d(minipar.ones(1, 2, 2, 3, 4), minipar.ones(2, 5, 2, 2, 2)).shape
    (1, 5, 3, 4, 5)
    """
    return _spread(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def transposed_size(size: int, window: int, stride: int, padding: int, output_padding: int, dilation: int) -> int:
    """Entries of one output axis."""
    return (size - 1) * stride - 2 * padding + dilation * (window - 1) + output_padding + 1


def _spread(
    dims: int,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: Any,
    dilation: Any,
) -> Any:
    name = f"conv_transpose{dims}d"
    if rank(x) != dims + 2:
        options = bias, stride, padding, output_padding, groups, dilation
        return batched(name, dims, x, lambda x: _spread(dims, x, weight, *options))
    check_weight(name, dims, weight, groups)
    channels, per_group, *window = weight.shape
    if channels % groups:
        raise RuntimeError(f"{name}: groups must divide the {channels} input channels, got {groups}")
    if x.shape[1] != channels:
        raise RuntimeError(
            f"{name}: weight {tuple(weight.shape)} expects {channels} input channels, got input {tuple(x.shape)}"
        )
    check_bias(name, bias, per_group * groups)
    check_dtypes(name, x, weight, bias)
    stride, dilation = sizes(stride, dims, "stride", 1), sizes(dilation, dims, "dilation", 1)
    padding, extra = sizes(padding, dims, "padding", 0), sizes(output_padding, dims, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise RuntimeError(
            f"{name}: output_padding must be smaller than stride {stride} or dilation {dilation}, got {extra}"
        )
    output = tuple(map(transposed_size, x.shape[2:], window, stride, padding, extra, dilation))
    if min(output) < 1:
        raise RuntimeError(
            f"{name}: input of shape {tuple(x.shape)} with window {tuple(window)} and padding {padding} would give an "
            f"output of size {output}; padding must be smaller"
        )
    # A convolution forgets less than one stride behind its last window; for more (dilation > stride) come zero inputs.
    x = framed(x, (0,) * dims, [e // s for e, s in zip(extra, stride)])
    if dims == 1:
        x, weight, output = with_unit_axis(x), with_unit_axis(weight), (1, *output)
        stride, padding, dilation = (1, *stride), (0, *padding), (1, *dilation)
    y = ConvInput((len(x), per_group * groups, *output), stride, padding, dilation, groups)(x, weight)
    y = without_unit_axis(y) if dims == 1 else y
    return y if bias is None else y + reshape(bias, (-1, *(1,) * dims))
