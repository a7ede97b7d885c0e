"""A rank of an MPI job that `launch` has started: a worker (worker.py) whose communicator is that of the job."""

from __future__ import annotations

import atexit
import os
import pickle
import socket

from ...backend.device import device
from ..comm.communicator import Communicator
from .channel import Channel
from .environment import become_worker
from .stacks import answer as answer_with_stacks
from .worker import Worker, end_with_the_caller, write_whole_lines


def main(told: bytes, descriptor: int, stack: int) -> None:
    """What the caller has told of this rank; the descriptors of the channel and of the file for this rank's stack."""
    rank, size, place, bars = pickle.loads(told)
    os.environ.update(bars)
    os.set_inheritable(descriptor, False)
    os.set_inheritable(stack, False)
    answer_with_stacks(stack)
    end_with_the_caller(descriptor)
    write_whole_lines()
    become_worker()
    channel = Channel(socket.socket(fileno=descriptor))
    atexit.register(channel.close)
    MPIWorker(rank, size, device(place), channel).serve()

    from mpi4py import MPI

    MPI.Finalize()  # together with all others; the end of the caller is still watched meanwhile


class MPIWorker(Worker):
    """A worker whose communicator is that of its MPI job; it is given one task."""

    def _communicator(self, timeout: float) -> Communicator:
        from ..comm.mpi_job import Job

        return Job().begin(timeout, self._world)
