"""Communicators whose ranks share a board: they meet and agree on the call, or give up with an error that says why."""

import time
from collections.abc import Callable

import numpy as np

from .board import CALLER, Activity, Board, call_text
from .communicator import Communicator
from .errors import CommunicatorError, CommunicatorTimeout, MismatchError, PeerFailedError


class MeetingCommunicator(Communicator):
    """What the thread and the process backend have in common; they differ in how data moves and how a rank waits."""

    def __init__(self, rank: int, size: int, timeout: float, board: Board) -> None:
        super().__init__(rank, size, timeout)
        self._board = board
        self._peers = [(rank + k) % size for k in range(1, size)]
        self._epoch = 0

    # -- announcing ------------------------------------------------------------------------------------------------

    def _begin(self, kind: str, array: np.ndarray | None = None, detail: str = "") -> None:
        super()._begin(kind, array, detail)
        self._board.begin_collective(self.rank, _text(kind, array, detail))
        self._check_peers()

    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        super()._begin_message(kind, array, detail)
        self._board.begin_message(self.rank, _text(f"{kind} {detail}", array, ""))
        self._check_peers()

    def _end(self) -> None:
        self._board.activity[self.rank] = Activity.USER_CODE

    def close(self) -> None:
        if not self._closed:
            self._board.activity[self.rank] = Activity.FINISHED
            self._wake()
        super().close()

    def fail(self) -> None:
        """Have the other ranks raise at their next communicator call, or at once if they are waiting in one."""
        self._board.fail(self.rank)
        self._wake()

    def doing(self) -> str:
        """What this rank is doing, as the end of a sentence: "in all_reduce #17 float32 (512, 128) sum"."""
        return self._board.doing(self.rank)

    # -- meeting ---------------------------------------------------------------------------------------------------

    def _barrier(self) -> None:
        self._meet()

    def _meet(self) -> None:
        """The first meeting of every collective call: wait for all ranks, then see that all mean the same call."""
        self._arrive()
        if not self._board.all_agree(self.rank):
            self._give_up(MismatchError(self._disagreement()))

    def _arrive(self) -> None:
        """Wait until all ranks have arrived as often as this one. What they wrote before is then there to read."""
        self._epoch = epoch = self._epoch + 1
        epochs = self._board.epoch
        self._fence()
        epochs[self.rank] = epoch
        self._wake()
        for peer in self._peers:
            if epochs[peer] < epoch:
                self._wait_for(peer, lambda: epochs[peer] >= epoch)  # noqa: B023 (called before the loop moves on)
        self._fence()

    def _wait_for(self, peer: int, ready: Callable[[], bool]) -> None:
        """Wait for something that `peer` has to do; raise if it never will, or not in time."""
        turn = 0
        deadline = 0.0
        while not ready():
            turn += 1
            if self._pause(turn, ready):  # the wait is getting long: look around
                self._take_in_messages()
                self._check_peers()
                now = time.monotonic()
                if not deadline or self._board.activity[peer] == Activity.STARTING:
                    deadline = now + self.timeout
                if self._board.activity[peer] == Activity.FINISHED and not ready():
                    self._give_up(MismatchError(self._waits_in_vain(peer)))
                if now > deadline and not ready():
                    self._give_up(CommunicatorTimeout(self._waited_too_long(peer)))

    def _check_peers(self) -> None:
        failed = self._board.failed_rank
        if failed == CALLER:
            raise PeerFailedError(f"launch was interrupted, while rank {self.rank} was {self.doing()}")
        if failed == self.rank:
            raise CommunicatorError(f"rank {self.rank} has failed before: its communicator can no longer be used")
        if failed is not None:
            raise PeerFailedError(f"rank {failed} has failed, while rank {self.rank} was {self.doing()}")

    def _give_up(self, error: CommunicatorError) -> None:
        """Raise `error` here, and have the other ranks stop at once: they can never be in step with this one again."""
        self.fail()
        raise error

    # -- saying what is wrong --------------------------------------------------------------------------------------

    def _disagreement(self) -> str:
        number = self._board.number[self.rank]
        other = self._board.first_disagreement(number)
        return (
            f"rank 0 called {self._board.collective(0, number)}, but rank {other} called "
            f"{self._board.collective(other, number)}: all ranks must make the same collective calls, in the same "
            f"order, with the same shapes, dtypes and options"
        )

    def _waits_in_vain(self, peer: int) -> str:
        return (
            f"rank {self.rank} is {self.doing()}, waiting for rank {peer}, whose function has "
            f"returned (after {self._board.number[peer]} collective calls)"
        )

    def _waited_too_long(self, peer: int) -> str:
        late = [peer]
        if self._board.activity[self.rank] == Activity.COLLECTIVE:
            late = [rank for rank in range(self.size) if self._board.epoch[rank] < self._epoch]
        missing = "; ".join(f"rank {rank} is {self._board.doing(rank)}" for rank in late)
        return f"rank {self.rank}, {self.doing()}, waited {self.timeout:g} s: {missing}"

    # -- what differs between threads and processes ------------------------------------------------------------------

    def _fence(self) -> None:
        """Let no processor move memory accesses across this line."""

    def _wake(self) -> None:
        """Make waiting ranks look at the board."""

    def _pause(self, turn: int, ready: Callable[[], bool]) -> bool:
        """Wait a little, the longer the more turns there were. True if the caller should look around."""
        raise NotImplementedError

    def _take_in_messages(self) -> None:
        """Make room for ranks that are sending to this one while it waits for something else."""


def _text(kind: str, array: np.ndarray | None, detail: str) -> bytes:
    return call_text(kind, None, (), detail) if array is None else call_text(kind, array.dtype, array.shape, detail)
