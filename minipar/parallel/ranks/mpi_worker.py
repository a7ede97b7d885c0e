"""A rank of an MPI job that `launch` has started: a worker (worker.py) that came by way of mpiexec.

It inherits nothing, so it calls on the caller: it connects to the caller's socket, and is given all else there.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys

from ...backend.device import device
from ..comm.communicator import Communicator
from .channel import Channel
from .environment import RANK_NAMES, become_worker
from .stacks import answer as answer_with_stacks
from .worker import Worker, end_with_the_caller, write_whole_lines

DESCRIPTORS = 3  # for its stack, its stdout, its stderr


def main() -> None:
    """The argument: the name of the caller's socket."""
    rank = int(next(os.environ[name] for name in RANK_NAMES if name in os.environ))
    end = socket.socket(socket.AF_UNIX)
    end.connect("\0" + sys.argv[1])
    end.sendall(rank.to_bytes(4, "little"))
    told, (stack, *outputs), _, _ = socket.recv_fds(end, 4096, DESCRIPTORS)
    size, place, bars = pickle.loads(told)
    os.environ.update(bars)
    for descriptor, number in zip(outputs, (1, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    answer_with_stacks(stack)
    end_with_the_caller(end.fileno())
    write_whole_lines()
    become_worker()
    channel = Channel(end)
    MPIWorker(rank, size, device(place), channel).serve()

    from mpi4py import MPI

    MPI.Finalize()  # together with all others; the end of the caller is still watched meanwhile
    channel.close()


class MPIWorker(Worker):
    """A worker whose communicator is that of its MPI job; it is given one task."""

    def _communicator(self, timeout: float) -> Communicator:
        from ..comm.mpi_job import Job

        return Job(self._world).world(timeout)
