"""Schedules that a user's function defines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..optimizer import Optimizer
from .scheduler import LRScheduler, a_group_each, callable_state

Factor = Callable[[int], float]


class _ByFunction(LRScheduler):
    """One function for all parameter groups, or a list with one for each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1) -> None:
        self.lr_lambdas = a_group_each("lr_lambda", optimizer, lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function, not {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """As the base class, but of a function that is an object its attributes, and of any other None."""
        return {**super().state_dict(), "lr_lambdas": [callable_state(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base class; functions stay, and get the saved attributes."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"]):
            if attributes is not None:
                vars(function).update(attributes)


class LambdaLR(_ByFunction):
    """lr = initial_lr · lr_lambda(epoch); one function, or a list with one for each parameter group.

    ValueError for a list of another length, TypeError for what is no function.

    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=2.0)
    >>> scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [1.0]
    """

    def get_lr(self) -> list[Any]:
        self._check_within_step()
        return [base_lr * factor(self.last_epoch) for factor, base_lr in zip(self.lr_lambdas, self.base_lrs)]


class MultiplicativeLR(_ByFunction):
    """lr ← lr · lr_lambda(epoch), from epoch 1 on; one function, or a list with one for each parameter group.

    ValueError for a list of another length, TypeError for what is no function.

    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=2.0)
    >>> scheduler = optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [1.0]
    """

    def get_lr(self) -> list[Any]:
        self._check_within_step()
        if self._is_initial:
            return self._current()
        groups = self.optimizer.param_groups
        return [group["lr"] * factor(self.last_epoch) for factor, group in zip(self.lr_lambdas, groups)]
