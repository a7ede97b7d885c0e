"""One case of the matrix, made of names, and its training in one process and in a layout."""

from __future__ import annotations

from typing import Any, NamedTuple

from minipar import optim
from minipar.bench.adversarial import AdversarialTraining
from minipar.bench.zoo import ZOO
from minipar.parallel import Communicator, Layout
from minipar.parallel.equivalence import Training, TrainingRun
from tests.parallel.equivalence.layouts import layout_of
from tests.parallel.equivalence.models import batches_of, model_of

STEPS = 20


class Case(NamedTuple):
    """One place of the matrix."""

    strategy: str
    model: str
    loss: str
    optimizer: str
    dtype: str
    sizes: str
    microbatches: int
    backend: str

    @property
    def layout(self) -> Layout:
        return layout_of(self.strategy, self.microbatches)

    @property
    def options(self) -> dict[str, int]:
        """Gradients leave in many buckets, or (in even batches) in one."""
        return {} if self.sizes == "even" else {"bucket": 300}

    @property
    def name(self) -> str:
        return ", ".join(map(str, self))


def training_of(case: Case) -> Training | AdversarialTraining:
    kind = ZOO[case.model]
    task = (
        model_of(case.model, case.dtype),
        batches_of(case.model, case.dtype, case.sizes),
        kind.losses[case.loss],
        lambda parameters: _optimizer(case, parameters),
    )
    if case.model == "GAN":
        return AdversarialTraining(*task, steps=STEPS)
    return Training(*task, steps=STEPS)


def _optimizer(case: Case, parameters: Any) -> Any:
    rate, few = ZOO[case.model].rate, case.loss != "sum"
    if case.optimizer == "adam":
        # In float32 eps must be above the gradients' rounding noise: Adam divides by it where gradients are tiny. (A
        # sum has gradients some thirty times those of a mean, and as much more noise.)
        eps = 1e-8 if case.dtype == "float64" else 1e-5 if few else 3e-4
        return optim.Adam(parameters, lr=0.1 * rate, eps=eps)
    if (case.model, case.dtype, case.sizes) == ("CNN", "float32", "without rows"):
        rate *= 0.7  # at the whole rate a bit in the last place decides which of two pixels is a maximum, in step 10
    return optim.SGD(parameters, lr=rate if few else 0.03 * rate, momentum=0.9)


def in_one_process(case: Case) -> TrainingRun:
    return training_of(case).in_one_process()


def in_layout(comm: Communicator, case: Case) -> TrainingRun | str:
    """On every rank; if the layout is refused, what the error says."""
    try:
        return training_of(case).in_layout(comm, case.layout, **case.options)
    except (ValueError, NotImplementedError, TypeError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
