"""How many threads a kernel may use. One pool, Numba's; what is set is set for the calling thread alone.

A kernel is given its number of threads and cuts its work into as many pieces, such that the bits of the result do not
depend on it. BLAS has a pool of its own, which spins for a while after each call: two pools in one step fight for the
cores, so a step that runs on these kernels calls no multi-threaded BLAS.

Numba takes its pool from OpenMP (or TBB), which any number of Python threads may enter at once. Where there is
neither, it has one of its own ("workqueue"), which ends the process if two threads enter it: then a lock makes parallel
kernels run one at a time (Python's global lock does not: Numba gives it up while its pool works).
"""

import os
import threading
from functools import cache

GRAIN = 100_000  # fused multiply-adds, about: less work than this a thread is done before a second one has begun

# A thread of GNU's OpenMP that waits for others looks so many times (about 0.2 ms) before it sleeps. Long enough for
# the gaps between a step's kernels: waking up costs 20 us. By default it looks for 12 ms, and where other programs use
# the cores, it does so on the very core that the awaited thread would need: each kernel then took 20 ms.
SPINS = "5000"


class _Setting(threading.local):
    count = 0  # what was asked for; 0: nothing yet
    granted = 0  # the same, once Numba has been told


_setting = _Setting()


def get_num_threads() -> int:
    """Threads that kernels called from this thread may use: $NUMBA_NUM_THREADS or $OMP_NUM_THREADS, or all cores."""
    if not _setting.count:
        _setting.count = _default()
    return _setting.count


def set_num_threads(count: int) -> None:
    """Let kernels that are called from this thread cut their work into ``count`` pieces. ValueError below 1.

    Numba's pool has a thread a core (or $NUMBA_NUM_THREADS), made once: more pieces than that take turns.
    """
    if count < 1:
        raise ValueError(f"the number of threads must be at least 1, got {count}")
    _setting.count, _setting.granted = count, 0


def threads_for(work: int, pieces: int) -> int:
    """Into how many threads to cut ``work`` (multiply-adds, or elements times their cost) of at most ``pieces``."""
    if work < 2 * GRAIN:
        return 1
    return max(1, min(_setting.granted or settle(), work // GRAIN, pieces))


def settle() -> int:
    """Tell Numba's pool, so that it wakes no more threads than this thread may use. Loads Numba. Returns the number."""
    count = get_num_threads()
    if count > 1:
        import numba

        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    _setting.granted = count
    return count


@cache
def many_may_enter() -> bool:
    """Can several Python threads be in Numba's pool at once? Loads Numba and starts the pool."""
    import numba
    from numba.np.ufunc.parallel import _launch_threads

    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if ours:
        os.environ["GOMP_SPINCOUNT"] = SPINS  # OpenMP reads it once, when it is loaded
    _launch_threads()  # chooses the pool
    if ours:
        del os.environ["GOMP_SPINCOUNT"]
    return numba.threading_layer() != "workqueue"


def _default() -> int:
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdigit() and int(value):
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
