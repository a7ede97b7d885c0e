"""All ranks of an all-reduce taking turns in one thread, with every message written down.

What runs here is the very generator that runs on threads, on processes and under MPI; only the messages go through
queues in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import check_array
from ..errors import CommunicatorError
from ..reduction import check_reduction
from ..traffic import Traffic
from .peers import Algorithm, Steps, run
from .table import all_reduce_cost, find
from .verdict import faults


@dataclass
class Message:
    """One message: in which step, from whom to whom, which elements of the sender's array (None: no slice of it)."""

    source: int
    dest: int
    nbytes: int
    elements: slice | None
    received: bool = False
    step: int = 0

    def __str__(self) -> str:
        what = f"elements {self.elements.start}:{self.elements.stop}, " if self.elements is not None else ""
        return f"step {self.step}: rank {self.source} → rank {self.dest}, {what}{self.nbytes} bytes"


class Simulation:
    """What happened in an all-reduce; `print` it to read it message by message. Made by `simulate_all_reduce`.

    results      the array of each rank, afterwards
    messages     in the order of their steps; each has step, source, dest, elements, nbytes
    traffic      messages and bytes sent, by rank
    steps        messages on the critical path
    bytes        bytes that the busiest rank sends
    path_bytes   bytes on the critical path
    faults       what is wrong, sentence by sentence; empty if the all-reduce is right
    """

    def __init__(self, inputs: list[np.ndarray], results: list[np.ndarray], op: str, network: Network) -> None:
        self.results = results
        self.traffic = network.traffic
        self._events = network.events
        self._least = all_reduce_cost("lower bound", len(inputs), inputs[0].nbytes, inputs[0].itemsize)
        for message, step in self._arrivals(1, 0):
            message.step = int(step)
        self.messages = sorted(network.messages, key=lambda message: (message.step, message.source))
        self.steps = max((message.step for message in self.messages), default=0)
        self.bytes = max(traffic.bytes for traffic in self.traffic)
        self.path_bytes = int(self.seconds(0, 1))
        flat = [np.ravel(result) for result in results]
        self.faults = faults([np.ravel(array) for array in inputs], flat, op)
        self.faults += [f"nobody received the message of {m}" for m in self.messages if not m.received]

    def seconds(self, alpha: float, beta: float) -> float:
        """The time until the last message has arrived, where one of m bytes takes ``alpha + m·beta`` seconds.

        A message is on its way as soon as it is sent, whether or not the other asks for it already; a rank sends one at
        a time and takes in one at a time, both at once, in the order of its calls.
        """
        return max((arrival for _, arrival in self._arrivals(alpha, beta)), default=0.0)

    def __repr__(self) -> str:
        total = sum(traffic.bytes for traffic in self.traffic)
        return "\n".join(
            [
                *map(str, self.messages),
                f"{self.steps} steps (at least {self._least.steps}); the busiest rank sends {self.bytes} bytes "
                f"(at least {self._least.bytes}), all together {total}",
                *(self.faults or ["right: every rank has the result, with the same bits"]),
            ]
        )

    def _arrivals(self, alpha: float, beta: float) -> list[tuple[Message, float]]:
        """Run through what happened, with two clocks a rank: for what it sends and for what it takes in."""
        sent, taken_in = ([0.0] * len(self.traffic) for _ in range(2))
        arrival: dict[int, float] = {}
        for what, number, message in self._events:
            duration = alpha + beta * message.nbytes
            if what == "send":
                start = max(sent[message.source], taken_in[message.source])
                sent[message.source] = arrival[number] = start + duration
            else:
                arrival[number] = max(arrival[number], taken_in[message.dest] + duration)
                taken_in[message.dest] = arrival[number]
        return [(message, arrival[number]) for what, number, message in self._events if what == "send"]


