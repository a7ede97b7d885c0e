"""`launch` on a rank of a job that mpiexec or ``minipar launch`` has started: the function runs right here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...backend.device import device
from ...backend.settings import ThreadSettings
from ..comm.arguments import check_timeout
from ..comm.communicator import Communicator
from .environment import leave_rank, mark_as_rank
from .places import check_devices
from .rank import use_device


def run_in_place(
    comm: Communicator,
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int | None,
    backend: str | None,
    devices: Sequence[str | device] | None,
    timeout: float | None,
) -> list[Any]:
    """Every rank of `comm` calls it: each runs `fn`, and gets the results of all, by rank.

    All begin with rank 0's settings, its generator's state among them, and have their own again afterwards.
    """
    together = f"but this process is one of {comm.size} that were started together"
    if workers not in (None, comm.size):
        raise ValueError(f"workers={workers}, {together}: leave workers out, or start {workers} processes (-n)")
    if backend not in (None, comm.backend):
        raise ValueError(f"backend={backend!r}, {together}, with backend {comm.backend!r}: leave backend out")
    before = ThreadSettings.of_this_thread(), comm.timeout, comm.device
    try:
        if timeout is not None:
            comm.timeout = check_timeout(timeout)
        if devices is not None:
            use_device(comm, check_devices(devices, comm.size)[comm.rank])
        mark_as_rank(comm)
        comm.broadcast_object(before[0])._replace(threads=before[0].threads).adopt()
        return comm.all_gather_object(fn(comm, *args, **kwargs))
    finally:
        leave_rank()
        before[0].adopt()
        comm.timeout = before[1]
        if devices is not None:
            use_device(comm, before[2])
