"""Initial values with a structure: constants, identities, orthogonal and sparse matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend.random import Generator, chosen
from ...ops.accepts import needs_tensors, rank
from ...tape import set_grad_mode
from ...tensor import Tensor
from .draws import fill, normal_


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element is `val`.

    >>> nn.init.constant_(minipar.empty(2), 0.5)
    tensor([0.5, 0.5])
    """
    needs_tensors(tensor)
    with set_grad_mode(False):
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Every element is 1.

    >>> nn.init.ones_(minipar.empty(2))
    tensor([1., 1.])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element is 0.

    >>> nn.init.zeros_(minipar.empty(2))
    tensor([0., 0.])
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity: a Linear passes on as many of its inputs as it can. ValueError unless 2-dimensional.

    >>> nn.init.eye_(minipar.empty(2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    _check_dimensions("eye_", tensor, (2,))
    return fill(tensor, np.eye(*tensor.shape, dtype=tensor.dtype))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity of a convolution: 1 at the window's middle from input channel i to output channel i of each group.

    ValueError unless 3-, 4- or 5-dimensional with an output channel number that `groups` divides.

    >>> nn.init.dirac_(minipar.empty(2, 2, 3)).tolist()
    [[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]
    """
    _check_dimensions("dirac_", tensor, (3, 4, 5))
    outputs, inputs, *window = tensor.shape
    if outputs % groups:
        raise ValueError(f"dirac_: dim 0 must be divisible by groups, but {outputs} is not by {groups}")
    weight = np.zeros(tensor.shape, tensor.dtype)
    middle: list[Any] = [size // 2 for size in window]
    channel = np.arange(min(outputs // groups, inputs))
    for group in range(groups):
        weight[(group * (outputs // groups) + channel, channel, *middle)] = 1
    return fill(tensor, weight)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """A random (semi-)orthogonal matrix times `gain`, uniform among all; dimensions from the second on are one.

    Saxe, McClelland & Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks
    (2013); the Q of a normal matrix's QR with the signs of R's diagonal (Mezzadri 2007), computed in float64.
    ValueError for fewer than 2 dimensions.

    >>> w = nn.init.orthogonal_(minipar.empty(2, 3, dtype=minipar.float64))
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    if rank(tensor) < 2:
        raise ValueError(f"orthogonal_ needs a tensor of 2 or more dimensions, got shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    drawn = chosen(generator).normal((rows, tensor.numel() // rows), np.dtype(np.float64))
    wide = drawn.shape[0] < drawn.shape[1]
    q, r = np.linalg.qr(drawn.T if wide else drawn)
    q *= np.sign(np.diagonal(r))
    return fill(tensor, (gain * (q.T if wide else q)).reshape(tensor.shape).astype(tensor.dtype))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Normal with standard deviation `std`, and ⌈sparsity·rows⌉ random elements of each column 0.

    Martens, Deep learning via Hessian-free optimization (ICML 2010). ValueError unless 2-dimensional.

    >>> w = nn.init.sparse_(minipar.empty(4, 3), sparsity=0.5)
    >>> (w == 0).sum(dim=0)
    tensor([2, 2, 2])
    """
    _check_dimensions("sparse_", tensor, (2,))
    draw = chosen(generator)
    normal_(tensor, 0, std, draw)
    weight = np.array(tensor.detach().cpu().numpy())
    order = np.argsort(draw.uniform(tensor.shape, np.dtype(np.float64)), axis=0)
    np.put_along_axis(weight, order[: math.ceil(sparsity * len(weight))], 0, axis=0)
    return fill(tensor, weight)


def _check_dimensions(name: str, tensor: Tensor, allowed: tuple[int, ...]) -> None:
    if rank(tensor) not in allowed:
        wanted = ", ".join(map(str, allowed))
        raise ValueError(
            f"{name}: only tensors with {wanted} dimensions are supported, not shape {tuple(tensor.shape)}"
        )
