"""Where arrays live and who serves them.

`device` and `namespace` say where an array is (NumPy on the CPU, CuPy on a GPU); `dtypes` holds the promotion table;
`random` the counter-based generator; `dispatch` decides which kernel serves an operation.
"""

from .device import device, device_of, namespace, on_device, to_numpy

__all__ = ["device", "device_of", "namespace", "on_device", "to_numpy"]
