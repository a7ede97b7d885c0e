"""A learning rate that goes up and down between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .momentum import cycles_beta1, put_momentum, start_momentum
from .scheduler import LRScheduler, a_group_each, callable_state, checked_optimizer, put


class CyclicLR(LRScheduler):
    """From base_lr to max_lr in step_size_up batches and back in step_size_down, again and again.

    Smith, Cyclical learning rates for training neural networks (2017). The height of a cycle is scaled: by 1
    (`mode="triangular"`), by ½ more each cycle ("triangular2"), by gamma^batch ("exp_range"), or by a `scale_fn` of the
    cycle's number or the batch's (`scale_mode` "cycle" or "iterations"). `cycle_momentum` moves momentum (or the
    first of betas) the other way, from max_momentum to base_momentum. ValueError for another mode without a scale_fn,
    an optimizer without momentum, a list that has not one value for each parameter group.

    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=0.1)
    >>> scheduler = optim.lr_scheduler.CyclicLR(optimizer, base_lr=1.0, max_lr=3.0, step_size_up=2)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr(), round(optimizer.param_groups[0]["momentum"], 6)
    ([2.0], 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        base_lrs = a_group_each("base_lr", checked_optimizer(optimizer), base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups):
                put(group, "lr", lr)
        self.max_lrs = a_group_each("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"mode {mode!r} is invalid and scale_fn is None: triangular, triangular2 or exp_range")
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = cycles_beta1(optimizer)
            self.base_momentums = a_group_each("base_momentum", optimizer, base_momentum)
            self.max_momentums = a_group_each("max_momentum", optimizer, max_momentum)
            if last_epoch == -1:
                start_momentum(optimizer, self.use_beta1, self.max_momentums, self.base_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The factor on the height of cycle x, or at batch x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return self.gamma**x if self.mode == "exp_range" else 1 / 2.0 ** (x - 1)

    def get_lr(self) -> list[Any]:
        self._check_within_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            momentums = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums)
            for group, least, most in momentums:
                put_momentum(group, self.use_beta1, most - (most - least) * height * scale)
        return [base + (most - base) * height * scale for base, most in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """As the base class, but of a scale_fn that is an object its attributes, and of any other None."""
        scale_fn = self._scale_fn_custom
        return {**super().state_dict(), "_scale_fn_custom": None if scale_fn is None else callable_state(scale_fn)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base class; the scale_fn stays, and gets the saved attributes."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None:
            vars(self._scale_fn_custom).update(state_dict["_scale_fn_custom"])
