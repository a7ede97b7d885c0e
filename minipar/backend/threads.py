"""One setting for the threads of both pools: the kernels' and BLAS's."""

from __future__ import annotations

import sys

from ..kernels.cpu import threads


def set_num_threads(num: int) -> None:
    """Let operations use `num` threads: the kernels that this thread calls, and, in the whole process, BLAS.

    By default there are as many as cores (or $NUMBA_NUM_THREADS or $OMP_NUM_THREADS says). No result depends on it:
    kernels cut what they write among threads, not what they sum up. Threads that minipar starts (a DataLoader's
    workers) take the number over; workers of `parallel.launch` share the cores instead. RuntimeError for less than 1
    thread (as in PyTorch), TypeError for no int.

    >>> before = minipar.get_num_threads()
    >>> minipar.set_num_threads(1)
    >>> minipar.get_num_threads()
    1
    >>> minipar.set_num_threads(before)
    """
    if not isinstance(num, int) or isinstance(num, bool):
        raise TypeError(f"set_num_threads: num must be an int, not {type(num).__name__}")
    if num < 1:
        raise RuntimeError(f"set_num_threads: num must be at least 1, not {num}")
    from threadpoolctl import threadpool_limits

    threads.set_num_threads(num)
    if "numba" in sys.modules:
        threads.settle()
    threadpool_limits(num, user_api="blas")


def get_num_threads() -> int:
    """How many threads operations may use that are called from this thread.

    >>> minipar.get_num_threads() >= 1
    True
    """
    return threads.get_num_threads()
