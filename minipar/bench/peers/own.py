"""minipar itself: as it is, with its plain NumPy kernels, and with its step captured."""

from __future__ import annotations

from typing import Any

import minipar

from ..contenders import Prepared
from ..workloads import WORKLOADS, Step, build
from ..workloads import prepare as parts


def prepare(workload: str, form: str) -> Prepared:
    return Prepared(_FORMS[form](workload), minipar.__version__, _pools())


def _eager(workload: str) -> Step:
    return build(minipar, workload)


def _reference(workload: str) -> Step:
    train = build(minipar, workload)

    def step() -> Any:
        with minipar.use_kernels("reference"):
            return train()

    return step


def _compiled(workload: str) -> Step:
    """The same five lines, recorded once and replayed; the batch is its argument, as in a training loop."""
    training = parts(minipar, WORKLOADS[workload])
    model, loss_function, optimizer = training.model, training.loss_function, training.optimizer

    @minipar.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return lambda: step(training.x, training.y)


def _pools() -> str:
    """minipar's thread pools: its compiled kernels, and BLAS under NumPy."""
    from threadpoolctl import threadpool_info

    from minipar.kernels.cpu.threads import get_num_threads

    blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return f"{get_num_threads()} in kernels, {'/'.join(map(str, sorted(blas))) or 'unknown'} in BLAS"


_FORMS = {"minipar": _eager, "reference": _reference, "compiled": _compiled}
