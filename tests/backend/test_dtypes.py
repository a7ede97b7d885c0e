"""The promotion table against torch.result_type, and what counts as a dtype."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minipar
from minipar.backend import dtypes

NAMES = [dtype.name for dtype in dtypes.SUPPORTED]
SCALARS = (True, 3, 2.5)
OPERANDS = [(name, shape) for name in NAMES for shape in ((2,), ())] + list(SCALARS)


def ours(operand):
    return operand if operand in SCALARS else np.ones(operand[1], operand[0])


def theirs(torch, operand):
    return operand if operand in SCALARS else torch.ones(operand[1], dtype=getattr(torch, operand[0]))


def default_dtypes(torch, default):
    minipar.set_default_dtype(default)
    torch.set_default_dtype(getattr(torch, default))


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    yield torch
    default_dtypes(torch, "float32")


@pytest.mark.parametrize("default", ["float32", "float64", "float16"])
def test_every_pair_is_promoted_as_in_pytorch(torch, default):
    default_dtypes(torch, default)
    for a in OPERANDS:
        for b in OPERANDS:
            expected = str(torch.result_type(theirs(torch, a), theirs(torch, b)))
            assert f"torch.{dtypes.result_type(ours(a), ours(b)).name}" == expected, (a, b)


@given(st.lists(st.sampled_from(OPERANDS), min_size=3, max_size=5))
def test_more_operands_are_promoted_as_a_sum_of_pytorch_tensors_stacked_by_rank(operands):
    """PyTorch folds ranks too: dimensioned operands among themselves, then 0-d ones, then numbers."""
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    ranked = [[], [], []]
    for operand in operands:
        rank = 2 if operand in SCALARS else 0 if operand[1] else 1
        ranked[rank].append(theirs(torch, operand))
    folded = []
    for members in ranked:
        if members:
            total = members[0]
            for member in members[1:]:
                total = total + member if isinstance(total, torch.Tensor) else max(total, member, key=_category)
            folded.append(total)
    result = folded[0]
    for total in folded[1:]:
        kind = torch.result_type(result, total)
        result = torch.ones(result.shape if isinstance(result, torch.Tensor) else (), dtype=kind)
    expected = torch.result_type(result, result)
    assert f"torch.{dtypes.result_type(*map(ours, operands)).name}" == str(expected)


def _category(x):
    return (bool, int, float).index(type(x))


def test_result_type_reads_tensors():
    assert minipar.result_type(minipar.ones(2, dtype=minipar.int64), 2.5) == np.float32
    assert minipar.result_type(minipar.ones(2), minipar.ones((), dtype=minipar.float64)) == np.float32


@pytest.mark.parametrize("dtype", ["uint64", "uint16", "complex64", "datetime64[s]", "U3", ">f4", object])
def test_other_dtypes_are_refused_in_any_company(dtype):
    for company in ((), (np.ones(2, np.int64),), (np.ones(2, np.float64),), (1.5,)):
        with pytest.raises(TypeError, match="unsupported dtype"):
            dtypes.result_type(np.zeros(2, dtype), *company)
    with pytest.raises(TypeError, match=r"dtype must be one of bool, uint8, .*float64, not"):
        dtypes.as_dtype(dtype)


def test_operands_that_are_no_numbers_are_named():
    for operand, name in (("a", "str"), (1j, "complex"), (None, "NoneType"), ([1], "list")):
        with pytest.raises(TypeError, match=f"not {name}"):
            dtypes.result_type(np.ones(2), operand)
    with pytest.raises(TypeError, match="at least one operand"):
        dtypes.result_type()


@pytest.mark.parametrize("name", NAMES)
def test_a_dtype_may_be_given_as_itself_its_name_or_its_numpy_type(name):
    dtype = np.dtype(name)
    assert dtypes.as_dtype(dtype) is dtypes.as_dtype(name) is dtypes.as_dtype(dtype.type)
    assert dtypes.as_dtype(name) == dtype


def test_python_types_are_dtypes():
    assert [dtypes.as_dtype(t) for t in (bool, int, float, "float")] == ["bool", "int64", "float32", "float32"]
    dtypes.set_default_dtype("float64")
    try:
        assert dtypes.as_dtype(float) == dtypes.as_dtype("float") == dtypes.scalar_dtype(1.0) == np.float64
    finally:
        dtypes.set_default_dtype("float32")


@pytest.mark.parametrize("dtype", [None, "float33", 3, complex, str, [], "", "object"])
def test_what_is_no_dtype_is_named(dtype):
    with pytest.raises(TypeError, match="dtype must be one of") as error:
        dtypes.as_dtype(dtype)
    assert repr(dtype) in str(error.value)


@pytest.mark.parametrize("dtype", ["int64", "bool", np.uint8, int])
def test_the_default_dtype_is_floating(dtype):
    with pytest.raises(TypeError, match="must be floating point, not"):
        minipar.set_default_dtype(dtype)
    assert minipar.get_default_dtype() == np.float32


def test_the_default_dtype_is_the_threads_own():
    seen = []

    def other():
        dtypes.set_default_dtype("float64")
        seen.append(minipar.tensor(1.0).dtype)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [np.float64]
    assert minipar.tensor(1.0).dtype == np.float32


def test_quiet_lets_infinities_and_nans_arise_without_a_warning():
    with dtypes.quiet():
        assert np.isnan(np.zeros(1) / np.zeros(1))[0]
        assert np.isinf(np.exp(np.full(1, 1e4)))[0]
    with pytest.raises(RuntimeWarning, match="invalid value"):
        np.zeros(1) / np.zeros(1)
