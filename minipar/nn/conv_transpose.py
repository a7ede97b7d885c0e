"""Transposed convolution layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ops.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d, transposed_size
from ..ops.windows import Sizes
from ..tensor import Tensor
from .conv import ConvNd


class _ConvTranspose(ConvNd):
    """A transposed convolution of `dims` axes; the arguments of PyTorch's ConvTranspose1d, 2d and 3d."""

    transposed = True
    function: Callable[..., Any]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if isinstance(padding, str):
            raise ValueError(f"padding of a transposed convolution must be an int or one int an axis, not {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            output_padding,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        behind = self.output_padding if output_size is None else self._output_padding(input, output_size)
        geometry = self.stride, self.padding, behind, self.groups, self.dilation
        return self.function(input, self.weight, self.bias, *geometry)

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """What makes the output of this size; ValueError where padding by less than a stride cannot."""
        spatial, wanted = input.shape[-self.dims :], tuple(output_size)[-self.dims :]
        if len(output_size) not in (self.dims, input.ndim):
            raise ValueError(f"output_size must have {self.dims} or {input.ndim} entries, got {tuple(output_size)}")
        arguments = zip(spatial, self.kernel_size, self.stride, self.padding, (0,) * self.dims, self.dilation)
        least = [transposed_size(*axis) for axis in arguments]
        most = [n + s - 1 for n, s in zip(least, self.stride)]
        if any(not low <= n <= high for low, n, high in zip(least, wanted, most)):
            raise ValueError(f"output_size must be from {least} to {most} for input {input.shape}, got {wanted}")
        return tuple([n - low for n, low in zip(wanted, least)])


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of sequences: (N, in_channels, L) → (N, out_channels, OL), or both without N.

    OL = (L − 1)·stride − 2·padding + dilation·(k − 1) + output_padding + 1. Weight (in, out/groups, k), bias (out,).
    `forward(x, output_size)` chooses the output_padding itself. ValueError for arguments that do not fit.

    >>> nn.ConvTranspose1d(3, 8, 4, stride=2, padding=1)(minipar.zeros(2, 3, 10)).shape
    (2, 8, 20)
    """

    dims = 1
    function = staticmethod(conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images: (N, in_channels, H, W) → (N, out_channels, OH, OW), or both without N.

    Sizes as in ConvTranspose1d; weight (in, out/groups, kh, kw), bias (out,).

    >>> layer = nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1)
    >>> layer(minipar.zeros(2, 3, 5, 5)).shape, layer(minipar.zeros(2, 3, 5, 5), output_size=(10, 10)).shape
    ((2, 8, 9, 9), (2, 8, 10, 10))
    """

    dims = 2
    function = staticmethod(conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes: (N, in_channels, D, H, W) → (N, out_channels, OD, OH, OW), or both without N.

    Sizes as in ConvTranspose1d; weight (in, out/groups, kd, kh, kw), bias (out,).

    >>> nn.ConvTranspose3d(2, 3, 2, stride=2)(minipar.zeros(1, 2, 2, 3, 4)).shape
    (1, 3, 4, 6, 8)
    """

    dims = 3
    function = staticmethod(conv_transpose3d)
