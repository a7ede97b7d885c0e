"""Calls that wait for other ranks: written as generators, so that one rank can have several under way.

A call of a communicator is a generator that yields a `Waiting` whenever it cannot go on until somebody else has done
something. A synchronous call is driven to its end at once. An asynchronous one is started, and driven further whenever
its rank calls the communicator: no thread works behind the user's back (MPI calls this weak progress).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import Calls


ANYBODY = -1


class Waiting:
    """What a call waits for: something that `peer` (or ANYBODY) has to do, and has done once `ready()` is true."""

    __slots__ = ("deadline", "peer", "ready", "turn")

    def __init__(self, peer: int, ready: Callable[[], bool]) -> None:
        self.peer = peer
        self.ready = ready
        self.turn = 0  # how often the rank has paused because of it
        self.deadline = 0.0  # set at the first pause


Steps = Generator[Waiting, None, Any]  # returns the result of the call


class Work:
    """An asynchronous call under way; `wait` returns its result.

    The arrays of the call belong to it until then: do not change them, nor read what it is to fill.

    >>> def total(comm):
    ...     here = np.array([1.0 + comm.rank])
    ...     work = comm.all_reduce(here, async_op=True)
    ...     elsewhere = 1 + 1
    ...     return work.wait().item(), work.done()
    >>> minipar.parallel.launch(total, workers=2, backend="thread")
    [(3.0, True), (3.0, True)]
    """

    def __init__(self, comm: Calls, steps: Steps, resume: Callable[[], None], *, may_be_left: bool = False) -> None:
        self._comm = comm
        self._steps = steps
        self._resume = resume
        self._finished = False
        self._result: Any = None
        self._error: BaseException | None = None
        self.may_be_left = may_be_left  # when the communicator is closed

    def done(self) -> bool:
        """Whether the call is complete; never waits, but carries on with what can be done by now."""
        if not self._finished:
            self._comm._check_usable("done")
            self._comm._check_peers("done")
            self._comm._progress()
            self._comm._end()
        return self._finished

    def wait(self) -> Any:
        """The result of the call, once it is complete. Raises what the synchronous call would raise."""
        if not self._finished:
            self._comm._check_usable("wait")
            self._resume()
            while (waiting := self._comm._progress(blocking=self)) is not None:
                self._comm._pause(waiting)
            self._comm._end()
        if self._error is not None:
            self._comm._untold[:] = [error for error in self._comm._untold if error is not self._error]
            raise self._error
        return self._result

    def drop(self) -> None:
        """It is never completed, and keeps nothing of what it was about."""
        self._steps.close()

    def advance(self) -> Waiting | None:
        """Carry on without waiting: what the call now waits for, None if it is complete, or has failed."""
        try:
            return next(self._steps)
        except StopIteration as end:
            self._result = end.value
        except ValueError as error:  # of the array that is to be filled: told by `wait`
            self._error = error
        except BaseException as error:
            self._error = error
            self._finish()
            self._comm.fail()  # nobody may ever ask this work how it went
            if not isinstance(error, Exception):
                raise
            self._comm._untold.append(error)  # so it is told by whichever call comes next
        self._finish()
        return None

    def _finish(self) -> None:
        self._finished = True
        self._resume = _nothing  # what it was has the array, and somebody may keep this work for long


def _nothing() -> None:
    """What is left to do when a rank waits for a call that is complete."""
