"""`minipar bench --gpu`: on a machine with an NVIDIA GPU, check every CUDA kernel and time it; write a report.

``command``         the whole of it: every part in turn, progress, files
``parts``           the parts, and the seconds that each may take; ``process``: each runs in a process of its own
``rows``            what a part finds, row by row; ``check``: an error, what it may be, and whether it passed
``kernel_checks``   each kernel against float64 NumPy, on many shapes
``operations``      operations with kernels of their own, as a user calls them, against float64 on the CPU
``families``        some training steps of every family of models, on the device against float64 on the CPU
``nccl``            an all-reduce in a world of one rank
``timing``          CUDA events, medians, rotated inputs, launch overhead
``ladder``          the rungs of the matrix product against cuBLAS
``contests``        convolution, against what of CuPy's (``cupy_convolution``)
``bandwidth``       elementwise operations and reductions, against a copy
``steps``           training steps, against PyTorch's
``bars``            how fast it is meant to be
``report``          Markdown and JSON

Only the calls that need a device are beyond a test without one; all other code runs in the tests over NumPy arrays.
"""

from .command import run

__all__ = ["run"]
