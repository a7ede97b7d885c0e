"""A checkpoint is the unsplit model's, and its optimizer's, from whatever layout it comes and into whatever it goes.

Of every model, each strategy saves once and loads once; the slow test has every pair of strategies.
"""

from __future__ import annotations

from itertools import product

import pytest

from minipar import parallel
from minipar.parallel import Communicator
from tests.parallel.equivalence.checkpoints import (
    HALF,
    MODELS,
    Checkpoint,
    InHalves,
    Pair,
    different,
    different_output,
    one_process,
    same_bits,
    strategies_of,
)
from tests.parallel.equivalence.layouts import STRATEGIES, layout_of

Start = tuple[str, int]  # strategy, groups of parameters
Way = tuple[str | None, str | None, int]  # target, source, groups


def pairs_of(model: str) -> list[Pair]:
    """Each strategy once on each side, next to one of another kind; and from and to a model that is not split."""
    names: list[str | None] = [None, *strategies_of(model)]
    shift = len(names) // 3
    targets, first = names[shift:] + names[:shift], MODELS.index(model)
    return [Pair(*way, 1 + (first + i) % 2) for i, way in enumerate(zip(names, targets))]


def on_ranks(fn, by_strategy):
    """Of every key, which has a strategy, what `fn(comm, key, value)` returns on its ranks."""
    found = {}
    for ranks in sorted({layout_of(strategy, 1).ranks for strategy, *_ in by_strategy}):
        mine = {key: value for key, value in by_strategy.items() if layout_of(key[0], 1).ranks == ranks}
        of_ranks = parallel.launch(_all, fn, mine, workers=ranks, backend="thread")
        found |= {key: [made[key] for made in of_ranks] for key in mine}
    return found


def _all(comm, fn, mine):
    return {key: fn(comm, key, value) for key, value in mine.items()}


def first_half(comm: Communicator, start: Start, model: str) -> Checkpoint:
    strategy, groups = start
    return InHalves(comm, strategy, model, groups).half(0)


def second_half(comm: Communicator | None, way: Way, given: tuple[str, Checkpoint]) -> str:
    """What is wrong on this rank with what is loaded, and with what it becomes."""
    target, _, groups = way
    model, checkpoint = given
    training = InHalves(comm, target, model, groups, lr=0.5)  # the checkpoint knows better
    loaded, end, output = training.load(checkpoint), training.half(HALF), training.output()
    return (
        same_bits(loaded, checkpoint)
        or different(end, one_process(model, groups)[2], model, groups)
        or different_output(output, model, groups)
    )


def check(model: str, pairs: list[Pair]) -> None:
    starts = {(pair.source, pair.groups): model for pair in pairs if pair.source is not None}
    saved = on_ranks(first_half, starts)
    wrong = [
        f"saved by rank {rank} of {start}: {told}"
        for start, of_ranks in saved.items()
        for rank, got in enumerate(of_ranks)
        if (told := different(got, one_process(model, start[1])[1], model, start[1]))
    ]
    assert not wrong, "\n".join(wrong)
    saved |= {(None, groups): [one_process(model, groups)[1]] for groups in (1, 2)}  # known before threads ask
    given = {(p.target, p.source, p.groups): (model, saved[p.source, p.groups][0]) for p in pairs}
    here = {way: [second_half(None, way, value)] for way, value in given.items() if way[0] is None}
    ended = on_ranks(second_half, {way: value for way, value in given.items() if way[0] is not None})
    wrong = [
        f"{source} → {target}, {groups} groups, rank {rank}: {told}"
        for (target, source, groups), of_ranks in (here | ended).items()
        for rank, told in enumerate(of_ranks)
        if told
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("model", MODELS)
def test_training_goes_on_in_another_layout(model):
    check(model, pairs_of(model))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_training_goes_on_in_any_layout(model):
    names = list(enumerate([None, *strategies_of(model)]))
    check(model, [Pair(source, target, 1 + (i + j) % 2) for (i, source), (j, target) in product(names, names)])


def test_every_strategy_saves_and_loads():
    for model in MODELS:
        pairs, names = pairs_of(model), [None, *strategies_of(model)]
        assert [pair.source for pair in pairs] == names
        assert sorted(map(str, (pair.target for pair in pairs))) == sorted(map(str, names))
        assert all(pair.source != pair.target for pair in pairs)
    everywhere = [pair for model in MODELS for pair in pairs_of(model)]
    for groups in (1, 2):
        alike = [pair for pair in everywhere if pair.groups == groups]
        assert {pair.source for pair in alike} == {pair.target for pair in alike} == {None, *STRATEGIES}
