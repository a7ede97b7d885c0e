"""Bubble and memory of pipeline schedules, by formula and measured: `python benchmarks/pipeline_bubble.py [steps]`.

The table of docs/pipeline.md: two ranks with one thread each train equal stages, with and without recomputation.

Bubble is the share of all ranks' time in which they do not compute: by formula, where F = B = W and messages take no
time; simulated with the times of each stage, medians over its micro-batches; measured, in the quickest of some steps.

MB of a rank: by formula, so many activations of so many micro-batches; measured, the peak of what a step allocates.
(By tracemalloc: what lies in memory that ranks share, messages and so the inputs of stages, is in neither.)
"""

import sys
import tracemalloc
from collections import defaultdict
from itertools import chain
from statistics import median

from minipar import manual_seed, nn, parallel, randn, set_num_threads
from minipar.parallel import pipeline, timeline

RANKS, MICROBATCHES, ROWS, WIDTH, LAYERS = 2, 8, 512, 256, 8  # rows of a micro-batch, layers of a rank
SCHEDULES = ["sequential", "gpipe", "1f1b", "interleaved", "zb-h1"]
LAYER = 4 * ROWS * WIDTH / 1e6  # MB of what a layer makes of a micro-batch
# which cost of `simulate` it is:
COST = {pipeline.Forward: 0, pipeline.Backward: 1, pipeline.BackwardInput: 1, pipeline.BackwardWeight: 2}


def measured(comm: parallel.Communicator, name: str, recompute: bool, steps: int) -> tuple[pipeline.Simulation, float]:
    """The quickest step, and the MB that this rank needs in one."""
    set_num_threads(1)
    manual_seed(0)
    schedule = pipeline.make_schedule(name, RANKS, MICROBATCHES, chunks=2 if name == "interleaved" else 1)
    layers = [layer for _ in range(RANKS * LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
    cut = [stage * len(layers) // schedule.stages for stage in range(1, schedule.stages)]
    mesh = parallel.Mesh(comm, pipeline=RANKS)
    net = parallel.parallelize(nn.Sequential(*layers), mesh, schedule=schedule, cut=cut, recompute=recompute)
    x = randn(MICROBATCHES * ROWS, WIDTH)

    def step() -> pipeline.Simulation:
        with timeline.record() as recording:
            net.loss_and_gradients(lambda y: (y.sum(), len(y)), x)  # a loss that costs nothing: stages stay equal
        return pipeline.lay_over(schedule, timeline.merge(comm, recording))

    step()  # kernels are compiled and gradients there
    quickest = min((step() for _ in range(steps)), key=lambda run: run.makespan)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        step()
        return quickest, (tracemalloc.get_traced_memory()[1] - before) / 1e6
    finally:
        tracemalloc.stop()


def simulated(run: pipeline.Simulation) -> pipeline.Simulation:
    """The same if each stage always took as long as it did here, and messages no time."""
    seconds = defaultdict(list)
    for timed in chain(*run.ranks):
        seconds[COST[type(timed.instruction)], timed.instruction.stage].append(timed.end - timed.start)
    stages = range(run.schedule.stages)
    costs = [[median(seconds[cost, stage] or [0.0]) for stage in stages] for cost in range(3)]
    return pipeline.simulate(run.schedule, *costs)


def row(name: str, recompute: bool, ranks: list[tuple[pipeline.Simulation, float]]) -> str:
    run = ranks[0][0]
    formula = pipeline.simulate(run.schedule, backward_input=2.0 if recompute else 1.0)  # forward once more
    bubbles = [f"{of.bubble:.1%}" for of in (formula, simulated(run), run)]
    memory = []
    for count, (_, peak) in zip(formula.peak_activations, ranks):
        layers = LAYERS * RANKS / run.schedule.stages if recompute else count * LAYERS
        memory.append(f"{count:g}: {layers * LAYER:.1f} | {peak:.1f}")
    return f"| `{name}`{', recomputed' if recompute else ''} | {' | '.join(bubbles)} | {' | '.join(memory)} |"


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print("| schedule | bubble | simulated | measured | MB of rank 0 | measured | MB of rank 1 | measured |")
    print("|---|---|---|---|---|---|---|---|")
    with parallel.Pool(workers=RANKS) as pool:
        for recompute in (False, True):
            for name in SCHEDULES:
                print(row(name, recompute, pool.run(measured, name, recompute, steps)), flush=True)
