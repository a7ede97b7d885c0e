"""One rank of a contender: asleep until an order comes, then timed calls together with the other ranks.

The bench starts the ranks of every runtime once and gives each its turns. A rank waits for an order in `recv` of a
socket, where it costs nothing; inside a runtime's own call it would spin, and disturb whoever has the turn.

Also a script, for interpreters that have mpi4py or PyTorch and not minipar; so only NumPy is imported here:

    mpiexec -n 2 python -m mpi4py rank.py ADDRESS mpi
    python rank.py ADDRESS gloo RANK SIZE FILE            (once a rank)
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from time import perf_counter
from typing import Any

import numpy as np

WARM_UP = 3  # untimed repeats of each order: caches have gone cold while others had their turn
BARRIERS = 100  # timed together
BLOCK = 32768  # elements that the bound adds and copies at a time: they stay in the first caches


@dataclass
class Work:
    """What is timed: `run`, after `array` was filled anew; `calls` of the runtime are in one run."""

    array: np.ndarray
    run: Callable[[], object]
    calls: int = 1


@dataclass
class Runtime:
    """What a contender's rank offers. `modes`: name → (bytes → the work of all-reducing so many, float32, in place)."""

    rank: int
    size: int
    version: str
    barrier: Callable[[], object]
    modes: dict[str, Callable[[int], Work]]


def serve(runtime: Runtime, address: str) -> None:
    """Say who is here, then answer orders (mode, bytes, repeats) with the seconds of each repeat, to the last."""
    runtime.modes["barrier"] = lambda nbytes: barriers(runtime)
    with Client(address) as channel:
        channel.send({"rank": runtime.rank, "pid": os.getpid(), "version": runtime.version})
        try:
            answer_orders(runtime, channel)
        except EOFError:
            return
        except Exception as error:
            channel.send({"error": f"rank {runtime.rank}: {type(error).__name__}: {error}"})
            raise


def answer_orders(runtime: Runtime, channel: Connection) -> None:
    made: dict[str, tuple[int, Work]] = {}  # one size a mode is kept: the sizes come one after the other
    while True:
        mode, nbytes, repeats = channel.recv()
        if made.get(mode, (None,))[0] != nbytes:
            made.pop(mode, None)  # before its successor is allocated
            made[mode] = nbytes, runtime.modes[mode](nbytes)
            if mode not in ("barrier", "bound"):
                check(runtime, made[mode][1])
        channel.send(timed(runtime, made[mode][1], repeats))


def timed(runtime: Runtime, work: Work, repeats: int) -> list[float]:
    """Seconds a call. All ranks begin together, with an array that was just written, as gradients are."""
    seconds = []
    for _ in range(WARM_UP + repeats):
        work.array.fill(runtime.rank + 1)
        runtime.barrier()
        start = perf_counter()
        work.run()
        seconds.append((perf_counter() - start) / work.calls)
    return seconds[WARM_UP:]


def check(runtime: Runtime, work: Work) -> None:
    """The commonest error of a benchmark is a fast wrong answer. The sums are small integers, so exact in any order."""
    pattern = (np.arange(work.array.size) % 1000).astype(np.float32)
    np.multiply(pattern, runtime.rank + 1, out=work.array)
    runtime.barrier()
    work.run()
    if not np.array_equal(work.array, pattern * (runtime.size * (runtime.size + 1) // 2)):
        raise ArithmeticError(f"the sum of {work.array.nbytes} bytes is wrong")


def barriers(runtime: Runtime) -> Work:
    def run() -> None:
        for _ in range(BARRIERS):
            runtime.barrier()

    return Work(np.empty(0, np.float32), run, BARRIERS)


def bound(size: int, nbytes: int) -> Work:
    """What memory asks of each of `size` ranks that all-reduce in place, and nothing else: no waiting, no other rank.

    It adds its share of the elements of all arrays, and copies the sums into the other arrays; block by block, so that
    the copies come from a cache.
    """
    pieces = np.empty((size, nbytes // 4 // size), np.float32)

    def run() -> None:
        for start in range(0, pieces.shape[1], BLOCK):
            total, *others = pieces[:, start : start + BLOCK]
            for other in others:
                np.add(total, other, out=total)
            for other in others:
                np.copyto(other, total)

    return Work(pieces, run)


def mpi() -> Runtime:
    """MPI_Allreduce with MPI_IN_PLACE, by the MPI that mpi4py finds here."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD

    def in_place(nbytes: int) -> Work:
        array = np.empty(nbytes // 4, np.float32)
        return Work(array, lambda: comm.Allreduce(MPI.IN_PLACE, array))

    name = MPI.Get_library_version().replace("\0", "").partition("\n")[0]
    return Runtime(comm.rank, comm.size, " ".join(name.split()), comm.Barrier, {"in place": in_place})


def gloo(rank: str, size: str, meeting_point: str) -> Runtime:
    """PyTorch's all_reduce over its CPU transport; `meeting_point` is a file that does not exist yet."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{meeting_point}", rank=int(rank), world_size=int(size))

    def in_place(nbytes: int) -> Work:
        tensor = torch.empty(nbytes // 4)
        return Work(tensor.numpy(), lambda: distributed.all_reduce(tensor))

    return Runtime(int(rank), int(size), f"torch {torch.__version__}", distributed.barrier, {"in place": in_place})


RUNTIMES: dict[str, Any] = {"mpi": mpi, "gloo": gloo}

if __name__ == "__main__":
    address, name, *arguments = sys.argv[1:]
    serve(RUNTIMES[name](*arguments), address)
