"""The public face: run a kernel, and be told of its first fault or of what it cost."""

from collections.abc import Callable
from typing import Any

from .execute import Dimensions, execute
from .report import Report
from .traffic import Traffic


def run(kernel: Callable[..., None], grid: Dimensions, block: Dimensions, *args: Any) -> Report:
    """Run a CUDA kernel, thread by thread, on the CPU; find its faults, and count its memory transactions.

    ``kernel``: a Python function, plain or decorated with ``cuda.jit``, whose source stands in a file or a notebook's
    cell. ``grid`` and ``block``: numbers, or tuples (x, y, z). ``args``: C-contiguous NumPy arrays, changed in place,
    and numbers. Neither a GPU nor Numba-CUDA is needed.

    Raises KernelError at the first fault, with the kernel's line: a data race between threads or blocks, a barrier or a
    function of a warp that not all threads reach, an index that is negative or past the end, a read of shared or local
    memory that was never written, a misaligned vector, an integer that overflows. Raises ValueError for a launch that
    no GPU takes, arrays that are not contiguous or a kernel without source, TypeError for arguments of another kind,
    NotImplementedError for what it does not know of ``numba.cuda``.

    It knows the indices and extents, ``grid``, ``gridsize``, ``syncthreads``, ``shared.array``, ``local.array``,
    ``atomic``, ``laneid``, ``warpsize``, ``syncwarp``, ``shfl_*_sync``, ``ballot_sync``, ``any_sync``, ``all_sync``,
    ``fma``, device functions, and minipar's own intrinsics.

    >>> from numba import cuda, float32
    >>> from minipar.kernels import simulate
    >>> def reverse(x, y):
    ...     tile = cuda.shared.array(64, float32)
    ...     i = cuda.threadIdx.x
    ...     tile[i] = x[i]
    ...     cuda.syncthreads()
    ...     y[i] = tile[63 - i]
    >>> x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    >>> print(simulate.run(reverse, 1, 64, x, y))
    reverse: 1 block of 64 threads, 1 barrier
    line  memory  access  requests  transactions  a request  efficiency  source
       4  global  load           2             8        4.0       100 %  tile[i] = x[i]
       4  shared  store          2             2        1.0       100 %  tile[i] = x[i]
       6  global  store          2             8        4.0       100 %  y[i] = tile[63 - i]
       6  shared  load           2             2        1.0       100 %  y[i] = tile[63 - i]
    >>> y[:3]
    array([63., 62., 61.], dtype=float32)

    Without the barrier:

    >>> def reverse(x, y):
    ...     tile = cuda.shared.array(64, float32)
    ...     i = cuda.threadIdx.x
    ...     tile[i] = x[i]
    ...     y[i] = tile[63 - i]
    >>> simulate.run(reverse, 1, 64, x, y)
    Traceback (most recent call last):
    minipar.kernels.simulate.errors.KernelError: uninitialised read of tile[63] in line 5 of reverse
    """
    traffic = Traffic()
    ran = execute(kernel, grid, block, args, traffic)
    return Report(ran, traffic)
