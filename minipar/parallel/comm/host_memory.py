"""Memory shared by the ranks of one host that were started by somebody else (mpiexec): strangers to one another.

The lowest of them makes a block without a name, and the others open it as /proc/<its process>/fd/<its descriptor>:
nothing has to be inherited, no socket is opened, and nothing can be left behind.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING

from .shared_memory import create_block, map_block, open_block

if TYPE_CHECKING:
    from mpi4py import MPI

_SEGMENTS = re.compile(r"(/dev/shm/(?:mpich_shm_|mpich_vci_|sm_segment\.)\S+)$", re.MULTILINE)
_PROOF = 16  # bytes by which a rank knows that what it opened is the block, and not a file of another process


def shared_block(host: MPI.Comm, nbytes: int) -> mmap | None:
    """`nbytes` of zeroed memory that all ranks of `host` have mapped; None if one of them cannot see another's.

    (As in containers that share a machine, but not its process numbers; or if there is too little.) Collective.
    """
    descriptor, found, proof = -1, None, secrets.token_bytes(_PROOF)
    if host.rank == 0:
        with suppress(OSError):  # the others wait to be told, whatever happens here
            descriptor = create_block(max(nbytes, _PROOF))
            found = map_block(descriptor)
            found[:_PROOF] = proof
        host.bcast(None if found is None else (os.getpid(), descriptor, proof))
    else:
        told = host.bcast(None)
        found = None if told is None else _find(*told)
    all_see_it = all(host.allgather(found is not None))
    if host.rank == 0 and found is not None:
        found[:_PROOF] = bytes(_PROOF)
    if descriptor >= 0:
        os.close(descriptor)
    host.Barrier()
    return found if all_see_it else None


def _find(process: int, descriptor: int, proof: bytes) -> mmap | None:
    try:
        opened = open_block(process, descriptor)
    except OSError:
        return None
    try:
        memory = map_block(opened)
    except (OSError, ValueError):  # another file, perhaps an empty one
        return None
    finally:
        os.close(opened)
    return memory if memory[:_PROOF] == proof else None


def drop_names() -> None:
    """Take away the names of the shared memory that MPI has made, once all ranks of the host have mapped it.

    Whoever is killed from now on leaves nothing in /dev/shm.
    """
    with suppress(OSError):
        for name in set(_SEGMENTS.findall(Path("/proc/self/maps").read_text(errors="surrogateescape"))):
            Path(name).unlink(missing_ok=True)
