"""Training steps of every family of models on a device: against the same steps on the CPU, and beside PyTorch's.

The models are the workloads of `minipar bench`, one text that both libraries run, from the same numbers; LSTM and GRU
take the place of the plain recurrence in one of them, and the GAN is the zoo's. PyTorch is eager, in float32 without
TF32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from ..workloads import WORKLOADS, classes, ordinary_step, prepare, rnn
from ..zoo import discriminator, generator
from .check import Check
from .timing import Stopwatch, race

_RECURRENT, _CNN = WORKLOADS["W4b"], WORKLOADS["W3"]
MODELS = {
    "MLP": WORKLOADS["W2b"],
    "wide MLP": WORKLOADS["W2c"],
    "CNN": _CNN,
    **{
        f"CNN, batch {n}": replace(
            _CNN, summary=_CNN.summary.replace("batch 64", f"batch {n}"), batch=classes(n, 1, 28, 28)
        )
        for n in (128, 256, 512)
    },
    "RNN": _RECURRENT,
    "LSTM": replace(_RECURRENT, summary=_RECURRENT.summary.replace("RNN", "LSTM"), model=rnn(64, 256, "LSTM")),
    "GRU": replace(_RECURRENT, summary=_RECURRENT.summary.replace("RNN", "GRU"), model=rnn(64, 256, "GRU")),
    "Transformer": WORKLOADS["W6"],
    "autoencoder": WORKLOADS["W5"],
}
GAN = "GAN"
GAN_BATCH = 64
FAMILIES = (*MODELS, GAN)
FIRST_STEPS = 3
LOSS_TOLERANCE = 1e-4  # of float32 on two devices, or in two libraries, after FIRST_STEPS steps

TrainingStep = Callable[[], Any]


@dataclass(frozen=True)
class Step:
    """Median seconds of a training step: ours, and PyTorch's where it can be had."""

    name: str
    case: str
    ours: float
    theirs: float | None

    @property
    def ratio(self) -> float | None:
        """Our speed as a share of theirs: above 1, ours is faster."""
        return self.theirs / self.ours if self.theirs else None


def step_checks(family: str, device: str) -> Iterator[Check]:
    """The losses of the first steps that are timed, in float32, beside those on the CPU."""
    import minipar

    ours, expected = (_losses(training_step(minipar, family, where)) for where in (device, "cpu"))
    yield from _same(family, "the CPU's", ours, expected)


def step_timings(device: str, torch: Any, stopwatch: Stopwatch) -> Iterator[Check | Step]:
    """A step of every family, beside PyTorch's (`torch`; None if there is none)."""
    import minipar

    for family in FAMILIES:
        sides = {"ours": training_step(minipar, family, device)}
        if torch is not None:
            sides["theirs"] = training_step(torch, family, device)
            if family != GAN:  # its dropout is drawn by each library in its own way
                yield from _same(family, "PyTorch's", *map(_losses, sides.values()))
        found = {side: sorted(seconds)[len(seconds) // 2] for side, seconds in race(sides, [()], stopwatch).items()}
        yield Step(family, summary(family), found["ours"], found.get("theirs"))


def pytorch(device: str) -> tuple[Any, str]:
    """(PyTorch, without TF32; ""), or (None, why there is none for this device)."""
    if find_spec("torch") is None:
        return None, "PyTorch is not installed: nothing is timed beside it"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return None, f"PyTorch {torch.__version__} finds no GPU: nothing is timed beside it"
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # by default it is allowed in convolutions
    return torch, ""


def summary(family: str) -> str:
    return f"the zoo's generator and discriminator, batch {GAN_BATCH}" if family == GAN else MODELS[family].summary


def training_step(torch: Any, family: str, device: str) -> TrainingStep:
    """One step of a family in a library spelled like PyTorch; calling it trains once and returns the loss."""
    if family == GAN:
        return _adversarial_step(torch, device)
    return ordinary_step(prepare(torch, MODELS[family], device))


def _adversarial_step(torch: Any, device: str) -> TrainingStep:
    """The discriminator learns from real images and from the generator's, then the generator from its verdict."""
    torch.manual_seed(0)
    makes, judges = generator(torch.nn).to(device), discriminator(torch.nn).to(device)
    step_makes, step_judges = (torch.optim.Adam(net.parameters(), lr=2e-4) for net in (makes, judges))
    noise, real = (torch.rand(GAN_BATCH, *shape).to(device) for shape in ((5,), (1, 6, 2)))
    yes = torch.ones(GAN_BATCH, 1).to(device)
    is_real = torch.cat([yes, yes * 0])
    error = torch.nn.BCEWithLogitsLoss()

    def step() -> Any:
        images = makes(noise)
        step_judges.zero_grad()
        error(judges(torch.cat([real, images.detach()])), is_real).backward()
        step_judges.step()
        step_makes.zero_grad()
        loss = error(judges(images), yes)
        loss.backward()
        step_makes.step()
        return loss

    return step


def _losses(step: TrainingStep) -> list[float]:
    return [step().item() for _ in range(FIRST_STEPS)]


def _same(family: str, whose: str, ours: list[float], expected: list[float]) -> Iterator[Check]:
    for i, (found, wanted) in enumerate(zip(ours, expected), 1):
        error = abs(found - wanted) / max(abs(wanted), 1e-30)
        yield Check(f"loss of the timed steps, beside {whose}", f"{family}, step {i}", error, LOSS_TOLERANCE)
