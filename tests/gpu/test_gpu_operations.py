"""On a machine with an NVIDIA GPU: every operation, layer, optimizer and initial value as on the CPU.

They are the tests over the CuPy double, collected again under the name of this file: with CuPy itself, with the kernels
that a GPU is given by default, and with the rounding that a GPU may have of its own. Skipped by name where there is no
GPU.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import minipar
from minipar.kernels.cuda import detect
from tests.cupy_double import (
    beside_numpy,
    test_cupy_dtypes,
    test_cupy_layers,
    test_cupy_operations,
    test_cupy_tensors,
    test_cupy_training,
)

usable, reason = detect.status()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")]

ROUNDING = {"float16": 1e-2, "float32": 2e-5, "float64": 1e-9}  # at the least: sums have an order of their own there
MODULES = (test_cupy_operations, test_cupy_layers, test_cupy_training, test_cupy_tensors, test_cupy_dtypes)

for module in MODULES:
    globals().update({name: test for name, test in vars(module).items() if name.startswith("test_") and callable(test)})


def assert_close_arrays(ours: list[np.ndarray], theirs: list[np.ndarray], **tolerance: float) -> None:
    """Equal in number, shape and dtype, and in value within ROUNDING, or the tolerance that is given, if larger."""
    assert [(a.shape, a.dtype) for a in ours] == [(a.shape, a.dtype) for a in theirs]
    for a, b in zip(ours, theirs):
        least = ROUNDING.get(a.dtype.name, 0.0)
        allowed = {name: max(least, tolerance.get(name, 0.0)) for name in ("rtol", "atol")}
        np.testing.assert_allclose(b, a, **allowed)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """CuPy itself, in the place of the double."""
    import cupy

    on_a_gpu(monkeypatch, minipar.cuda.device_count())
    return cupy


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    """The tests compare as a GPU rounds, and compute on the last one: it is not the current one, if there are two."""
    for module in (beside_numpy, *MODULES):
        if hasattr(module, "assert_equal_arrays"):
            monkeypatch.setattr(module, "assert_equal_arrays", assert_close_arrays)
        if hasattr(module, "ELSEWHERE"):
            monkeypatch.setattr(module, "ELSEWHERE", f"cuda:{gpus - 1}")
