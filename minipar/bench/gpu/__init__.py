"""`minipar bench --gpu`: on a machine with an NVIDIA GPU, check every CUDA kernel and time it; write a report.

``command``         the whole of it: every part in turn, progress, files
``parts``           the parts, and the seconds that each may take; ``process``: each runs in a process of its own
``cases``           matrix products and convolutions by their shapes: small ones, and ResNet-18's
``rows``            what a part finds, row by row; ``check``: an error, what it may be, and whether it passed
``kernel_checks``   products and convolutions against float64 NumPy, on many shapes; GROUPS names dtypes and precisions
``operations``      operations with kernels of their own, as a user calls them, against float64 on the CPU
``families``        some training steps of every family of models, on the device against float64 on the CPU
``nccl``            all-reduces between the GPUs, right and how fast
``timing``          CUDA events, medians, rotated inputs, launch overhead
``ladder``          the rungs of the matrix product against cuBLAS
``cudnn``           every convolution of ResNet-18, forward and both gradients, against PyTorch's
``fused``           each fused kernel, against CuPy's own lines; ``contests``: convolution, against an unfold and cuBLAS
                    (``cupy_convolution``)
``bandwidth``       elementwise operations and reductions, against a copy
``steps``           training steps, against PyTorch's
``bars``            how fast it is meant to be
``report``          Markdown and JSON

Only the calls that need a device are beyond a test without one; all other code runs in the tests over NumPy arrays.
"""

from .command import run

__all__ = ["run"]
