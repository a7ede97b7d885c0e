"""The end of workers in good order: they are told to leave, and are waited for.

As any program of Python's does, a worker that is to leave waits for threads that are no daemons: one may be writing a
checkpoint. So does the caller, for as long as it takes, and says so after a while. When no such thread runs any more a
worker has EXIT_LIMIT seconds left, for its exit handlers: those of libraries have been seen to hang.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import processes
from .answers import Contact
from .channel import Kind
from .output import Screen, wait_and_show

if TYPE_CHECKING:
    from .processes import WorkerProcess

_POLL = 0.02  # seconds between two looks whether a worker has gone


class _Departure:
    """One worker on its way out."""

    def __init__(self, worker: Contact) -> None:
        self.worker = worker
        self.threads: list[str] = []  # that it waits for
        self.since = time.monotonic()  # the threads are known; without threads, the time for its exit handlers runs
        self.is_told = False  # the user knows of them
        self._may_write = True

    def listen(self) -> None:
        """Hear of its threads, and then of their end."""
        if not self._may_write or not self.worker.has_written():
            return
        try:
            _, body, _ = self.worker.channel.receive()
        except (EOFError, OSError):
            self._may_write = False
            self.threads = []
        else:
            self.threads = pickle.loads(body)
            self.since = time.monotonic()

    def takes_long(self) -> bool:
        return time.monotonic() > self.since + processes.EXIT_LIMIT

    def is_over(self) -> bool:
        """It has gone, or is given up."""
        return self.worker.has_ended() or (not self.threads and self.takes_long())


def leave(workers: Sequence[WorkerProcess], screen: Screen) -> None:
    """Return when all have left, but for those whose exit handlers take too long; meanwhile show what they write."""
    for worker in workers:
        try:
            worker.channel.send(Kind.END)
        except OSError:  # it has gone
            continue
        if worker.world is None or worker.is_busy:  # it may not be ready yet, or does not come to leave
            worker.kill()
    wait_until_gone(workers, screen)


def wait_until_gone(workers: Sequence[Contact], screen: Screen) -> None:
    """`leave`, of workers that have been told to."""
    departures = [_Departure(worker) for worker in workers]
    streams = [stream for worker in workers for stream in worker.streams]
    while departures := [departure for departure in departures if not departure.is_over()]:
        wait_and_show(streams, [], _POLL)
        for departure in departures:
            departure.listen()
            if departure.threads and departure.takes_long() and not departure.is_told:
                departure.is_told = True
                screen.show("stderr", _told(departure), is_bar=False)
                screen.flush("stderr")


def _told(departure: _Departure) -> str:
    threads = f"thread{'s' if len(departure.threads) > 1 else ''} {', '.join(map(repr, departure.threads))}"
    return (
        f"minipar: rank {departure.worker.rank} still runs {threads}, and is waited for, as any program waits for its "
        f"threads that are no daemons (Ctrl-C ends them)\n"
    )
