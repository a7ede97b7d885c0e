"""RAdam: Adam that waits until the variance of its step is known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class RAdam(Optimizer):
    """p ← p − lr·m̂ at first; once ρ_t > 5, p ← p − lr·m̂·r_t·√(1 − beta2^t) / (√v + eps).

    m and v are Adam's, ρ_∞ = 2 / (1 − beta2) − 1, ρ_t = ρ_∞ − 2t·beta2^t / (1 − beta2^t) and
    r_t² = (ρ_t − 4)(ρ_t − 2)ρ_∞ / ((ρ_∞ − 4)(ρ_∞ − 2)ρ_t). Liu et al., On the variance of the adaptive learning rate
    and beyond (ICLR 2020). `weight_decay` as in Adam. State ("step", "exp_avg", "exp_avg_sq") as in PyTorch;
    `foreach`, `capturable` and `differentiable` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.RAdam([p], lr=0.25)
    >>> p.grad = minipar.tensor([2.0])
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
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "exp_avg": 0, "exp_avg_sq": 0}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data = run.data
        kernel("radam_step", data)(
            data,
            run.grad,
            *run.moments,
            run.count_step(),
            float(group["lr"]),
            *group["betas"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
            group["decoupled_weight_decay"],
        )
