"""Every operation of the table with one tensor on another device: an error that names both."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest

import minipar
from tests.cupy_double.beside_numpy import Placed
from tests.ops.case import Case
from tests.ops.table import TABLE

ACROSS = {"copy_"}  # what copies from one device to the other; "Move" has one tensor
CASES = [case for case in TABLE if len(case.inputs(case.example, seed=1)) > 1 and case.name not in ACROSS]
TWO = re.compile("two devices: (cpu .* and cuda:0|cuda:0 .* and cpu)")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_devices_are_named(case: Case, cupy: ModuleType) -> None:
    inputs = case.inputs(case.example, seed=1)
    for odd in range(len(inputs)):
        for most, other in (("cpu", "cuda"), ("cuda", "cpu")):
            places = [other if i == odd else most for i in range(len(inputs))]
            tensors = [
                minipar.tensor(a, device=place, requires_grad=a.dtype.kind == "f") for a, place in zip(inputs, places)
            ]
            if {"cpu"} == {place for a, place in zip(inputs, places) if not a.ndim}:
                continue  # a tensor of no axes on the CPU is a number, wherever the others are
            with pytest.raises(RuntimeError, match=TWO):
                case.run(Placed(most), *tensors)


def test_indices_lie_beside_the_tensor_or_on_the_cpu(cupy: ModuleType) -> None:
    here, there = minipar.zeros(3), minipar.zeros(3, device="cuda")
    rows, mask = minipar.tensor([0, 2], device="cuda"), minipar.tensor([True, False, True], device="cuda")
    for index in (rows, mask, (rows,)):
        for tracked in (False, True):
            x = here.clone().requires_grad_(tracked) * 1
            with pytest.raises(RuntimeError, match=TWO):
                x[index]
            with pytest.raises(RuntimeError, match=TWO):
                x[index] = 1.0
    for wrong in (
        lambda: here.index_fill(0, rows, 1.0),
        lambda: here.index_put((rows,), minipar.ones(2), accumulate=True),
        lambda: minipar.nn.functional.embedding(rows, minipar.ones(3, 2)),
        lambda: minipar.nn.functional.embedding(rows.cpu(), minipar.ones(3, 2, device="cuda")),
        lambda: minipar.gather(here, 0, rows),
    ):
        with pytest.raises(RuntimeError, match=TWO):
            wrong()
    there[rows.cpu()] = 1.0
    there[np.array([1])] = 5.0
    assert there[rows.cpu()].tolist() == [1.0, 1.0]
    assert there.tolist() == [1.0, 5.0, 1.0]
