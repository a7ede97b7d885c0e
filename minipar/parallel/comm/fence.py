"""Memory fences, for processors that may show one process's stores to another in a different order.

The process backend tells other ranks that data is there by storing a number after it. x86 keeps that order by itself;
ARM and others need a fence between the two. Python and NumPy offer none, but Linux does, as a system call:
membarrier(2).
"""

import ctypes
import os
import platform
from collections.abc import Callable

_NUMBER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}  # of the system call
_REGISTER_GLOBAL_EXPEDITED = 4
_GLOBAL_EXPEDITED = 2


def keeps_store_order() -> bool:
    """Whether this processor needs no fence."""
    return platform.machine().lower() in ("x86_64", "amd64", "i686")


def make_fence() -> Callable[[], None]:
    """A function that is a full memory barrier of the calling thread. OSError where the system has none."""
    number = _NUMBER.get(platform.machine())
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if number is None or syscall(number, _REGISTER_GLOBAL_EXPEDITED, 0):
        raise OSError(
            ctypes.get_errno(),
            f"the process backend needs the system call membarrier on {platform.machine()}: use backend='thread'",
        )

    def fence() -> None:
        if syscall(number, _GLOBAL_EXPEDITED, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    return fence
