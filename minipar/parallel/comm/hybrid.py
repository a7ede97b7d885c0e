"""Several hosts with several ranks each: an all-reduce through shared memory inside a host, and by MPI between hosts.

The ranks of a host see one another's arrays (`comm.empty`; others pass through a scratch buffer, part by part). Of each
part, every rank reduces one piece, its lane, over the arrays of its host; what that gives crosses the network once,
instead of once for every rank of the host:

    the chain (default)   Lane l of the first host adds its ranks' arrays and sends the sum to lane l of the second
                          host, which adds its own ranks' on top, and so on; the last host sends the result back. All
                          additions happen in the order of the ranks: the bits are those of every other backend. Block
                          follows block, so all hosts are at work. A host sends and receives 2 n bytes or less.
    "hierarchical"        Every host adds its own arrays; the lanes all-reduce these sums across the hosts (as mpi.py
                          does it); each rank writes its piece into all arrays of its host. Two exchanges however many
                          hosts there are, and 2 n (h-1)/h bytes; but sums of sums: other bits than elsewhere. (The
                          scheme of Horovod's hierarchical all-reduce.)

All other calls go by MPI alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .host_memory import shared_block
from .mpi import MPICommunicator
from .mpi_messages import as_bytes
from .process import ProcessCommunicator, nbytes
from .reduction import divide_mean, piece_of, reduce_in_order
from .work import Steps

if TYPE_CHECKING:
    from mmap import mmap

    from mpi4py import MPI

    from .mpi_job import Job

_PART = 8 << 20  # bytes of an array that pass through the scratch buffers at once
_BLOCK = 256 << 10  # bytes of a lane that follow one another along the chain
_LARGE = 256 << 10  # bytes from which on the hosts' memory is worth the additional meetings


class HybridCommunicator(MPICommunicator):
    """One rank. `memory` is shared by the ranks of its host, `hosts` the ranks of each host, in order."""

    own_algorithms = ("mpi", "hierarchical")

    def __init__(
        self,
        job: Job,
        comm: MPI.Intracomm,
        timeout: float,
        parent: MPICommunicator | None,
        members: list[int] | None,
        memory: mmap,
        hosts: list[list[int]],
    ) -> None:
        super().__init__(job, comm, timeout, parent, members)
        here = next(number for number, ranks in enumerate(hosts) if self.rank in ranks)
        self._host = _HostCommunicator(memory, self, hosts[here])
        self._lanes = min(map(len, hosts))
        self._lane = self._host.rank
        self._in_order = [rank for ranks in hosts for rank in ranks] == list(range(self.size))
        self._between = comm.Dup()  # the messages of the chain
        sums: Any = comm.Split(self._lane, here)
        in_lane = [ranks[self._lane] for ranks in hosts if self._lane < len(ranks)]
        self._across = MPICommunicator(job, sums, timeout, self, [self._members[rank] for rank in in_lane])
        chain = [ranks[self._lane] for ranks in hosts] if self._lane < self._lanes else []
        self._previous = chain[here - 1] if chain and here > 0 else None
        self._next = chain[here + 1] if chain and here + 1 < len(hosts) else None
        self._scratch: np.ndarray | None = None

    def close(self) -> None:
        try:
            super().close()
        finally:
            for part in (self._host, self._across):
                part.close()

    def _release(self) -> None:
        super()._release()
        self._free(self._between)

    def _empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Steps:
        """In the memory of the host."""
        yield from self._agree()
        return (yield from self._host._empty(shape, dtype))

    def _all_reduce(self, flat: np.ndarray, op: str, algorithm: str | None) -> Steps:
        by_hosts = algorithm == "hierarchical" or (algorithm is None and self._in_order and flat.nbytes >= _LARGE)
        if not by_hosts:
            yield from super()._all_reduce(flat, op, algorithm)
            return
        yield from self._agree()
        reduce_lane = self._sum_of_hosts if algorithm == "hierarchical" else self._chain
        arrays = yield from self._host.arrays(flat)
        each = _PART // flat.itemsize
        for start in range(0, flat.size, each):
            part = slice(start, min(start + each, flat.size))
            if arrays is not None:
                yield from self._reduce_part([array[part] for array in arrays], op, reduce_lane)
            else:
                yield from self._reduce_copies(flat[part], op, reduce_lane)

    def _reduce_copies(self, part: np.ndarray, op: str, reduce_lane: Callable[..., Steps]) -> Steps:
        """Through the scratch buffers, which the ranks of the host see."""
        if self._scratch is None:
            self._scratch = yield from self._host._empty((_PART,), np.dtype(np.uint8))
        copy = self._scratch[: part.nbytes].view(part.dtype)
        copy[...] = part
        copies = yield from self._host.arrays(copy)
        yield from self._reduce_part(copies, op, reduce_lane)
        part[...] = copy

    def _reduce_part(self, arrays: Sequence[np.ndarray], op: str, reduce_lane: Callable[..., Steps]) -> Steps:
        """All-reduce arrays that the ranks of this host see, in place."""
        if self._lane < self._lanes:
            mine = piece_of(arrays[0].size, self._lane, self._lanes)
            yield from reduce_lane([array[mine] for array in arrays], op)
        yield from self._host._arrive()

    # -- a lane ----------------------------------------------------------------------------------------------------

    def _sum_of_hosts(self, pieces: Sequence[np.ndarray], op: str) -> Steps:
        total = np.empty_like(pieces[0])
        reduce_in_order(pieces, _without_mean(op), total)
        yield from self._across._all_reduce(total, _without_mean(op), None)
        divide_mean(total, op, self.size)
        for piece in pieces:
            piece[...] = total

    def _chain(self, pieces: Sequence[np.ndarray], op: str) -> Steps:
        """What came before, and this host's pieces on top: to the next host. What comes back: to the previous one."""
        own = pieces[self._lane]
        each = _BLOCK // own.itemsize
        blocks = [slice(start, min(start + each, own.size)) for start in range(0, own.size, each)]
        sums, before = np.empty_like(own), np.empty_like(own)
        coming = [self._receive(before[block], self._previous) for block in blocks]
        results: list[list[MPI.Request]] = []
        leaving: list[MPI.Request] = []
        try:
            for block, arrival in zip(blocks, coming):
                yield from self._complete(lambda: arrival)  # noqa: B023 (called at once)
                came = [] if self._previous is None else [before[block]]
                reduce_in_order([*came, *(piece[block] for piece in pieces)], _without_mean(op), sums[block])
                if self._next is None:
                    divide_mean(sums[block], op, self.size)
                    own[block] = sums[block]
                leaving += self._send_on(sums[block], self._next)
                results.append(self._receive(own[block], self._next))
            for block, arrival in zip(blocks, results):
                yield from self._complete(lambda: arrival)  # noqa: B023 (called at once)
                leaving += self._send_on(own[block], self._previous)
                for piece in pieces:
                    if piece is not own:
                        piece[block] = own[block]
            yield from self._complete(lambda: leaving)
        except BaseException:  # given up: MPI may still write into these arrays
            self._abandon((coming, results, leaving, before, sums, own))
            raise

    def _receive(self, block: np.ndarray, source: int | None) -> list[MPI.Request]:
        return [] if source is None else [self._between.Irecv(as_bytes(block), source)]

    def _send_on(self, block: np.ndarray, dest: int | None) -> list[MPI.Request]:
        return [] if dest is None else [self._between.Isend(as_bytes(block), dest)]


