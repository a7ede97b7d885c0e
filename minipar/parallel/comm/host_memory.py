"""Memory shared by the ranks of one host that were started by somebody else (mpiexec): strangers to one another.

The lowest of them makes a block without a name, and the others open it as /proc/<its process>/fd/<its descriptor>:
nothing has to be inherited, no socket is opened, and nothing can be left behind.
"""

from __future__ import annotations

import os
import secrets
from mmap import mmap
from typing import TYPE_CHECKING

from .shared_memory import create_block, map_block, open_block

if TYPE_CHECKING:
    from mpi4py import MPI

_PROOF = 16  # bytes by which a rank knows that what it opened is the block, and not a file of another process


def shared_block(host: MPI.Comm, nbytes: int) -> mmap | None:
    """`nbytes` of zeroed memory that all ranks of `host` have mapped; None if one of them cannot see another's.

    (As in containers that share a machine, but not its process numbers.) Collective.
    """
    found: mmap | None
    if host.rank == 0:
        descriptor, proof = create_block(max(nbytes, _PROOF)), secrets.token_bytes(_PROOF)
        found = memory = map_block(descriptor)
        memory[:_PROOF] = proof
        host.bcast((os.getpid(), descriptor, proof))
        all_see_it = all(host.allgather(True))
        memory[:_PROOF] = bytes(_PROOF)
        os.close(descriptor)
    else:
        found = _find(*host.bcast(None))
        all_see_it = all(host.allgather(found is not None))
    host.Barrier()
    return found if all_see_it else None


def _find(process: int, descriptor: int, proof: bytes) -> mmap | None:
    try:
        opened = open_block(process, descriptor)
    except OSError:
        return None
    try:
        memory = map_block(opened)
    except OSError:
        return None
    finally:
        os.close(opened)
    return memory if memory[:_PROOF] == proof else None
