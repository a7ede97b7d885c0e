"""The operations of the table in other dtypes on arrays of the CuPy double: CuPy's functions have loops of their own.

Not a GPU run: see double_array.py for what this shows and what it cannot.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from tests.cupy_double.beside_numpy import ELSEWHERE, assert_equal_arrays, derived
from tests.ops.case import Case
from tests.ops.table import TABLE

PUBLIC = [
    case for case in TABLE if case.name[0].islower()
]  # others are inner operations, of which callers see to dtypes
TOLERANCE = {"float16": 1e-2}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflows of float16
@pytest.mark.parametrize("case", PUBLIC, ids=str)
def test_dtypes(case: Case, cupy: ModuleType) -> None:
    ran = 0
    for dtype in ("float16", "float32", "int64", "uint8"):
        inputs = [(a if dtype[0] == "f" else a * 3).astype(dtype) for a in case.inputs(case.example, seed=1)]
        try:
            ours = derived(case.run, inputs, "cpu", second=False)
        except (
            RuntimeError,
            TypeError,
            ValueError,
            NotImplementedError,
            OverflowError,
        ):  # not an operation of this dtype
            continue
        theirs = derived(case.run, inputs, ELSEWHERE, second=False)
        tolerance = TOLERANCE.get(dtype, 1e-5)
        assert_equal_arrays(ours, theirs, rtol=tolerance, atol=tolerance)
        ran += 1
    assert ran, "of none of these dtypes"


def test_small_integers_add_up_where_indices_repeat(cupy: ModuleType) -> None:
    for dtype in ("uint8", "int8", "int16", "bool"):
        found = [
            derived(lambda m, x: m.zeros(2, dtype=x.dtype).index_add(0, m.tensor([0, 0, 1]), x), inputs, device)
            for device in ("cpu", ELSEWHERE)
            for inputs in [[np.array([100, 200, 1]).astype(dtype)]]
        ]
        assert_equal_arrays(*found)
