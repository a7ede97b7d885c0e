"""Who is measured. A contender is a name and a function that builds its training step in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .workloads import WORKLOADS, Step

THREADS = 2  # of everybody
KINDS = ("mlp", "cnn", "rnn", "encoder")

# Read by thread pools when their library is imported: JAX's looks for NPROC, tinygrad's for CPU_COUNT.
ENVIRONMENT = {
    name: str(THREADS)
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "NPROC",
        "CPU_COUNT",
    )
}


@dataclass(frozen=True)
class Prepared:
    """A contender's training step, ready to run, and the version and threads it runs with.

    A step returns its loss, a number or a tensor of one. Where one call trains several steps, `losses` are its first
    ones, since nobody can ask in between.
    """

    step: Step
    version: str
    threads: str
    steps_per_call: int = 1
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class Contender:
    """One row of each workload's table.

    `prepare` (name of a workload → Prepared) runs in the contender's own process, which starts with `environment`.
    `requires` names the module without which there is no such row, and `install` the command that brings it.
    `independent`: not minipar's own arithmetic, so that its losses can tell whether minipar's are right; these are the
    peers. `kinds`: the networks that it can build; `without`: workloads that it is spared all the same.
    """

    name: str
    prepare: Callable[[str], Prepared]
    environment: Mapping[str, str] = field(default_factory=dict)
    requires: str = ""
    install: str = ""
    independent: bool = False
    kinds: tuple[str, ...] = KINDS
    without: tuple[str, ...] = ()
    attribute: str = ""  # of the module required: a row needs that too

    def why_missing(self) -> str:
        """One line if the contender cannot run here, else ""."""
        if self.requires and not _installed(self.requires):
            return f"no rows for {self.name}: the module {self.requires!r} is not installed ({self.install})"
        if self.attribute and not hasattr(import_module(self.requires), self.attribute):
            return f"no rows for {self.name}: this {self.requires} has no {self.attribute!r}"
        return ""

    def runs(self, workload: str) -> bool:
        """Can it express the workload?"""
        return WORKLOADS[workload].kind in self.kinds and workload not in self.without


def _installed(module: str) -> bool:
    """A folder without code that happens to have the name is not the library."""
    found = find_spec(module)
    return found is not None and found.origin is not None


def _from(module: str, **options: Any) -> Callable[[str], Prepared]:
    """`prepare` of a file in peers/, imported where it is called: in the contender's process."""

    def prepare(workload: str) -> Prepared:
        return import_module(f"{__package__}.peers.{module}").prepare(workload, **options)

    return prepare


def _own(name: str, **kwargs: Any) -> Contender:
    return Contender(name, _from("own", form=name), **kwargs)


def _torch(name: str, **kwargs: Any) -> Contender:
    return _peer(name, _from("pytorch", form=name), "torch", 'pip install ".[oracle]" in the checkout', **kwargs)


def _peer(name: str, prepare: Callable[[str], Prepared], requires: str, install: str, **kwargs: Any) -> Contender:
    return Contender(name, prepare, requires=requires, install=install, independent=True, **kwargs)


_KERAS = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
_SKLEARN = ("sklearn", "pip install scikit-learn")

# The first is the one that all others are divided by.
CONTENDERS = {
    contender.name: contender
    for contender in (
        _own("minipar"),
        _own("reference"),
        _own("compiled", requires="minipar", attribute="compile"),
        _torch("torch"),
        _torch("torch-fused"),
        _torch("torch-compile"),
        _torch("torch-channels-last", kinds=("cnn",)),
        _peer("jax", _from("jax_jit"), "jax", "pip install jax"),
        _peer(
            "tensorflow", _from("tensorflow_function"), "tensorflow", "pip install tensorflow-cpu", environment=_KERAS
        ),
        _peer("sklearn", _from("scikit_learn"), *_SKLEARN, kinds=("mlp",)),
        _peer("sklearn-fit", _from("scikit_learn", fit=True), *_SKLEARN, kinds=("mlp",)),
        _peer("autograd", _from("autograd_numpy"), "autograd", "pip install autograd"),
        _peer("mygrad", _from("mygrad_numpy"), "mygrad", "pip install mygrad"),
        # A recurrence of 64 steps takes tinygrad minutes to trace.
        _peer("tinygrad", _from("tinygrad_jit"), "tinygrad", "pip install tinygrad; it needs clang", without=("W4b",)),
    )
}
PEERS = tuple(name for name, contender in CONTENDERS.items() if contender.independent)
DEFAULT = ("reference", "torch")
