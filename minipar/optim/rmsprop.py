"""RMSprop: steps scaled by the running size of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class RMSprop(Optimizer):
    """p ← p − lr·g / (√v + eps), with v ← alpha·v + (1 − alpha)·g².

    Tieleman & Hinton, Lecture 6.5 of Neural networks for machine learning (2012). `centered` takes the variance
    v − ḡ² in place of v (Graves, Generating sequences with recurrent neural networks, 2013); with `momentum` the
    scaled gradients are summed up in b ← momentum·b + g / (√v + eps) and p ← p − lr·b. State ("step", "square_avg",
    "momentum_buffer", "grad_avg") as in PyTorch; `foreach`, `capturable` and `differentiable` raise
    NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.RMSprop([p], lr=0.5, alpha=0.0)
    >>> p.grad = minipar.tensor([4.0])
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr", "eps", "momentum", "weight_decay", "alpha")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        state: dict[str, float] = {STEP: 0, "square_avg": 0}
        if group["momentum"] > 0:
            state["momentum_buffer"] = 0
        if group["centered"]:
            state["grad_avg"] = 0
        return state

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        run.count_step()
        data, (square_avg, *others) = run.data, run.moments
        grad_avg = others.pop() if group["centered"] else None
        momentum_buffer = others.pop() if group["momentum"] > 0 else None
        kernel("rmsprop_step", data)(
            data,
            run.grad,
            square_avg,
            momentum_buffer,
            grad_avg,
            float(group["lr"]),
            group["alpha"],
            group["eps"],
            group["weight_decay"],
            group["momentum"],
            group["maximize"],
        )
