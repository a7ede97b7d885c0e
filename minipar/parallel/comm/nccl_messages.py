"""Messages between two ranks' GPUs: for each direction an NCCL communicator of two ranks, with a stream of its own.

NCCL carries out what one communicator is given one after the other, and a send is over when it has been received. Two
ranks that send to each other before they receive would wait for ever if both directions were one. As they are two, and
what is sent is a copy, a `send` waits for nobody.

NCCL knows no tags, nor shapes. So two messages of the host's go ahead of an array: one tells its shape and dtype, in
the order of sending, so that the receiver makes room in that order; one has the user's tag, and tells how many arrays
this rank has sent there before, so that `recv` knows which of those that come is its own.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from .arguments import is_on_gpu
from .board import Activity
from .nccl_gpu import GPU, Elsewhere
from .nccl_waiting import OnGPU
from .objects import packed, unpacked
from .on_board import BoardCommunicator
from .work import Steps

_NUMBER = np.dtype("V8")  # of the message that stands for an array on the GPU: no array has it
_AHEAD = -5  # the tag of the messages that tell shapes; users have those from 0 on


class Ahead(NamedTuple):
    """What is told of an array before it comes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    identity: bytes  # of NCCL's communicator for this direction


class GPUMessages(OnGPU):
    """send and recv of arrays on GPUs."""

    def __init__(self, host: BoardCommunicator, gpu: GPU, debug: bool) -> None:
        super().__init__(host, gpu, debug)
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._numbers = [0] * host.size  # how many arrays have been sent to each rank
        self._to_self: dict[int, Any] = {}

    def _send(self, array: Any, dest: int, tag: int) -> Steps:
        if not is_on_gpu(array):
            yield from super()._send(array, dest, tag)
            return
        self.traffic.count(array.nbytes)
        number = self._numbers[dest]
        self._numbers[dest] += 1
        if dest == self.rank:
            self._to_self[number] = array.copy(), self._gpu.now()
        else:
            if dest not in self._outgoing:
                self._outgoing[dest] = Outgoing(self._gpu)
            with self._failures_told():
                ahead = self._outgoing[dest].send(array)
            yield from self._host._send(packed(ahead), dest, _AHEAD)
        yield from self._host._send(np.array([number]).view(_NUMBER), dest, tag)

    def _recv(self, source: int, tag: int) -> Steps:
        received = yield from super()._recv(source, tag)
        if received.dtype != _NUMBER:
            return received
        number = int(received.view(np.int64)[0])
        if source == self.rank:
            array, copied = self._to_self.pop(number)
            self._gpu.cuda.get_current_stream().wait_event(copied)
            return array
        if source not in self._incoming:
            self._incoming[source] = Incoming(self._gpu)
        incoming = self._incoming[source]
        while incoming.told <= number:
            yield from self._hear(incoming, source)
        with self._failures_told():
            yield from incoming.connected(source)
            incoming.make_room()
        yield from self._host._wait_for(source, lambda: incoming.is_there(number))
        return incoming.take(number)

    def _hear(self, incoming: Incoming, source: int) -> Steps:
        """Of the next array that comes. Several receives may be under way, of which one listens for all."""
        if incoming.has_listener:
            yield from self._host._wait_for(source, lambda: not incoming.has_listener)
            return
        incoming.has_listener = True
        ahead = yield from self._host._recv(source, _AHEAD)
        incoming.expect(unpacked(ahead))
        incoming.has_listener = False

    # -- leaving ---------------------------------------------------------------------------------------------------

    def _last_steps(self) -> Steps:
        for dest, outgoing in self._outgoing.items():
            yield from self._host._wait_for(dest, lambda: outgoing.is_empty() or self._has_left(dest))  # noqa: B023
        yield from super()._last_steps()

    def _has_left(self, rank: int) -> bool:
        """Whether it receives nothing any more."""
        board, member = self._host._board, self._host._members[rank]
        leaves = board.activity[member] == Activity.COLLECTIVE and board.collective(member).startswith("close ")
        return leaves or board.activity[member] == Activity.FINISHED

    def _end_links(self, *, abort: bool) -> None:
        super()._end_links(abort=abort)
        channels: list[Outgoing | Incoming] = [*self._outgoing.values(), *self._incoming.values()]
        self._outgoing.clear()
        self._incoming.clear()
        for channel in channels:
            channel.end()