def simulate_all_reduce(algorithm: str | Algorithm, arrays: Sequence[np.ndarray], op: str = "sum") -> Simulation:
    """All-reduce `arrays`, one a rank, of one shape and dtype, in this thread; they are not changed.

    `algorithm` is "ring", "tree", "halving-doubling", "master", or a generator function of your own: on each rank
    ``algorithm(peers, flat, op)`` is to make the 1-D array `flat` the result, in place. It has `peers.rank`,
    `peers.size`, ``yield from peers.send(array, dest)``, ``received = yield from peers.recv(source)``, and both at
    once: ``received = yield from peers.exchange(array, dest, source)``. `Communicator.all_reduce` takes it too.

    Returns what happened: `results` by rank, `messages` (step, source, dest, elements, nbytes), `steps`, `bytes` of the
    busiest rank, `traffic` by rank, `seconds(alpha, beta)`, and `faults`: what is wrong with the results, if anything.
    Printed, it is the list of messages and a verdict beside the least that is possible.

    Raises CommunicatorError if nobody can go on, naming who waits for whom; ValueError for an unknown algorithm, for
    arrays that differ in shape or dtype; TypeError where the dtype has no such operation.

    >>> print(minipar.parallel.simulate_all_reduce("ring", [np.arange(4.0), np.ones(4)]))
    step 1: rank 0 → rank 1, elements 2:4, 16 bytes
    step 1: rank 1 → rank 0, elements 0:2, 16 bytes
    step 2: rank 0 → rank 1, elements 0:2, 16 bytes
    step 2: rank 1 → rank 0, elements 2:4, 16 bytes
    2 steps (at least 1); the busiest rank sends 32 bytes (at least 32), all together 64
    right: every rank has the result, with the same bits

    Everybody sends to everybody: is it right, and what does it cost?

    >>> def all_to_all(peers, flat, op):
    ...     own = flat.copy()
    ...     for distance in range(1, peers.size):
    ...         dest, source = (peers.rank + distance) % peers.size, (peers.rank - distance) % peers.size
    ...         flat += yield from peers.exchange(own, dest, source)
    >>> run = minipar.parallel.simulate_all_reduce(all_to_all, [np.full(3, 0.1 * rank) for rank in range(4)])
    >>> run.steps, run.bytes, run.faults[0]
    (3, 72, 'rank 1 has other bits than rank 0: add up each element in the same order everywhere')
    """
    generator_function = find(algorithm)
    assert generator_function is not None
    arrays = [check_array("simulate_all_reduce", array, written=False, name="arrays") for array in arrays]
    if len({(array.shape, array.dtype) for array in arrays}) != 1:
        kinds = ", ".join(f"{array.dtype} {array.shape}" for array in arrays) or "none"
        raise ValueError(f"arrays must be at least one, of one shape and dtype, one a rank: they are {kinds}")
    check_reduction(op, arrays[0].dtype)
    results = [np.array(array, order="C") for array in arrays]
    network = Network(len(arrays))
    ranks = [Rank(network, rank, result.reshape(-1)) for rank, result in enumerate(results)]
    _take_turns({rank.rank: run(generator_function, rank, rank.flat, op) for rank in ranks}, network)
    return Simulation(arrays, results, op, network)


class Network:
    """Queues of messages under way, and the record of all that was sent and received, in order."""

    def __init__(self, size: int) -> None:
        self.traffic = [Traffic() for _ in range(size)]
        self.messages: list[Message] = []
        self.events: list[tuple[str, int, Message]] = []  # "send" or "receive", the message's number, the message
        self.waits_for: dict[int, int] = {}  # rank → whose message it waits for
        self._under_way: dict[tuple[int, int], deque[tuple[int, np.ndarray]]] = {}

    def put(self, message: Message, data: np.ndarray) -> None:
        number = len(self.messages)
        self._under_way.setdefault((message.source, message.dest), deque()).append((number, data))
        self.messages.append(message)
        self.events.append(("send", number, message))
        self.traffic[message.source].messages += 1
        self.traffic[message.source].bytes += message.nbytes

    def has(self, source: int, dest: int) -> bool:
        return bool(self._under_way.get((source, dest)))

    def take(self, source: int, dest: int) -> np.ndarray:
        number, data = self._under_way[source, dest].popleft()
        message = self.messages[number]
        message.received = True
        self.events.append(("receive", number, message))
        return data


class Rank:
    """One rank's place in the network; a `Carrier`."""

    def __init__(self, network: Network, rank: int, flat: np.ndarray) -> None:
        self.rank = rank
        self.size = len(network.traffic)
        self.flat = flat
        self._network = network

    def _send(self, array: np.ndarray, dest: int, tag: int) -> Steps:
        message = Message(self.rank, dest, array.nbytes, self._elements(array))
        self._network.put(message, array.reshape(-1).copy())
        yield

    def _recv(self, source: int, tag: int) -> Any:
        self._network.waits_for[self.rank] = source
        while not self._network.has(source, self.rank):
            yield
        del self._network.waits_for[self.rank]
        return self._network.take(source, self.rank)

    def _elements(self, array: np.ndarray) -> slice | None:
        """Which part of this rank's array `array` is, if it is one."""
        if array.dtype != self.flat.dtype or not np.may_share_memory(array, self.flat):
            return slice(0, 0) if not array.size else None
        start = (array.ctypes.data - self.flat.ctypes.data) // array.itemsize
        return slice(start, start + array.size)


def _take_turns(generators: dict[int, Steps], network: Network) -> None:
    """Run every rank for one step, again and again. CommunicatorError when a whole round has changed nothing."""
    while generators:
        before = len(network.events), len(generators)
        for rank, generator in list(generators.items()):
            try:
                next(generator)
            except StopIteration:
                del generators[rank]
            except Exception as error:
                error.add_note(f"in the simulated rank {rank} of {len(network.traffic)}")
                raise
        if before == (len(network.events), len(generators)):
            raise CommunicatorError(f"nobody can go on: {_standstill(generators, network)}")


def _standstill(generators: dict[int, Steps], network: Network) -> str:
    states = []
    for rank in range(len(network.traffic)):
        if rank not in generators:
            states.append(f"rank {rank} has returned")
        elif rank in network.waits_for:
            states.append(f"rank {rank} waits for a message of rank {network.waits_for[rank]}")
        else:
            states.append(f"rank {rank} yields, and neither sends nor receives")
    return "; ".join(states)
