"""A communicator on top of another one: the same ranks, whose messages it does not carry itself.

Everything goes through the communicator beneath, step by step, until a subclass carries something in another way. The
ranks see one board, so errors name ranks and calls as everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .communicator import Communicator
from .on_board import BoardCommunicator
from .work import Steps, Waiting


class OverHost(Communicator):
    """The ranks of `host`, which makes no calls of its own from now on."""

    def __init__(self, host: BoardCommunicator) -> None:
        self._host = host
        super().__init__(host.rank, host.size, host.timeout, host)
        self.traffic = host.traffic
        self._end()

    @property
    def timeout(self) -> float:
        return self._host.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._host.timeout = seconds

    # -- who does what ---------------------------------------------------------------------------------------------

    def _begin(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._host._begin(kind, array, detail)
        self._number = self._host._number

    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._host._begin_message(kind, array, detail)

    def _resume(self) -> None:
        self._host._resume()

    def _resume_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        self._host._resume_message(kind, array, detail)

    def _end(self) -> None:
        self._host._end()

    def doing(self) -> str:
        return self._host.doing()

    def _world_rank(self, rank: int) -> int:
        return self._host._world_rank(rank)

    # -- failing and leaving ---------------------------------------------------------------------------------------

    def fail(self) -> None:
        self._host.fail()

    def _check_peers(self, kind: str = "") -> None:
        self._host._check_peers(kind)

    def _has_failed(self) -> bool:
        return self._host._has_failed()

    def _release(self) -> None:
        """The host has memory of its own, and lets go of it when it is closed."""

    def close(self) -> None:
        super().close()
        self._host.close()

    # -- carrying calls out ----------------------------------------------------------------------------------------

    def _pause(self, waiting: Waiting) -> None:
        self._host._pause(waiting)

    def _take_shortcut(self, op: Any, array: np.ndarray) -> bool:
        return not (self._closed or self._queue) and self._host._take_shortcut(op, array)

    def _agree(self) -> Steps:
        return self._host._agree()

    def _barrier(self) -> Steps:
        return self._host._barrier()

    def _broadcast(self, flat: np.ndarray, root: int) -> Steps:
        return self._host._broadcast(flat, root)

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        return self._host._all_reduce(flat, op, algorithm)

    def _reduce(self, flat: np.ndarray, out: np.ndarray | None, root: int, op: str) -> Steps:
        return self._host._reduce(flat, out, root, op)

    def _all_gather(self, flat: np.ndarray, rows: np.ndarray) -> Steps:
        return self._host._all_gather(flat, rows)

    def _gather(self, flat: np.ndarray, rows: np.ndarray | None, root: int) -> Steps:
        return self._host._gather(flat, rows, root)

    def _scatter(self, rows: np.ndarray | None, out: np.ndarray, root: int) -> Steps:
        return self._host._scatter(rows, out, root)

    def _reduce_scatter(self, rows: np.ndarray, out: np.ndarray, op: str) -> Steps:
        return self._host._reduce_scatter(rows, out, op)

    def _all_to_all(self, rows: np.ndarray, out: np.ndarray) -> Steps:
        return self._host._all_to_all(rows, out)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        return self._host._empty(shape, dtype)

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        return self._host._send(array, dest, tag)

    def _recv(self, source: int, tag: int) -> Steps:
        return self._host._recv(source, tag)
