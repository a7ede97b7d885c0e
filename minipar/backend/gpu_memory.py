"""The most memory of a GPU that arrays have held: CuPy's pool knows what they hold now, so its allocations are watched.

CuPy's own hook into them (`cupy.cuda.MemoryHook`) sees only the thread that entered it, and is told of frees, which an
array's last owner may make on any thread. So the allocator itself is wrapped, for all threads, and frees need not be
seen: what was held when the pool was last asked, and all that was allocated since, is a bound of what is held now. Only
where that exceeds the peak can there be a new one, and the pool, which counts its blocks, is asked again.
"""

from __future__ import annotations

import threading
from typing import Any


class _Peak:
    """Of one GPU, in bytes."""

    __slots__ = ("bound", "most_reserved", "most_used")

    def __init__(self) -> None:
        self.most_used = self.most_reserved = 0
        self.bound = 0  # no more than this is held


class PeakMemory:
    """The peaks of CuPy's default pool; `malloc` stands where the pool's own did."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._malloc, self._peaks = pool.malloc, dict[int, _Peak]()
        self._lock = threading.RLock()  # the garbage collector may run inside, and what it finalises may allocate

    def malloc(self, size: int) -> Any:
        """Memory on the current GPU, from the pool."""
        memory = self._malloc(size)
        with self._lock:
            peak = self._peaks.get(memory.device_id)
            if peak is None:
                peak = self._peaks[memory.device_id] = _Peak()
            peak.bound += memory.mem.size
            if peak.bound > peak.most_used:
                self._ask(peak)
        return memory

    def peaks(self, number: int) -> tuple[int, int]:
        """The most bytes of the current GPU, of this number, that arrays held, and that the pool had of the driver."""
        with self._lock:
            peak = self._peaks.setdefault(number, _Peak())
            self._ask(peak)
            return peak.most_used, peak.most_reserved

    def reset(self, number: int) -> None:
        """From now on, the peaks of the current GPU are counted anew."""
        with self._lock:
            self._ask(self._peaks.setdefault(number, _Peak()), anew=True)

    def _ask(self, peak: _Peak, anew: bool = False) -> None:
        used, reserved = self.pool.used_bytes(), self.pool.total_bytes()
        peak.bound = used
        peak.most_used = used if anew else max(peak.most_used, used)
        peak.most_reserved = reserved if anew else max(peak.most_reserved, reserved)


_watching: PeakMemory | None = None


def watched(cupy: Any) -> PeakMemory:
    """The peaks of CuPy's pool, of which every allocation is watched from the first call on.

    Unless the user has given CuPy another allocator: what that gives is no part of the pool's.
    """
    global _watching
    pool = cupy.get_default_memory_pool()
    if _watching is None or _watching.pool is not pool:
        _watching = PeakMemory(pool)
    if cupy.cuda.get_allocator() == pool.malloc:
        cupy.cuda.set_allocator(_watching.malloc)
    return _watching
