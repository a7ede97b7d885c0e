"""Adadelta: steps in the units of the parameters, without a learning rate to choose."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class Adadelta(Optimizer):
    """p ← p − lr·Δ with Δ = g·√(u + eps) / √(v + eps), v and u the running means (of weight `rho`) of g² and Δ².

    Zeiler, ADADELTA: an adaptive learning rate method (2012). State ("step", "square_avg", "acc_delta") as in PyTorch;
    `foreach`, `capturable` and `differentiable` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.Adadelta([p], rho=0.0, eps=1.0)
    >>> p.grad = minipar.tensor([0.0])
    >>> optimizer.step()
    >>> p.tolist()
    [1.0]
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        if not 0 <= options["rho"] <= 1:
            raise ValueError(f"Invalid rho value: {options['rho']} (rho must be in [0, 1])")

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "square_avg": 0, "acc_delta": 0}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        run.count_step()
        data, options = run.data, (group["rho"], group["eps"], group["weight_decay"], group["maximize"])
        kernel("adadelta_step", data)(data, run.grad, *run.moments, float(group["lr"]), *options)
