"""ASGD: stochastic gradient descent that also averages the parameters it passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class ASGD(Optimizer):
    """p ← (1 − lambd·η)·p − η·g and a ← a + µ·(p − a), with η ← lr / (1 + lambd·lr·t)^alpha and µ ← 1 / max(1, t − t0).

    Polyak & Juditsky, Acceleration of stochastic approximation by averaging (1992). a is the state "ax": copy it over
    the parameters to use the average. State ("step", "eta", "mu", "ax") as in PyTorch, but a loaded "eta" or "mu" stays
    float32; `foreach`, `capturable` and `differentiable` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.ASGD([p], lr=0.5, lambd=0.0)
    >>> p.grad = minipar.tensor([1.0])
    >>> optimizer.step()
    >>> p.tolist(), optimizer.state[p]["ax"].tolist()
    ([0.5], [0.5])
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "eta": float(group["lr"]), "mu": 1, "ax": 0}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data, lr, lambd = run.data, float(group["lr"]), group["lambd"]
        g = -run.grad if group["maximize"] else run.grad
        if group["weight_decay"]:
            g = g + group["weight_decay"] * data
        step = run.count_step()
        (mean,) = run.moments
        etas, mus = run.numbers["eta"], run.numbers["mu"]
        eta, mu = float(etas[0]), float(mus[0])
        data *= 1 - lambd * eta
        data -= eta * g
        if mu == 1:
            mean[...] = data
        else:
            mean += mu * (data - mean)
        etas[...] = lr / (1 + lambd * lr * step) ** group["alpha"]
        mus[...] = 1 / max(1, step - group["t0"])
