"""Where arrays live and who serves them.

`device` says where an array is (NumPy on the CPU, CuPy on a GPU) and `current_gpu` computes there; `gpu_memory` watches
what a GPU's arrays have held; `dtypes` holds the promotion table, `limits` what a dtype can hold, `memory` the order of
elements. `random` is the counter-based generator; `dispatch` decides which kernel serves an operation, `precision` how
exactly GPUs multiply float32, `threads` how many threads a CPU takes. `settings` holds what is set for one thread only.
"""

from .device import device, device_of, namespace, on_device, to_numpy

__all__ = ["device", "device_of", "namespace", "on_device", "to_numpy"]
