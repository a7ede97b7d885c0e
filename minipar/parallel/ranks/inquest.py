"""What each rank was doing when the first one failed. It is noted at once, for those that wait will soon move on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..comm.board import Activity, Board
from . import stacks
from .errors import Failure, RankState, WorkerError, first
from .stacks import ProcessStack, ThreadStack


class Inquest:
    """Collects the failures of one run, and explains them to the caller; `witnesses` are the stacks by rank."""

    def __init__(self, board: Board, witnesses: Sequence[ProcessStack | ThreadStack]) -> None:
        self.failures: list[Failure] = []
        self._board = board
        self._witnesses = witnesses
        self._doing: list[str] = []
        self._activity: list[int] = []
        self._lock = threading.Lock()  # ranks that are threads tell of themselves

    def add(self, failure: Failure) -> None:
        """Note how a rank failed; ranks that wait for it stop waiting."""
        with self._lock:
            if not self.failures:
                self._look_around(failure)
            self.failures.append(failure)
        self._board.fail(failure.rank)

    def _look_around(self, failure: Failure) -> None:
        self._doing = [self._board.doing(rank) for rank in range(self._board.size)]
        self._activity = list(self._board.activity)
        for rank, witness in enumerate(self._witnesses):
            if failure.hangs() if rank == failure.rank else self._activity[rank] != Activity.FINISHED:
                witness.ask()

    def error(self) -> WorkerError:
        """The error for the caller; call it when the others have had time to fail too, before any of them is ended."""
        told = first(self.failures)
        if told.hangs():
            told = told.at(stacks.of_user(self._witnesses[told.rank].frames()))
        failed = {failure.rank: failure for failure in reversed(self.failures)}
        others = [rank for rank in range(self._board.size) if rank != told.rank]
        return told.error([self._state(rank, failed.get(rank), told) for rank in others])

    def _state(self, rank: int, failure: Failure | None, told: Failure) -> RankState:
        came_late = told.is_timeout and self._activity[rank] not in (Activity.COLLECTIVE, Activity.MESSAGE)
        if failure is None:
            return self._asked(rank)
        if failure.is_consequence and came_late:
            asked = self._asked(rank)
            return asked if asked.stack else RankState(rank, self._doing[rank], stacks.place(failure.frames))
        gave_up = failure.is_consequence or (failure.is_timeout and told.is_timeout)
        return RankState(rank, failure.doing, stacks.place(failure.frames), failure="" if gave_up else failure.what)

    def _asked(self, rank: int) -> RankState:
        """Of a rank that did not fail by itself."""
        if self._activity[rank] == Activity.FINISHED:
            return RankState(rank, self._doing[rank])
        witness = self._witnesses[rank]
        frames = stacks.of_user(witness.frames())
        doing = self._doing[rank] + (", stopped by a signal" if witness.is_stopped() else "")
        return RankState(rank, doing, stacks.place(frames), stack=stacks.text(frames))
