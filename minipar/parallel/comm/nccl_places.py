"""Which GPU each rank is to use with NCCL, and what is wrong with that: told to all ranks in the same words."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ...backend.device import cupy_for
from ...backend.device import device as Device
from ...kernels.cuda.detect import INSTALL
from .telling import told_once

_SHARE = "NCCL_MULTI_RANK_GPU_ENABLE"
_SHARE_FROM = 23000  # NCCL 2.30


class Place(NamedTuple):
    """The GPU of a rank, as other ranks know it."""

    problem: str  # why there is none; "" if there is one
    host: str = ""
    bus: str = ""  # where the GPU is in that machine
    version: int = 0  # of NCCL
    may_be_shared: bool = False


def place_of(gpu: Device) -> tuple[int, Place]:
    """The number of this GPU, "cuda" being the current one, and its place. -1 where it cannot be used."""
    if gpu.type != "cuda":
        return -1, Place(f"its device is {str(gpu)!r}")
    try:
        cupy = cupy_for(gpu)
    except RuntimeError as error:
        return -1, Place(str(error))
    from cupy.cuda import nccl

    if not nccl.available:
        return -1, Place(f"CuPy finds no NCCL: {INSTALL}")
    found = cupy.cuda.Device(gpu.index)
    is_allowed = os.environ.get(_SHARE) == "1"
    return found.id, Place("", socket.gethostname(), found.pci_bus_id, nccl.get_version(), is_allowed)


def trouble(places: Sequence[Place]) -> str:
    """What is wrong with these places of ranks, in a line that says what would be right; "" if nothing is.

    >>> trouble([Place("", "one", "01", 22707), Place("", "one", "01", 22707)])[:74]
    'ranks 0, 1 have the same GPU, 01 of one: give each its own (devices=["cuda'
    >>> trouble([Place("", "one", "01", 23203), Place("its device is 'cpu'")])[:39]
    "rank 1 without a GPU (its device is 'cp"
    """
    lacking = [(rank, f"({place.problem})") for rank, place in enumerate(places) if place.problem]
    if lacking:
        told = "; ".join(f"{ranks} without a GPU {why}" for ranks, why in told_once(lacking))
        return f'{told}: NCCL needs one for each rank; ranks on CPUs and GPUs go together over backend="process"'
    versions = sorted({place.version for place in places})
    if len(versions) > 1:
        return (
            f"the ranks have different versions of NCCL, {', '.join(map(str, versions))}: install the same everywhere"
        )
    users: dict[tuple[str, str], list[int]] = defaultdict(list)
    for rank, place in enumerate(places):
        users[place.host, place.bus].append(rank)
    for (host, bus), ranks in users.items():
        if len(ranks) > 1 and not (versions[0] >= _SHARE_FROM and all(places[rank].may_be_shared for rank in ranks)):
            return (
                f"ranks {', '.join(map(str, ranks))} have the same GPU, {bus} of {host}: give each its own "
                f'(devices=["cuda:0", "cuda:1", …]), or, with NCCL 2.30 or later (here: {_written(versions[0])}), '
                f"set {_SHARE}=1"
            )
    return ""


def _written(version: int) -> str:
    """
    >>> _written(22707), _written(23203)
    ('2.27.7', '2.32.3')
    """
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"
