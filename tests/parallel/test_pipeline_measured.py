"""A schedule, measured: bytes kept by ranks that train, against the formula; and what is laid over their timeline."""

from __future__ import annotations

import gc
import itertools
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.parallel import pipeline, timeline, trainer
from minipar.parallel.pipeline.run import Run, span_name

RANKS, MICROBATCHES, ROWS, WIDTH, LAYERS = 3, 6, 4, 5, 2  # layers of a stage: a Linear and a Tanh each
ARRAY = 4 * ROWS * WIDTH  # bytes of what a layer makes of a micro-batch
SCHEDULES = ["sequential", "gpipe", "1f1b", "interleaved", "zb-h1"]


def made(name):
    return pipeline.make_schedule(name, RANKS, MICROBATCHES, chunks=2 if name == "interleaved" else 1)


def train(comm, schedule, x, recompute=False):
    """The timeline of one step on a pipeline of equal stages."""
    layers = [layer for _ in range(LAYERS * schedule.stages) for layer in (nn.Linear(WIDTH, WIDTH), nn.Tanh())]
    net = parallel.parallelize(
        nn.Sequential(*layers),
        parallel.Mesh(comm, pipeline=comm.size),
        schedule=schedule,
        cut=[2 * LAYERS * stage for stage in range(1, schedule.stages)],
        recompute=recompute,
    )
    step = optim.SGD(net.parameters(), lr=0.1)
    with timeline.record() as recording:
        net.train_step(lambda y: (y.sum(), len(y)), step, x)  # a loss that keeps nothing itself
    return timeline.merge(comm, recording)


def bytes_behind(things: Any) -> int:
    """Of all arrays that one gets to from here, but for parameters.

    Who refers to an array makes no difference, a node of the tape, a message that has left, or a function's cell.
    """
    todo, seen, found = [things], set(), {}
    while todo:
        x = todo.pop()
        if id(x) in seen or isinstance(x, type | ModuleType | nn.Module | nn.Parameter | parallel.Communicator):
            continue
        seen.add(id(x))
        if isinstance(x, np.ndarray):
            while isinstance(x.base, np.ndarray):
                x = x.base
            found[id(x)] = x.nbytes if x.size > 1 else 0  # a loss is a number
        elif isinstance(x, FunctionType):
            todo.extend(x.__closure__ or ())  # and not its module
        else:
            todo.extend(gc.get_referents(x))
    return sum(found.values())


@pytest.fixture
def weighed(monkeypatch):
    """Rank: the most bytes that were kept at one time for backward passes to come."""
    most: dict[int, int] = {}

    class Weighed(Run):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.inputs = [minipar.tensor(x.numpy()) for x in self.inputs]  # which are views of the whole batch

        def _forward(self, x):
            super()._forward(x)
            self._weigh()

        def _backward_input(self, x):
            super()._backward_input(x)
            self._weigh()

        def _weigh(self):
            now = bytes_behind([self.kept, self.late, self.sent])
            most[self.comm.rank] = max(most.get(self.comm.rank, 0), now)

    monkeypatch.setattr(trainer, "Run", Weighed)

    def weigh(schedule, recompute=False):
        x = minipar.ones(ROWS * MICROBATCHES, WIDTH)
        parallel.launch(train, schedule, x, recompute=recompute, workers=RANKS, backend="thread")
        return [most[rank] / ARRAY for rank in range(RANKS)]

    return weigh


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("name", SCHEDULES[:-1])
def test_bytes_kept_are_those_of_the_formula(weighed, name, recompute):
    """A stage keeps of a micro-batch its input and what its layers make, or, if it computes again, its input alone."""
    counts = {
        "sequential": [1, 1, 1],
        "gpipe": [MICROBATCHES] * RANKS,
        "1f1b": [RANKS - rank for rank in range(RANKS)],
        "interleaved": [2 * peak for peak in pipeline.simulate(made("interleaved")).peak_activations],
    }
    of_one = 1 if recompute else 1 + LAYERS
    assert weighed(made(name), recompute) == [count * of_one for count in counts[name]]


