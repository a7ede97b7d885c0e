"""Training in two halves, between which a checkpoint goes from one layout to another: what ranks do, and what is wrong.

The optimizer is Adam, with one group of parameters or with two. (Its eps is far above the rounding noise of gradients
that are mathematically zero: see ZERO_GRADIENTS.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import minipar
from minipar import nn, optim
from minipar.bench.zoo import discriminator
from minipar.parallel import Communicator
from minipar.parallel.equality import TOLERANCE, Difference, compare_gradients, compare_parameters
from minipar.parallel.equivalence import numbers
from minipar.parallel.losses import as_pair
from minipar.random import fork_rng
from tests.parallel.equivalence.layouts import STRATEGIES, layout_of, refusal
from tests.parallel.equivalence.models import ZOO, batches_of, model_of

MODELS = [*ZOO, "discriminator"]  # a GAN's two nets, each by itself
HALF = 2  # steps
LR = 0.02


class Pair(NamedTuple):
    """A checkpoint's way: None is a model that is not split, and an optimizer of its parameters."""

    source: str | None
    target: str | None
    groups: int


class Checkpoint(NamedTuple):
    """A whole one, as every rank gets it."""

    state: Mapping[str, Any]
    optimizer: dict[str, Any]


def kind_of(model: str) -> str:
    return "GAN" if model == "discriminator" else model


def microbatches_of(strategy: str, model: str) -> int:
    return 2 if refusal(strategy, kind_of(model), 2) is None else 1


def strategies_of(model: str) -> list[str]:
    """Those in which it can be trained."""
    return [name for name in STRATEGIES if refusal(name, kind_of(model), microbatches_of(name, model)) is None]


def made(model: str) -> nn.Module:
    minipar.manual_seed(3)
    return discriminator().double() if model == "discriminator" else model_of(model, "float64")


@cache
def batches(model: str) -> list[tuple[minipar.Tensor, ...]]:
    found = batches_of(kind_of(model), "float64", "uneven")
    if model == "discriminator":
        draw = np.random.default_rng(6)
        return [(minipar.tensor(draw.uniform(size=(len(y), 1, 6, 2))), y, mask) for _, y, mask in found]
    return found


def loss_of(model: str) -> Callable[..., Any]:
    """The weighted one of its kind; a generator's is of the verdict on what it makes."""
    loss = ZOO[kind_of(model)].losses["weighted"]
    if model != "GAN":
        return loss
    judge = made("discriminator").requires_grad_(False)
    return lambda images, *targets: loss(judge(images), *targets)