class _HostCommunicator(ProcessCommunicator):
    """The ranks of one host, as a part of the whole: it only lends its generators and its memory."""

    def __init__(self, memory: mmap, whole: HybridCommunicator, ranks: list[int]) -> None:
        self._in_whole = ranks
        in_job = [whole._members[rank] for rank in ranks]
        super().__init__(memory, ranks.index(whole.rank), len(ranks), whole.timeout, whole, in_job)  # type: ignore[arg-type]

    def arrays(self, flat: np.ndarray) -> Steps:
        """Those of all ranks of the host, in order, if each lies in registered memory; else None."""
        views = yield from self._first_meeting(flat[None], flat[None], directly=True)
        return None if views is None else [view[0] for view in views]

    def _wait_for(self, peer: int, ready: Callable[[], bool]) -> Steps:
        return super()._wait_for(self._in_whole[peer], ready)


def _without_mean(op: str) -> str:
    return "sum" if op == "mean" else op


def hosts_of(hosts: Sequence[int], members: Sequence[int]) -> list[list[int]]:
    """The ranks of a communicator by host, in order; `hosts` tells the host of each rank of the job."""
    found: dict[int, list[int]] = {}
    for rank, member in enumerate(members):
        found.setdefault(hosts[member], []).append(rank)
    return list(found.values())


def memory_for(comm: MPI.Intracomm, hosts: list[list[int]]) -> mmap | None:
    """What the ranks of each host share; None where they cannot. Collective."""
    number, ranks = next((n, ranks) for n, ranks in enumerate(hosts) if comm.rank in ranks)
    host = comm.Split(number, comm.rank)
    memory = shared_block(host, nbytes(len(ranks)))
    host.Free()
    return memory if all(comm.allgather(memory is not None)) else None
