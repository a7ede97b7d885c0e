"""Dropout as functions."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from ...ops import dropout as ops
from ...ops.accepts import needs_tensors, rank
from ...ops.inplace import in_place
from ...ops.shape import squeeze, unsqueeze
from ...tensor import Tensor

__all__ = ["alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]


def _applied(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, function: Callable[[Any], Any]
) -> Tensor:
    needs_tensors(input)
    changes = training and p and input.numel()  # what changes nothing is allowed on a leaf, too
    return in_place(input, f"{name}_", function) if inplace and changes else function(input)


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, batch_dim: int | None = 0
) -> Tensor:
    """Every element is 0 with probability `p`, else x / (1 − p); the input itself if not `training`.

    input: any shape, floating point; `inplace` overwrites it. `batch_dim` (ours) is the axis that counts samples: what
    is dropped does not depend on how a batch is split over workers. ValueError unless 0 ≤ p ≤ 1. Srivastava et al.,
    Dropout, JMLR 2014.

    >>> y = F.dropout(minipar.ones(1000), 0.2)
    >>> sorted(set(y.tolist())), 700 < int((y > 0).sum()) < 900
    ([0.0, 1.25], True)
    """
    return _applied("dropout", input, p, training, inplace, lambda x: ops.dropout(x, p, training, batch_dim=batch_dim))


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1, for networks of SELUs; see `minipar.ops.dropout.alpha_dropout`.

    >>> F.alpha_dropout(minipar.ones(2), 0.5).tolist()  # not training
    [1.0, 1.0]
    """
    return _applied("alpha_dropout", input, p, training, inplace, lambda x: ops.alpha_dropout(x, p, training))


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """alpha_dropout of whole channels of input (N, C, …). RuntimeError for fewer than 2 axes.

    >>> y = F.feature_alpha_dropout(minipar.ones(2, 3, 5), 0.5, training=True)
    >>> bool((y == y[:, :, :1]).all())
    True
    """
    return _applied(
        "feature_alpha_dropout", input, p, training, inplace, lambda x: ops.feature_alpha_dropout(x, p, training)
    )


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of input (N, C, L) or (C, L) are 0 with probability `p`, else enlarged by 1 / (1 − p).

    RuntimeError for another number of axes, ValueError unless 0 ≤ p ≤ 1. Tompson et al., Efficient object localization
    using convolutional networks, 2015.

    >>> y = F.dropout1d(minipar.ones(2, 3, 4))
    >>> bool((y == y[:, :, :1]).all())
    True
    """
    ops.check_probability(p)
    if rank(input) not in (2, 3):
        raise RuntimeError(f"dropout1d: input must have shape (N, C, L) or (C, L), got {tuple(input.shape)}")
    return _channelwise("dropout1d", input, p, training, inplace, batched=input.ndim == 3)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of input (N, C, H, W) are 0 with probability `p`, else enlarged by 1 / (1 − p).

    As in PyTorch, three axes are taken for (N, C, L), with a warning, and so is any other number from 2 on.

    >>> y = F.dropout2d(minipar.ones(2, 3, 4, 4))
    >>> bool((y == y[:, :, :1, :1]).all())
    True
    """
    ops.check_probability(p)
    if rank(input) not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.ndim}-D input to dropout2d, which is deprecated; "
            "pass (N, C, H, W), or use dropout1d or dropout3d",
            stacklevel=2,
        )
    elif input.ndim == 3:
        warnings.warn(
            "dropout2d: Received a 3-D input to dropout2d and assuming that channel-wise 1-D dropout behavior is "
            "desired: input is taken for (N, C, L), not for (C, H, W); use dropout1d for that",
            stacklevel=2,
        )
    return _channelwise("dropout2d", input, p, training, inplace, batched=True)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Whole channels of input (N, C, D, H, W) or (C, D, H, W) are 0 with probability `p`, else enlarged by 1 / (1 − p).

    >>> y = F.dropout3d(minipar.ones(2, 3, 2, 2, 2))
    >>> bool((y == y[:, :, :1, :1, :1]).all())
    True
    """
    ops.check_probability(p)
    if rank(input) not in (4, 5):
        warnings.warn(
            f"dropout3d: Received a {input.ndim}-D input to dropout3d, which is deprecated; "
            "pass (N, C, D, H, W) or (C, D, H, W), or use dropout1d or dropout2d",
            stacklevel=2,
        )
    return _channelwise("dropout3d", input, p, training, inplace, batched=input.ndim == 5)


def _channelwise(name: str, input: Tensor, p: float, training: bool, inplace: bool, batched: bool) -> Tensor:
    def dropped(x: Any) -> Any:
        if batched:
            return ops.feature_dropout(x, p, training)
        return squeeze(ops.feature_dropout(unsqueeze(x, 0), p, training, batch_dim=None), 0)

    return _applied(name, input, p, training, inplace, dropped)
