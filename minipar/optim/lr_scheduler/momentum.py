"""Momentum that is moved along with the learning rate: an optimizer's "momentum", or the first of its "betas"."""

from __future__ import annotations

from typing import Any

from ..optimizer import Optimizer


def cycles_beta1(optimizer: Optimizer) -> bool:
    """Is it the first of the betas? ValueError for an optimizer that has neither."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"cycle_momentum: optimizer must support momentum or beta1, which {type(optimizer).__name__} does not; "
            "pass cycle_momentum=False"
        )
    return "betas" in optimizer.defaults


def start_momentum(optimizer: Optimizer, use_beta1: bool, most: list[float], least: list[float]) -> None:
    """Every group begins with its largest momentum, and remembers both ends."""
    for group, max_momentum, base_momentum in zip(optimizer.param_groups, most, least):
        put_momentum(group, use_beta1, max_momentum)
        group["max_momentum"] = max_momentum
        group["base_momentum"] = base_momentum


def put_momentum(group: dict[str, Any], use_beta1: bool, momentum: float) -> None:
    if use_beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum
