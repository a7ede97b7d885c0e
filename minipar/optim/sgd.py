"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from ..tensor import Tensor
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class SGD(Optimizer):
    """p ← p − lr·b, with b ← momentum·b + (1 − dampening)·g and g = ∂loss/∂p + weight_decay·p.

    On the first step b = g. With `nesterov` the update is g + momentum·b (Sutskever et al., On the importance of
    initialization and momentum in deep learning, 2013); with `maximize` the loss is climbed. Options and state
    ("momentum_buffer") as in PyTorch; `foreach`, `differentiable` and `fused` raise NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.SGD([p], lr=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (p * p).sum().backward()
    ...     optimizer.step()
    >>> p.tolist()
    [0.0]
    """

    unsupported = ("foreach", "differentiable", "fused")
    not_negative = ("lr", "momentum", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {"momentum_buffer": 0} if group["momentum"] else {}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data = run.data
        kernel("sgd_step", data)(
            data,
            run.grad,
            run.moments[0] if run.moments else None,
            float(group["lr"]),
            group["momentum"],
            group["dampening"],
            group["weight_decay"],
            group["nesterov"],
            run.fresh,
            group["maximize"],
        )