class Whole:
    """A model that is not split, with the methods of one that is."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, x: Any) -> Any:
        return self.model(x).detach()

    def train_step(self, loss_fn: Callable[..., Any], optimizer: Any, x: Any, *targets: Any) -> None:
        optimizer.zero_grad()
        loss, weight = as_pair(loss_fn(self.model(x), *targets))
        (loss if weight is None else loss / weight).backward()
        optimizer.step()

    def optimizer_state_dict(self, optimizer: Any) -> dict[str, Any]:
        return optimizer.state_dict()

    def load_optimizer_state_dict(self, optimizer: Any, state_dict: dict[str, Any]) -> None:
        optimizer.load_state_dict(state_dict)


class InHalves:
    """A model and its optimizer, on a rank (or, without a communicator, in one process)."""

    def __init__(
        self, comm: Communicator | None, strategy: str | None, model: str, groups: int, lr: float = LR
    ) -> None:
        self.model, self.loss_fn = model, loss_of(model)
        if strategy is None:
            self.net: Any = Whole(made(model))
        else:
            assert comm is not None
            layout = layout_of(strategy, microbatches_of(strategy, model))
            self.net = layout.parallelize(made(model), comm, bucket=300)
        self.optimizer = adam(self.net, groups, lr)

    def half(self, first: int) -> Checkpoint:
        """Two steps, from number `first` on."""
        with fork_rng():
            for number in range(first, first + HALF):
                minipar.manual_seed(number)
                batch = batches(self.model)[number % len(batches(self.model))]
                self.net.train_step(self.loss_fn, self.optimizer, *batch)
        return self.saved()

    def saved(self) -> Checkpoint:
        state, optimizer = self.net.state_dict(), self.net.optimizer_state_dict(self.optimizer)
        return Checkpoint(numbers(state), _copied(optimizer))

    def output(self) -> np.ndarray:
        """What the model makes of a batch in eval mode."""
        self.net.eval()
        return self.net(batches(self.model)[0][0]).numpy()

    def load(self, checkpoint: Checkpoint) -> Checkpoint:
        """Returns what is then found here."""
        self.net.load_state_dict(checkpoint.state)
        self.net.load_optimizer_state_dict(self.optimizer, checkpoint.optimizer)
        return self.saved()


def adam(net: Any, groups: int, lr: float) -> optim.Adam:
    """In two groups, what is no weight learns faster, and with other betas."""
    if groups == 1:
        return optim.Adam(net.parameters(), lr=lr, eps=1e-4)
    weights, others = [], []
    for name, p in net.named_parameters():
        (weights if "weight" in name else others).append(p)
    fast = {"params": others, "lr": 2 * lr, "betas": (0.8, 0.99)}
    return optim.Adam([{"params": weights}, fast], lr=lr, eps=1e-4)


def _copied(optimizer: dict[str, Any]) -> dict[str, Any]:
    """As it is now: in one process its tensors are the live ones."""
    state = {
        number: {key: minipar.tensor(value.numpy().copy()) for key, value in entry.items()}
        for number, entry in optimizer["state"].items()
    }
    return {"state": state, "param_groups": optimizer["param_groups"]}


@cache
def one_process(model: str, groups: int) -> tuple[Checkpoint, Checkpoint, Checkpoint, np.ndarray]:
    """Before training, after the first half, and in the end; and what the model then makes of a batch."""
    training = InHalves(None, None, model, groups)
    return training.saved(), training.half(0), training.half(HALF), training.output()


# -- what is wrong -----------------------------------------------------------------------------------------------------


def different(got: Checkpoint, expected: Checkpoint, model: str, groups: int) -> str:
    """What differs from one process: names, shapes, options, or numbers by more than the promise allows."""
    for what, one, other in (
        ("the state's names and shapes are", *map(_forms, (got.state, expected.state))),
        ("the optimizer's groups are", got.optimizer["param_groups"], expected.optimizer["param_groups"]),
        ("the optimizer's state is of", *map(_forms, (_flat(got.optimizer), _flat(expected.optimizer)))),
    ):
        if one != other:
            return f"{what} {one}, not {other}"
    start = one_process(model, groups)[0].state
    for row in _differences(got, expected, start):
        if row.exceeds(TOLERANCE[np.dtype(np.float64)]):
            return f"{row.name} differs by {row.relative:.2g}"
    return ""


def _differences(got: Checkpoint, expected: Checkpoint, start: Mapping[str, Any]) -> Iterator[Difference]:
    yield from compare_parameters(got.state, expected.state, start, LR)
    ours, theirs = _flat(got.optimizer), _flat(expected.optimizer)
    for kind in ("exp_avg", "exp_avg_sq", "step"):
        one, other = ({name: x for name, x in flat.items() if name.endswith(f" {kind}")} for flat in (ours, theirs))
        yield from compare_gradients(one, other)


def different_output(got: np.ndarray, model: str, groups: int) -> str:
    """How far the output in the end is from one process's."""
    (row,) = compare_gradients({"": got}, {"": one_process(model, groups)[3]})
    return f"the output differs by {row.relative:.2g}" if row.exceeds(TOLERANCE[np.dtype(np.float64)]) else ""


def same_bits(got: Checkpoint, expected: Checkpoint) -> str:
    pairs = ((got.state, expected.state), (_flat(got.optimizer), _flat(expected.optimizer)))
    if any(one.keys() != other.keys() for one, other in pairs):
        return "other names have been loaded than saved"
    wrong = [name for one, other in pairs for name in one if one[name].tobytes() != other[name].tobytes()]
    return f"not loaded as saved: {', '.join(wrong)}" if wrong else ""


def _forms(arrays: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(name, array.shape, array.dtype.str) for name, array in arrays.items()]


def _flat(optimizer: dict[str, Any]) -> dict[str, np.ndarray]:
    entries = optimizer["state"].items()
    return {f"parameter {number}'s {key}": x.numpy() for number, entry in entries for key, x in entry.items()}
