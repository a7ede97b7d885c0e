"""How many threads a kernel may use. One pool, Numba's; what is set is set for the calling thread alone.

A kernel is given its number of threads and cuts its work into as many pieces, such that the bits of the result do not
depend on it. BLAS has a pool of its own, which spins for a while after each call: two pools in one step fight for the
cores, so a step that runs on these kernels calls no multi-threaded BLAS.
"""

import os
import threading

GRAIN = 100_000  # fused multiply-adds, about: less work than this a thread is done before a second one has begun


class _Setting(threading.local):
    count = 0  # not asked yet


_setting = _Setting()


def get_num_threads() -> int:
    """Threads that kernels called from this thread may use: $NUMBA_NUM_THREADS or $OMP_NUM_THREADS, or all cores."""
    if not _setting.count:
        _setting.count = _default()
    return _setting.count


def set_num_threads(count: int) -> None:
    """Let kernels that are called from this thread use ``count`` threads, at least 1 and at most all cores."""
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    _setting.count = min(count, _default())


def threads_for(work: int, pieces: int) -> int:
    """Into how many threads to cut ``work`` (multiply-adds, or elements times their cost) of at most ``pieces``."""
    if work < 2 * GRAIN:
        return 1
    return max(1, min(_setting.count or get_num_threads(), work // GRAIN, pieces))


def _default() -> int:
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
