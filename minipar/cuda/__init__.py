"""GPUs: are there any, which is used, how much memory is taken, what waits for what (spelled as `torch.cuda`).

"Usable" means all of it: a driver, a device, CuPy, and the libraries that compile the CUDA kernels. Why not, if not,
says `minipar doctor`. Each thread has its current GPU, number 0 at first: where `device="cuda"` and new streams go.
Tensors are computed with on their own GPU, whichever is current, and so are their gradients and optimizer steps.
"""

from .devices import (
    current_device,
    device,
    device_count,
    get_device_capability,
    get_device_name,
    get_device_properties,
    is_available,
    set_device,
    synchronize,
)
from .memory import (
    empty_cache,
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    reset_peak_memory_stats,
    set_per_process_memory_fraction,
)
from .random import get_rng_state, initial_seed, manual_seed, manual_seed_all, seed, set_rng_state
from .streams import Event, Stream, current_stream, stream

__all__ = [
    "Event", "Stream", "current_device", "current_stream", "device", "device_count", "empty_cache",
    "get_device_capability", "get_device_name", "get_device_properties", "get_rng_state", "initial_seed",
    "is_available", "manual_seed", "manual_seed_all", "max_memory_allocated", "max_memory_reserved", "mem_get_info",
    "memory_allocated", "memory_reserved", "reset_peak_memory_stats", "seed", "set_device",
    "set_per_process_memory_fraction", "set_rng_state", "stream", "synchronize",
]  # fmt: skip
