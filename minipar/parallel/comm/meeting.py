"""Communicators whose ranks share memory: they meet over lines, agree there on the call, and read arrays of all."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .board import Activity, Board
from .errors import CommunicatorTimeout, MismatchError
from .lines import Lines
from .on_board import BoardCommunicator
from .reduction import reduce_in_order, reduce_own_piece
from .telling import calls_differ, waited_too_long, waits_in_vain
from .work import Steps, Waiting

Views = list[np.ndarray]  # what each rank shows: rows of the elements from `start` on, all of one length


class MeetingCommunicator(BoardCommunicator):
    """What threads and processes have in common; they differ in how data moves and how a rank waits."""

    own_algorithms: tuple[str, ...] = ("shared",)

    def __init__(
        self,
        rank: int,
        size: int,
        timeout: float,
        board: Board,
        lines: Lines,
        parent: MeetingCommunicator | None = None,
        members: list[int] | None = None,
    ) -> None:
        super().__init__(rank, size, timeout, board, parent, members)
        self._lines = lines
        self._epochs = lines.epoch
        self._peers = [(rank + k) % size for k in range(1, size)]
        self._epoch = 0

    def _begin(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        super()._begin(kind, array, detail)
        self._lines.digest[self._number & 1][self.rank] = self._digest

    def _release(self) -> None:
        del self._lines, self._epochs

    # -- collective calls: each rank shows its array, and picks what it needs from what all show -----------------------

    def _barrier(self) -> Steps:
        return self._agree()

    def _broadcast(self, flat: np.ndarray, root: int) -> Steps:
        def pick(start: int, views: Views) -> None:
            if self.rank != root:
                flat[start : start + views[root].shape[1]] = views[root][0]

        return self._exchange(flat[None] if self.rank == root else None, flat[None], pick, only=root)

    def _reduce(self, flat: np.ndarray, out: np.ndarray | None, root: int, op: str) -> Steps:
        def pick(start: int, views: Views) -> None:
            if out is not None:
                reduce_in_order([view[0] for view in views], op, out[start : start + views[0].shape[1]])

        return self._exchange(flat[None], flat[None], pick)

    def _all_gather(self, flat: np.ndarray, rows: np.ndarray) -> Steps:
        return self._gather(flat, rows, self.rank)

    def _gather(self, flat: np.ndarray, rows: np.ndarray | None, root: int) -> Steps:
        def pick(start: int, views: Views) -> None:
            if rows is not None:
                for row, view in zip(rows, views):
                    row[start : start + view.shape[1]] = view[0]

        return self._exchange(flat[None], flat[None], pick)

    def _scatter(self, rows: np.ndarray | None, out: np.ndarray, root: int) -> Steps:
        def pick(start: int, views: Views) -> None:
            out[start : start + views[root].shape[1]] = views[root][self.rank]

        like = np.broadcast_to(out, (self.size, out.size))
        return self._exchange(rows, like, pick, only=root)

    def _reduce_scatter(self, rows: np.ndarray, out: np.ndarray, op: str) -> Steps:
        def pick(start: int, views: Views) -> None:
            reduce_in_order([view[self.rank] for view in views], op, out[start : start + views[0].shape[1]])

        return self._exchange(rows, rows, pick)

    def _all_to_all(self, rows: np.ndarray, out: np.ndarray) -> Steps:
        def pick(start: int, views: Views) -> None:
            for row, view in zip(out, views):
                row[start : start + view.shape[1]] = view[self.rank]

        return self._exchange(rows, rows, pick)

    def _reduce_pieces(self, views: Views, op: str) -> Steps:
        """All-reduce arrays that every rank sees and may write: each reduces its piece, into the arrays of all."""
        reduce_own_piece([view.reshape(-1) for view in views], op, self.rank)
        yield from self._arrive()

    # -- meeting ---------------------------------------------------------------------------------------------------

    def _agree(self) -> Steps:
        """The first meeting of a collective call: wait for all ranks, then see that all mean the same call."""
        yield from self._arrive()
        if not self._agreed:
            self._compare()

    def _compare(self) -> None:
        self._agreed = True
        digests = self._lines.digest[self._number & 1]
        for peer in self._peers:
            if digests[peer] != self._digest:
                self._give_up(MismatchError(self._calls_differ()))

    def _arrive(self) -> Steps:
        """Wait until all ranks have arrived as often as this one. What they wrote before is then there to read."""
        self._epoch += 1
        self._fence()
        self._epochs[self.rank] = self._epoch
        self._wake()
        return self._await_all()

    def _await_all(self) -> Steps:
        epochs, epoch = self._epochs, self._epoch
        for peer in self._peers:
            if epochs[peer] < epoch:
                yield from self._wait_for(peer, lambda: epochs[peer] >= epoch)  # noqa: B023 (called at once)
        self._fence()

    def _pause(self, waiting: Waiting) -> None:
        waiting.turn += 1
        if not self._rest(waiting.turn, waiting.ready):
            return
        for comm in self._family:  # the wait is getting long: look around
            comm._look_around()
        self._check_peers()
        if not waiting.ready():
            self._check_patience(waiting)
        if self._queue or self._messages or len(self._family) > 1:
            self._progress()

    def _check_patience(self, waiting: Waiting) -> None:
        peer = self._members[waiting.peer]
        now = time.monotonic()
        if not waiting.deadline or self._some_are_slow_by_right():
            waiting.deadline = now + self.timeout
        if self._board.activity[peer] == Activity.FINISHED and not waiting.ready():
            self._give_up(MismatchError(self._waits_in_vain(peer)))
        if now > waiting.deadline and not waiting.ready():
            self._give_up(CommunicatorTimeout(self._waited_too_long(peer)))

    # -- saying what is wrong --------------------------------------------------------------------------------------

    def _calls_differ(self) -> str:
        return calls_differ((rank, self._board.collective(rank)) for rank in self._members)

    def _waits_in_vain(self, peer: int) -> str:
        return waits_in_vain(self._me, self.doing(), peer, self._board.doing(peer))

    def _waited_too_long(self, peer: int) -> str:
        late = [peer]
        if self._board.activity[self._me] == Activity.COLLECTIVE:
            late = [self._members[r] for r in range(self.size) if self._epochs[r] < self._epoch] or late
        return waited_too_long(self._me, self.doing(), self.timeout, self._states(late))

    # -- what differs between threads and processes ------------------------------------------------------------------

    def _exchange(
        self,
        shown: np.ndarray | None,
        like: np.ndarray,
        pick: Callable[[int, Views], None],
        only: int | None = None,
    ) -> Steps:
        """Show `shown` (rows, C-contiguous) to all; `pick(start, views)` reads what all (or rank `only`) show.

        It is called for one stretch of columns after the other, from column `start` on. `like` has the shape and dtype
        of what is shown; a rank that shows nothing gives None.
        """
        raise NotImplementedError

    def _fence(self) -> None:
        """Let no processor move memory accesses across this line."""

    def _rest(self, turn: int, ready: Callable[[], bool]) -> bool:
        """Rest a little, the longer the more turns there were. True if the caller should look around."""
        raise NotImplementedError
