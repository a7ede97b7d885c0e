"""Communicators whose ranks see a board: each writes there what it does, and all stop as soon as one has failed.

How ranks wait for one another, and how data moves, is not known here: meeting.py (shared memory), mpi.py (messages).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NoReturn

import numpy as np

from .announcement import Announcement, announcement
from .board import CALLER, Activity, Board
from .communicator import Communicator
from .errors import CommunicatorError, PeerFailedError
from .work import Steps, Waiting

_SIGNAL_LIMIT = 0.5  # seconds that the signal of a caller may take that interrupts all ranks, one after the other


class BoardCommunicator(Communicator):
    """What all backends have in common.

    `members` are the ranks of this communicator as the board knows them; for that of a whole launch, None: all.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        timeout: float,
        board: Board,
        parent: BoardCommunicator | None = None,
        members: list[int] | None = None,
    ) -> None:
        super().__init__(rank, size, timeout, parent)
        self._board = board
        self._members = list(range(size)) if members is None else members
        self._me = self._members[rank]
        self._group = "" if members is None else f"among ranks {', '.join(map(str, members))}"
        self._agreed = True  # on the current call, with the other ranks
        self._said = announcement("nothing", None, "").text  # on the board, by the last collective call here
        self._digest = 0

    # -- announcing ------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._check_peers(kind)
        self._number = number = self._number + 1
        if number & 15 == 0:  # who only meets others would leave those waiting that send to it
            self._look_around_everywhere()
        self._said, self._digest = self._announcement(kind, array, detail)
        self._agreed = False
        self._board.begin_collective(self._me, number, self._said)

    def _announcement(self, kind: str, array: np.ndarray | None, detail: str) -> Announcement:
        return announcement(kind, array, f"{detail} {self._group}".strip())

    def _resume(self) -> None:
        self._board.show_collective(self._me, self._number, self._said)

    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._check_peers(kind)
        self._look_around_everywhere()
        self._board.begin_message(self._me, announcement(f"{kind} {detail}", array, "").text)

    def _resume_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._board.show_message(self._me, announcement(f"{kind} {detail}", array, "").text)

    def _end(self) -> None:
        self._board.activity[self._me] = Activity.USER_CODE

    def doing(self) -> str:
        return self._board.doing(self._me)

    def _world_rank(self, rank: int) -> int:
        return self._members[rank]

    def _states(self, ranks: Iterable[int]) -> list[tuple[int, str]]:
        """What each of these ranks of the board is doing."""
        return [(rank, self._board.doing(rank)) for rank in ranks]

    def _some_are_slow_by_right(self) -> bool:
        """Whether a rank does what no timeout applies to: it may hold up any other, and so is waited for."""
        return any(map(self._board.is_slow_by_right, range(self._board.size)))

    def _wait_for(self, peer: int, ready: Callable[[], bool]) -> Steps:
        waiting = Waiting(peer, ready)
        while not ready():
            yield waiting

    # -- leaving and failing ---------------------------------------------------------------------------------------

    def close(self) -> None:
        leaves = not self._closed and self._family[0] is self
        super().close()
        if leaves and not self._has_failed():
            self._board.activity[self._me] = Activity.FINISHED
            self._wake()

    def _has_failed(self) -> bool:
        return self._board.failed_rank is not None

    def fail(self) -> None:
        self._board.fail(self._me)
        self._wake()

    def _wake(self) -> None:
        """Make waiting ranks look at the board."""

    def _check_peers(self, kind: str = "") -> None:
        failed = self._board.failed_rank
        if failed is None:
            return
        when = f"while rank {self._me} was {'about to ' + kind if kind else self.doing()}"
        if failed == CALLER:
            raise PeerFailedError(f"the task was interrupted, {when}")
        if failed == self._me:
            self._tell_untold()
            raise CommunicatorError(f"rank {failed} has failed before: its communicator can no longer be used")
        if self._board.is_interrupted:  # as this rank is: it is to hear that, and not what came of it elsewhere
            time.sleep(_SIGNAL_LIMIT)
        raise PeerFailedError(f"rank {failed} has failed, {when}")

    def _give_up(self, error: CommunicatorError) -> NoReturn:
        """Raise `error` here, and have the other ranks stop at once: they can never be in step with this one again."""
        self.fail()
        raise error
