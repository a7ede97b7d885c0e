"""net(x): in every layout, every rank gets the output that the model itself has for the whole batch in one process.

In eval mode, and in training mode too: there dropout drops what one process would drop.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest

import minipar
from minipar import nn, parallel
from minipar.nn.batchnorm import BatchNormNd
from minipar.parallel import Communicator
from minipar.parallel.equality import TOLERANCE
from minipar.random import fork_rng
from tests.parallel.equivalence.layouts import STRATEGIES, layout_of, refusal
from tests.parallel.equivalence.models import SIZES, ZOO, batches_of, model_of

Outputs = dict[str, np.ndarray]  # by size of the batch


class Case(NamedTuple):
    strategy: str
    model: str
    microbatches: int

    @property
    def trains(self) -> bool:
        return refusal(*self) is None

    @property
    def applies(self) -> bool:
        """Batch norm in eval mode treats each sample by itself, in whatever pieces the batch comes."""
        return self.trains or "takes its statistics from the whole batch" in str(refusal(*self))


CASES = [case for values in product(STRATEGIES, ZOO, (1, 2)) if (case := Case(*values)).applies]


def as_if_trained(name: str) -> nn.Module:
    """The model, with running statistics that are not those it starts from."""
    model, draw = model_of(name, "float64"), np.random.default_rng(2)
    for layer in model.modules():
        if isinstance(layer, BatchNormNd):
            layer.running_mean.copy_(minipar.tensor(draw.normal(size=layer.num_features)))
            layer.running_var.copy_(minipar.tensor(draw.uniform(0.5, 2, size=layer.num_features)))
    return model


@cache
def inputs(model: str) -> dict[str, Any]:
    return {sizes: batches_of(model, "float64", sizes)[0][0] for sizes in SIZES}


def outputs(net: Any, case: Case) -> Outputs:
    """What `net` makes of a batch of every size, and in training mode of one of them."""
    net.eval()
    made = {sizes: net(x).detach().numpy() for sizes, x in inputs(case.model).items()}
    if case.trains:
        with fork_rng():
            minipar.manual_seed(4)
            made["in training"] = net.train()(inputs(case.model)["uneven"]).detach().numpy()
    return made


def on_this_rank(comm: Communicator, cases: list[Case]) -> list[Outputs]:
    return [
        outputs(layout_of(case.strategy, case.microbatches).parallelize(as_if_trained(case.model), comm), case)
        for case in cases
    ]


@cache
def expected(model: str) -> Outputs:
    return outputs(as_if_trained(model), Case("one rank", model, 1))


def trouble(case: Case, got: Outputs) -> str:
    for sizes, array in got.items():
        wanted = expected(case.model)[sizes]
        if array.shape != wanted.shape:
            return f"{case}, {sizes}: shape {array.shape}, not {wanted.shape}"
        off = np.linalg.norm(array - wanted) / np.linalg.norm(wanted)
        if not off <= TOLERANCE[np.dtype(np.float64)]:
            return f"{case}, {sizes}: differs by {off:.2g}"
    return ""


@pytest.mark.parametrize("ranks", sorted({layout_of(strategy, 1).ranks for strategy in STRATEGIES}))
def test_every_rank_has_the_output_of_one_process(ranks):
    cases = [case for case in CASES if layout_of(case.strategy, 1).ranks == ranks]
    of_ranks = parallel.launch(on_this_rank, cases, workers=ranks, backend="thread")
    wrong = [
        f"rank {rank}: {told}"
        for rank, made in enumerate(of_ranks)
        for case, got in zip(cases, made)
        if (told := trouble(case, got))
    ]
    assert not wrong, "\n".join([f"{len(wrong)} of {ranks} × {len(cases)} outputs:", *wrong])


def test_every_model_and_strategy_meet_wherever_they_can():
    apart = set(product(STRATEGIES, ZOO)) - {case[:2] for case in CASES}
    assert {model for _, model in apart} == {name for name, kind in ZOO.items() if not kind.images}
    assert all(layout_of(strategy, 1).space > 1 for strategy, _ in apart)


@pytest.mark.parametrize("model", ZOO)
def test_training_mode_is_another(model):
    """Were dropout without effect here, the cases above would not see whether it is off, or drops what it should."""
    made = expected(model)
    assert np.abs(made["in training"] - made["uneven"]).max() > 1e-3
