"""Adamax: Adam with the largest past gradient in place of the root mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class Adamax(Optimizer):
    """p ← p − lr / (1 − beta1^t) · m / u, with m the running mean of g and u ← max(beta2·u, |g| + eps).

    Kingma & Ba, Adam (ICLR 2015), algorithm 2. State ("step", "exp_avg", "exp_inf") as in PyTorch; `foreach`,
    `capturable` and `differentiable` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.Adamax([p], lr=0.5)
    >>> p.grad = minipar.tensor([4.0])
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([0.5], requires_grad=True)
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr", "eps", "weight_decay")
    decays = ("betas",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "exp_avg": 0, "exp_inf": 0}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data, options = run.data, (*group["betas"], group["eps"], group["weight_decay"], group["maximize"])
        kernel("adamax_step", data)(data, run.grad, *run.moments, run.count_step(), float(group["lr"]), *options)
