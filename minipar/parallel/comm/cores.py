"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Cores that the system lets this process run on (its affinity), where it says so; else all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
