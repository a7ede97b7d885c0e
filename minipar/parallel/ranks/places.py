"""The devices of ranks, checked before anything starts."""

from collections.abc import Sequence

from ...backend.device import CPU, device
from ...kernels.cuda import detect


def check_devices(devices: Sequence[device | str] | None, workers: int) -> list[device]:
    """A device for each rank; the CPU for all if None.

    TypeError or ValueError for what is no list of device names, one a rank; RuntimeError where there is no such GPU.
    """
    if devices is None:
        return [CPU] * workers
    if isinstance(devices, str | device):
        raise TypeError(f"devices must be a list with a name for each rank, not {devices!r}")
    places = [device(name) for name in devices]
    if len(places) != workers:
        raise ValueError(f"devices={[str(place) for place in places]} names {len(places)}, but workers={workers}")
    wanted = [place for place in places if place.type == "cuda"]
    if wanted:
        usable, reason = detect.status()
        if not usable:
            raise RuntimeError(f"device {str(wanted[0])!r} cannot be used: {reason}")
        import cupy

        there = cupy.cuda.runtime.getDeviceCount()
        for place in wanted:
            if (place.index or 0) >= there:
                raise RuntimeError(f"device {str(place)!r} cannot be used: the GPUs here are 0 to {there - 1}")
    return places


def check_gpus(devices: Sequence[device | str] | None, workers: int) -> Sequence[device | str]:
    """Those of ranks that speak by NCCL: "cuda:0", "cuda:1", … if None. ValueError if one of them is no GPU."""
    if devices is None:
        return [f"cuda:{rank}" for rank in range(workers)]
    for rank, name in enumerate([] if isinstance(devices, str | device) else devices):
        if device(name).type != "cuda":
            raise ValueError(
                f"backend='nccl' needs a GPU for each rank, and devices[{rank}] is {str(name)!r}: ranks on CPUs and "
                f"GPUs go together over backend='process'"
            )
    return devices
