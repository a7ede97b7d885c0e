"""Layers that look at windows, on rows: this rank's rows of an image → its share of the rows of the layer's output.

Each fetches the rows that its windows need (halo.py), with the padding along the rows already around them, and then is
the layer of one process with no padding along the rows. The columns it has whole.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import nn
from ...backend import namespace
from ...nn import functional as F
from ...nn.conv import ConvolvingNd
from ...nn.fusion import fuse_also
from ...nn.module import Module
from ...ops.conv import Convolution, convolve, named_padding
from ...ops.conv_pool import pooled_convolution
from ...ops.conv_transpose import transposed_size
from ...ops.pad import pad
from ...ops.windows import framed, sizes
from ...tensor import Tensor, wrap
from ..comm import Communicator
from ..shares import share
from .halo import PADDING, Window, exchanged, heights_of, own_rows, repeated, rows_of_window


class OnRows:
    """Base of the layers that hold rows of images. `space`: the ranks that hold the others.

    Every rank runs forward and backward, also one without rows: the others wait for what it sends.
    """

    space: Communicator
    needs_every_rank = True


class ConvolutionOnRows(OnRows, ConvolvingNd):
    """What makes a convolution, or this rank's channels of one, one of rows."""

    def _convolved(self, input: Tensor, operation: type[Convolution], with_bias: bool = True) -> Tensor:
        rows, wanted, _ = rows_of_window(input, self._window(), self.space)
        return own_rows(self._of_columns(rows, operation, with_bias), wanted)

    def _window(self) -> Window:
        before, after = self._along(0)
        mode = self.padding_mode
        return Window(self.kernel_size[0], self.stride[0], before, after, self.dilation[0], mode=mode)

    def _along(self, axis: int) -> tuple[int, int]:
        """Padding before and after."""
        if not isinstance(self.padding, str):
            return (self.padding[axis],) * 2
        both, extra = named_padding(self.padding, self.kernel_size, self.stride, self.dilation)
        return both[axis], both[axis] + extra[axis]

    def _of_columns(self, rows: Tensor, operation: type[Convolution], with_bias: bool = True) -> Tensor:
        """The convolution of rows that have their padding, of columns that have not."""
        before, after = self._along(1)
        if self.padding_mode != "zeros":
            rows, before = pad(rows, [before, after, 0, 0], self.padding_mode), 0
        elif after > before:
            rows = framed(rows, (0, 0), (0, after - before))
        bias = self.bias if with_bias else None
        return convolve(2, rows, self.weight, bias, self.stride, (0, before), self.dilation, self.groups, operation)


class RowsConv2d(ConvolutionOnRows, nn.Conv2d):
    """nn.Conv2d."""

    def forward_relu_pool(self, input: Tensor) -> Tensor:
        """max_pool2d(relu(forward(input)), 2) as one node. An output row looks at two windows, one stride apart."""
        one = self._window()
        both = Window(one.span + one.stride, 2 * one.stride, one.before, one.after, mode=one.mode)
        rows, wanted, _ = rows_of_window(input, both, self.space)
        return own_rows(pooled_convolution(rows, lambda operation: self._of_columns(rows, operation)), wanted)


class RowsMaxPool2d(OnRows, nn.MaxPool2d):
    """nn.MaxPool2d without `return_indices`."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride, padding, dilation = [sizes(n, 2, "size", 0) for n in self._geometry()]
        window = Window(kernel[0], stride[0], padding[0], padding[0], dilation[0], self.ceil_mode)
        rows, wanted, _ = rows_of_window(input, window, self.space, -math.inf)
        y = F.max_pool2d(rows, kernel, stride, (0, padding[1]), dilation, self.ceil_mode)
        return own_rows(y, wanted)

    def _geometry(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation


class RowsAvgPool2d(OnRows, nn.AvgPool2d):
    """nn.AvgPool2d."""

    def forward(self, input: Tensor) -> Tensor:
        kernel, stride, padding = [sizes(n, 2, "size", 0) for n in (self.kernel_size, self.stride, self.padding)]
        window = Window(kernel[0], stride[0], padding[0], padding[0], ceil_mode=self.ceil_mode)
        rows, wanted, height = rows_of_window(input, window, self.space)
        counted = self.count_include_pad, self.divisor_override
        y = own_rows(F.avg_pool2d(rows, kernel, stride, (0, padding[1]), self.ceil_mode, *counted), wanted)
        return y if self.divisor_override else self._by_what_counts(y, window, wanted, height)

    def _by_what_counts(self, y: Tensor, window: Window, wanted: slice, height: int) -> Tensor:
        """y was divided by the window's height; at the edges not all of it counts."""
        start = np.arange(wanted.start, wanted.stop) * window.stride - window.before
        stop = np.minimum(start + window.kernel, height + window.after)
        if not self.count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, height)
        if (stop - start == window.kernel).all():
            return y
        more = namespace(y.array).asarray((window.kernel / (stop - start)).astype(y.dtype))
        return y * wrap(more[:, None])


