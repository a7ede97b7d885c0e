"""A training step, recorded on all ranks: the timelines in which what is claimed of it can be seen.

(Processes import this module, so it does without pytest.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import minipar
from minipar import nn, optim
from minipar.nn import functional as F
from minipar.parallel import Communicator, Layout, launch, timeline
from minipar.parallel.timeline import Span

Recording = list[Span]


class Meeting(nn.Module):
    """Changes nothing; but on the way back ranks meet here, so that none is ahead of what the others have sent."""

    comm: Communicator

    def forward(self, x):
        if x.requires_grad:
            x.register_hook(lambda gradient: self.comm.barrier())
        return x


def recorded(
    comm: Communicator,
    layout: str,
    build: Callable[[], nn.Module],
    shape: tuple[int, ...],
    words: int = 0,
    **options: Any,
) -> list[Recording]:
    """What each rank did in a second step, on a batch of this shape; with `words`, of so many different ones."""
    net = Layout.parse(layout).parallelize(build(), comm, **options)
    for stage in net.modules():
        for meeting in (module for module in stage.modules() if isinstance(module, Meeting)):
            meeting.comm = net.mesh.replicas
    step = optim.SGD(net.parameters(), lr=0.1)
    numbers = minipar.linspace(0, 1, minipar.ones(*shape).numel(), dtype=minipar.float64).reshape(*shape)
    x = (numbers * (words - 1)).long() if words else numbers
    net.train_step(mean_square, step, x)
    with timeline.record() as recording:
        net.train_step(mean_square, step, x)
    return timeline.merge(comm, recording)


def mean_square(output: minipar.Tensor) -> minipar.Tensor:
    return F.mse_loss(output, minipar.zeros_like(output))


def on_threads(layout: str, *arguments: Any, **options: Any) -> list[Recording]:
    ranks = Layout.parse(layout).ranks
    return launch(recorded, layout, *arguments, workers=ranks, backend="thread", **options)[0]


def spans(recording: Recording, *names: str) -> Recording:
    return sorted((span for span in recording if span.name.startswith(names)), key=lambda span: span.start_ns)


def sent(recording: Recording) -> Counter[str]:
    """By the kind of call, the bytes in all that a rank has made."""
    total: Counter[str] = Counter()
    for span in recording:
        if span.kind == timeline.COMMUNICATION:
            total[span.name] += span.nbytes
    return total
