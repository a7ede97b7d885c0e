"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer, check_pair
from .runs import FlatRun, LoneRun


class Adam(Optimizer):
    """p ← p − lr·m̂ / (√v̂ + eps), with m and v the running means of g and g², corrected for having started at zero.

    Kingma & Ba, Adam: a method for stochastic optimization (ICLR 2015), algorithm 1. `weight_decay` adds weight_decay·p
    to the gradient or, if `decoupled_weight_decay`, first shrinks p by the factor 1 − lr·weight_decay (see AdamW); with
    `amsgrad` v is the largest so far (Reddi, Kale & Kumar, On the convergence of Adam and beyond, 2018); with
    `maximize` the loss is climbed. Options and state ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq") as in PyTorch;
    `foreach`, `capturable`, `differentiable` and `fused` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0, -2.0]))
    >>> optimizer = optim.Adam([p], lr=0.5)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p
    Parameter containing:
    tensor([ 0.5, -1.5], requires_grad=True)
    """

    unsupported = ("foreach", "capturable", "differentiable", "fused")
    not_negative = ("lr", "eps", "weight_decay")
    decays = ("betas",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_pair("betas", betas)
        if len({isinstance(beta, Tensor) for beta in betas}) > 1:
            raise ValueError("betas must be either both floats or both Tensors")
        defaults = {
            "lr": lr,
            "betas": tuple(beta.item() if isinstance(beta, Tensor) else beta for beta in betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        state: dict[str, float] = {STEP: 0, "exp_avg": 0, "exp_avg_sq": 0}
        return {**state, "max_exp_avg_sq": 0} if group["amsgrad"] else state

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data = run.data
        exp_avg, exp_avg_sq, *max_exp_avg_sq = run.moments
        beta1, beta2 = group["betas"]
        kernel("adam_step", data)(
            data,
            run.grad,
            exp_avg,
            exp_avg_sq,
            run.count_step(),
            float(group["lr"]),
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
            group["decoupled_weight_decay"],
            *max_exp_avg_sq,
        )
