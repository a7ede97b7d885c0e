"""Messages between two ranks of one machine: a ring of bytes from every rank to every other, and an inbox.

What does not fit into its ring now goes as a parcel (parcels.py), so that what has been sent leaves by itself.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from mmap import mmap

import numpy as np

from .header import HEADER, IN_RING, Label, header_of, parsed
from .inbox import Inbox
from .parcels import Deliveries, Parcels
from .ring import Ring, fill
from .work import Steps

_ALL_RINGS = 8 << 20  # bytes that the rings of many ranks share; those of a few are as large as is of use
_LARGEST, _SMALLEST = 128 << 10, 4 << 10


class Mail:
    """The post of rank `rank`; the rings lie in `memory` from `offset` on: `Mail.nbytes(size)` bytes, zero at first.

    Messages are taken out of the rings whenever the rank looks (`take_in`): a sender waits for that, never for the
    recv itself.
    """

    def __init__(self, memory: mmap, offset: int, rank: int, size: int, fence: Callable[[], None]) -> None:
        def ring(source: int, dest: int) -> Ring:
            return Ring(memory, offset + (source * size + dest) * _ring_nbytes(size), _capacity(size), fence)

        self._rank = rank
        self._inbox = Inbox()
        others = [peer for peer in range(size) if peer != rank]
        self._outgoing = {peer: ring(rank, peer) for peer in others}
        self._leaving: dict[int, deque[object]] = {peer: deque() for peer in others}
        self._parcels = {peer: Parcels(len(others)) for peer in others}
        self._deliveries = {peer: Deliveries(fence) for peer in others}
        self._incoming = {peer: ring(peer, rank) for peer in others}
        self._receivers = {peer: self._receive_from(peer) for peer in others}

    @staticmethod
    def nbytes(size: int) -> int:
        return size * size * _ring_nbytes(size)

    @staticmethod
    def reset(memory: mmap, offset: int, size: int) -> None:
        """Forget all messages. Nobody may be using them."""
        for ring in range(size * size):
            Ring.reset(memory, offset + ring * _ring_nbytes(size))

    def send(
        self, array: np.ndarray, dest: int, tag: int, wait_for: Callable[[int, Callable[[], bool]], Steps]
    ) -> Steps:
        """Ends when all is on its way; messages to one rank leave one after the other."""
        if dest == self._rank:
            self._inbox.put(self._rank, tag, array.copy())
            return
        turn, leaving, ring = object(), self._leaving[dest], self._outgoing[dest]
        leaving.append(turn)
        yield from wait_for(dest, lambda: leaving[0] is turn)
        data = array.reshape(-1).view(np.uint8)
        parcel = None if data.size + HEADER <= ring.room() else self._parcels[dest].pack(data)
        header = header_of(tag, array.dtype, array.shape, IN_RING if parcel is None else parcel.label)
        for part in (header, data) if parcel is None else (header,):
            done = 0
            while done < part.size:
                if not ring.has_room():
                    yield from wait_for(dest, ring.has_room)
                done += ring.write(part[done:])
        leaving.popleft()
        if parcel is not None:
            yield from wait_for(dest, parcel.is_found)

    def recv(self, source: int, tag: int, wait_for: Callable[[int, Callable[[], bool]], Steps]) -> Steps:
        """The next message of `source` with `tag` that nobody has asked for before."""
        ticket = self._inbox.ask(source, tag)

        def arrived() -> bool:
            if not self._inbox.has(ticket):
                self.take_in()
            return self._inbox.has(ticket)

        yield from wait_for(source, arrived)
        return self._inbox.take(ticket)

    def take_in(self) -> None:
        """Move what has arrived from the rings to the inbox."""
        for peer, ring in self._incoming.items():
            if ring.has_data():
                next(self._receivers[peer])

    def release(self) -> None:
        """Look at the memory no more; messages that nobody has asked for are gone."""
        self._inbox = Inbox()
        for parcels in self._parcels.values():
            parcels.release()
        for deliveries in self._deliveries.values():
            deliveries.release()
        for held in (self._receivers, self._incoming, self._outgoing):
            held.clear()

    def _receive_from(self, source: int) -> Iterator[None]:
        """Messages of one rank, for ever; yields whenever there is nothing to read for now."""
        ring, header = self._incoming[source], np.empty(HEADER, np.uint8)
        while True:
            yield from fill(ring, header)
            tag, dtype, shape, nbytes, label = parsed(header.tobytes())
            if label == IN_RING:
                data = np.empty(nbytes, np.uint8)
                yield from fill(ring, data)
            else:
                data = yield from self._unpacked(source, label, nbytes)
            self._inbox.put(source, tag, np.ndarray(shape, dtype, data))

    def _unpacked(self, source: int, label: Label, nbytes: int) -> Generator[None, None, np.ndarray]:
        """The bytes of a parcel. From a rank that has gone with it nothing comes: of that the board tells."""
        while True:
            try:
                return self._deliveries[source].unpack(label, nbytes)
            except OSError:
                yield


def _capacity(size: int) -> int:
    return max(_SMALLEST, min(_LARGEST, _ALL_RINGS // (size * size) // _SMALLEST * _SMALLEST))


def _ring_nbytes(size: int) -> int:
    return Ring.nbytes(_capacity(size))
