"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .scheduler import LRScheduler, put


class _Combined(LRScheduler):
    """Its state dict holds those of the schedulers."""

    _schedulers: Sequence[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """As the base class, with a state dict for each scheduler."""
        return {**super().state_dict(), "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base class; the schedulers stay, and load theirs."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"]):
            scheduler.load_state_dict(state)


class SequentialLR(_Combined):
    """The first scheduler up to epoch milestones[0], the second from there to milestones[1], and so on.

    ValueError where there is not one milestone less than there are schedulers, one is ReduceLROnPlateau (which wants
    metrics), or belongs to another optimizer; TypeError for what is no scheduler.

    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=1.0)
    >>> warm_up = optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=9)
    >>> then = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> scheduler = optim.lr_scheduler.SequentialLR(optimizer, [warm_up, then], milestones=[2])
    >>> lrs = scheduler.get_last_lr()
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     lrs += scheduler.get_last_lr()
    >>> lrs
    [0.5, 0.5, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        _check("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"milestones must be one less than the {len(schedulers)} schedulers, but there are {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # Each scheduler has set its first learning rate when it was made. That is undone, and the first begins again.
        for group in optimizer.param_groups:
            put(group, "lr", group["initial_lr"])
        self.recursive_undo()
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def recursive_undo(self, sched: LRScheduler | None = None) -> None:
        """Take back the first step of every scheduler in `sched` (in this one)."""
        scheduler = self if sched is None else sched
        if hasattr(scheduler, "_schedulers"):
            for inner in scheduler._schedulers:
                self.recursive_undo(inner)
        elif hasattr(scheduler, "last_epoch"):
            scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Go on to the next epoch, with the scheduler whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


class ChainedScheduler(_Combined):
    """All schedulers step at once, each changing what the ones before it left.

    ValueError for no scheduler, for ReduceLROnPlateau (which wants metrics) and for schedulers of several optimizers;
    TypeError for what is no scheduler.

    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=1.0)
    >>> halving = [optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5) for _ in range(2)]
    >>> scheduler = optim.lr_scheduler.ChainedScheduler(halving)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if len(schedulers) > 0:
            optimizer = optimizer or getattr(schedulers[0], "optimizer", None)
        _check("ChainedScheduler", schedulers, optimizer)
        self._schedulers = schedulers
        self.optimizer = optimizer  # type: ignore[assignment]
        self._last_lr = self._current()

    def step(self) -> None:  # type: ignore[override]
        """Step every scheduler."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._current()


def _check(name: str, schedulers: Sequence[Any], optimizer: Optimizer | None) -> None:
    if len(schedulers) < 1:
        raise ValueError(f"{name} expects at least one of schedulers, but got none")
    for i, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(f"{name}: schedulers[{i}] is a {type(scheduler).__name__}, not a scheduler of an optimizer")
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(f"{name}: schedulers[{i}] is ReduceLROnPlateau, whose step() needs metrics")
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"{name}: schedulers[{i}], a {type(scheduler).__name__}, belongs to another optimizer")
