"""A process that ends with the one that started it, however that ends."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_the_parent() -> None:
    """From now on the kernel (Linux) sends SIGKILL when the *thread* that started this process ends.

    That reaches even a process that is stopped, or that holds the interpreter lock.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
