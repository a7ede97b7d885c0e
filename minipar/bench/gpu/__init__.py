"""`minipar bench --gpu`: on a machine with an NVIDIA GPU, check every CUDA kernel and time it; write a report.

``command``         the whole of it, in order
``check``           one check: an error, what it may be, and whether it passed
``kernel_checks``   each kernel against float64 NumPy, on many shapes
``training_step``   one training step of a small CNN on the device against the float64 CPU step
``nccl``            an all-reduce in a world of one rank
``timing``          CUDA events, medians, rotated inputs, launch overhead
``contests``        which kernels are timed, on which shapes, against what of CuPy's (``cupy_convolution``)
``report``          Markdown and JSON

Only the calls that need a device are beyond a test without one; all other code runs in the tests over NumPy arrays.
"""

from .command import run

__all__ = ["run"]
