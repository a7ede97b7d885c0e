"""The public face: run a kernel, and be told of its first fault or of what it cost."""

from collections.abc import Callable
from typing import Any

from .execute import Dimensions, execute
from .report import Report
from .traffic import Traffic


def run(kernel: Callable[..., None], grid: Dimensions, block: Dimensions, *args: Any, shared_mem: int = 0) -> Report:
    """Run a CUDA kernel, thread by thread, on the CPU; find its faults, and count its memory transactions.

    ``kernel``: a Python function, plain or decorated with ``cuda.jit``, whose source stands in a file or a notebook's
    cell. ``grid`` and ``block``: numbers, or tuples (x, y, z). ``args``: C-contiguous NumPy arrays, changed in place,
    and numbers. ``shared_mem``: bytes of a block's dynamic shared memory, ``cuda.shared.array(0, …)``. Neither a GPU
    nor Numba-CUDA is needed.

    Raises KernelError at the first fault, with the kernel's line and the thread: a data race between threads or blocks,
    a barrier or a function of a warp that not all threads reach, an index that is negative or past the end, a read of
    shared or local memory that was never written, a write into constant memory, a misaligned vector, an integer that
    overflows, a loop that does not end, and what Python itself raises, as for a division by 0. Raises ValueError for a
    launch that no GPU takes, arrays that are not contiguous or a kernel without source, TypeError for arguments of
    another kind and for Python that no kernel may contain, NotImplementedError for what it does not know of Numba.

    It knows the indices and extents, ``grid``, ``gridsize``, ``syncthreads``, ``shared.array``, ``local.array``,
    ``const.array_like``, ``atomic``, ``laneid``, ``warpsize``, ``syncwarp``, ``shfl_*_sync``, ``ballot_sync``,
    ``any_sync``, ``all_sync``, ``popc``, ``clz``, ``ffs``, ``brev``, ``fma``, ``selp``, device functions, ``math``,
    NumPy's scalars and ufuncs, and minipar's own intrinsics.

    >>> from numba import cuda, float32
    >>> from minipar.kernels import simulate
    >>> def flip(x, y):
    ...     tile = cuda.shared.array(64, float32)
    ...     i = cuda.threadIdx.x
    ...     tile[i] = x[i]
    ...     cuda.syncthreads()
    ...     y[i] = tile[63 - i]
    >>> x, y = np.arange(64, dtype=np.float32), np.zeros(64, np.float32)
    >>> print(simulate.run(flip, 1, 64, x, y))
    flip: 1 block of 64 threads, 1 barrier
    line  memory  access  requests  transactions  a request  efficiency  source
       4  global  load           2             8        4.0       100 %  tile[i] = x[i]
       4  shared  store          2             2        1.0       100 %  tile[i] = x[i]
       6  global  store          2             8        4.0       100 %  y[i] = tile[63 - i]
       6  shared  load           2             2        1.0       100 %  y[i] = tile[63 - i]
    >>> y[:3]
    array([63., 62., 61.], dtype=float32)

    Without the barrier:

    >>> def flip(x, y):
    ...     tile = cuda.shared.array(64, float32)
    ...     i = cuda.threadIdx.x
    ...     tile[i] = x[i]
    ...     y[i] = tile[63 - i]
    >>> simulate.run(flip, 1, 64, x, y)
    Traceback (most recent call last):
    minipar.kernels.simulate.errors.KernelError: uninitialised read of tile[63] in line 5 of flip by thread 0 of block 0
    """
    traffic = Traffic()
    ran = execute(kernel, grid, block, args, traffic, shared_mem)
    return Report(ran, traffic)
