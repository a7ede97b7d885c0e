"""The training of a GAN: two nets and two optimizers.

Each step, the discriminator learns from real images and from the generator's; then the generator learns from the
discriminator's verdict, which is a part of its loss function: of the discriminator as it is now, whole on every rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .. import cat, float32, manual_seed, nn, no_grad, ones, rand
from ..parallel import Communicator, Layout, ParallelModel
from ..parallel.equivalence import Batch, MakeOptimizer, TrainingRun, numbers
from ..parallel.losses import as_pair
from ..random import fork_rng
from .zoo import discriminator


class OneProcess:
    """A model that is not split, with the methods of one that is."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, x):
        with no_grad():
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
    batches: Sequence[Batch]
    loss_fn: Callable[..., Any]
    optimizer: MakeOptimizer
    steps: int = 20

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
        dtype, device = self.batches[0][0].dtype, self.batches[0][0].device
        manual_seed(4)
        judge = discriminator().to(device, dtype).requires_grad_(False)  # whole, for the generator's loss
        makes, judges = on_ranks(self.generator), on_ranks(discriminator().to(device, dtype))
        step_makes, step_judges = self.optimizer(makes.parameters()), self.optimizer(judges.parameters())

        def verdict(images, *targets):
            return self.loss_fn(judge(images), *targets)

        def both(what: str) -> dict[str, Any]:
            named = {"generator": getattr(makes, what)(), "discriminator": getattr(judges, what)()}
            return {f"{net}.{name}": array for net, found in named.items() for name, array in numbers(found).items()}

        losses, gradients, start = [], {}, both("state_dict")
        with fork_rng():
            manual_seed(0)
            for number in range(self.steps):
                noise, _, mask = self.batches[number % len(self.batches)]
                real = rand(len(noise), 1, 6, 2, dtype=float32, device=device).to(dtype)  # the same in every dtype
                yes = ones(len(noise), 1, dtype=dtype, device=device)
                images = cat([real, makes(noise)])
                step_judges.zero_grad()
                is_real, counts = cat([yes, yes * 0]), cat([mask, mask])
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
