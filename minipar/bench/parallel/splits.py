"""What is split, in which layout, and how fast that is meant to be.

C, what this machine can give: the combined rate of two unrelated runs of one thread each, over the rate of one alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..workloads import WORKLOADS, Workload, classes

RANKS = 2


def cnn_of_large_images(torch: Any) -> Any:
    """The network of W3s, for images of 224×224."""
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 56 * 56, 10)),
    )


LARGE = "W3 at 224×224"
SUBJECTS = {
    **WORKLOADS,
    LARGE: Workload(f"{LARGE}, batch 4", cnn_of_large_images, classes(4, 1, 224, 224), "CrossEntropyLoss", "SGD", 1e-2),
}


@dataclass(frozen=True)
class Split:
    """One training step in one layout on two workers of one thread each, and its bars (None: no such bar).

    `of_possible`: its speed over that of one worker with one thread, as a share of C. `of_threads`: its speed over that
    of one worker with two threads. `of_ddp`: over that of PyTorch's DistributedDataParallel with two processes.
    `of_ideal`: its time over what the schedule takes with the costs that the stages have by themselves, at the most.
    """

    subject: str
    layout: str
    of_possible: float | None = None
    of_threads: float | None = None
    of_ddp: float | None = None
    of_ideal: float | None = None

    @property
    def name(self) -> str:
        return f"{self.subject}, {self.layout}"


SPLITS = (
    Split("W3", "data=2", of_possible=0.93, of_threads=0.95, of_ddp=1.5),
    Split("W4b", "data=2", of_possible=0.93, of_threads=0.95),
    Split("W2c", "data=2,zero=1", of_possible=0.93, of_threads=0.95),
    Split("W2b", "data=2", of_ddp=3.0),
    Split("W2c", "pipeline=2,microbatches=8", of_ideal=1.1),
    Split("W2c", "tensor=2", of_possible=0.75),
    Split(LARGE, "space=2", of_possible=0.75),
)
