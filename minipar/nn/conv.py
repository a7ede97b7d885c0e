"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

from ..creation import empty
from ..ops.conv import Convolution, RectifiedConvolution, convolve, named_padding
from ..ops.conv_pool import pooled_convolution
from ..ops.pad import pad
from ..ops.windows import Sizes, sizes
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class ConvNd(Module):
    """What convolution layers and transposed ones share: the arguments, checked, and the parameters.

    Weight and bias start uniform on ±1/√fan_in. ValueError for channels, groups or a padding that do not fit.
    """

    dims: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes,
        padding: Any,
        dilation: Sizes,
        output_padding: Sizes,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}")
        if isinstance(padding, str) and padding not in ("valid", "same"):
            raise ValueError(f"padding must be 'valid', 'same', an int or one int an axis, not {padding!r}")
        modes = PADDING_MODES[:1] if self.transposed else PADDING_MODES
        if padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {', '.join(map(repr, modes))}, not {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes(kernel_size, self.dims, "kernel_size", 1)
        self.stride, self.dilation = sizes(stride, self.dims, "stride", 1), sizes(dilation, self.dims, "dilation", 1)
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"padding='same' needs stride 1, got {stride}")
        self.padding: Any = padding if isinstance(padding, str) else sizes(padding, self.dims, "padding", 0)
        self.output_padding = sizes(output_padding, self.dims, "output_padding", 0)
        self.padding_mode = padding_mode
        outer, inner = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(empty((outer, inner // groups, *self.kernel_size), device=device, dtype=dtype))
        self.bias = Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(init.fan_in_and_out(self.weight)[0])
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self.dims, (1,) * self.dims
        for name, default in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        text += "" if self.bias is not None else ", bias=False"
        return text + (f", padding_mode={self.padding_mode}" if self.padding_mode != "zeros" else "")


class ConvolvingNd(ConvNd):
    """A convolution of `dims` axes; the arguments of PyTorch's Conv1d, Conv2d and Conv3d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Any = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            0,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        return self._convolved(input, Convolution)

    def forward_relu(self, input: Tensor) -> Tensor:
        """relu(forward(input)) as one node."""
        return self._convolved(input, RectifiedConvolution)

    def _convolved(self, input: Tensor, operation: type[Convolution], with_bias: bool = True) -> Tensor:
        padding, bias = self.padding, self.bias if with_bias else None
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._frame(), self.padding_mode), 0
        return convolve(
            self.dims, input, self.weight, bias, self.stride, padding, self.dilation, self.groups, operation
        )

    def _frame(self) -> list[int]:
        """The padding as `pad` takes it: before and behind, the last axis first."""
        before = self.padding
        extra: tuple[int, ...] = (0,) * self.dims
        if isinstance(before, str):
            before, extra = named_padding(before, self.kernel_size, self.stride, self.dilation)
        return [n for p, e in zip(before[::-1], extra[::-1]) for n in (p, p + e)]


class Conv1d(ConvolvingNd):
    """Convolution of sequences: (N, in_channels, L) → (N, out_channels, OL), or both without N.

    OL = ⌊(L + 2·padding − dilation·(k − 1) − 1) / stride⌋ + 1. Weight (out, in/groups, k), bias (out,). `padding` may
    be "same" or "valid", `padding_mode` "zeros", "reflect", "replicate" or "circular". ValueError for arguments that
    do not fit, RuntimeError for an input that does not.

    >>> nn.Conv1d(3, 8, 5, padding="same")(minipar.zeros(2, 3, 20)).shape
    (2, 8, 20)
    """

    dims = 1


class Conv2d(ConvolvingNd):
    """Convolution of images: (N, in_channels, H, W) → (N, out_channels, OH, OW), or both without N.

    OH = ⌊(H + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1, OW alike. Weight (out, in/groups, kh, kw), bias (out,),
    uniform on ±1/√fan_in at first. The arguments are those of Conv1d; an int holds for both axes.

    >>> nn.Conv2d(3, 8, 3, stride=2, padding=1)
    Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))
    """

    dims = 2

    def forward_relu_pool(self, input: Tensor) -> Tensor:
        """max_pool2d(relu(forward(input)), 2) as one node."""
        return pooled_convolution(input, lambda operation: self._convolved(input, operation))


class Conv3d(ConvolvingNd):
    """Convolution of volumes: (N, in_channels, D, H, W) → (N, out_channels, OD, OH, OW), or both without N.

    Sizes as in Conv2d; weight (out, in/groups, kd, kh, kw), bias (out,). The arguments are those of Conv1d.

    >>> nn.Conv3d(1, 2, 3)(minipar.zeros(1, 1, 5, 6, 7)).shape
    (1, 2, 3, 4, 5)
    """

    dims = 3
