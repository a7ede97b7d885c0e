"""A Tensor among others: NumPy, DLPack, pickle, copies, Python's numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minipar
from minipar.tensor.interop import _UFUNCS


def test_asarray_shares_memory_and_refuses_to_drop_a_gradient() -> None:
    x = minipar.arange(6.0).reshape(2, 3)
    array = np.asarray(x)
    array[0, 0] = 7
    assert x[0, 0].item() == 7.0
    assert np.asarray(x, dtype=np.int32).dtype == np.int32
    assert not np.shares_memory(np.array(x), x.array)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=np.int32, copy=False)
    x.requires_grad_()
    for convert in (np.asarray, lambda t: t.numpy()):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            convert(x)


def test_from_numpy_shares_memory_and_tensor_copies() -> None:
    array = np.zeros((2, 3))
    shared, copied = minipar.from_numpy(array), minipar.tensor(array)
    array[...] = 1
    assert shared.sum().item() == 6.0
    assert copied.sum().item() == 0.0
    assert minipar.as_tensor(array).array is array
    with pytest.raises(TypeError, match="NumPy array, not list"):
        minipar.from_numpy([1.0])
    with pytest.raises(TypeError, match="complex128"):
        minipar.from_numpy(np.zeros(2, complex))


def test_a_memory_map_is_a_tensor_like_any_other(tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.ones((2, 2), np.float32))
    for x in (
        minipar.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="r")),
        minipar.as_tensor(np.load(tmp_path / "x.npy", mmap_mode="r")),
    ):
        assert (x + minipar.ones(2, 2)).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_dtypes_of_new_tensors() -> None:
    for data, dtype in (
        (1.5, "float32"),
        (1, "int64"),
        (True, "bool"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        (np.ones(2), "float64"),
        (np.float64(1), "float64"),
        (np.ones(2, np.int16), "int16"),
        ([minipar.tensor(1), minipar.tensor(2)], "int64"),
    ):
        assert minipar.tensor(data).dtype == dtype, data
    assert minipar.tensor([1, 2], dtype=float).dtype == minipar.float32
    for bad, error in (("text", TypeError), ([1, "a"], TypeError), (None, TypeError), ([[1], [1, 2]], ValueError)):
        with pytest.raises(error):
            minipar.tensor(bad)


UFUNC_INPUTS = {1: lambda: (np.array([0.5, 1.5]),), 2: lambda: (np.array([0.5, 1.5]), np.array([1.5, 0.5]))}


@pytest.mark.parametrize("ufunc", _UFUNCS, ids=lambda ufunc: ufunc.__name__)
def test_every_supported_ufunc_is_the_operation_of_the_same_meaning(ufunc: np.ufunc) -> None:
    arrays = UFUNC_INPUTS[ufunc.nin]()
    if ufunc.__name__.startswith(("bitwise", "logical", "invert")):
        arrays = tuple(a > 1 for a in arrays)
    elif ufunc.__name__.startswith("arc") and ufunc.nin == 1:
        arrays = (np.array([1.0, 1.5]),) if ufunc is np.arccosh else (np.array([-0.5, 0.5]),)
    elif ufunc.__name__ in ("left_shift", "right_shift", "gcd", "lcm"):
        arrays = np.array([6, 9]), np.array([2, 3])
    elif ufunc is np.ldexp:
        arrays = arrays[0], np.array([2, -1])
    tensors = [minipar.from_numpy(a) for a in arrays]
    expected = ufunc(*arrays)
    y = ufunc(*tensors)
    assert isinstance(y, minipar.Tensor)
    np.testing.assert_allclose(y.numpy(), expected)
    if ufunc.nin == 2:  # an array on the left must not swallow the tensor
        np.testing.assert_allclose(ufunc(arrays[0], tensors[1]).numpy(), expected)


def test_ufuncs_are_differentiated_and_others_refused() -> None:
    x = minipar.tensor([0.5, 1.5], requires_grad=True)
    (np.exp(x) * np.array([1.0, 2.0], np.float32) + np.float32(1)).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([0.5, 1.5]) * [1, 2], rtol=1e-6)
    for refused in (lambda: np.cbrt(x), lambda: np.add.reduce(x), lambda: np.add(x, 1, out=np.zeros(2))):
        with pytest.raises(TypeError, match=r"np\..*detach\(\)\.numpy\(\)"):
            refused()


def test_dlpack_with_numpy_both_ways() -> None:
    x = minipar.arange(6.0).reshape(2, 3)
    array = np.from_dlpack(x)
    array[0, 0] = 9
    assert x[0, 0].item() == 9.0
    back = minipar.from_dlpack(np.arange(3))
    assert (back.dtype, back.tolist()) == (minipar.int64, [0, 1, 2])
    with pytest.raises(BufferError, match=r"detach\(\)"):
        np.from_dlpack(x.requires_grad_())
    with pytest.raises(TypeError, match="complex"):
        minipar.from_dlpack(np.ones(2, complex))


def test_dlpack_with_torch_both_ways() -> None:
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    x = minipar.arange(6.0).reshape(2, 3)
    t = torch.from_dlpack(x)
    t[0, 0] = 9
    assert x[0, 0].item() == 9.0
    t = torch.arange(6.0).reshape(2, 3)
    y = minipar.from_dlpack(t.T)
    assert y.shape == (3, 2)
    t[0, 1] = -1
    assert y[1, 0].item() == -1.0


def test_there_is_no_cuda_interface_on_the_cpu() -> None:
    assert not hasattr(minipar.ones(2), "__cuda_array_interface__")


def test_pickle_and_deepcopy_of_leaves() -> None:
    x = minipar.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert isinstance(y, minipar.Tensor)
        assert (y.tolist(), y.requires_grad, y.is_leaf, y.dtype) == ([1.0, 2.0], True, True, x.dtype)
        assert not np.shares_memory(y.array, x.array)
    assert copy.deepcopy(x).grad.tolist() == [2.0, 4.0]
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1]
    for refused in (copy.deepcopy, pickle.dumps):
        with pytest.raises(RuntimeError, match="only leaf"):
            refused(x * 2)


def test_detach_clone_and_data() -> None:
    x = minipar.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    d = y.detach()
    assert (d.requires_grad, d.is_leaf) == (False, True)
    assert np.shares_memory(d.array, y.array)
    c = y.clone()
    assert c.requires_grad
    assert not np.shares_memory(c.array, y.array)
    assert not y.data.requires_grad
    assert np.shares_memory(y.data.array, y.array)
    y.detach_()
    assert (y.requires_grad, y.grad_fn) == (False, None)


def test_numbers_and_truth() -> None:
    x = minipar.tensor([[2.5]])
    assert (x.item(), float(x), int(x), bool(x), f"{minipar.tensor(2.5):.2f}") == (2.5, 2.5, 2, True, "2.50")
    assert [10, 20, 30][minipar.tensor(1)] == 20
    with pytest.raises(TypeError, match="float32"):
        [1, 2][minipar.tensor(1.0)]
    with pytest.raises(RuntimeError, match=r"shape \(2,\)"):
        minipar.ones(2).item()
    with pytest.raises(RuntimeError, match=r"\(2,\) is ambiguous"):
        bool(minipar.ones(2))
    for refused in (len, iter):
        with pytest.raises(TypeError, match="0-d"):
            refused(minipar.tensor(1.0))
    assert 2 in minipar.tensor([1, 2])
    assert minipar.ones(2) != None  # noqa: E711 - what a comparison with None gives


def test_how_a_tensor_is_shown() -> None:
    x = minipar.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "tensor([1., 2.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], grad_fn=<Mul>)"
    assert repr(minipar.ones(2, dtype=minipar.float64)) == "tensor([1., 1.], dtype=float64)"
    assert repr(minipar.tensor([1])) == "tensor([1])"


def test_conversions() -> None:
    x = minipar.ones(2)
    assert x.to("cpu") is x
    assert x.to(minipar.float32) is x
    assert x.to(minipar.float32, copy=True) is not x
    assert x.to(minipar.tensor([1])).dtype == minipar.int64
    dtypes = [x.double(), x.half(), x.long(), x.int(), x.bool(), x.type_as(minipar.tensor(1)), x.cpu(), x.float()]
    expected = "float64 float16 int64 int32 bool int64 float32 float32"
    assert " ".join(str(y.dtype) for y in dtypes) == expected
    with pytest.raises(TypeError, match="dtype must be one of"):
        x.to("complex64")


def test_a_gradient_that_is_set_must_fit() -> None:
    x = minipar.ones(2, requires_grad=True)
    x.grad = minipar.ones(2)
    for wrong, error in ((minipar.ones(3), RuntimeError), (minipar.ones(2).double(), RuntimeError), (1.0, TypeError)):
        with pytest.raises(error, match="grad must"):
            x.grad = wrong


def test_shapes_that_cannot_be() -> None:
    x = minipar.zeros(2, 3)
    for wrong, error in (
        (lambda: x.reshape(4), RuntimeError),
        (lambda: x.reshape(-1, -1), RuntimeError),
        (lambda: x.T.view(6), RuntimeError),
        (lambda: x.permute(0, 0), RuntimeError),
        (lambda: x.transpose(0, 2), IndexError),
        (lambda: x.expand(3, 3), RuntimeError),
        (lambda: x.sum(2), IndexError),
        (lambda: x.sum((0, 0)), RuntimeError),
        (lambda: x.narrow(1, 2, 2), RuntimeError),
        (lambda: x.narrow(1, -1, 2), RuntimeError),
        (lambda: x + minipar.ones(4), RuntimeError),
        (lambda: minipar.where(x > 0, x, minipar.ones(4)), RuntimeError),
        (lambda: x @ x, RuntimeError),
        (lambda: minipar.zeros(2, 2, 3) @ minipar.zeros(3, 3, 2), RuntimeError),
        (lambda: x @ minipar.tensor(1.0), RuntimeError),
        (lambda: x @ x.T.double(), RuntimeError),
        (lambda: minipar.cat([]), ValueError),
        (lambda: minipar.cat([x, minipar.zeros(3, 2)]), RuntimeError),
        (lambda: minipar.stack([x, x.T]), RuntimeError),
        (lambda: minipar.zeros(0, 3).amax(0), IndexError),
        (lambda: minipar.zeros(0).argmax(), IndexError),
        (lambda: minipar.tensor([1]).mean(), RuntimeError),
        (lambda: x.flatten(1, 0), RuntimeError),
        (lambda: x.clamp(), RuntimeError),
        (lambda: x.clamp("a"), TypeError),
        (lambda: minipar.where(x, x, x), RuntimeError),
        (lambda: ~x, TypeError),
        (lambda: minipar.exp(2.0), TypeError),
        (lambda: minipar.add(x, None), TypeError),
        (lambda: x[5], IndexError),
        (lambda: minipar.nn.functional.linear(x, x.T), RuntimeError),
        (lambda: minipar.nn.functional.mse_loss(x, x[0]), RuntimeError),
        (lambda: minipar.nn.functional.cross_entropy(x, minipar.tensor([0, 3])), IndexError),
        (lambda: minipar.nn.functional.embedding(minipar.tensor([2]), x), IndexError),
    ):
        with pytest.raises(error) as caught:
            wrong()
        assert len(str(caught.value)) > 20
