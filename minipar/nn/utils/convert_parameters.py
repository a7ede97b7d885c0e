"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...ops.join import cat
from ...tensor import Tensor
from ..split import check_whole
from .listed import listed_tensors


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters in one row (n,), in order; differentiable. TypeError for two devices.

    ValueError for what a rank holds of a model that is split: its `state_dict()` is the whole model's.

    >>> layer = nn.Linear(2, 3)
    >>> nn.utils.parameters_to_vector(layer.parameters()).shape
    (9,)
    """
    listed = listed_tensors("parameters", parameters)
    check_whole("parameters_to_vector", listed, "net.state_dict() is the unsplit model's, on every rank")
    _check_one_device(listed)
    return cat([p.reshape(-1) for p in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Replace the parameters' values by the slices of `vec` (n,), in order.

    TypeError if `vec` is no Tensor or the parameters are on two devices, RuntimeError if `vec` is too short,
    ValueError for what a rank holds of a model that is split: its `load_state_dict` takes the whole model's state.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> nn.utils.vector_to_parameters(minipar.tensor([1.0, 2.0]), layer.parameters())
    >>> layer.weight.tolist()
    [[1.0, 2.0]]
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vec must be a Tensor, not {type(vec).__name__}")
    listed = listed_tensors("parameters", parameters)
    check_whole("vector_to_parameters", listed, "net.load_state_dict takes the unsplit model's numbers, on every rank")
    _check_one_device(listed)
    start = 0
    for p in listed:
        size = p.numel()
        if start + size > len(vec):
            raise RuntimeError(f"vec has {len(vec)} elements: too few for a parameter of shape {tuple(p.shape)}")
        p.data = vec.detach()[start : start + size].reshape(p.shape)
        start += size


def _check_one_device(parameters: list[Tensor]) -> None:
    devices = {str(p.device) for p in parameters}
    if len(devices) > 1:
        raise TypeError(f"parameters must be on one device, not on {' and '.join(sorted(devices))}")
