"""The ranks of an MPI job find one another: the first waits, in which nothing is shared yet.

MPI would wait for ever for a rank that hangs, or has failed, before it calls `init`. It starts on all ranks together;
from then on there are messages: rank 0 hears from every rank that comes, and answers, so who waits knows for whom.
"""

from __future__ import annotations

import faulthandler
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import CommunicatorTimeout
from .telling import told_once

if TYPE_CHECKING:
    from mpi4py import MPI

START_LIMIT = 120.0  # seconds that a program has from its start to `init`, if the timeout is not longer
_TAG = 30_000  # MPI's, among the messages of the program itself; every MPI has tags up to 32,767
_POLL = 1e-3  # seconds


def mpi_when_all_ranks_have_come(timeout: float) -> ModuleType:
    """mpi4py's MPI, initialised. After so many seconds this process ends, and shows its stack, in which this name is.

    Nobody knows yet who is missing.
    """
    with ends_after(timeout):
        from mpi4py import MPI
    return MPI


@contextmanager
def ends_after(timeout: float) -> Iterator[None]:
    """For what MPI itself waits in: after so many seconds this process ends, and shows its stack.

    MPI may hold the interpreter lock, so nothing else could be done then.
    """
    if timeout != math.inf:
        faulthandler.dump_traceback_later(timeout, exit=True, file=2)
    try:
        yield
    finally:
        if timeout != math.inf:
            faulthandler.cancel_dump_traceback_later()


def await_all(comm: MPI.Intracomm, timeout: float) -> None:
    """Return on every rank when all have called this; CommunicatorTimeout that names who has not, after so long."""
    if comm.rank == 0:
        _receive_all(comm, timeout)
    else:
        message = bytearray(1)
        answer = comm.Irecv(message, 0, _TAG)
        comm.Isend(b"1", 0, _TAG).Wait()
        _wait(answer.Test, timeout, lambda: [0])


def _receive_all(comm: MPI.Intracomm, timeout: float) -> None:
    message = bytearray(1)
    missing = {rank: comm.Irecv(message, rank, _TAG) for rank in range(1, comm.size)}

    def all_are_there() -> bool:
        for rank in [rank for rank, arrival in missing.items() if arrival.Test()]:
            del missing[rank]
            comm.Isend(b"1", rank, _TAG).Wait()
        return not missing

    _wait(all_are_there, timeout, lambda: sorted(missing))


def _wait(is_over: Callable[[], bool], timeout: float, missing: Callable[[], list[int]]) -> None:
    deadline = time.monotonic() + timeout
    while not is_over():
        if time.monotonic() > deadline:
            what = f"did not call parallel.init() within {timeout:g} s"
            raise CommunicatorTimeout(*(f"{ranks} {what}" for ranks, what in told_once((r, what) for r in missing())))
        time.sleep(_POLL)
