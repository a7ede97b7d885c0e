"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class NAdam(Optimizer):
    """p ← p − lr·(µ_{t+1}·m / (1 − ∏_{i≤t+1} µ_i) + (1 − µ_t)·g / (1 − ∏_{i≤t} µ_i)) / (√v̂ + eps).

    m and v are Adam's, µ_t = beta1·(1 − ½·0.96^(t·momentum_decay)). Dozat, Incorporating Nesterov momentum into Adam
    (ICLR workshop 2016). `weight_decay` as in Adam. State ("step", "mu_product", "exp_avg", "exp_avg_sq") as in
    PyTorch, but a loaded "mu_product" stays float32, so that a resumed run goes on with the same numbers; `foreach`,
    `capturable` and `differentiable` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.NAdam([p], lr=0.1)
    >>> p.grad = minipar.tensor([4.0])
    >>> optimizer.step()
    >>> round(p.item(), 4)
    0.8944
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr", "eps", "weight_decay", "momentum_decay")
    decays = ("betas",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "mu_product": 1, "exp_avg": 0, "exp_avg_sq": 0}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data, lr, step, (beta1, beta2) = run.data, float(group["lr"]), run.count_step(), group["betas"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])) for t in (step, step + 1))
        products = run.numbers["mu_product"]
        products *= mu  # in place and in float32, as PyTorch rounds it
        product = float(products[0])
        kernel("nadam_step", data)(
            data,
            run.grad,
            *run.moments,
            step,
            lr,
            lr * (1 - mu) / (1 - product),
            lr * mu_next / (1 - product * mu_next),
            beta1,
            beta2,
            group["eps"],
            group["weight_decay"],
            group["maximize"],
            group["decoupled_weight_decay"],
        )
