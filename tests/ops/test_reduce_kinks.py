"""Reductions, norms and order at ties, zeros, NaN, infinities and of nothing: beside PyTorch, and some by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minipar
from tests.ops.test_op_kinks import same

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

nan, inf = math.nan, math.inf
TIES, ODD, ZEROS = [3.0, 1.0, 3.0, 1.0, 2.0], [1.0, nan, 3.0, -inf, nan, inf], [0.0, 0.0, 0.0]

ROWS = {
    "max NaN": (lambda m, x: m.max(x), ODD),
    "min NaN": (lambda m, x: x.min(), ODD),
    "amax NaN": (lambda m, x: m.amax(x), ODD),
    "aminmax ties": (lambda m, x: m.aminmax(x).min, TIES),
    "max(dim) NaN": (lambda m, x: m.max(x, 0).values, ODD),
    "prod of one zero": (lambda m, x: m.prod(x), [2.0, 0.0, 4.0]),
    "prod of two zeros": (lambda m, x: m.prod(x, 0), [2.0, 0.0, 4.0, 0.0]),
    "prod of none": (lambda m, x: m.prod(x), []),
    "cumprod of one zero": (lambda m, x: m.cumprod(x, 0), [2.0, 0.0, 4.0, 3.0]),
    "cumprod of two zeros": (lambda m, x: m.cumprod(x, 0), [2.0, 0.0, 4.0, 0.0, 5.0]),
    "cumprod from a zero": (lambda m, x: m.cumprod(x, 0), [0.0, 3.0, 5.0]),
    "cumsum NaN": (lambda m, x: m.cumsum(x, 0), ODD),
    "cummax ties": (lambda m, x: m.cummax(x, 0).values, TIES),
    "cummin ties": (lambda m, x: m.cummin(x, 0).values, TIES),
    "cummax NaN": (lambda m, x: m.cummax(x, 0).values, [1.0, nan, 3.0, nan]),
    "logcumsumexp far apart": (lambda m, x: m.logcumsumexp(x, 0), [-1000.0, 1000.0, 0.0]),
    "nansum": (lambda m, x: m.nansum(x), [1.0, nan, 3.0]),
    "nansum of NaN": (lambda m, x: m.nansum(x), [nan, nan]),
    "nanmean": (lambda m, x: m.nanmean(x), [1.0, nan, 3.0]),
    "std of equals": (lambda m, x: m.std(x), [2.0, 2.0, 2.0]),
    "std of one": (lambda m, x: m.std(x), [2.0]),
    "var of none": (lambda m, x: m.var(x), []),
    "median ties": (lambda m, x: m.median(x), TIES),
    "median NaN": (lambda m, x: m.median(x), ODD),
    "median(dim) NaN": (lambda m, x: m.median(x, 0).values, ODD),
    "median of none": (lambda m, x: m.median(x), []),
    "nanmedian": (lambda m, x: m.nanmedian(x), ODD),
    "nanmedian(dim)": (lambda m, x: m.nanmedian(x, 0).values, ODD),
    "nanmedian of NaN": (lambda m, x: m.nanmedian(x), [nan, nan]),
    "mode ties": (lambda m, x: m.mode(x, 0).values, TIES),
    "sort NaN": (lambda m, x: m.sort(x).values, ODD),
    "sort descending NaN": (lambda m, x: m.sort(x, descending=True).values, [1.0, nan, 3.0, -inf, inf]),
    "topk NaN": (lambda m, x: m.topk(x, 2).values, [1.0, nan, 3.0, 4.0]),
    "topk smallest NaN": (lambda m, x: m.topk(x, 2, largest=False).values, [1.0, nan, 3.0]),
    "kthvalue NaN": (lambda m, x: m.kthvalue(x, 3).values, [1.0, nan, 3.0]),
    "quantile NaN": (lambda m, x: m.quantile(x, 0.5), [1.0, nan, 3.0]),
    "nanquantile": (lambda m, x: m.nanquantile(x, 0.3), [1.0, nan, 3.0]),
    "quantile at its ends": (lambda m, x: m.quantile(x, 1.0) + m.quantile(x, 0.0), TIES),
    "nearest quantile at a half": (lambda m, x: m.quantile(x, 0.5, interpolation="nearest"), [4.0, 1.0]),
    **{f"norm {p} of zeros": (lambda m, x, p=p: m.norm(x, p), ZEROS) for p in (0.5, 1, 1.5, 2, 3, inf, -inf)},
    **{f"norm {p} beside a zero": (lambda m, x, p=p: m.norm(x, p), [3.0, 0.0, -4.0]) for p in (0.5, 1, 1.5, 2, 3)},
    "norm inf ties": (lambda m, x: m.norm(x, inf), [2.0, -2.0, 1.0]),
    "norm of none": (lambda m, x: m.norm(x), []),
    "normalize zeros": (lambda m, x: m.nn.functional.normalize(x, dim=0), ZEROS),
    "pairwise_distance of equals": (lambda m, x: m.nn.functional.pairwise_distance(x, x, eps=0.0), [1.0, 2.0]),
    "softmax of nothing but -inf": (lambda m, x: m.softmax(x, 0), [-inf, -inf]),
}


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")  # PyTorch's word on a variance of one
@pytest.mark.parametrize("name", ROWS)
def test_equals_pytorch(name: str) -> None:
    same(*ROWS[name], rtol=1e-11)


INDICES = {
    "argmax": (lambda m, x: m.argmax(x), [TIES, ODD]),
    "argmin": (lambda m, x: m.argmin(x), [TIES, ODD]),
    "max(dim)": (lambda m, x: m.max(x, 0).indices, [TIES, ODD]),
    "cummax": (lambda m, x: m.cummax(x, 0).indices, [TIES, ODD]),
    "cummin": (lambda m, x: m.cummin(x, 0).indices, [TIES, ODD]),
    "sort": (lambda m, x: m.sort(x, stable=True).indices, [TIES, ODD]),
    "sort descending": (lambda m, x: m.sort(x, descending=True, stable=True).indices, [TIES, ODD]),
    "median(dim)": (lambda m, x: m.median(x, 0).indices, [ODD, [3.0, 1.0, 2.0]]),
    "nanmedian(dim)": (lambda m, x: m.nanmedian(x, 0).indices, [ODD, [nan, nan]]),
    "mode": (lambda m, x: m.mode(x, 0).indices, [TIES]),
    "unique": (lambda m, x: m.unique(x), [TIES, ODD, []]),
    "unique_consecutive": (lambda m, x: m.unique_consecutive(x), [[1.0, 1.0, nan, nan, 1.0], []]),
    "searchsorted": (lambda m, x: m.searchsorted(m.tensor([0.0, 1.0, 1.0, 3.0]).to(x.dtype), x), [TIES, [inf, -inf]]),
    "isin": (lambda m, x: m.isin(x, x[1:3]), [TIES, ODD]),
    "count_nonzero": (lambda m, x: m.count_nonzero(x), [ODD, ZEROS, []]),
    "all": (lambda m, x: m.all(x), [ODD, ZEROS, []]),
    "any": (lambda m, x: m.any(x), [ODD, ZEROS, []]),
    "histc of equals": (lambda m, x: m.histc(x, 4), [[2.0, 2.0]]),
}


@pytest.mark.parametrize("name", INDICES)
def test_answers_without_gradient_equal_pytorch(name: str) -> None:
    run, rows = INDICES[name]
    for row in rows:
        ours, theirs = (run(m, m.tensor(row, dtype=m.float64)) for m in (minipar, torch))
        assert (tuple(ours.shape), str(ours.dtype)) == (tuple(theirs.shape), str(theirs.dtype).removeprefix("torch."))
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


DTYPES = {
    "sum": lambda m, x: m.sum(x),
    "sum into int8": lambda m, x: m.sum(x, dtype=m.int8),
    "prod": lambda m, x: m.prod(x),
    "prod into bool": lambda m, x: m.prod(x, 0, dtype=m.bool),
    "cumsum": lambda m, x: m.cumsum(x, 0),
    "cumprod into int16": lambda m, x: m.cumprod(x, 0, dtype=m.int16),
    "nansum": lambda m, x: m.nansum(x),
    "mean into float64": lambda m, x: m.mean(x, dtype=m.float64),
    "all": lambda m, x: m.all(x),
    "cummax": lambda m, x: m.cummax(x, 0).values,
    "sort": lambda m, x: m.sort(x).values,
    "amax": lambda m, x: m.amax(x),
    "max of zero axes": lambda m, x: m.max(x[0], 0, keepdim=True).values,
    "diff": lambda m, x: m.diff(x),
    "unique": lambda m, x: m.unique(x),
    "count_nonzero": lambda m, x: m.count_nonzero(x),
    "softmax into float64": lambda m, x: m.softmax(x, 0, m.float64),
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_dtypes_equal_pytorch(name: str, dtype: str) -> None:
    array = np.array([1, 0, 3, 1], dtype)
    ours, theirs = DTYPES[name](minipar, minipar.tensor(array)), DTYPES[name](torch, torch.tensor(array))
    assert (tuple(ours.shape), str(ours.dtype)) == (tuple(theirs.shape), str(theirs.dtype).removeprefix("torch."))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3)


def test_the_second_derivative_of_a_product_is_exact_beside_zeros() -> None:
    x = minipar.tensor([2.0, 0.0, 5.0, 0.0], dtype=minipar.float64, requires_grad=True)
    (g,) = minipar.autograd.grad(x.prod(), x, create_graph=True)
    (h,) = minipar.autograd.grad(g[1], x)
    assert g.tolist() == [0.0, 0.0, 0.0, 0.0]
    assert h.tolist() == [0.0, 0.0, 0.0, 10.0]


def test_a_float16_norm_does_not_overflow_on_the_way() -> None:
    x = minipar.full((4,), 300.0, dtype=minipar.float16)
    assert x.norm().item() == 600.0
    assert x.norm().dtype == minipar.float16
