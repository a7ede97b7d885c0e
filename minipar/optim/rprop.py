"""Rprop: steps that depend on the gradient's sign alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..backend import namespace
from ..tensor import Tensor
from .flat_state import STEP
from .optimizer import Optimizer
from .runs import FlatRun, LoneRun


class Rprop(Optimizer):
    """p ← p − s·sign(g): each element's step size s grows while its gradient keeps its sign, and shrinks when it turns.

    s starts at lr and is multiplied by etas[1] or etas[0], within `step_sizes`; where the sign turned, this step is
    left out. Riedmiller & Braun, A direct adaptive method for faster backpropagation learning (1993). For full batches.
    State ("step", "prev", "step_size") as in PyTorch; `foreach`, `capturable` and `differentiable` raise
    NotImplementedError.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.Rprop([p], lr=0.5)
    >>> p.grad = minipar.tensor([4.0])
    >>> optimizer.step()
    >>> p.tolist()
    [0.5]
    """

    unsupported = ("foreach", "capturable", "differentiable")
    not_negative = ("lr",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[str, Any]) -> None:
        super()._check(options)
        shrink, grow = options["etas"]
        if not 0 < shrink < 1 < grow:
            raise ValueError(f"Invalid eta values: {shrink}, {grow} (etas must be in (0, 1) and above 1)")

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        return {STEP: 0, "prev": 0, "step_size": float(group["lr"])}

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        data, (shrink, grow) = run.data, group["etas"]
        xp, g = namespace(data), -run.grad if group["maximize"] else run.grad
        run.count_step()
        prev, step_size = run.moments
        agreement = g * prev
        step_size *= xp.where(agreement > 0, grow, xp.where(agreement < 0, shrink, 1)).astype(data.dtype)
        xp.clip(step_size, *group["step_sizes"], out=step_size)
        prev[...] = xp.where(agreement < 0, 0, g)
        data -= xp.sign(xp.nan_to_num(prev, nan=0)) * step_size  # NaN has no sign: it moves nothing
