"""How much of the machine did others use? CPU time of all processes and of one, from Linux's /proc.

Elsewhere nothing is known: `reading` is None, and so is the share of others.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reading:
    """Seconds: on the wall, used by everybody (other guests of the same host too, where it is told), by one process."""

    wall: float
    everybody: float
    own: float


def reading(pid: int) -> Reading | None:
    """The clocks now, for the process `pid`; None where there is no /proc, or the process has ended."""
    try:
        states = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    idle, waiting = states[3], states[4]
    tick = os.sysconf("SC_CLK_TCK")
    own = int(fields[11]) + int(fields[12])  # in user mode and in the kernel, all threads
    return Reading(time.perf_counter(), (sum(states) - idle - waiting) / tick, own / tick)


def foreign_share(before: Reading | None, after: Reading | None) -> float | None:
    """Cores that others kept busy between two readings, on average; None where that is not known."""
    if before is None or after is None:
        return None
    others = (after.everybody - before.everybody) - (after.own - before.own)
    return max(0.0, others / (after.wall - before.wall))


def wait_for_quiet(pid: int, patience: float, look: float = 0.05, limit: float = 0.2) -> None:
    """Wait until others use less than `limit` of a core for `look` seconds, but no longer than `patience` seconds.

    The clocks tick every 10 ms, so a look of 50 ms with one tick of others is quiet.
    """
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        before = reading(pid)
        if before is None:
            return
        time.sleep(look)
        share = foreign_share(before, reading(pid))
        if share is None or share <= limit:
            return
