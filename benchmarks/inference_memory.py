"""Memory of inference under every layout, the table of docs/layouts.md: `python benchmarks/inference_memory.py`.

MB a rank, of the rank that needs most: the parameters it holds, and the peak of what comes on top while a batch runs.
(By tracemalloc: what lies in memory that ranks share, messages under way, is not in it.)
"""

import tracemalloc

from minipar import manual_seed, nn, parallel, randn

LAYERS, WIDTH, BATCH, BATCHES = 8, 1000, 256, 3
LAYOUTS = ["data=2", "pipeline=2", "pipeline=2,microbatches=4", "tensor=2", "data=2,zero=3"]


def held_and_on_top(comm: parallel.Communicator, layout: str) -> tuple[int, int]:
    """Bytes of parameters on this rank, and the peak of what is allocated during some batches after the first."""
    manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())])
    net = parallel.Layout.parse(layout).parallelize(model, comm).eval()
    x = randn(BATCH, WIDTH)
    net(x)
    tracemalloc.start()
    try:
        for _ in range(BATCHES):
            net(x)
        return sum(p.array.nbytes for p in net.parameters()), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def row(name: str, ranks: list[tuple[int, int]]) -> str:
    held, on_top = (max(of_rank[i] for of_rank in ranks) / 1e6 for i in (0, 1))
    return f"| {name} | {held:.0f} | {on_top:.1f} |"


if __name__ == "__main__":
    print("| layout | parameters | on top |\n|---|---|---|")
    print(row("one process", parallel.launch(held_and_on_top, "data=1", workers=1)))
    with parallel.Pool(workers=2) as pool:
        for layout in LAYOUTS:
            print(row(f"`{layout}`", pool.run(held_and_on_top, layout)))
