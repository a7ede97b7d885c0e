"""minipar itself: as it is, with its plain NumPy kernels, and with its step captured."""

from __future__ import annotations

from typing import Any

import minipar

from ..contenders import Prepared
from ..workloads import Step, build


def prepare(workload: str, form: str) -> Prepared:
    step = build(minipar, workload)
    return Prepared(_FORMS[form](step), minipar.__version__, _pools())


def _reference(train: Step) -> Step:
    def step() -> Any:
        with minipar.use_kernels("reference"):
            return train()

    return step


def _pools() -> str:
    """minipar's thread pools: its compiled kernels, and BLAS under NumPy."""
    from threadpoolctl import threadpool_info

    from minipar.kernels.cpu.threads import get_num_threads

    blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return f"{get_num_threads()} in kernels, {'/'.join(map(str, sorted(blas))) or 'unknown'} in BLAS"


_FORMS = {
    "minipar": lambda step: step,
    "reference": _reference,
    "compiled": lambda step: getattr(minipar, "compile")(step),  # noqa: B009 - not every minipar has it
}
