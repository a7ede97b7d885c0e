"""Ranks whose GPUs speak to one another: `over_nccl` on top of any communicator, and `launch` with backend "nccl"."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ...backend.device import device as Device
from ..comm.communicator import Communicator
from ..comm.nccl import NCCLCommunicator
from ..comm.nccl_gpu import GPU
from ..comm.nccl_places import place_of, trouble
from ..comm.on_board import BoardCommunicator
from .environment import mark_as_rank
from .rank import use_device


def over_nccl(comm: Communicator, device: str | Device | None = None, *, debug: bool | None = None) -> Communicator:
    """A communicator of the ranks of `comm` whose calls take CuPy arrays too, and carry them by NCCL (docs/nccl.md).

    Each rank has a GPU: `device`, else ``comm.device``, else CuPy's current one. It becomes the ``device`` of the new
    communicator, and what "cuda" means there. NumPy arrays and objects go as they go in `comm`, with which it shares
    no calls: both can be used. Collective; so is its ``close()``.

    A call is complete when it returns (or `Work.wait()` does): its result can be used in any stream. What was computed
    in the current stream before the call is in what is sent. Reductions of CuPy arrays add in NCCL's order: the same
    bits on every rank, but not those of other backends; ``algorithm="in-order"`` gives those.

    With `debug` the ranks compare each call about CuPy arrays first, which costs a meeting over `comm`, so a bucket of
    gradients waits for the latest rank; without, calls that differ make wrong numbers or end in the timeout. None: if
    the environment says MINIPAR_DEBUG=1. (Over MPI they do only if `init` was told to debug, too.)

    A rank that sends to many others wants CUDA_DEVICE_MAX_CONNECTIONS=32 in its environment before it first uses a GPU;
    `launch` sees to it, and where the queues do not suffice there is a RuntimeWarning.

    TypeError if `comm` is no communicator, ValueError if it is one of this kind. RuntimeError, in the same words on all
    ranks, where one has no GPU or no NCCL, and where two have the same GPU.

    >>> if minipar.cuda.is_available():
    ...     comm = minipar.parallel.over_nccl(minipar.parallel.init())
    ...     total = comm.all_reduce(minipar.ones(3, device="cuda").array)
    """
    if not isinstance(comm, Communicator):
        raise TypeError(f"comm must be a Communicator, not {type(comm).__name__}")
    if not isinstance(comm, BoardCommunicator):
        raise ValueError("comm has NCCL already: use it as it is, or one of its groups (comm.split)")
    place = _device(device, comm)
    number, told = place_of(place)
    wrong = trouble(comm.all_gather_object(told))
    if wrong:
        raise RuntimeError(f"over_nccl: {wrong}")
    host = comm.split(0, comm.rank)
    assert isinstance(host, BoardCommunicator)
    compares = os.environ.get("MINIPAR_DEBUG", "") not in ("", "0") if debug is None else debug
    made = NCCLCommunicator(host, GPU(number), compares)
    use_device(made, _device(f"cuda:{number}", comm))
    return made


def _device(given: str | Device | None, comm: Communicator) -> Device:
    if given is not None:
        return Device(given)
    return comm.device if comm.device.type == "cuda" else Device("cuda")


def run(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int,
    timeout: float,
    devices: Sequence[Device],
) -> list[Any]:
    """The results by rank; see `launch`. Ranks are processes."""
    from . import processes

    return processes.run(_on_rank, (fn, *args), kwargs, workers, timeout, devices)


def _on_rank(comm: Communicator, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    made = over_nccl(comm)
    mark_as_rank(made)
    try:
        result = fn(made, *args, **kwargs)
    except BaseException:
        made.fail()
        raise
    made.close()
    return result
