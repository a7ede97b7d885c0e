"""Every operation of the table on arrays of the CuPy double: values, gradients and second gradients as on NumPy.

Not a GPU run: see double_array.py for what this shows and what it cannot.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.cupy_double.beside_numpy import assert_the_same
from tests.ops.case import Case
from tests.ops.table import TABLE, UNDIFFERENTIABLE

NOT_ON_A_GPU = {"Cast", "Move"}  # long double; a move to the CPU (moves: test_cupy_tensors.py)
CASES = [case for case in TABLE if case.name not in NOT_ON_A_GPU]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation(case: Case, cupy: ModuleType) -> None:
    assert_the_same(case.run, case.inputs(case.example, seed=1))


@pytest.mark.parametrize("run", [run for _, run in UNDIFFERENTIABLE], ids=[name for name, _ in UNDIFFERENTIABLE])
def test_undifferentiable(run, cupy: ModuleType) -> None:
    draw = np.random.default_rng(1)
    assert_the_same(run, [draw.standard_normal((3, 3)).astype(np.float32) for _ in range(2)])
