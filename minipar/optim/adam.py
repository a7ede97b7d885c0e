"""Adam: steps scaled by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend.dispatch import kernel
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class Adam(Optimizer):
    """p ← p − lr·m̂ / (√v̂ + eps), with m and v the running means of g and g², corrected for having started at zero.

    Kingma & Ba, Adam: a method for stochastic optimization (ICLR 2015), algorithm 1. `weight_decay` adds weight_decay·p
    to the gradient; with `maximize` the loss is climbed. Options and state ("step", "exp_avg", "exp_avg_sq") as in
    PyTorch; `amsgrad`, `foreach`, `capturable`, `differentiable`, `fused` and `decoupled_weight_decay` raise
    NotImplementedError.
    """

    unsupported = ("amsgrad", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
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
        defaults = {
            "lr": lr,
            "betas": betas,
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

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        for name, spoken in (("lr", "learning rate"), ("eps", "epsilon"), ("weight_decay", "weight_decay")):
            if not options[name] >= 0:
                raise ValueError(f"Invalid {spoken}: {options[name]} ({name} must be at least 0)")
        if len(options["betas"]) != 2:
            raise ValueError(f"Invalid betas: {options['betas']} (betas must be two numbers)")
        for index, beta in enumerate(options["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta} (betas must be in [0, 1))")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return STEP, "exp_avg", "exp_avg_sq"

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data = run.data
        run.steps += 1  # in place: the parameters' "step" entries are views of it
        kernel("adam_step", data)(
            data,
            run.grad,
            *run.moments,
            int(run.steps[0]),
            float(group["lr"]),
            *group["betas"],
            group["eps"],
            group["weight_decay"],
            group["maximize"],
        )
