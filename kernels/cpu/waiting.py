"""A hook for whoever watches a thread: called where the thread waits until a kernel is imported, compiled or loaded.

A rank that compiles for half a minute is no rank that hangs (`minipar.parallel` says so to the others).
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext


class _Watched(threading.local):
    around: Callable[[], AbstractContextManager[None]] = nullcontext  # what is entered for the time of each wait


watched = _Watched()
