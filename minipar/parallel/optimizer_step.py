"""An optimizer's step by the gradients that all ranks have added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import timeline


def optimizer_step(optimizer: Any, loss_and_gradients: Callable[[], float]) -> float:
    """One step, by gradients that are forgotten before each call. Returns the first loss.

    An optimizer that needs a closure (LBFGS) calls it as often as it likes. It likes the same on every rank: it decides
    by the loss and the gradients of the whole batch, of the whole model.
    """

    def closure() -> float:
        optimizer.zero_grad()
        return loss_and_gradients()

    if getattr(optimizer, "needs_closure", False):
        return float(optimizer.step(closure))
    loss = closure()
    with timeline.span("update"):
        optimizer.step()
    return loss