class RowsConvTranspose2d(OnRows, nn.ConvTranspose2d):
    """nn.ConvTranspose2d without `output_size`.

    Input row i is spread over output rows i·s − p up to i·s − p + d(k − 1). For its share a rank takes the rows that
    reach into it, and so many (of zeros, outside the image) that what they are spread over covers it.
    """

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        if output_size is not None:
            raise NotImplementedError("ConvTranspose2d on rows: output_size is not supported; use output_padding")
        heights = heights_of(input, self.space)
        axis = [both[0] for both in (self.kernel_size, self.stride, self.padding, self.output_padding, self.dilation)]
        height = max(transposed_size(sum(heights), *axis), 0)
        wanted = [share(height, rank, self.space.size) for rank in range(self.space.size)]
        spread = [self._spreading(part) for part in wanted]
        rows = exchanged(input, [repeated(numbers, sum(heights), "zeros") for numbers in spread], heights, self.space)
        own, first = wanted[self.space.rank], int(spread[self.space.rank][0])
        y = F.conv_transpose2d(
            rows,
            self.weight,
            self.bias,
            self.stride,
            (0, self.padding[1]),
            (0, self.output_padding[1]),
            self.groups,
            self.dilation,
        )
        skipped = own.start - (first * self.stride[0] - self.padding[0])
        return own_rows(y if own.start == own.stop else y[..., skipped : skipped + own.stop - own.start, :], own)

    def _spreading(self, wanted: slice) -> np.ndarray:
        """The numbers of the input rows that cover output rows `wanted`."""
        if wanted.start == wanted.stop:
            return np.array([PADDING])
        stride, first, last = self.stride[0], wanted.start + self.padding[0], wanted.stop - 1 + self.padding[0]
        reach = self.dilation[0] * (self.kernel_size[0] - 1)
        start = min(-((reach - first) // stride), first // stride)
        stop = max(last // stride, -((reach - last) // stride)) + 1
        return np.arange(start, stop)


class RowsUpsample(OnRows, nn.Upsample):
    """nn.Upsample of mode "nearest" or "nearest-exact": each output row copies one row."""

    def forward(self, input: Tensor) -> Tensor:
        heights = heights_of(input, self.space)
        numbers = self._resized(wrap(np.arange(sum(heights), dtype=np.float64)[None, None, :, None]), columns=1)
        sources = numbers.array[0, 0, :, 0].astype(np.int64)
        wanted = [share(len(sources), rank, self.space.size) for rank in range(self.space.size)]
        needed = [sources[part] if part.start < part.stop else np.array([PADDING]) for part in wanted]
        rows = exchanged(input, needed, heights, self.space)
        return own_rows(self._resized(rows, height=rows.shape[-2]), wanted[self.space.rank])

    def _resized(self, x: Tensor, height: int | None = None, columns: int | None = None) -> Tensor:
        """Upsample, but that the height, or the columns, stay as many as are given."""
        if self.scale_factor is None:
            size = list(sizes(self.size, 2, "size", 0))
            size = [height or size[0], columns or size[1]]
            return F.interpolate(x, size, None, self.mode)
        scale = self.scale_factor if isinstance(self.scale_factor, tuple) else (self.scale_factor,) * 2
        scale = (1.0 if height else scale[0], 1.0 if columns else scale[1])
        return F.interpolate(x, None, scale, self.mode, None, self.recompute_scale_factor)


class RowsPad2d(OnRows, Module):
    """`padding`, one of nn's padding layers for images."""

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, input: Tensor) -> Tensor:
        left, right, above, below = self.padding.padding
        mode = self.padding.mode
        window = Window(1, 1, above, below, mode="zeros" if mode == "constant" else mode)
        value = getattr(self.padding, "value", None)
        rows, wanted, _ = rows_of_window(input, window, self.space, value or 0.0)
        return own_rows(pad(rows, [left, right, 0, 0], mode, value), wanted)


fuse_also(RowsConv2d, RowsMaxPool2d)
