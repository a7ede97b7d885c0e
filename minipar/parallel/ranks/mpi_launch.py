"""`launch` with backend "mpi": a job of mpiexec on this machine, its results, its failures, and nothing left behind.

Its ranks are workers like all others (worker.py, answers.py). What is different: mpiexec may end them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from ...backend.device import device
from ..comm.board import Board
from ..comm.shared_memory import create_block, map_block
from . import mpiexec
from .answers import Answers, Contact
from .channel import Kind
from .errors import Failure
from .mpi_crew import MPICrew
from .task import pack_task


def run(
    fn: Callable[..., Any],
    args: tuple,
    kwargs: dict[str, Any],
    workers: int,
    timeout: float,
    devices: Sequence[device],
) -> list[Any]:
    """The results by rank; see `launch`."""
    launcher = mpiexec.find_mpiexec()
    with contextlib.ExitStack() as stack:
        parcel = pack_task("launch", fn, args, kwargs, timeout)
        stack.callback(parcel.close)
        world = create_block(Board.nbytes(workers))
        stack.callback(os.close, world)
        memory = stack.enter_context(map_block(world))
        board = Board(memory, workers)
        stack.callback(board.release)
        stack.callback(mpiexec.sweep, mpiexec.segments())
        crew = MPICrew(launcher)
        stack.callback(crew.end)
        crew.start(devices)
        for rank in crew.ranks:
            with contextlib.suppress(OSError):  # one that has gone is noticed later
                rank.channel.send(Kind.WORLD, descriptor=world)
                rank.channel.send(Kind.TASK, parcel.stream, parcel.descriptor)
        answers = _Answers(crew, board, timeout)
        try:
            results = answers.results()
        except KeyboardInterrupt:
            answers.interrupt()
            raise
        crew.finish()
        answers.check_ends()
        return results


class _Answers(Answers):
    """Of ranks that mpiexec may end."""

    def __init__(self, crew: MPICrew, board: Board, timeout: float) -> None:
        super().__init__(crew.ranks, board, timeout)
        self._crew = crew

    def check_ends(self) -> None:
        """WorkerError if mpiexec has ended a rank that had answered: MPI_Abort may return before it takes effect."""
        for rank in self._crew.ranks:
            if rank.has_ended() and rank.exit_code() is None:
                raise self._death_of(rank).error()

    def _death_of(self, worker: Contact) -> Failure:
        """Of a rank that ended by itself its parent has told; the others mpiexec has ended, parent and child."""
        failure = super()._death_of(worker)
        if failure.exitcode is not None or not worker.has_ended():
            return failure
        said = " ".join(self._crew.last_words().replace("=", " ").split())  # of Hydra's a box of several lines
        what = f"was ended by mpiexec, which {f'says: {said}' if said else 'does not say why'}"
        return dataclasses.replace(failure, what=what, is_consequence=True)
