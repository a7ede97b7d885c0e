"""Memory shared between processes that has no name, so that nothing can be left behind, whoever is killed.

A block is the file descriptor of an anonymous file (`memfd_create`; elsewhere a temporary file that is in no folder).
Whoever holds the descriptor maps the same memory: a process is given it when it starts, or later over a Unix socket
(`socket.send_fds`). The memory goes when the last process that holds or maps it is gone.
"""

import mmap
import os
import tempfile


def create_block(nbytes: int) -> int:
    """The file descriptor of `nbytes` of zeroed shared memory, which the caller closes.

    Raises OSError when there is not so much memory: without asking first, touching a missing page is a bus error.
    """
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
        wanted = f"{nbytes / 2**20:.1f} MiB of shared memory"
        raise OSError(error.errno, f"cannot reserve {wanted}: {error.strerror}") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def map_block(descriptor: int) -> mmap.mmap:
    """Map the whole block of this descriptor for reading and writing. The descriptor may be closed afterwards."""
    return mmap.mmap(descriptor, 0)
