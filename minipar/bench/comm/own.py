"""minipar's ranks: `python -m minipar.bench.comm.own ADDRESS SIZE`."""

from __future__ import annotations

import math
import sys

import numpy as np

from ... import __version__
from ...parallel import Communicator, launch
from .rank import Runtime, Work, bound, serve


def serve_rank(comm: Communicator, address: str) -> None:
    def registered(nbytes: int) -> Work:
        array = comm.empty(nbytes // 4, np.float32)
        return Work(array, lambda: comm.all_reduce(array))

    def private(nbytes: int) -> Work:
        array = np.empty(nbytes // 4, np.float32)
        return Work(array, lambda: comm.all_reduce(array))

    modes = {"registered": registered, "private": private, "bound": lambda nbytes: bound(comm.size, nbytes)}
    serve(Runtime(comm.rank, comm.size, f"minipar {__version__}", comm.barrier, modes), address)


def main() -> None:
    address, size = sys.argv[1:]
    launch(serve_rank, address, workers=int(size), timeout=math.inf)


if __name__ == "__main__":
    main()
