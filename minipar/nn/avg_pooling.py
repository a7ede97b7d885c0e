"""Mean-pooling layers, and those by a power mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import avg_pool
from ..ops.windows import Sizes
from ..tensor import Tensor
from .module import Module


class AvgPool1d(Module):
    """The mean of each window: (N, C, L) → (N, C, OL), or both without N; `stride` is the kernel size unless given.

    Errors as in F.avg_pool1d.

    >>> nn.AvgPool1d(3, stride=2)(minipar.zeros(2, 4, 9)).shape
    (2, 4, 4)
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        given = kernel_size, kernel_size if stride is None else stride, padding
        self.kernel_size, self.stride, self.padding = [(n,) if isinstance(n, int) else n for n in given]
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        geometry = self.kernel_size, self.stride, self.padding
        return avg_pool.avg_pool1d(input, *geometry, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    """The arguments of the two; `stride` is the kernel size unless given."""

    function: Callable[..., Any]

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, kernel_size if stride is None else stride, padding
        self.ceil_mode, self.count_include_pad, self.divisor_override = ceil_mode, count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        geometry = self.kernel_size, self.stride, self.padding
        return self.function(input, *geometry, self.ceil_mode, self.count_include_pad, self.divisor_override)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """The mean of each window: (N, C, H, W) → (N, C, OH, OW); `stride` is the kernel size unless given.

    Errors as in F.avg_pool2d.

    >>> nn.AvgPool2d(2)(minipar.ones(1, 2, 2))
    tensor([[[1.]]])
    """

    function = staticmethod(avg_pool.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each box: (N, C, D, H, W) → (N, C, OD, OH, OW); `stride` is the kernel size unless given.

    Errors as in F.avg_pool3d.

    >>> nn.AvgPool3d(2)(minipar.zeros(1, 4, 4, 6, 8)).shape
    (1, 4, 2, 3, 4)
    """

    function = staticmethod(avg_pool.avg_pool3d)


class _LPPool(Module):
    """(Σ xᵖ)^(1/p), p = norm_type, of each window."""

    function: Callable[..., Any]

    def __init__(self, norm_type: float, kernel_size: Sizes, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p), p = norm_type, of each window: (N, C, L) → (N, C, OL); errors as in F.lp_pool1d.

    >>> nn.LPPool1d(2, 2)(minipar.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """

    function = staticmethod(avg_pool.lp_pool1d)


class LPPool2d(_LPPool):
    """(Σ xᵖ)^(1/p), p = norm_type, of each window: (N, C, H, W) → (N, C, OH, OW); errors as in F.lp_pool2d.

    >>> nn.LPPool2d(1, 2)(minipar.ones(1, 2, 2))
    tensor([[[4.]]])
    """

    function = staticmethod(avg_pool.lp_pool2d)


class LPPool3d(_LPPool):
    """(Σ xᵖ)^(1/p), p = norm_type, of each box: (N, C, D, H, W) → (N, C, OD, OH, OW); errors as in F.lp_pool3d.

    >>> nn.LPPool3d(3, 2)(minipar.ones(1, 2, 2, 2))
    tensor([[[[2.]]]])
    """

    function = staticmethod(avg_pool.lp_pool3d)
