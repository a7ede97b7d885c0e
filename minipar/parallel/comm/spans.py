"""The empty hook through which a timeline hears of every communicator call; `parallel.timeline` fills it.

A communicator asks `spans.listener is not None` where a call begins, and only then looks at the clock:

    start = spans.clock() if spans.listener is not None else 0
    …                                                                  # the call
    if start and spans.listener is not None:
        spans.listener(kind, number, nbytes, start, spans.clock(), waited)
"""

from collections.abc import Callable
from time import perf_counter_ns

clock = perf_counter_ns  # nanoseconds; one clock for all processes of a machine

# Called in the thread that made the call: its kind, its number (collective calls are counted; that of a message is 0),
# the bytes of its array (that it passes, or gets if it passes none), when it began and ended, and how long of that it
# only waited for other ranks (all in ns of `clock`).
Listener = Callable[[str, int, int, int, int, int], None]

listener: Listener | None = None  # None: nobody records in this process
