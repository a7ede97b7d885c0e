"""Inference under every layout, the tables of docs/layouts.md: `python benchmarks/inference.py [ROUNDS]`.

Memory, in MB, of the rank that needs most: the parameters it holds, and the peak of what comes on top while a batch
runs. (By tracemalloc: what lies in memory that ranks share, messages under way, is not in it.)

Latency, in ms: from the moment when all ranks have a batch until the last of them has its output. Every rank has one
thread, one process too. Layouts take turns, ROUNDS times, and the least counts: whatever else the machine does comes on
top of it.
"""

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from typing import NamedTuple

from minipar import Tensor, manual_seed, nn, parallel, randn, set_num_threads
from minipar.parallel.functional import own_part

ROUNDS, BATCHES = 3, 10  # batches of a layout in a round

Made = tuple[nn.Module, Tensor]


def mlp() -> Made:
    layers = [layer for _ in range(8) for layer in (nn.Linear(1000, 1000), nn.Tanh())]
    return nn.Sequential(*layers), randn(256, 1000)


def cnn() -> Made:
    layers = [layer for channels in (4, 16, 16, 16) for layer in (nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU())]
    return nn.Sequential(*layers), randn(8, 4, 96, 96)


OWN_ROWS = ", own rows"  # behind a layout: ranks pass their rows of images, and keep theirs of the output
MLP_LAYOUTS = [
    "data=2",
    "pipeline=2",
    "pipeline=2,microbatches=4",
    "pipeline=2,microbatches=4,schedule=interleaved,chunks=2",
    "tensor=2",
    "data=2,zero=3",
    "pipeline=2,microbatches=4,tensor=2",
]
CNN_LAYOUTS = ["data=2", "space=2", "space=2" + OWN_ROWS, "data=2,space=2"]


class OfRank(NamedTuple):
    """Bytes held, bytes on top, and the seconds of each batch."""

    held: int
    on_top: int
    seconds: list[float]


def inference(comm: parallel.Communicator, make: Callable[[], Made], name: str) -> OfRank:
    set_num_threads(1)
    manual_seed(0)
    model, x = make()
    layout, own_rows = name.removesuffix(OWN_ROWS), name.endswith(OWN_ROWS)
    net = parallel.Layout.parse(layout).parallelize(model, comm).eval()
    if own_rows:
        x = own_part(x, net.mesh.space, -2)
    net(x, own_rows)
    tracemalloc.start()
    try:
        for _ in range(3):
            net(x, own_rows)
        on_top = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    seconds = []
    for _ in range(BATCHES):
        comm.barrier()
        start = perf_counter()
        net(x, own_rows)
        seconds.append(perf_counter() - start)
    return OfRank(sum(p.array.nbytes for p in net.parameters()), on_top, seconds)


def row(name: str, runs: list[list[OfRank]]) -> str:
    """`runs` are a layout's, each a list of ranks."""
    held, on_top = (max(rank[i] for ranks in runs for rank in ranks) / 1e6 for i in (0, 1))
    latency = min(max(seconds) for ranks in runs for seconds in zip(*(rank.seconds for rank in ranks)))
    layout, comma, more = name.partition(OWN_ROWS)
    return f"| `{layout}`{comma}{more} | {held:.1f} | {on_top:.1f} | {1e3 * latency:.1f} |"


def table(make: Callable[[], Made], layouts: list[str], rounds: int) -> None:
    runs: dict[str, list[list[OfRank]]] = {name: [] for name in ("data=1", *layouts)}
    with ExitStack() as stack:
        pools = {ranks: stack.enter_context(parallel.Pool(workers=ranks)) for ranks in (1, 2, 4)}
        for _ in range(rounds):
            for name, found in runs.items():
                ranks = parallel.Layout.parse(name.removesuffix(OWN_ROWS)).ranks
                found.append(pools[ranks].run(inference, make, name))
    print("| layout | parameters | on top | ms a batch |\n|---|---|---|---|")
    for name, found in runs.items():
        print(row(name, found).replace("`data=1`", "one process"))
    print(flush=True)


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    table(mlp, MLP_LAYOUTS, rounds)
    table(cnn, CNN_LAYOUTS, rounds)
