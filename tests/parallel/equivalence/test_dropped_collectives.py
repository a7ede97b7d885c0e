"""Drop any communicator call of a training step, on all ranks alike, and the run is not that of one process any more.

Of the second of three steps. Where a dropped call rightly changes nothing, it says here why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import Communicator, Layout
from minipar.parallel.equivalence import Training, TrainingRun, assert_same_run
from tests.parallel.equivalence.dropped import Call, calls_made, watched
from tests.parallel.equivalence.layouts import STRATEGIES, layout_of, refusal
from tests.parallel.equivalence.models import ZOO, batches_of, model_of

TOLERANCE = 1e-10
# Strategies in which batch norm is looked at, too; elsewhere it is the same, or cannot be.
WITH_BATCH_NORM = ["data over 3", "space over 2", "data × space", "data × pipeline × space", "data × space × tensor"]


def fitting(strategy: str) -> str:
    """A model of the zoo that makes many different calls. (A Transformer's first and last layer share a weight.)"""
    if strategy in WITH_BATCH_NORM:
        return "CNN with batch norm"
    return "CNN" if layout_of(strategy, 1).space > 1 else "Transformer"


def layout_for(strategy: str, model: str) -> Layout:
    """With two micro-batches, where these can be."""
    return layout_of(strategy, 1 if refusal(strategy, model, 2) else 2)


@cache
def trained(model: str) -> tuple[Training, TrainingRun]:
    """What is to be trained, and what becomes of it in one process."""
    kind, (large, small) = ZOO[model], batches_of(model, "float64", "uneven")
    training = Training(
        model_of(model, "float64"),
        [small, large, small],
        kind.losses["weighted"],
        lambda parameters: optim.SGD(parameters, lr=kind.rate, momentum=0.9),
        steps=3,
    )
    return training, training.in_one_process()


# -- what is harmless --------------------------------------------------------------------------------------------------


class Harmless(NamedTuple):
    """Calls of functions that begin like this, and of such layouts and models, may be dropped: `why`."""

    function: str
    why: str
    where: Callable[[Layout, str, Call], bool] = lambda layout, model, call: True


HARMLESS = [
    Harmless("GradientExchange._finish", "who has used which parameters: here, all ranks all"),
    Harmless(
        "TiedParameters.add_up",
        "who has used the shared weight, which is told before its gradients: here, both stages",
        lambda layout, model, call: call.number == 0,
    ),
    Harmless("ParallelModel._loss_and_gradients_by_tree", "how many numbers were drawn: here, by all ranks as many"),
    Harmless(
        "SyncBatchNorm._check_whole_batch",
        "a check: have ranks the whole batch together? Here each has all samples, or (data ranks) it fails",
        lambda layout, model, call: layout.data == 1,
    ),
    Harmless(
        "heights_of < RowsDropout.forward",
        "who has which rows: what is dropped here are whole channels",
        lambda layout, model, call: model == "CNN",
    ),
    Harmless(
        "ShardedParameters._broadcast < ShardedParameters._put_in, on the way back",
        "backward reads no bias, and of the first layer not even the weight",
    ),
    *[
        Harmless(
            f"summed < {function}.forward, on the way back",
            "what the last layer of a stage gives is computed once more, too, and nobody reads it",
            lambda layout, model, call: layout.recompute,
        )
        for function in ("_ReduceFromRanks", "_AllReduce")
    ],
    *[
        Harmless(
            function,
            "positions are put together between two encoder layers, of which each rank takes its own again",
            lambda layout, model, call, calls=calls, between=between: (
                layout.sequence and layout.pipeline == 1 and call.number % calls == between
            ),
        )
        for function, calls, between in (  # which of the calls of a micro-batch
            ("put_together < _GatherFromRanks.forward", 7, 2),
            ("put_together < _ScatterToRanks.backward", 2, 0),
        )
    ],
    Harmless(
        "ShardedParameters._broadcast < ShardedParameters.tell_parameters",
        "a bias before batch norm: its gradient is zero",
        lambda layout, model, call: model == "CNN with batch norm",
    ),
]


def why_harmless(layout: Layout, model: str, call: Call) -> str:
    found = [h.why for h in HARMLESS if call.maker.function.startswith(h.function) and h.where(layout, model, call)]
    return found[0] if found else ""


# -- dropping ----------------------------------------------------------------------------------------------------------


def train(comm: Communicator, training: Training, layout: Layout, options: Any) -> tuple[TrainingRun, list[Call]]:
    return training.in_layout(comm, layout, bucket=1000, **options), calls_made()


def what_shows(
    training: Training,
    expected: TrainingRun,
    layout: Layout,
    dropped: Call | None = None,
    timeout: float = 20,
    **options: Any,
) -> tuple[str, list[Call]]:
    """(what is wrong, nothing if all is well; all calls of the second step, each once) without the call `dropped`."""
    with watched(2, dropped):
        try:
            made = parallel.launch(
                train, training, layout, options, workers=layout.ranks, backend="thread", timeout=timeout
            )
        except parallel.WorkerError as error:
            return str(error), []
    calls = list(dict.fromkeys(call for _, calls in made for call in calls))
    assert dropped is None or dropped in calls, f"{dropped} was not to be dropped: nobody made it"
    for rank, (run, _) in enumerate(made):
        try:
            assert_same_run(run, expected, TOLERANCE, f"rank {rank}")
        except AssertionError as error:
            return str(error), calls
    return "", calls


def check(strategy: str, model: str, choose: Callable[[list[Call]], list[Call]]) -> None:
    """Drop those that `choose` takes of the calls that are not harmless."""
    training, expected = trained(model)
    layout = layout_for(strategy, model)
    told, calls = what_shows(training, expected, layout)
    assert told == ""
    assert bool(calls) == (layout.ranks > 1)
    unnoticed = []
    for call in choose([call for call in calls if not why_harmless(layout, model, call)]):
        told, _ = what_shows(training, expected, layout, call)
        assert not any(mistake in told for mistake in ("TypeError", "NotImplementedError")), told  # of dropped.py
        if not told:
            unnoticed.append(str(call))
    assert not unnoticed


def grouped(calls: list[Call], by: Callable[[Call], Any]) -> list[list[Call]]:
    return [[call for call in calls if by(call) == key] for key in dict.fromkeys(map(by, calls))]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_dropped_call_is_noticed(strategy):
    """Of each kind along each axis: of two or three ranks the first and the last that a function makes, of more ranks
    one that it makes, and of eight (whose calls are those of four) one that any function makes.
    """
    ranks = layout_of(strategy, 1).ranks

    def some(calls: list[Call]) -> list[Call]:
        if ranks == 8:
            return [same[len(same) // 2] for same in grouped(calls, lambda call: call.maker[:2])]
        of_functions = grouped(calls, lambda call: call.maker)
        if ranks == 4:
            return [same[len(same) // 2] for same in of_functions]
        return [call for same in of_functions for call in dict.fromkeys([same[0], same[-1]])]

    check(strategy, fitting(strategy), some)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["Transformer", "CNN", "CNN with batch norm"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_any_dropped_call_is_noticed(strategy, model):
    if not refusal(strategy, model, layout_for(strategy, model).microbatches):
        check(strategy, model, lambda calls: calls)


# -- where harmless calls are not --------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """x · weight; with `sometimes`, only samples whose first number is positive, and it may be that none is."""

    def __init__(self, weight: nn.Parameter, sometimes: bool) -> None:
        super().__init__()
        self.weight, self.sometimes = weight, sometimes

    def forward(self, x):
        which = x[:, :1] > 0
        if self.sometimes and not which.any():
            return x
        return x * minipar.where(which, self.weight, 1.0) if self.sometimes else x * self.weight


def of_scaled(build: Callable[[nn.Parameter], list[nn.Module]], second: minipar.Tensor) -> Training:
    """Three steps, in the second of which the samples begin with `second`, else with positive numbers."""
    minipar.manual_seed(3)
    weight = nn.Parameter(minipar.ones(3, dtype=minipar.float64))
    model = nn.Sequential(*build(weight), nn.Linear(3, 2)).double()
    first = minipar.ones(4, 1, dtype=minipar.float64)
    more, y = minipar.randn(4, 2, dtype=minipar.float64), minipar.randn(4, 2, dtype=minipar.float64)
    batches = [(minipar.cat([numbers, more], 1), y) for numbers in (first, second.double().reshape(4, 1), first)]
    return Training(model, batches, F.mse_loss, lambda parameters: optim.SGD(parameters, lr=0.1), steps=3)


def used_on_one_rank() -> Training:
    return of_scaled(lambda w: [Scaled(w, sometimes=True)], minipar.tensor([1.0, 2.0, -1.0, -2.0]))


def used_in_one_stage() -> Training:
    return of_scaled(lambda w: [Scaled(w, sometimes=False), Scaled(w, sometimes=True)], minipar.full((4,), -1.0))


def shards_without_samples() -> Training:
    """Whoever has only such shards draws nothing."""
    training, _ = trained("Transformer")
    return replace(training, batches=[training.batches[0], batches_of("Transformer", "float64", "without rows")[0]])


@pytest.mark.parametrize(
    ("function", "make", "layout", "options"),
    [
        ("GradientExchange._finish", used_on_one_rank, "data=2", {}),
        ("TiedParameters.add_up", used_in_one_stage, "pipeline=2", {"cut": [1]}),
        ("ParallelModel._loss_and_gradients_by_tree", shards_without_samples, "data=3,virtual_shards=4", {}),
    ],
)
def test_what_is_told_matters_where_ranks_differ(function, make, layout, options):
    training, layout = make(), Layout.parse(layout)
    expected = training.in_one_process()
    told, calls = what_shows(training, expected, layout, **options)
    assert told == ""
    dropped = next(call for call in calls if call.maker.function.startswith(function))
    assert why_harmless(layout, "", dropped)
    told, _ = what_shows(training, expected, layout, dropped, timeout=2, **options)  # ranks may wait for one another
    assert told


def test_on_the_way_back_owners_tell_weights():
    """Of every layer but the first: of the parameters of ZeRO 3, backward reads the weights."""
    training, expected = trained("MLP")
    layout = Layout.parse("data=2,zero=3")
    _, calls = what_shows(training, expected, layout)
    told_back = [call for call in calls if call.maker.function.endswith("_put_in, on the way back")]
    noticed = [call for call in told_back if what_shows(training, expected, layout, call)[0]]
    layers, halves = 4, 1  # of a weight or bias that two ranks own
    assert len(told_back) == 2 * layers + halves
    assert len(noticed) == layers - 1 + halves
