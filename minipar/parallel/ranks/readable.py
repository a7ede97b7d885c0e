"""Whether something can be read from a file, a socket or a process handle: bytes, or their end."""

from select import POLLIN, poll
from typing import Any


def is_readable(file: Any, within: float = 0.0) -> bool:
    """In so many seconds at the most; `file` is a descriptor or has one."""
    poller = poll()
    poller.register(file, POLLIN)
    return bool(poller.poll(1000 * within))
