"""Max-pooling of volumes, as two poolings of images: a box's maximum is the largest of the maxima of its slices."""

from typing import Any

from .namespace import array_namespace
from .pool2d import max_pool2d_forward

Array = Any
Triple = tuple[int, int, int]


def max_pool3d_forward(
    x: Array, kernel: Triple, stride: Triple, padding: Triple, dilation: Triple, ceil_mode: bool
) -> tuple[Array, Array]:
    """(y, winners), each (N, C, OD, OH, OW), for x (N, C, D, H, W): maxima and their int64 flat indices in the volume.

    Ties, NaN and errors as in ``max_pool2d_forward``.
    """
    xp = array_namespace(x)
    geometry = kernel, stride, padding, dilation
    n, c, depth, height, width = x.shape
    slices = x.reshape(n, c * depth, height, width)
    maxima, in_slice = max_pool2d_forward(slices, *[size[1:] for size in geometry], ceil_mode)  # type: ignore[arg-type]
    rows, columns = maxima.shape[2:]
    places = rows * columns
    along_depth = [(size[0], alone) for size, alone in zip(geometry, (1, 1, 0, 1))]
    y, of_slices = max_pool2d_forward(maxima.reshape(n, c, depth, places), *along_depth, ceil_mode)  # type: ignore[arg-type]
    output = of_slices.shape[2]
    of_slices = of_slices.reshape(n, c, output * places)
    winners = xp.take_along_axis(in_slice.reshape(n, c, depth * places), of_slices, 2)
    winners += of_slices // places * (height * width)
    return y.reshape(n, c, output, rows, columns), winners.reshape(n, c, output, rows, columns)
