"""What an all-reduce algorithm sees of a communicator: who it is, how many there are, and messages to one and from one.

An algorithm is a generator function ``algorithm(peers, flat, op)``: on every rank it combines `flat`, a C-contiguous
1-D array, with those of the other ranks, in place. It says ``yield from`` before every message, because a message may
have to wait, and a rank that waits lets others run: as threads, as processes, under MPI, or taking turns in a single
thread (simulation.py). So what is drawn step by step is what is run.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType, GeneratorType
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..arguments import check_rank
from ..errors import CommunicatorError
from ..layout import contiguous

TAG = -1  # of all messages of algorithms; those of users have tags from 0 on

Steps = Generator[Any, None, None]
Algorithm = Callable[["Peers", np.ndarray, str], Steps]


class Carrier(Protocol):
    """The communicator below: messages between two ranks, with tags."""

    rank: int
    size: int

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Generator[Any, None, None]: ...

    def _recv(self, source: int, tag: int) -> Generator[Any, None, np.ndarray]: ...


class Place(NamedTuple):
    """A line of an algorithm."""

    file: str
    line: int
    function: str

    @classmethod
    def of(cls, frame: FrameType) -> Place:
        return cls(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line} in {self.function}"


class Peers:
    """Rank `rank` of `size`, and its messages.

    Ranks that send to one another at the same time never wait for each other for ever: a rank whose send has to wait
    takes in what is sent to it.

    Messages are carried out in the order in which they are made. One that is made and passed over lacks its ``yield
    from``, CommunicatorError: nothing would be sent, and the other ranks would wait for it.
    """

    def __init__(self, carrier: Carrier) -> None:
        self.rank = carrier.rank
        self.size = carrier.size
        self._carrier = carrier
        self._made: deque[Place] = deque()  # and not begun

    def send(self, array: np.ndarray, dest: int) -> Steps:
        """Send a 1-D array to rank `dest`; afterwards it may be changed. ValueError if there is no such rank."""
        return self._message(self._send(array, dest))

    def recv(self, source: int) -> Generator[Any, None, np.ndarray]:
        """The next message of rank `source`, a new 1-D array. ValueError if there is no such rank."""
        return self._message(self._recv(source))

    def exchange(self, array: np.ndarray, dest: int, source: int) -> Generator[Any, None, np.ndarray]:
        """Send `array` to `dest` while a message of `source` comes in (MPI's Sendrecv): one step for both."""
        return self._message(self._exchange(array, dest, source))

    def check_all_begun(self) -> None:
        """CommunicatorError if a message has been made that nobody carries out."""
        if self._made:
            raise CommunicatorError(
                f"`yield from` is missing before the message at {self._made[0]}: without it nothing is sent or received"
            )

    def _send(self, array: np.ndarray, dest: int) -> Steps:
        dest = check_rank("dest", dest, self.size)
        yield from self._carrier._send(contiguous(array), dest, TAG)

    def _recv(self, source: int) -> Generator[Any, None, np.ndarray]:
        source = check_rank("source", source, self.size)
        return (yield from self._carrier._recv(source, TAG))

    def _exchange(self, array: np.ndarray, dest: int, source: int) -> Generator[Any, None, np.ndarray]:
        yield from self._send(array, dest)
        return (yield from self._recv(source))

    def _message(self, steps: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
        """To be called by what the algorithm calls: its place is noted."""
        place = Place.of(sys._getframe(2))
        self._made.append(place)
        return self._begun(place, steps)

    def _begun(self, place: Place, steps: Generator[Any, None, Any]) -> Generator[Any, None, Any]:
        """What ``yield from`` carries out, from its first step on."""
        if self._made[0] is not place:
            self.check_all_begun()
        self._made.popleft()
        return (yield from steps)


def run(algorithm: Algorithm, carrier: Carrier, flat: np.ndarray, op: str) -> Steps:
    """The algorithm on one rank. CommunicatorError if it says ``yield``, or nothing, where ``yield from`` is meant."""
    peers = Peers(carrier)
    steps = algorithm(peers, flat, op)
    assert isinstance(steps, GeneratorType)
    for waiting in steps:
        if isinstance(waiting, GeneratorType):
            assert steps.gi_frame is not None
            raise CommunicatorError(f"`yield from` is meant by the `yield` at {Place.of(steps.gi_frame)}")
        yield waiting
    peers.check_all_begun()
