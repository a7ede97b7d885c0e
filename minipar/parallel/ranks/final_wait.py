"""The wait for ranks that have not returned although another has: the last wait of a launch, with its timeout too."""

import math
import time

from ..comm.board import Activity, Board
from .errors import Failure


class FinalWait:
    """Notes when each rank was last seen to get on: starting, or in a communicator call, or after a new one.

    (A call has a timeout of its own.)
    """

    def __init__(self, board: Board, timeout: float) -> None:
        self._board = board
        self._timeout = timeout
        self._first: tuple[int, float] | None = None  # the rank that returned first, and when
        self._calls = [0] * board.size
        self._seen = [math.inf] * board.size

    def returned(self, rank: int) -> None:
        """From now on other ranks are waited for."""
        if self._first is None:
            self._first = rank, time.monotonic()
            self._seen = [time.monotonic()] * self._board.size

    def failure_of(self, rank: int) -> Failure | None:
        """That of a rank which has run its own code for too long while it was waited for; else None."""
        if self._first is None:
            return None
        now = time.monotonic()
        calls = self._board.calls(rank)
        by_itself = self._board.activity[rank] in (Activity.USER_CODE, Activity.FINISHED)  # it may have closed early
        if not by_itself or calls != self._calls[rank]:
            self._calls[rank], self._seen[rank] = calls, now
        if now - self._seen[rank] <= self._timeout:
            return None
        first, when = self._first
        return Failure(
            rank,
            f"neither returned nor made a communicator call for {self._timeout:g} s; rank {first} had returned "
            f"{now - when:.1f} s before",
            self._board.doing(rank),
        )
