"""Dropout as layers: they act in training mode only."""

from __future__ import annotations

from ..ops.dropout import check_probability
from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        check_probability(p)
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training every element is 0 with probability `p`, else x / (1 − p): see `F.dropout`.

    `batch_dim` (ours, by keyword) is the axis of the input that counts samples, 1 for sequences (T, B, …).

    >>> layer = nn.Dropout(0.5).eval()
    >>> layer(minipar.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, batch_dim: int | None = 0) -> None:
        super().__init__(p, inplace)
        self.batch_dim = batch_dim

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training, self.inplace, batch_dim=self.batch_dim)


class Dropout1d(_Dropout):
    """In training whole channels of (N, C, L) or (C, L) are 0 with probability `p`: see `F.dropout1d`.

    >>> nn.Dropout1d(0.2)
    Dropout1d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """In training whole channels of (N, C, H, W) are 0 with probability `p`: see `F.dropout2d`.

    >>> nn.Dropout2d(0.2)
    Dropout2d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """In training whole channels of (N, C, D, H, W) or (C, D, H, W) are 0 with probability `p`: see `F.dropout3d`.

    >>> nn.Dropout3d(0.2)
    Dropout3d(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """In training, dropout that keeps mean 0 and variance 1: see `F.alpha_dropout`.

    >>> nn.AlphaDropout(0.2)
    AlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """In training, AlphaDropout of whole channels of (N, C, …): see `F.feature_alpha_dropout`.

    >>> nn.FeatureAlphaDropout(0.2)
    FeatureAlphaDropout(p=0.2, inplace=False)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
