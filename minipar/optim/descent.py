"""What several optimizers begin with."""

from __future__ import annotations

from typing import Any


def descent(data: Any, grad: Any, group: dict[str, Any]) -> Any:
    """The gradient to descend: turned round to `maximize`, and with that of the penalty ½·weight_decay·‖p‖²."""
    if group["maximize"]:
        grad = -grad
    return grad + group["weight_decay"] * data if group["weight_decay"] else grad


def decoupled_descent(data: Any, grad: Any, group: dict[str, Any]) -> Any:
    """As `descent`, but where the group asks for it the decay shrinks `data` in place and leaves the gradient alone."""
    if not (group["decoupled_weight_decay"] and group["weight_decay"]):
        return descent(data, grad, group)
    data *= 1 - float(group["lr"]) * group["weight_decay"]
    return -grad if group["maximize"] else grad


def average(mean: Any, new: Any, beta: float) -> None:
    """mean ← beta·mean + (1 − beta)·new, in place."""
    mean *= beta
    mean += (1 - beta) * new
