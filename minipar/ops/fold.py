"""Windows as columns (unfold, "im2col") and columns added back (fold, "col2im"): each is the other's transpose."""

from __future__ import annotations

from typing import Any

from ..backend.dispatch import kernel
from .op import Op, check_dtypes
from .pool import check_not_empty
from .shape import reshape
from .windows import Sizes, batched, sizes


class Unfold2d(Op):
    """x (N, C, H, W) → the columns of its windows (N, C·kh·kw, L)"""

    __slots__ = ("geometry", "source")

    def __init__(self, *geometry: Any) -> None:
        self.geometry = geometry

    def forward(self, x):
        self.source = x.shape
        return kernel("unfold2d", x)(x, *self.geometry)

    def vjp(self, g):
        return Fold2d(self.source, *self.geometry)(g)


class Fold2d(Op):
    """Columns (N, C·kh·kw, L) → images of the given shape, each element added where its window has it."""

    __slots__ = ("shape", "geometry")

    def __init__(self, shape: Any, *geometry: Any) -> None:
        self.shape, self.geometry = shape, geometry

    def forward(self, columns):
        return kernel("fold2d", columns)(columns, self.shape, *self.geometry)

    def vjp(self, g):
        return Unfold2d(*self.geometry)(g)


def unfold(input: Any, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1) -> Any:
    """The windows of images (N, C, H, W) or (C, H, W) as columns: (N, C·kh·kw, L) or (C·kh·kw, L).

    L = OH·OW, the output positions of a convolution with these arguments, row by row; within a column channels come
    first, then the window's rows, then its columns. RuntimeError for a wrong rank or where no window fits.

    >>> F.unfold(minipar.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]), 2)
    tensor([[1., 2.],
            [2., 3.],
            [4., 5.],
            [5., 6.]])
    """
    check_dtypes("unfold", input)
    geometry = _geometry(kernel_size, dilation, padding, stride)
    if len(input.shape) in (3, 4):
        check_not_empty("unfold", input if len(input.shape) == 4 else reshape(input, (1, *input.shape)))
    return batched("unfold", 2, input, Unfold2d(*geometry))


def fold(
    input: Any, output_size: Sizes, kernel_size: Sizes, dilation: Sizes = 1, padding: Sizes = 0, stride: Sizes = 1
) -> Any:
    """Columns (N, C·kh·kw, L) or (C·kh·kw, L) added up into images (N, C, H, W) or (C, H, W), (H, W) = `output_size`.

    The transpose of `unfold`, not its inverse: a pixel of several windows is the sum of what they have there.
    RuntimeError where the columns are not those of such images.

    >>> F.fold(minipar.ones(4, 2), (2, 3), 2)
    tensor([[[1., 2., 1.],
             [1., 2., 1.]]])
    """
    check_dtypes("fold", input)
    (h, w), window = sizes(output_size, 2, "output_size", 1), sizes(kernel_size, 2, "kernel_size", 1)
    window, step, frame, spread = _geometry(kernel_size, dilation, padding, stride)
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip((h, w), window, step, frame, spread)]
    area = window[0] * window[1]
    rows, columns = input.shape[-2:] if len(input.shape) in (2, 3) else (0, 0)
    if not rows or rows % area or min(counts) < 1 or columns != counts[0] * counts[1]:
        raise RuntimeError(
            f"fold: input must have shape (N, C·{area}, L) or (C·{area}, L) with L = {counts[0]}·{counts[1]} windows "
            f"of {window} in output_size {(h, w)}, not {tuple(input.shape)}"
        )
    whole = input if len(input.shape) == 3 else reshape(input, (1, *input.shape))
    images = Fold2d((len(whole), rows // area, h, w), window, step, frame, spread)(whole)
    return images if len(input.shape) == 3 else reshape(images, images.shape[1:])


def _geometry(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[tuple[int, ...], ...]:
    """(kernel, stride, padding, dilation), each a pair."""
    return (
        sizes(kernel_size, 2, "kernel_size", 1),
        sizes(stride, 2, "stride", 1),
        sizes(padding, 2, "padding", 0),
        sizes(dilation, 2, "dilation", 1),
    )
