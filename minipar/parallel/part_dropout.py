"""Dropout where a rank holds only some features, channels, heads or rows of what one process would hold.

What is dropped is a function of the draw, the global sample and the element's number in that sample. So a rank that
holds a part draws for the whole, and keeps its part: together the ranks drop what one process would drop.

          one process       rank 0    rank 1
    x     · × · · × ·       · × ·     · × ·        the same draw, cut where the features are cut
"""

from __future__ import annotations

from typing import Any

from ..backend.random import part_of_elements
from ..nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout
from ..nn.module import Module
from ..tensor import Tensor

DROPOUTS = (Dropout, Dropout1d, Dropout2d, Dropout3d, AlphaDropout, FeatureAlphaDropout)


class PartDropout(Module):
    """`dropout`, one of nn's dropout layers, on elements start … of `total` along axis `dim` of what it would get.

    `dim` is negative: counted from the last axis. The input's own size there says how many this rank holds (it may be
    none: the draw is made all the same). Whole channels that are dropped (Dropout2d) are so for every row alike.

    TypeError for a module that is no dropout, ValueError for a `dim` of 0 or more or a part outside its whole;
    RuntimeError where the input does not fit into the whole.

    >>> x = minipar.ones(2, 6)
    >>> generator = minipar.manual_seed(0)
    >>> whole = nn.Dropout(0.5)(x)
    >>> generator = minipar.manual_seed(0)
    >>> layer = minipar.parallel.PartDropout(nn.Dropout(0.5), dim=-1, start=2, total=6)
    >>> bool((layer(x[:, 2:5]) == whole[:, 2:5]).all())
    True
    """

    def __init__(self, dropout: Module, dim: int, start: int, total: int) -> None:
        super().__init__()
        if not isinstance(dropout, DROPOUTS):
            known = ", ".join(kind.__name__ for kind in DROPOUTS)
            raise TypeError(f"PartDropout: dropout must be one of {known}, not {type(dropout).__name__}")
        with part_of_elements(dim, start, total):  # which checks them
            self.dropout = dropout
        self.dim, self.start, self.total = dim, start, total

    def forward(self, input: Tensor) -> Any:
        with part_of_elements(self.dim, self.start, self.total):
            return self.dropout(input)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, start={self.start}, total={self.total}"
