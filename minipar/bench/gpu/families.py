"""Some training steps of every family of models on a device, compared with the same steps on the CPU in float64.

The models are the zoo's, with their dropout: random numbers are drawn by position and not by place, so that a mask is
the same on every device and in every dtype. All runs start from the same float32 numbers, which float64 holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ... import manual_seed, optim, tensor
from ...backend.dtypes import as_dtype
from ...parallel.equality import TOLERANCE, Difference, compare_gradients, compare_parameters
from ...parallel.equivalence import Training, TrainingRun
from ..adversarial import AdversarialTraining
from ..zoo import GRU, ZOO
from .check import Check

FAMILIES = {**ZOO, "GRU": GRU}
STEPS, BATCHES, SAMPLES = 5, 2, 13


def family_checks(family: str, dtype: str, device: str) -> Iterator[Check]:
    """Losses of all steps, gradients of the first, parameters and buffers after the last; device "cuda" or "cpu".

    Metric and tolerances are those of every comparison of two training runs here: see `minipar.parallel.equality`.
    (float32 on the CPU is 3e-7 away from float64 at the most, 1e-5 is allowed.)
    """
    run, exact = (trained(family, *where) for where in ((dtype, device), ("float64", "cpu")))
    largest = max(map(abs, exact.losses))
    losses = [
        Difference(f"step {i}", (), abs(ours - theirs) / largest)
        for i, (ours, theirs) in enumerate(zip(run.losses, exact.losses, strict=True), 1)
    ]
    for what, rows in (
        ("losses", losses),
        ("gradients", compare_gradients(run.gradients, exact.gradients)),
        (f"after {STEPS} steps", compare_parameters(run.state, exact.state, exact.start, exact.lr)),
    ):
        for row in rows:
            yield Check(f"{family} in {dtype}, {what}", row.name, row.relative, TOLERANCE[np.dtype(dtype)])


def trained(family: str, dtype: str, device: str) -> TrainingRun:
    """What a training on `device` in `dtype` leaves."""
    kind = FAMILIES[family]
    manual_seed(3)
    model = kind.build().to(device, as_dtype(dtype))
    draw = np.random.default_rng(5)
    batches = [tuple(_placed(array, dtype, device) for array in kind.batch(draw, SAMPLES)) for _ in range(BATCHES)]
    task: Any = (model, batches, kind.losses["mean"], lambda p: optim.SGD(p, lr=kind.rate, momentum=0.9), STEPS)
    training = AdversarialTraining(*task) if family == "GAN" else Training(*task)
    return training.in_one_process()


def _placed(array: np.ndarray, dtype: str, device: str) -> Any:
    if array.dtype.kind == "f":
        array = array.astype(np.float32).astype(dtype)
    return tensor(array, device=device)
