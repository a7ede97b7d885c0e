"""The checks of `minipar bench --gpu` on operations: every kernel of a GPU is reached, every wrong entry is caught."""

from __future__ import annotations

import pytest

import minipar
from minipar.backend import dispatch
from minipar.bench.gpu.kernel_checks import REFERENCE
from minipar.bench.gpu.operations import OPERATIONS, TOLERANCE, operation_checks
from minipar.kernels.cuda.recurrent import persistent
from tests.cuda.simulated_gpu import simulated_gpu


def test_every_kernel_that_serves_an_operation_on_a_gpu_is_checked(monkeypatch):
    monkeypatch.setattr(dispatch, "_loaded", {})
    for name in OPERATIONS:
        for dtype in TOLERANCE:
            assert all(check.passed for check in operation_checks(name, dtype, "cpu"))
    used = {name for name, *_ in dispatch._loaded}
    assert set(dispatch.CUDA) <= set(REFERENCE) | used, "give it cases in kernel_checks.py, or in operations.py"


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operations_kernels_pass_in_lockstep(name, monkeypatch):
    name, way, _ = name.partition(", step by step")
    if way:  # a few units, as if they did not fit: so many that they do not would be long in lockstep
        monkeypatch.setattr(persistent, "width_that_fits", lambda *_: None)
    with simulated_gpu() as gpu:
        checks = list(operation_checks(name, "float32", "cuda"))
    assert gpu.launched
    assert [check for check in checks if not check.passed] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_wrong_entry_of_an_operation_is_caught(name, monkeypatch):
    """Of every result in turn, one entry is off by one."""

    def spoilt(which):
        def results(numbers):
            for what, value in call(numbers):
                if what == which and numbers.dtype == "float32":
                    flat = value.detach().reshape(-1)
                    value = minipar.cat([flat[:1] + 1, flat[1:]]).reshape(value.shape)
                yield what, value

        return results

    call = OPERATIONS[name]
    for what in [check.case.removesuffix(" in float32") for check in operation_checks(name, "float32", "cpu")]:
        monkeypatch.setitem(OPERATIONS, name, spoilt(what))
        assert [c.case for c in operation_checks(name, "float32", "cpu") if not c.passed] == [f"{what} in float32"]
