"""One case of the matrix, made of names, and its training in one process and in a layout.

The GAN is two nets and two optimizers. Each step, the discriminator learns from real images and from the generator's;
then the generator learns from the discriminator's verdict, which is a part of its loss function: of the discriminator
as it is now, whole on every rank.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import minipar
from minipar import nn, optim
from minipar.parallel import Communicator, Layout, ParallelModel
from minipar.parallel.equivalence import Training, TrainingRun, numbers
from minipar.parallel.losses import as_pair
from minipar.random import fork_rng
from tests.parallel.equivalence.layouts import layout_of
from tests.parallel.equivalence.models import ZOO, batches_of, discriminator, model_of

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
        return AdversarialTraining(*task)
    return Training(*task, steps=STEPS)


def _optimizer(case: Case, parameters: Any) -> Any:
    rate, few = ZOO[case.model].rate, case.loss != "sum"
    if case.optimizer == "adam":
        # In float32 eps must be above the gradients' rounding noise: Adam divides by it where gradients are tiny. (A
        # sum has gradients some thirty times those of a mean, and as much more noise.)
        eps = 1e-8 if case.dtype == "float64" else 1e-5 if few else 3e-4
        return optim.Adam(parameters, lr=0.1 * rate, eps=eps)
    return optim.SGD(parameters, lr=rate if few else 0.03 * rate, momentum=0.9)


def in_one_process(case: Case) -> TrainingRun:
    return training_of(case).in_one_process()


def in_layout(comm: Communicator, case: Case) -> TrainingRun | str:
    """On every rank; if the layout is refused, what the error says."""
    try:
        return training_of(case).in_layout(comm, case.layout, **case.options)
    except (ValueError, NotImplementedError, TypeError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


class OneProcess:
    """A model that is not split, with the methods of one that is."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x):
        with minipar.no_grad():
            return self.model(x)

    def loss_and_gradients(self, loss_fn: Any, x: Any, *targets: Any) -> float:
        loss, weight = as_pair(loss_fn(self.model(x), *targets))
        loss = loss if weight is None else loss / weight
        loss.backward()
        return loss.item()

    def gradients(self):
        return {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}

    def state_dict(self):
        return self.model.state_dict()

    def parameters(self):
        return self.model.parameters()


@dataclass(frozen=True)
class AdversarialTraining:
    """A GAN's. Of a batch of (noise, how real, mask), only the noise and the mask are used as they are."""

    generator: nn.Module
    batches: Any
    loss_fn: Any
    optimizer: Any

    def in_one_process(self) -> TrainingRun:
        return self._run(OneProcess)

    def in_layout(self, comm: Communicator, layout: Layout, **options: Any) -> TrainingRun:
        with ExitStack() as meshes:

            def split(model: nn.Module) -> ParallelModel:
                net = layout.parallelize(model, comm, **options)
                meshes.enter_context(net.mesh)
                return net

            return self._run(split)

    def _run(self, on_ranks: Any) -> TrainingRun:
        dtype = self.batches[0][0].dtype
        minipar.manual_seed(4)
        judge = discriminator().to(dtype).requires_grad_(False)  # whole, for the generator's loss
        makes, judges = on_ranks(self.generator), on_ranks(discriminator().to(dtype))
        step_makes, step_judges = self.optimizer(makes.parameters()), self.optimizer(judges.parameters())

        def verdict(images, *targets):
            return self.loss_fn(judge(images), *targets)

        def both(what: str) -> dict[str, Any]:
            named = {"generator": getattr(makes, what)(), "discriminator": getattr(judges, what)()}
            return {f"{net}.{name}": array for net, found in named.items() for name, array in numbers(found).items()}

        losses, gradients, start = [], {}, both("state_dict")
        with fork_rng():
            minipar.manual_seed(0)
            for number in range(STEPS):
                noise, _, mask = self.batches[number % len(self.batches)]
                real, yes = minipar.rand(len(noise), 1, 6, 2, dtype=dtype), minipar.ones(len(noise), 1, dtype=dtype)
                images = minipar.cat([real, makes(noise)])
                step_judges.zero_grad()
                is_real, counts = minipar.cat([yes, yes * 0]), minipar.cat([mask, mask])
                losses.append(judges.loss_and_gradients(self.loss_fn, images, is_real, counts))
                if number == 0:
                    gradients = {f"discriminator.{k}": v for k, v in numbers(judges.gradients()).items()}
                step_judges.step()
                judge.load_state_dict(judges.state_dict())
                step_makes.zero_grad()
                losses.append(makes.loss_and_gradients(verdict, noise, yes, mask))
                if number == 0:
                    gradients |= {f"generator.{k}": v for k, v in numbers(makes.gradients()).items()}
                step_makes.step()
        return TrainingRun(losses, gradients, start, both("state_dict"), step_makes.param_groups[0]["lr"])
