"""The double refuses what CuPy refuses: without that, what passes on it would show nothing."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import minipar
from tests.cupy_double import beside_numpy, test_cupy_training
from tests.gpu import test_gpu_operations

HERE = np.ones((2, 3))

REFUSED = {
    "a NumPy array in an operation": (TypeError, lambda cp, x: x + HERE),
    "a NumPy array before it": (TypeError, lambda cp, x: HERE + x),
    "a NumPy array in place": (TypeError, lambda cp, x: x.__iadd__(HERE)),
    "a double in place of a NumPy array": (TypeError, lambda cp, x: HERE.copy().__iadd__(x)),
    "a NumPy array in a comparison": (TypeError, lambda cp, x: x < HERE),
    "a NumPy array in a product": (TypeError, lambda cp, x: x @ HERE.T),
    "a NumPy array in a ufunc": (TypeError, lambda cp, x: cp.maximum(x, HERE)),
    "a NumPy array in a function": (TypeError, lambda cp, x: cp.concatenate([x, HERE])),
    "a NumPy mask": (TypeError, lambda cp, x: cp.where(x > 0, x, HERE)),
    "a NumPy condition": (AttributeError, lambda cp, x: cp.where([True], x, 0.0)),
    "a NumPy array to NumPy's function": (TypeError, lambda cp, x: np.concatenate([x, HERE])),
    "a list in place of an array": (TypeError, lambda cp, x: cp.stack([[1.0], [2.0]])),
    "becoming a NumPy array": (TypeError, lambda cp, x: np.asarray(x)),
    "becoming a list's NumPy array": (TypeError, lambda cp, x: np.array([x, x])),
    "being an index": (TypeError, lambda cp, x: range(x[0, 0].astype(int))),
    "being written a NumPy array": (ValueError, lambda cp, x: x.__setitem__(..., HERE)),
    "a name that CuPy lacks": (AttributeError, lambda cp, x: cp.put_along),
    "another keyword": (TypeError, lambda cp, x: x.max(initial=0)),
    "where= of a reduction": (TypeError, lambda cp, x: x.sum(where=x > 0)),
    "NumPy's function with another keyword": (TypeError, lambda cp, x: np.sum(x, where=True)),
    "a sort that CuPy lacks": (ValueError, lambda cp, x: cp.sort(x, kind="quicksort")),
    "sorting a transposed array in place": (NotImplementedError, lambda cp, x: x.T.sort()),
    "multiply.at": (NotImplementedError, lambda cp, x: cp.multiply.at(x, [0], x)),
    "add.at of bytes": (TypeError, lambda cp, x: cp.add.at(x.astype("int8"), cp.asarray([0]), 1)),
    "maximum.at of halves": (TypeError, lambda cp, x: cp.maximum.at(x.astype("float16"), cp.asarray([0]), 1.0)),
    "ufunc.reduce": (AttributeError, lambda cp, x: cp.logaddexp.reduce(x)),
    "casting=": (TypeError, lambda cp, x: x.astype("float32", casting="safe")),
    "a loop that CuPy lacks": (TypeError, lambda cp, x: cp.bitwise_and(x, x)),
    "a result that does not fit": (TypeError, lambda cp, x: cp.add(x, x, out=x.astype(int))),
    "halves in linalg": (TypeError, lambda cp, x: cp.linalg.inv(cp.eye(2, dtype="float16"))),
    "long doubles": (TypeError, lambda cp, x: x.astype(np.longdouble) * 2),
    "nonzero of no axes": (ValueError, lambda cp, x: x.sum().nonzero()),
    "a truth of many": (ValueError, lambda cp, x: bool(x)),
    "NumPy's flags": (AttributeError, lambda cp, x: x.flags.writeable),
    "memory on the host": (AttributeError, lambda cp, x: x.ctypes),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, cupy: ModuleType) -> None:
    error, attempt = REFUSED[name]
    with pytest.raises(error):
        attempt(cupy, cupy.asarray(HERE))


def test_accepted(cupy: ModuleType) -> None:
    x = cupy.asarray(HERE)
    for y in (x * 2, 2.0 * x, x + np.float64(1), np.float32(1) * x, np.exp(x), np.add(x, 1), x[0, 0], x.sum(), x.T):
        assert type(y) is cupy.ndarray
    assert not isinstance(x, np.ndarray)
    assert (x[0, 0].shape, x.sum().shape, float(x.sum()), x.get().tolist()) == ((), (), 6.0, HERE.tolist())
    x[0, 0][...] = 5  # a view
    x[np.array([1])] = HERE[:1] * 3  # NumPy indices and values beside them are copied to the device
    assert x.get().tolist() == [[5.0, 1.0, 1.0], [3.0, 3.0, 3.0]]
    assert x.T.base is x


def test_dtypes_are_those_of_cupys_loops(cupy: ModuleType) -> None:
    counts = cupy.arange(3, dtype="int8")
    assert [f(counts).dtype.name for f in (cupy.sqrt, cupy.floor, cupy.negative, cupy.isnan)] == [
        "float16", "int8", "int8", "bool",
    ]  # fmt: skip
    assert (counts * np.int16(2)).dtype == np.int16
    assert (counts * 2).dtype == np.int8
    assert (counts * 2.0).dtype == np.float64


def test_on_a_machine_with_one_gpu_its_tests_are_those_of_the_double(cupy, monkeypatch):
    """tests/gpu collects these tests again; there, what is to be elsewhere may have no second GPU to be on."""
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 1)
    test_gpu_operations.on_a_gpu(monkeypatch, minipar.cuda.device_count())
    assert test_cupy_training.ELSEWHERE == beside_numpy.ELSEWHERE == "cuda:0"
    beside_numpy.assert_the_same(lambda m, x: m.relu(x) * 2, [HERE])