@pytest.mark.parametrize("recompute", [False, True])
def test_what_waits_for_gradients_of_weights_alone_keeps_gradients_too(weighed, recompute):
    """Of zb-h1's p activations rank r has r + 1 whose gradients have gone on: of each layer its input and a gradient.

    The first stage, whose input needs no gradient, has done nothing yet, and has one gradient: that of its output.
    """
    of_one = 1 if recompute else 1 + LAYERS
    late = [of_one + 1, 2 * LAYERS, 2 * LAYERS]
    expected = [(RANKS - 1 - rank) * of_one + (rank + 1) * late[rank] for rank in range(RANKS)]
    assert weighed(made("zb-h1"), recompute) == expected


# ── laid over the timeline ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_ranks_have_done_is_laid_over_their_schedule(name):
    schedule, x = made(name), minipar.ones(ROWS * MICROBATCHES, WIDTH)
    recordings = parallel.launch(train, schedule, x, workers=RANKS, backend="thread")[0]
    run = pipeline.lay_over(schedule, recordings)
    ends = {}
    for order, instructions in zip(run.ranks, schedule.ranks):
        assert [timed.instruction for timed in order] == [x for x in instructions if type(x) in COMPUTE]
        assert all(one.end <= other.start for one, other in itertools.pairwise(order))
        ends |= {timed.instruction: timed.end for timed in order}
    for timed in itertools.chain(*run.ranks):
        stage, i = timed.instruction.stage, timed.instruction.microbatch
        if isinstance(timed.instruction, pipeline.Forward):
            assert timed.start >= ends.get(pipeline.Forward(stage - 1, i), 0.0)
        elif not isinstance(timed.instruction, pipeline.BackwardWeight):
            assert timed.start >= ends.get(type(timed.instruction)(stage + 1, i), 0.0)
    assert min(timed.start for timed in itertools.chain(*run.ranks)) == 0.0
    assert 0 < run.bubble < 1
    assert run.peak_activations == pipeline.simulate(schedule).peak_activations


COMPUTE = {pipeline.Forward, pipeline.Backward, pipeline.BackwardInput, pipeline.BackwardWeight}


def as_recorded(run, later=10**12):
    """The timeline of ranks that do as the simulation says, and other things."""
    recordings = []
    for rank, order in enumerate(run.ranks):
        spans = [
            timeline.Span(rank, "compute", span_name(x.instruction), later + int(x.start), later + int(x.end))
            for x in order
            if type(x.instruction) in COMPUTE
        ]
        spans.insert(1, timeline.Span(rank, "communication", "send", later, later + 9, 8))
        recordings.append([*spans, timeline.Span(rank, "compute", "update", later, later + 10**9)])
    return recordings


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_simulation_that_is_recorded_is_measured_as_it_was_simulated(name):
    simulated = pipeline.simulate(made(name), 3e6, 4e6, 2e6)
    measured = pipeline.lay_over(simulated.schedule, as_recorded(simulated))
    assert measured.makespan == pytest.approx(simulated.makespan / 1e9)
    assert measured.bubble == pytest.approx(simulated.bubble)
    assert measured.busy == pytest.approx([seconds / 1e9 for seconds in simulated.busy])


def test_what_is_not_the_schedule_is_refused():
    gpipe, other = made("gpipe"), made("1f1b")
    recordings = as_recorded(pipeline.simulate(gpipe))
    with pytest.raises(ValueError, match=r"rank 0 has recorded forward 3, where Schedule\('1f1b'.* has backward 0: "):
        pipeline.lay_over(other, recordings)
    with pytest.raises(ValueError, match=r"rank 0 has recorded forward 0, where .* has nothing: record one training"):
        pipeline.lay_over(gpipe, [recording * 2 for recording in recordings])
    with pytest.raises(ValueError, match=r"2 recordings are not one for each of the ranks of Schedule\('gpipe', 3 "):
        pipeline.lay_over(gpipe, recordings[:2])