class Outgoing:
    """From this rank to another. What is sent before the other has come waits, and holds nobody up."""

    def __init__(self, gpu: GPU) -> None:
        self._gpu = GPU(gpu.number)
        self._identity = gpu.nccl.get_unique_id()
        self._lock = threading.Lock()  # connecting goes on in another thread
        self._link: Any = None
        self._waiting: list[tuple[Any, Any]] = []  # for the connection: copies, and when they are made
        self._leaving: list[tuple[Any, Any]] = []  # copies, and when they have been received
        connect = gpu.nccl.NcclCommunicator
        self._connecting = Elsewhere(self._gpu, lambda: connect(2, self._identity, 0), self._go)

    def send(self, array: Any) -> Ahead:
        """Send a copy; `array` may then be changed in the current stream. Returns what is to be told."""
        copy = array.copy()
        with self._lock:
            self._waiting.append((copy, self._gpu.now()))
            link = self._link
        if link is not None:
            self._go(link)
        elif self._connecting.is_over():
            self._connecting.result()  # an error of NCCL's
        return Ahead(array.shape, array.dtype, self._identity)

    def _go(self, link: Any) -> None:
        """Give NCCL what has been sent until now."""
        with self._lock, self._gpu.current():
            self._link = link
            self._leaving = [(copy, received) for copy, received in self._leaving if not received.done]
            while self._waiting:
                copy, made = self._waiting.pop(0)
                self._gpu.stream.wait_event(made)
                if copy.size:
                    link.send(*self._gpu.as_bytes(copy), 1, self._gpu.stream.ptr)
                self._leaving.append((copy, self._gpu.stream.record()))

    def is_empty(self) -> bool:
        """Whether all that was sent has been received."""
        with self._lock:
            return not self._waiting and all(received.done for _, received in self._leaving)

    def end(self) -> None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.abort()


class Incoming:
    """From another rank to this one."""

    def __init__(self, gpu: GPU) -> None:
        self._gpu = GPU(gpu.number)
        self.told = 0  # how many arrays this rank has heard of
        self.has_listener = False
        self._ahead: deque[Ahead] = deque()  # of those for which there is no room yet
        self._coming: dict[int, tuple[Any, Any]] = {}  # by number: an array, and when it is there
        self._connecting: Elsewhere | None = None

    def expect(self, ahead: Ahead) -> None:
        """An array comes."""
        if self._connecting is None:
            connect = self._gpu.nccl.NcclCommunicator
            self._connecting = Elsewhere(self._gpu, lambda: connect(2, ahead.identity, 1))
        self._ahead.append(ahead)
        self.told += 1

    def connected(self, source: int) -> Steps:
        assert self._connecting is not None
        return self._connecting.wait(source)

    def make_room(self) -> None:
        """For all that this rank has heard of: NCCL brings it in the order of sending."""
        assert self._connecting is not None
        now = self._gpu.now()  # memory may have been used until now
        link = self._connecting.result()
        with self._gpu.current():
            self._gpu.stream.wait_event(now)
            while self._ahead:
                ahead = self._ahead.popleft()
                array = self._gpu.empty(ahead.shape, ahead.dtype)
                if array.size:
                    link.recv(*self._gpu.as_bytes(array), 0, self._gpu.stream.ptr)
                self._coming[self.told - len(self._ahead) - 1] = array, self._gpu.stream.record()

    def is_there(self, number: int) -> bool:
        return self._coming[number][1].done

    def take(self, number: int) -> Any:
        return self._coming.pop(number)[0]

    def end(self) -> None:
        if self._connecting is not None and (link := self._connecting.made()) is not None:
            link.abort()
