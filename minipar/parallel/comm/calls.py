"""How the calls of a communicator are carried out, and what a backend does for them."""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

import numpy as np

from ...backend.device import CPU
from ...backend.device import device as Device
from . import spans
from .arguments import check_timeout, is_on_gpu
from .errors import CommunicatorError
from .traffic import Traffic
from .work import Steps, Waiting, Work

_alive: weakref.WeakSet[Calls] = weakref.WeakSet()


def _close_in_child() -> None:
    """A forked process is nobody's rank."""
    for comm in _alive:
        comm._closed = True


os.register_at_fork(after_in_child=_close_in_child)


class Calls(ABC):
    """A rank among others; calls under way, synchronous and asynchronous ones; and the generators of a backend."""

    backend: str  # the name that `launch` knows it by
    own_algorithms: tuple[str, ...]  # of all_reduce, beside those that any backend can run

    def __init__(self, rank: int, size: int, timeout: float, parent: Calls | None = None) -> None:
        self.rank = rank
        self.size = size
        self.timeout = timeout
        self.device: Device = CPU if parent is None else parent.device  # where this rank is to compute
        self.traffic = Traffic()
        self._closed = False
        self._owner = threading.get_ident()
        self._owner_name = threading.current_thread().name
        self._number = 0  # of the collective calls that have begun
        self._queue: deque[Work] = deque()  # asynchronous collective calls: carried out in this order
        self._messages: list[Work] = []  # isend and irecv: each carried out as soon as it can be
        self._family: list[Calls] = [] if parent is None else parent._family  # of this rank: they get on together
        self._family.append(self)
        # What asynchronous calls of the family have failed with, as long as nobody has been told.
        self._untold: list[Exception] = [] if parent is None else parent._untold
        _alive.add(self)

    # -- life ------------------------------------------------------------------------------------------------------

    @property
    def timeout(self) -> float:
        """Seconds for which a call waits for another rank; math.inf waits for ever."""
        return self._timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._timeout = check_timeout(seconds)

    def close(self) -> None:
        """Leave: every later call is an error. `launch` does it when the function of a rank has returned.

        What is under way is completed first, except messages that nobody has sent. The first communicator of a rank
        closes the groups that have been split from it as well, and raises what an asynchronous call has failed with, if
        no other call has.
        """
        if self._closed:
            return
        is_first = self._family[0] is self
        leaving = self._family[:] if is_first else [self]
        try:
            for comm in leaving:
                for work in (*comm._queue, *comm._messages):
                    if not (work.may_be_left or self._has_failed()):
                        work.wait()
        finally:
            for comm in leaving:
                comm._closed = True
                for work in (*comm._queue, *comm._messages):
                    work.drop()
                comm._queue.clear()
                comm._messages.clear()
                comm._release()
                if comm is not self._family[0]:
                    self._family.remove(comm)
        if is_first and self._has_failed():
            self._tell_untold()

    def _tell_untold(self) -> None:
        """Raise the error of an asynchronous call that nobody has been told of, if there is one."""
        if self._untold:
            error = self._untold[0]
            self._untold.clear()
            raise error

    @abstractmethod
    def fail(self) -> None:
        """Have the other ranks raise at their next call, or at once if they wait in one: they cannot be in step."""

    @abstractmethod
    def doing(self) -> str:
        """What this rank is doing, as the end of a sentence: "in all_reduce #17 float32 (512, 128) sum"."""

    @abstractmethod
    def _world_rank(self, rank: int) -> int:
        """What a rank of this communicator is called in messages for people."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} rank {self.rank} of {self.size}{', closed' if self._closed else ''}>"

    # -- carrying calls out ----------------------------------------------------------------------------------------

    def _collective(self, kind: str, array: np.ndarray | None, detail: str, steps: Steps, async_op: bool) -> Any:
        """Carry out a collective call, after those that are under way; or start it, and return its `Work`."""
        self._check_usable(kind)
        if spans.listener is not None:
            steps = self._recorded(kind, array, steps)
        if async_op or self._queue:
            work = Work(self, self._announced(kind, array, detail, steps), self._resume)
            self._queue.append(work)
            self._progress()
            self._end()
            return work if async_op else work.wait()
        try:
            self._begin(kind, array, detail)
            result = self._drive(steps)
        except BaseException:  # in the middle of a call: an interrupt too leaves this rank out of step
            self.fail()
            raise
        self._end()
        return result

    def _announced(self, kind: str, array: np.ndarray | None, detail: str, steps: Steps) -> Steps:
        """An asynchronous collective, which the others are told of when it is its turn."""
        self._begin(kind, array, detail)
        return (yield from steps)

    def _drive(self, steps: Steps) -> Any:
        """Carry out a synchronous call; returns its result."""
        while True:
            try:
                waiting = next(steps)
            except StopIteration as end:
                return end.value
            self._pause(waiting)

    def _recorded(self, kind: str, array: np.ndarray | None, steps: Steps, is_message: bool = False) -> Steps:
        """The call, of which a listener (a timeline) is told in the end. Messages are not numbered."""
        number = 0 if is_message else self._number
        start, waited = spans.clock(), 0
        while True:
            try:
                waiting = next(steps)
            except StopIteration as end:
                result = end.value
                break
            since = spans.clock()
            yield waiting
            waited += spans.clock() - since
        if spans.listener is not None:
            moved = result if array is None else array
            nbytes = moved.nbytes if isinstance(moved, np.ndarray) or is_on_gpu(moved) else 0
            spans.listener(kind, number, nbytes, start, spans.clock(), waited)
        return result

    def _progress(self, blocking: Work | None = None) -> Waiting | None:
        """Carry on with all that is under way, in every communicator of this rank; never waits.

        Returns what `blocking` waits for (itself, or a call that comes before it).
        """
        found = None
        self._look_around_everywhere()
        for comm in self._family:
            for work in comm._messages[:]:
                waiting = work.advance()
                if waiting is None:
                    comm._messages.remove(work)
                elif work is blocking:
                    found = waiting
            while comm._queue:
                waiting = comm._queue[0].advance()
                if waiting is not None:
                    if blocking in comm._queue:
                        found = waiting
                    break
                comm._queue.popleft()
        return found

    def __reduce__(self) -> Any:
        raise TypeError("a communicator belongs to its rank and cannot be sent, saved or copied: send what it has told")

    def _look_around_everywhere(self) -> None:
        for comm in self._family:
            comm._look_around()

    def _check_usable(self, kind: str) -> None:
        if threading.get_ident() != self._owner:
            raise CommunicatorError(
                f"{kind}: the communicator of rank {self.rank} belongs to thread {self._owner_name!r}, and thread "
                f"{threading.current_thread().name!r} called it: make all calls of a rank in one thread"
            )
        if self._closed:
            raise CommunicatorError(f"{kind}: this communicator is closed")

    # -- what a backend does ---------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        """A collective call begins, and is counted: see that the others are well, and tell them."""

    @abstractmethod
    def _begin_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        """A send or recv begins."""

    @abstractmethod
    def _check_peers(self, kind: str = "") -> None:
        """Raise PeerFailedError if another rank is known to have failed; `kind` is what this one is about to do."""

    @abstractmethod
    def _has_failed(self) -> bool:
        """Whether a rank is known to have failed, so that nothing more can be completed."""

    @abstractmethod
    def _release(self) -> None:
        """The communicator is closed: let go of its memory."""

    @abstractmethod
    def _resume(self) -> None:
        """The rank is going to wait for an asynchronous collective call."""

    @abstractmethod
    def _resume_message(self, kind: str, array: np.ndarray | None, detail: str) -> None:
        """The rank is going to wait for an asynchronous message."""

    @abstractmethod
    def _end(self) -> None:
        """The call is complete, or goes on later: the rank is in its own code."""

    @abstractmethod
    def _pause(self, waiting: Waiting) -> None:
        """Wait a little, and carry on with other calls; raise if what is waited for will not come, or is late."""

    def _look_around(self) -> None:  # noqa: B027 (a backend may have nothing to do)
        """Take in what other ranks are sending, while this one waits for something else."""

    def _take_shortcut(self, op: Any, array: np.ndarray) -> bool:
        """Carry out a synchronous all_reduce (in place), or a BARRIER, faster than by its steps, if that can be."""
        return False

    @abstractmethod
    def _agree(self) -> Steps:
        """Once a call, at its first exchange: all ranks have begun the same call, or MismatchError."""

    @abstractmethod
    def _barrier(self) -> Steps: ...

    @abstractmethod
    def _broadcast(self, flat: np.ndarray, root: int) -> Steps: ...

    @abstractmethod
    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        """In place; `algorithm` is None or one of `own_algorithms`."""

    @abstractmethod
    def _reduce(self, flat: np.ndarray, out: np.ndarray | None, root: int, op: str) -> Steps:
        """`out` on the root alone; it does not overlap `flat`."""

    @abstractmethod
    def _all_gather(self, flat: np.ndarray, rows: np.ndarray) -> Steps: ...

    @abstractmethod
    def _gather(self, flat: np.ndarray, rows: np.ndarray | None, root: int) -> Steps: ...

    @abstractmethod
    def _scatter(self, rows: np.ndarray | None, out: np.ndarray, root: int) -> Steps: ...

    @abstractmethod
    def _reduce_scatter(self, rows: np.ndarray, out: np.ndarray, op: str) -> Steps: ...

    @abstractmethod
    def _all_to_all(self, rows: np.ndarray, out: np.ndarray) -> Steps: ...

    @abstractmethod
    def _split(self, members: list[int] | None) -> Steps:
        """The communicator of these ranks of mine (None, and no communicator, for a rank that is in no group)."""

    @abstractmethod
    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps: ...

    @abstractmethod
    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        """`array` is C-contiguous; when this ends it may be changed. It must not wait for the recv of `dest`, but at
        most for a call of any kind there: ranks that send to one another at the same time are the rule."""

    @abstractmethod
    def _recv(self, source: int, tag: int) -> Steps:
        """A new array: the next message of that rank with that tag which no earlier `_recv` gets."""
