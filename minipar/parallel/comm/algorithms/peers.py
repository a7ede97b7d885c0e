"""What an all-reduce algorithm sees of a communicator: who it is, how many there are, and messages to one and from one.

An algorithm is a generator function ``algorithm(peers, flat, op)``: on every rank it combines `flat`, a C-contiguous
1-D array, with those of the other ranks, in place. It says ``yield from`` before every message, because a message may
have to wait, and a rank that waits lets others run: as threads, as processes, under MPI, or taking turns in a single
thread (simulation.py). So what is drawn step by step is what is run.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np

from ..arguments import check_rank

TAG = -1  # of all messages of algorithms; those of users have tags from 0 on

Steps = Generator[Any, None, None]
Algorithm = Callable[["Peers", np.ndarray, str], Steps]


class Carrier(Protocol):
    """The communicator below: messages between two ranks, with tags."""

    rank: int
    size: int

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Generator[Any, None, None]: ...

    def _recv(self, source: int, tag: int) -> Generator[Any, None, np.ndarray]: ...


class Peers:
    """Rank `rank` of `size`, and its messages.

    Ranks that send to one another at the same time never wait for each other for ever: a rank whose send has to wait
    takes in what is sent to it.
    """

    def __init__(self, carrier: Carrier) -> None:
        self.rank = carrier.rank
        self.size = carrier.size
        self._carrier = carrier

    def send(self, array: np.ndarray, dest: int) -> Steps:
        """Send a 1-D array to rank `dest`; afterwards it may be changed. ValueError if there is no such rank."""
        dest = check_rank("dest", dest, self.size)
        yield from self._carrier._send(np.ascontiguousarray(array), dest, TAG)

    def recv(self, source: int) -> Generator[Any, None, np.ndarray]:
        """The next message of rank `source`, a new 1-D array. ValueError if there is no such rank."""
        source = check_rank("source", source, self.size)
        return (yield from self._carrier._recv(source, TAG))

    def exchange(self, array: np.ndarray, dest: int, source: int) -> Generator[Any, None, np.ndarray]:
        """Send `array` to `dest` while a message of `source` comes in (MPI's Sendrecv): one step for both."""
        yield from self.send(array, dest)
        return (yield from self.recv(source))
