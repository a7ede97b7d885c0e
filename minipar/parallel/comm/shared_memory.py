"""Memory shared between processes that has no name, so that nothing can be left behind, whoever is killed.

A block is the file descriptor of an anonymous file (`memfd_create`; elsewhere a temporary file that is in no folder).
Whoever holds the descriptor maps the same memory: a process is given it when it starts, or later over a Unix socket
(`socket.send_fds`), or opens it through /proc when another process has told it the number. The memory goes when the
last process that holds or maps it is gone.
"""

import errno
import mmap
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_WITHOUT_DESCRIPTOR: dict[str, Any] = (
    {"trackfd": False} if sys.version_info >= (3, 13) else {}
)  # before, a mapping kept one


def create_block(nbytes: int) -> int:
    """The file descriptor of `nbytes` of zeroed shared memory, which the caller closes.

    The pages are reserved at once, and OSError says when there are too few. Otherwise the first touch of a page that a
    full file system lacks would be a bus error, and reserving more than there is would have the kernel kill processes.
    """
    wanted = f"{nbytes / 2**20:.1f} MiB of shared memory"
    available = available_memory()
    if available is not None and nbytes > available:
        raise OSError(errno.ENOMEM, f"cannot reserve {wanted}: only {available / 2**20:.1f} MiB are available")
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("minipar")  # the name is for people who read /proc
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, nbytes)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, nbytes)
    except OSError as error:
        os.close(descriptor)
        raise OSError(error.errno, f"cannot reserve {wanted}: {error.strerror}") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_block(process: int, descriptor: int) -> int:
    """A descriptor, which the caller closes, of the block that another process of this user holds as `descriptor`."""
    return os.open(f"/proc/{process}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)


def map_block(descriptor: int) -> mmap.mmap:
    """Map the whole block of this descriptor for reading and writing. The descriptor may be closed afterwards."""
    return mmap.mmap(descriptor, 0, **_WITHOUT_DESCRIPTOR)


def available_memory() -> int | None:
    """Bytes that this machine and this container can reserve without swapping; None where the system does not say."""
    try:
        kibibytes = _fields(_MEMINFO)["MemAvailable:"]
    except (OSError, KeyError):
        return None
    available = kibibytes << 10
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        held = _fields(_CGROUP / "memory.stat")
    except OSError:  # not in a control group (version 2) of its own
        return available
    if limit == "max":
        return available
    cached = held["inactive_file"] + held["active_file"]  # pages of files, which the kernel drops when memory is wanted
    return min(available, int(limit) - int(used) + cached)


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file whose lines are a name, a number and perhaps its unit."""
    return {name: int(number) for name, number, *_ in map(str.split, path.read_text().splitlines())}
