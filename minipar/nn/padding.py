"""Padding layers: F.pad with its arguments kept."""

from __future__ import annotations

from ..ops.pad import pad
from ..ops.windows import Sizes
from ..tensor import Tensor
from .module import Module


class _Pad(Module):
    """`padding`: one int for all sides, or (before, after) of the last axis, then of the one before, and so on."""

    dims: int
    mode: str

    def __init__(self, padding: Sizes) -> None:
        super().__init__()
        self.padding = tuple(padding) if not isinstance(padding, int) else (padding,) * (2 * self.dims)
        if len(self.padding) != 2 * self.dims:
            raise ValueError(f"padding must be an int or {2 * self.dims} ints, got {padding!r}")

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """The same with a number of one's choice around."""

    mode = "constant"

    def __init__(self, padding: Sizes, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    """The same with zeros."""

    def __init__(self, padding: Sizes) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"


class ConstantPad1d(_ConstantPad):
    """Pads the last axis with the number `value`; sizes and errors as in F.pad.

    >>> nn.ConstantPad1d((1, 2), 7.0)(minipar.ones(1, 2))
    tensor([[7., 1., 1., 7., 7.]])
    """

    dims = 1


class ConstantPad2d(_ConstantPad):
    """Pads the last two axes with the number `value`; sizes and errors as in F.pad.

    >>> nn.ConstantPad2d(1, 0.5)(minipar.zeros(1, 3, 3, 4)).shape
    (1, 3, 5, 6)
    """

    dims = 2


class ConstantPad3d(_ConstantPad):
    """Pads the last three axes with the number `value`; sizes and errors as in F.pad.

    >>> nn.ConstantPad3d(1, 0.5)(minipar.zeros(1, 2, 3, 3, 4)).shape
    (1, 2, 5, 5, 6)
    """

    dims = 3


class ZeroPad1d(_ZeroPad):
    """Pads the last axis with zeros; sizes and errors as in F.pad.

    >>> nn.ZeroPad1d(1)(minipar.ones(1, 2))
    tensor([[0., 1., 1., 0.]])
    """

    dims = 1


class ZeroPad2d(_ZeroPad):
    """Pads the last two axes with zeros; sizes and errors as in F.pad.

    >>> nn.ZeroPad2d(1)(minipar.zeros(1, 3, 3, 4)).shape
    (1, 3, 5, 6)
    """

    dims = 2


class ZeroPad3d(_ZeroPad):
    """Pads the last three axes with zeros; sizes and errors as in F.pad.

    >>> nn.ZeroPad3d(1)(minipar.zeros(1, 2, 3, 3, 4)).shape
    (1, 2, 5, 5, 6)
    """

    dims = 3


class ReflectionPad1d(_ReflectionPad):
    """Pads the last axis with its mirror image, without the edge; sizes and errors as in F.pad.

    >>> nn.ReflectionPad1d(1)(minipar.tensor([[1.0, 2.0, 3.0]]))
    tensor([[2., 1., 2., 3., 2.]])
    """

    dims = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads the last two axes with its mirror image, without the edge; sizes and errors as in F.pad.

    >>> nn.ReflectionPad2d(1)(minipar.zeros(1, 3, 3, 4)).shape
    (1, 3, 5, 6)
    """

    dims = 2


class ReflectionPad3d(_ReflectionPad):
    """Pads the last three axes with its mirror image, without the edge; sizes and errors as in F.pad.

    >>> nn.ReflectionPad3d(1)(minipar.zeros(1, 2, 3, 3, 4)).shape
    (1, 2, 5, 5, 6)
    """

    dims = 3


class ReplicationPad1d(_ReplicationPad):
    """Pads the last axis with its edge, repeated; sizes and errors as in F.pad.

    >>> nn.ReplicationPad1d((2, 0))(minipar.tensor([[1.0, 2.0]]))
    tensor([[1., 1., 1., 2.]])
    """

    dims = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads the last two axes with its edge, repeated; sizes and errors as in F.pad.

    >>> nn.ReplicationPad2d(1)(minipar.zeros(1, 3, 3, 4)).shape
    (1, 3, 5, 6)
    """

    dims = 2


class ReplicationPad3d(_ReplicationPad):
    """Pads the last three axes with its edge, repeated; sizes and errors as in F.pad.

    >>> nn.ReplicationPad3d(1)(minipar.zeros(1, 2, 3, 3, 4)).shape
    (1, 2, 5, 5, 6)
    """

    dims = 3


class CircularPad1d(_CircularPad):
    """Pads the last axis with its other end; sizes and errors as in F.pad.

    >>> nn.CircularPad1d((1, 0))(minipar.tensor([[1.0, 2.0, 3.0]]))
    tensor([[3., 1., 2., 3.]])
    """

    dims = 1


class CircularPad2d(_CircularPad):
    """Pads the last two axes with its other end; sizes and errors as in F.pad.

    >>> nn.CircularPad2d(1)(minipar.zeros(1, 3, 3, 4)).shape
    (1, 3, 5, 6)
    """

    dims = 2


class CircularPad3d(_CircularPad):
    """Pads the last three axes with its other end; sizes and errors as in F.pad.

    >>> nn.CircularPad3d(1)(minipar.zeros(1, 2, 3, 3, 4)).shape
    (1, 2, 5, 5, 6)
    """

    dims = 3
