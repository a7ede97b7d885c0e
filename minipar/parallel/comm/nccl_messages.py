"""Messages between two ranks' GPUs: for each direction an NCCL communicator of two ranks.

NCCL carries out what one communicator is given one after the other, and a send is over when it has been received. Two
ranks that send to each other before they receive would wait for ever if both directions were one. As they are two, each
has a thread (see nccl_link.py), and what is sent is a copy, a `send` waits for nobody.

What goes to one rank has a stream of its own, for it waits until that one receives. All that comes shares one: it is
asked for when its sender has it on its way.

NCCL knows no tags, nor shapes. So two messages of the host's go ahead of an array: one tells its shape and dtype, in
the order of sending, so that the receiver makes room in that order; one has the user's tag, and tells how many arrays
this rank has sent there before, so that `recv` knows which of those that come is its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .arguments import is_on_gpu
from .nccl_gpu import GPU
from .nccl_link import Given, Link
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

    def __init__(self, host: BoardCommunicator, gpu: GPU, debug: bool, path: str = "") -> None:
        super().__init__(host, gpu, debug, path)
        self._outgoing: dict[int, Outgoing] = {}
        self._incoming: dict[int, Incoming] = {}
        self._gpu_of_incoming = GPU(gpu.number)
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
            with self._failures_told():
                if dest not in self._outgoing:
                    self._outgoing[dest] = Outgoing(GPU(self._gpu.number))
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
            self._incoming[source] = Incoming(self._gpu_of_incoming)
        incoming = self._incoming[source]
        while incoming.told <= number:
            yield from self._hear(incoming, source)
        incoming.make_room()
        array, given = incoming.coming.pop(number)
        if given is not None:
            yield from self._completed(given, source)
        return array

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

    def _taken_links(self) -> Iterable[Link]:
        links = [*super()._taken_links(), *[outgoing.link for outgoing in self._outgoing.values()]]
        links += [incoming.link for incoming in self._incoming.values() if incoming.link is not None]
        for gpu in (self._gpu_of_incoming, *[outgoing.gpu for outgoing in self._outgoing.values()]):
            gpu.end()
        self._outgoing.clear()
        self._incoming.clear()
        return links


class Outgoing:
    """From this rank to another. What is sent before the other has come waits, and holds nobody up."""

    def __init__(self, gpu: GPU) -> None:
        self.gpu = gpu
        self._identity = identity = gpu.nccl.get_unique_id()
        self._leaving: deque[Given] = deque()
        self.link = Link(gpu, lambda: gpu.nccl.NcclCommunicator(2, identity, 0))

    def send(self, array: Any) -> Ahead:
        """Send a copy; `array` may then be changed in the current stream. Returns what is to be told."""
        self._check_received()
        with self.gpu.cuda.Device(self.gpu.number):
            copy = array.copy()
        made = self.gpu.now()

        def post(comm: Any, stream: int) -> None:
            self.gpu.stream.wait_event(made)
            comm.send(*self.gpu.as_bytes(copy), 1, stream)

        if copy.size:
            self._leaving.append(self.link.give(post, copy))
        return Ahead(array.shape, array.dtype, self._identity)

    def _check_received(self) -> None:
        """Let go of the copies that have been received. Raises what NCCL has complained of."""
        while self._leaving and self._leaving[0].is_over():
            self._leaving.popleft().check()


class Incoming:
    """From another rank to this one."""

    def __init__(self, gpu: GPU) -> None:
        self._gpu = gpu
        self.told = 0  # how many arrays this rank has heard of
        self.has_listener = False
        self._ahead: deque[Ahead] = deque()  # of those for which there is no room yet
        self.coming: dict[int, tuple[Any, Given | None]] = {}  # by number: an array, and the call that fills it
        self.link: Link | None = None

    def expect(self, ahead: Ahead) -> None:
        """An array comes."""
        if self.link is None:
            nccl = self._gpu.nccl
            self.link = Link(self._gpu, lambda: nccl.NcclCommunicator(2, ahead.identity, 1))
        self._ahead.append(ahead)
        self.told += 1

    def make_room(self) -> None:
        """For all that this rank has heard of: NCCL brings it in the order of sending."""
        while self._ahead:
            ahead = self._ahead.popleft()
            array, free = self._gpu.empty(ahead.shape, ahead.dtype)
            self.coming[self.told - len(self._ahead) - 1] = array, self._asked_for(array, free)

    def _asked_for(self, array: Any, free: Any) -> Given | None:
        def post(comm: Any, stream: int) -> None:
            self._gpu.stream.wait_event(free)
            comm.recv(*self._gpu.as_bytes(array), 0, stream)

        assert self.link is not None
        return self.link.give(post, array) if array.size else None
