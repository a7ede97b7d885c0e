"""The sizes of one convolution, checked once: everything else of this package may rely on them."""

from functools import lru_cache
from typing import Any, NamedTuple

from ...reference.shapes import conv_output_size
from ..plan import check_size

Pair = tuple[int, int]
KEPT = 1024  # of what a geometry decides: more than a model has convolutions, with all the sizes of its batches


class Geometry(NamedTuple):
    """x (N, C, H, W), w (O, D, R, S) with D = C / groups, y (N, O, P, Q), in the order of the kernels' arguments."""

    N: int
    C: int
    H: int
    W: int
    O: int
    D: int
    R: int
    S: int
    P: int
    Q: int
    groups: int
    stride: Pair
    padding: Pair
    dilation: Pair

    @property
    def x_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H, self.W

    @property
    def w_shape(self) -> tuple[int, int, int, int]:
        return self.O, self.D, self.R, self.S

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.O, self.P, self.Q

    @property
    def group_outputs(self) -> int:
        """Output channels of one group."""
        return self.O // self.groups

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them, flat."""
        return (*self[:11], *self.stride, *self.padding, *self.dilation)


@lru_cache(KEPT)
def geometry_of(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Geometry:
    """The geometry. ValueError where the shapes do not fit each other, or are too large for the kernels."""
    if len(x_shape) != 4 or len(w_shape) != 4:
        raise ValueError(f"conv2d takes x (N, C, H, W) and w (O, C/groups, R, S), got {x_shape} and {w_shape}")
    if groups < 1 or x_shape[1] % groups or w_shape[0] % groups:
        raise ValueError(f"groups must divide the channels in ({x_shape[1]}) and out ({w_shape[0]}), got {groups}")
    if w_shape[1] * groups != x_shape[1]:
        raise ValueError(
            f"w {tuple(w_shape)} with groups={groups} wants {w_shape[1] * groups} input channels, "
            f"x {tuple(x_shape)} has {x_shape[1]}"
        )
    rows, columns = (
        conv_output_size(x_shape[2 + i], w_shape[2 + i], stride[i], padding[i], dilation[i]) for i in (0, 1)
    )
    geometry = Geometry(*x_shape, *w_shape, rows, columns, groups, tuple(stride), tuple(padding), tuple(dilation))
    for name, shape in (("x", geometry.x_shape), ("w", geometry.w_shape), ("the output", geometry.y_shape)):
        check_size(name, shape)
    return geometry


def check_bias(bias: Any, geometry: Geometry) -> None:
    """ValueError unless there is one number for each output channel."""
    if bias.shape != (geometry.O,):
        raise ValueError(f"bias must have one number for each of the {geometry.O} output channels, got {bias.shape}")


def check_gradient(g: Any, geometry: Geometry) -> None:
    """ValueError unless g has the output's shape."""
    if g.shape != geometry.y_shape:
        raise ValueError(f"g must have the output's shape {geometry.y_shape}, got {g.shape}")
