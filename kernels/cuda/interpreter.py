"""Carries out a plan on the CPU over NumPy arrays, in ``kernels.simulate``, as ``launcher`` does on the GPU."""

from typing import Any

from ..simulate.errors import KernelError
from ..simulate.execute import execute
from .plan import Plan

__all__ = ["KernelError", "run"]


def run(plan: Plan) -> Any:
    """Carry out a plan over NumPy arrays, as ``launcher.launch`` does over CuPy arrays, and return its result."""
    if plan.blocks:
        execute(plan.kernel.function, plan.blocks, plan.kernel.threads, plan.args)
    return plan.result
