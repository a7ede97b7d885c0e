"""Images sampled at any places, and the places that an affine map gives (M. Jaderberg et al., "Spatial transformer
networks", 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import dtypes, namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import rank, tensor_dtype, tensor_shape
from .index import getitem
from .linalg import matmul
from .magnitude import abs_
from .op import array_of, check_devices, check_dtypes
from .select import where
from .shape import permute, reshape, transpose, unsqueeze

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


@on_its_gpu
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """The places theta · (x, y, 1) of the pixels (x, y) of images `size` (N, C, H, W): (N, H, W, 2), theta (N, 2, 3).

    Coordinates run from −1 to 1: between the centres of the corner pixels with `align_corners`, else between the
    image's edges. ValueError for shapes that do not fit, NotImplementedError for volumes.

    >>> identity = minipar.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> F.affine_grid(identity, (1, 1, 1, 2), align_corners=False)
    tensor([[[[-0.5,  0. ],
              [ 0.5,  0. ]]]])
    """
    if tensor_dtype(theta).kind != "f":
        raise ValueError(f"affine_grid: theta must be floating point, not {theta.dtype.name}")
    if len(size) != 4:
        raise NotImplementedError(f"affine_grid: size must be (N, C, H, W), not {tuple(size)}; volumes are unsupported")
    if tuple(theta.shape) != (size[0], 2, 3) or min(size) < 1:
        raise ValueError(
            f"affine_grid: theta must have shape (N, 2, 3), size be positive and N agree, got {tuple(theta.shape)} and "
            f"{tuple(size)}"
        )
    xp = namespace(array_of(theta))
    y, x = (_places(xp, n, bool(align_corners)) for n in size[2:])
    pixels = xp.stack([*xp.meshgrid(x, y), xp.ones((size[2], size[3]))], -1).reshape(-1, 3).astype(theta.dtype)
    return reshape(matmul(pixels, transpose(theta, 1, 2)), (size[0], size[2], size[3], 2))


def _places(xp: Any, n: int, align_corners: bool) -> Any:
    if n == 1:
        return xp.zeros(1)
    return xp.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n)


@on_its_gpu
def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """Images (N, C, H, W) at the places grid (N, H', W', 2), each (x, y) in coordinates from −1 to 1 → (N, C, H', W').

    `mode` weights the four pixels around a place, or takes the nearest; beyond the image there are "zeros", the pixels
    of its "border", or its "reflection". `align_corners` as in `affine_grid`. ValueError for other words, RuntimeError
    for shapes or dtypes that do not fit, NotImplementedError for volumes and mode "bicubic".

    >>> image = minipar.tensor([[[[1.0, 3.0]]]])
    >>> F.grid_sample(image, minipar.zeros(1, 1, 1, 2), align_corners=True)
    tensor([[[[2.]]]])
    """
    _check(input, grid, mode, padding_mode)
    x, y = (
        _padded(_pixels(getitem(grid, (..., i)), n, bool(align_corners)), n, padding_mode, bool(align_corners))
        for i, n in enumerate((input.shape[3], input.shape[2]))
    )
    image = permute(input, (0, 2, 3, 1))
    if mode == "nearest":
        y, x = array_of(y), array_of(x)
        xp = namespace(x)
        return permute(_picked(image, xp.rint(y), xp.rint(x)), (0, 3, 1, 2))
    total = None
    for row, below in _neighbours(y):
        for column, beside in _neighbours(x):
            part = _picked(image, row, column) * unsqueeze(below * beside, -1)
            total = part if total is None else total + part
    return permute(total, (0, 3, 1, 2))


def _check(input: Any, grid: Any, mode: str, padding_mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"grid_sample: mode must be 'bilinear' or 'nearest', not {mode!r}")
    if padding_mode not in _PADDINGS:
        raise ValueError(f"grid_sample: padding_mode must be 'zeros', 'border' or 'reflection', not {padding_mode!r}")
    if mode == "bicubic" or rank(input) == 5:
        what = "mode='bicubic'" if mode == "bicubic" else "input of volumes (N, C, D, H, W)"
        raise NotImplementedError(f"grid_sample: {what} is not supported")
    check_dtypes("grid_sample", input, grid)
    check_devices("grid_sample", input, grid)
    shapes = tuple(input.shape), tuple(tensor_shape(grid))
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or shapes[1][-1] != 2 or shapes[0][0] != shapes[1][0]:
        raise RuntimeError(f"grid_sample: input must be (N, C, H, W) and grid (N, H', W', 2), got {shapes}")
    if 0 in shapes[0][2:]:
        raise RuntimeError(f"grid_sample: input has no pixels, shape {shapes[0]}")


def _pixels(x: Any, n: int, align_corners: bool) -> Any:
    """Coordinates from −1 to 1 as numbers of pixels, of n."""
    return (x + 1) * ((n - 1) / 2) if align_corners else ((x + 1) * n - 1) * 0.5


def _padded(x: Any, n: int, padding_mode: str, align_corners: bool) -> Any:
    """Where the places beyond the image are looked up."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        x = _reflected(x, *((0.0, n - 1.0) if align_corners else (-0.5, float(n))))
    array = array_of(x)
    return where((array > 0) & (array < n - 1), x, ((array >= n - 1) * (n - 1)).astype(array.dtype))


def _reflected(x: Any, low: float, span: float) -> Any:
    """Back and forth between low and low + span."""
    if not span:
        return x * 0
    away = abs_(x - low)
    array = array_of(away)
    flips = namespace(array).floor(array / span)
    rest = away - flips * span
    return where(flips % 2 == 0, rest, span - rest) + low


def _neighbours(x: Any) -> list[tuple[Any, Any]]:
    """The pixels below and above, and their weights."""
    array = array_of(x)
    below = namespace(array).floor(array)
    with dtypes.quiet():
        part = x - below
    return [(below, 1 - part), (below + 1, part)]


def _picked(image: Any, row: Any, column: Any) -> Any:
    """The pixels (N, H', W', C) of image (N, H, W, C); 0 beyond it."""
    xp = namespace(row)
    inside: Any = True
    places = []
    for at, n in ((row, image.shape[1]), (column, image.shape[2])):
        here = (at >= 0) & (at <= n - 1)
        inside = here & inside
        places.append(xp.where(here, at, 0).astype("int64"))
    sample = xp.arange(image.shape[0])[:, None, None]
    return getitem(image, (sample, *places)) * inside[..., None].astype(image.dtype)
