"""Local SGD: every rank trains a model of its own on its own samples, and now and then all take the mean of the models.

    rank 0   step  step  step  step ─┐ mean ┌─ step  step  step  step ─┐ mean …
    rank 1   step  step  step  step ─┘      └─ step  step  step  step ─┘

A message every `period` steps instead of one a step. Between two meetings the models drift apart, each towards what its
own samples say, and gradients are taken at different places: so the run is another one than that of one process, and
more so the longer the period and the larger the learning rate. (Stich, "Local SGD Converges Fast and Communicates
Little", arXiv 1805.09767; Lin et al., "Don't Use Large Mini-Batches, Use Local SGD", arXiv 1808.07217, who begin with
exact steps: `warmup_steps`.)

With a period of 1 and plain SGD nothing is given up: the mean of w - lr·gᵣ over ranks is w - lr·(mean of gᵣ), which is
data parallelism where all ranks have equally many samples. Not so with momentum or Adam, whose state stays each rank's
own: with momentum too the parameters are those of data parallelism (it is linear in the gradients), with Adam not.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...backend import namespace, to_numpy
from ...nn.parameter import Parameter
from ..comm import Communicator
from ..ranks.environment import init


class PeriodicModelAverager:
    """Takes the mean of all ranks' models after every `period`-th step, beginning after `warmup_steps` steps.

        optimizer.step()
        averager.average_parameters(model.parameters())    # after each step

    As PyTorch's: the call counts steps, `step` says how many, and the first call after the warm-up takes a mean (so
    that models that began differently agree). `process_group` is a communicator (None: the one that `init()` gives),
    all of whose ranks make as many calls. Buffers and the optimizer's state stay each rank's own.

    ValueError for a period below 1 or a negative warm-up.

    >>> def train(comm):
    ...     weight = nn.Parameter(minipar.tensor([float(comm.rank)]))
    ...     averager = minipar.parallel.PeriodicModelAverager(period=2, process_group=comm)
    ...     seen = []
    ...     for step in range(3):
    ...         weight.data = weight.data + comm.rank  # rank 1's sample pulls it upwards
    ...         averager.average_parameters([weight])
    ...         seen.append(weight.item())
    ...     return seen
    >>> minipar.parallel.launch(train, workers=2, backend="thread")
    [[1.0, 1.0, 2.0], [1.0, 2.0, 2.0]]
    """

    def __init__(self, period: int, warmup_steps: int = 0, process_group: Communicator | None = None) -> None:
        if period < 1:
            raise ValueError(f"period={period}: it takes at least 1 step from one mean to the next")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps={warmup_steps} must not be negative")
        self.period, self.warmup_steps = period, warmup_steps
        self.process_group = _group(process_group)
        self.step = 0

    def average_parameters(self, params: Iterable[Parameter]) -> None:
        """One more step has been made: take the mean if it is time. Collective then."""
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            average_parameters(params, self.process_group)
        self.step += 1


def average_parameters(params: Iterable[Parameter], process_group: Communicator | None = None) -> None:
    """Each of `params` becomes its mean over all ranks, the same bits on every rank. Collective.

    At the end of local SGD, for instance, whatever the period. In each parameter's own dtype; TypeError for integers.

    >>> def meet(comm):
    ...     weight = nn.Parameter(minipar.tensor([1.0 + comm.rank]))
    ...     minipar.parallel.average_parameters([weight], comm)
    ...     return weight.item()
    >>> minipar.parallel.launch(meet, workers=2, backend="thread")
    [1.5, 1.5]
    """
    comm = _group(process_group)
    for p in params:
        host = to_numpy(p.array)
        comm.all_reduce(host, "mean")
        if host is not p.array:
            p.array[...] = namespace(p.array).asarray(host)
        p.bump("average")


def _group(process_group: Communicator | None) -> Communicator:
    if process_group is not None and not isinstance(process_group, Communicator):
        raise TypeError(f"process_group must be a Communicator or None, not {type(process_group).__name__}")
    return init() if process_group is None else process_group
