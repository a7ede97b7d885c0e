"""Pooling layers: the maximum of each window, its inverse, and adaptive windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ops import adaptive_pool, pool, unpool
from ..ops.windows import Sizes
from ..tensor import Tensor
from .module import Module


class _MaxPool(Module):
    """The arguments of the three; `stride` is the kernel size unless given."""

    function: Callable[..., Any]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        return self.function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The maximum of each window: (N, C, L) → (N, C, OL), or both without N; errors as in F.max_pool1d.

    >>> nn.MaxPool1d(3, stride=2)(minipar.zeros(2, 4, 9)).shape
    (2, 4, 4)
    """

    function = staticmethod(pool.max_pool1d)


class MaxPool2d(_MaxPool):
    """The maximum of each window: (N, C, H, W) → (N, C, OH, OW); `stride` is the kernel size unless given.

    With `return_indices` also each winner's flat index h·W + w. At ties the first element of the window wins.

    >>> nn.MaxPool2d(2)(minipar.zeros(2, 4, 9, 8)).shape
    (2, 4, 4, 4)
    """

    function = staticmethod(pool.max_pool2d)


class MaxPool3d(_MaxPool):
    """The maximum of each box: (N, C, D, H, W) → (N, C, OD, OH, OW), or both without N; errors as in F.max_pool3d.

    >>> nn.MaxPool3d(2)(minipar.zeros(1, 4, 4, 6, 8)).shape
    (1, 4, 2, 3, 4)
    """

    function = staticmethod(pool.max_pool3d)


class _MaxUnpool(Module):
    """Maxima back at their places; `forward(input, indices, output_size=None)`."""

    dims: int
    function: Callable[..., Any]

    def __init__(self, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0) -> None:
        super().__init__()
        given = kernel_size, kernel_size if stride is None else stride, padding
        self.kernel_size, self.stride, self.padding = [(n,) * self.dims if isinstance(n, int) else n for n in given]

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return self.function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts what MaxPool1d(return_indices=True) gave back at its places, zeros elsewhere; errors as in F.max_unpool1d.

    >>> y, where = nn.MaxPool1d(2, return_indices=True)(minipar.tensor([[1.0, 5.0]]))
    >>> nn.MaxUnpool1d(2)(y, where)
    tensor([[0., 5.]])
    """

    dims = 1
    function = staticmethod(unpool.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Puts what MaxPool2d(return_indices=True) gave back at its places, zeros elsewhere; errors as in F.max_unpool2d.

    >>> nn.MaxUnpool2d(2, stride=3)
    MaxUnpool2d(kernel_size=(2, 2), stride=(3, 3), padding=(0, 0))
    """

    dims = 2
    function = staticmethod(unpool.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Puts what MaxPool3d(return_indices=True) gave back at its places, zeros elsewhere; errors as in F.max_unpool3d.

    >>> y, where = nn.MaxPool3d(2, return_indices=True)(minipar.ones(1, 2, 2, 2))
    >>> nn.MaxUnpool3d(2)(y, where).sum()
    tensor(1.)
    """

    dims = 3
    function = staticmethod(unpool.max_unpool3d)


class _AdaptivePool(Module):
    """`output_size`: an int, None (as the input), or one of them an axis."""

    function: Callable[..., Any]

    def __init__(self, output_size: adaptive_pool.OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        return self.function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(_AdaptivePool):
    """With `return_indices` also each winner's flat place in the input's spatial axes."""

    def __init__(self, output_size: adaptive_pool.OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return self.function(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptivePool):
    """The means of `output_size` windows spread evenly: (N, C, L) → (N, C, OL); errors as in F.adaptive_avg_pool1d.

    >>> nn.AdaptiveAvgPool1d(3)(minipar.zeros(2, 4, 10)).shape
    (2, 4, 3)
    """

    function = staticmethod(adaptive_pool.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptivePool):
    """The means of OH × OW windows spread evenly: (N, C, H, W) → (N, C, OH, OW); errors as in F.adaptive_avg_pool2d.

    >>> nn.AdaptiveAvgPool2d((1, None))(minipar.zeros(2, 4, 5, 6)).shape
    (2, 4, 1, 6)
    """

    function = staticmethod(adaptive_pool.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptivePool):
    """The means of windows spread evenly: (N, C, D, H, W) → (N, C, OD, OH, OW); errors as in F.adaptive_avg_pool3d.

    >>> nn.AdaptiveAvgPool3d(2)(minipar.zeros(1, 4, 3, 4, 5)).shape
    (1, 4, 2, 2, 2)
    """

    function = staticmethod(adaptive_pool.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The maxima of `output_size` windows spread evenly: (N, C, L) → (N, C, OL); errors as in F.adaptive_max_pool1d.

    >>> nn.AdaptiveMaxPool1d(3)(minipar.zeros(2, 4, 10)).shape
    (2, 4, 3)
    """

    function = staticmethod(adaptive_pool.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The maxima of OH × OW windows spread evenly: (N, C, H, W) → (N, C, OH, OW); errors as in F.adaptive_max_pool2d.

    >>> nn.AdaptiveMaxPool2d(1)(minipar.arange(4.0).reshape(1, 2, 2))
    tensor([[[3.]]])
    """

    function = staticmethod(adaptive_pool.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The maxima of windows spread evenly: (N, C, D, H, W) → (N, C, OD, OH, OW); errors as in F.adaptive_max_pool3d.

    >>> nn.AdaptiveMaxPool3d(2)(minipar.zeros(1, 4, 3, 4, 5)).shape
    (1, 4, 2, 2, 2)
    """

    function = staticmethod(adaptive_pool.adaptive_max_pool3d)
