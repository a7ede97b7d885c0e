"""Keeping gradients small: by their norm, all together, or each element by itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from types import GeneratorType
from typing import Any

from ...backend import device_of, namespace, on_device
from ...backend.current_gpu import on_its_gpu
from ...creation import tensor
from ...tape import set_grad_mode
from ...tensor import Tensor, wrap
from ..split import check_whole
from .listed import listed_tensors

Tensors = Tensor | Iterable[Tensor]
_OVER_ALL_RANKS = (
    "call net.clip_grad_norm_(max_norm), of the net that parallelize returned, which clips by the 2-norm over all "
    "ranks, and returns it"
)


@on_its_gpu
def get_total_norm(
    tensors: Tensors, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> Tensor:
    """(Σ |x|^norm_type)^(1/norm_type) over all elements of all tensors, as a 0-d tensor; "inf" is max |x|.

    RuntimeError for a norm that is infinite or NaN if `error_if_nonfinite`. `foreach` only chooses an implementation:
    True raises NotImplementedError. ValueError for what a rank holds of a model that is split: there,
    `ParallelModel.clip_grad_norm_` takes the norm over all ranks.

    >>> nn.utils.get_total_norm([minipar.tensor([3.0]), minipar.tensor([4.0])])
    tensor(5.)
    """
    _check_foreach("get_total_norm", foreach)
    order = float(norm_type)
    listed = listed_tensors("tensors", tensors)
    check_whole("get_total_norm", listed, _OVER_ALL_RANKS)
    arrays = [t.array for t in listed]
    if not arrays:
        return tensor(0.0)
    xp = namespace(arrays[0])
    device = device_of(arrays[0])
    norms = xp.stack([on_device(_norm(array.reshape(-1), order), device) for array in arrays])
    total = _norm(norms, order)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"the total norm of order {order} of the gradients is {float(total)}: they cannot be clipped; with "
            "error_if_nonfinite=False they are scaled by it anyway"
        )
    return wrap(xp.asarray(total))


def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply every gradient by min(1, max_norm / (total_norm + 1e-6)), in place.

    `total_norm` is what `get_total_norm` gave for them. `foreach=True` raises NotImplementedError.

    >>> p = nn.Parameter(minipar.zeros(2))
    >>> p.grad = minipar.tensor([3.0, 4.0])
    >>> nn.utils.clip_grads_with_norm_(p, 1.0, minipar.tensor(10.0))
    >>> p.grad
    tensor([0.3, 0.4])
    """
    _check_foreach("clip_grads_with_norm_", foreach)
    with set_grad_mode(False):
        coefficient = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for grad in _gradients(parameters):
            grad.mul_(coefficient.to(grad.device))


def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together, in place, so that their norm is at most `max_norm`. Returns the norm before.

    Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks (ICML 2013). Parameters without a
    gradient do not count. Errors as `get_total_norm`.

    >>> p = nn.Parameter(minipar.zeros(2))
    >>> p.grad = minipar.tensor([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([p], max_norm=1.0), p.grad
    (tensor(5.), tensor([0.6, 0.8]))
    """
    _check_foreach("clip_grad_norm_", foreach)
    listed = listed_tensors("parameters", parameters)
    if not listed and isinstance(parameters, GeneratorType):
        warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=2)
    check_whole("clip_grad_norm_", listed, _OVER_ALL_RANKS)
    total_norm = get_total_norm(_gradients(listed), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(listed, max_norm, total_norm)
    return total_norm


def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Move every element of every gradient into [−clip_value, clip_value], in place.

    Parameters without a gradient are passed over. `foreach=True` raises NotImplementedError.

    >>> p = nn.Parameter(minipar.zeros(3))
    >>> p.grad = minipar.tensor([-5.0, 0.5, 2.0])
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad
    tensor([-1. ,  0.5,  1. ])
    """
    _check_foreach("clip_grad_value_", foreach)
    bound = float(clip_value)
    with set_grad_mode(False):
        for grad in _gradients(parameters):
            grad.clamp_(-bound, bound)


def _norm(x: Any, order: float) -> Any:
    """The p-norm of a row, summed in float32 at least."""
    xp = namespace(x)
    if not x.size and (order < 0 or math.isinf(order)):
        raise RuntimeError(f"norm_type {order} has no value for a tensor without elements")
    if x.dtype == xp.float16:
        return xp.linalg.norm(x.astype(xp.float32), order).astype(xp.float16)
    return xp.linalg.norm(x, order)


def _gradients(parameters: Tensors) -> list[Tensor]:
    return [p.grad for p in listed_tensors("parameters", parameters) if p.grad is not None]


def _check_foreach(name: str, foreach: bool | None) -> None:
    if foreach:
        raise NotImplementedError(f"{name}: foreach={foreach!r} is not supported; None and False are")
