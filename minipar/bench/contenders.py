"""Who is measured. A contender is a name and a function that builds its training step in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from .workloads import Step, build


@dataclass(frozen=True)
class Prepared:
    """A contender's training step, ready to run, and the version and threads it runs with."""

    step: Step
    version: str
    threads: str


@dataclass(frozen=True)
class Contender:
    """One row of each workload's table.

    `prepare` (name of a workload → Prepared) runs in the contender's own process, which starts with `environment`.
    `requires` names the module without which there is no such row, and `install` the command that brings it.
    `independent`: not minipar's own arithmetic, so that its losses can tell whether minipar's are right.
    """

    name: str
    prepare: Callable[[str], Prepared]
    environment: Mapping[str, str] = field(default_factory=dict)
    requires: str = ""
    install: str = ""
    independent: bool = False

    def why_missing(self) -> str:
        """One line if the contender cannot run here, else ""."""
        if self.requires and find_spec(self.requires) is None:
            return f"no rows for {self.name}: the module {self.requires!r} is not installed ({self.install})"
        return ""


def minipar_auto(workload: str) -> Prepared:
    import minipar

    return Prepared(build(minipar, workload), minipar.__version__, _pools())


def minipar_reference(workload: str) -> Prepared:
    import minipar

    train = build(minipar, workload)

    def step() -> Any:
        with minipar.use_kernels("reference"):
            return train()

    return Prepared(step, minipar.__version__, _pools())


def torch_eager(workload: str) -> Prepared:
    import torch

    torch.set_num_threads(_TORCH_THREADS)
    return Prepared(build(torch, workload), torch.__version__, str(torch.get_num_threads()))


def _pools() -> str:
    """minipar's thread pools: BLAS under NumPy; its compiled kernels stay on the calling thread."""
    from threadpoolctl import threadpool_info

    blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    return f"{'/'.join(map(str, sorted(blas))) or 'unknown'} BLAS, 1 kernel"


_TORCH_THREADS = 2

# The first is the one that all others are divided by.
CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("minipar", minipar_auto),
        Contender("reference", minipar_reference),
        Contender(
            "torch",
            torch_eager,
            environment={"OMP_NUM_THREADS": str(_TORCH_THREADS), "MKL_NUM_THREADS": str(_TORCH_THREADS)},
            requires="torch",
            install='pip install ".[oracle]" in the checkout',
            independent=True,
        ),
    )
}
