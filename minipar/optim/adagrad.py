"""Adagrad: steps scaled by all of the gradient's past."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP, filled
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class Adagrad(Optimizer):
    """p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√s + eps), with s ← s + g² and t the number of this step.

    Duchi, Hazan & Singer, Adaptive subgradient methods (JMLR 2011). s starts at `initial_accumulator_value`. State
    ("step", "sum") as in PyTorch, there from the beginning; `foreach`, `differentiable` and `fused` raise
    NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.Adagrad([p], lr=0.5)
    >>> p.grad = minipar.tensor([4.0])
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    unsupported = ("foreach", "differentiable", "fused")
    not_negative = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._memory[p] = {name: filled(name, p, start) for name, start in self._state(group).items()}

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        # As in PyTorch, a group's own initial_accumulator_value is not looked at.
        return {STEP: 0, "sum": self.defaults["initial_accumulator_value"]}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data = run.data
        lr = float(group["lr"]) / (1 + (run.count_step() - 1) * group["lr_decay"])
        kernel("adagrad_step", data)(
            data, run.grad, *run.moments, lr, group["eps"], group["weight_decay"], group["maximize"]
        )
