"""Tensors that look at another library's memory, and the other way round: a change of one is a change of the other."""

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
LAYOUTS = {
    "whole": lambda x: x,
    "transposed": lambda x: x.T,
    "part": lambda x: x[1:, ::2],
    "0-d": lambda x: x[1, 2],
    "empty": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_to_torch(dtype, layout):
    x = LAYOUTS[layout](minipar.arange(12).reshape(3, 4).to(dtype))
    seen = torch.from_dlpack(x)
    assert (str(seen.dtype), tuple(seen.shape)) == (f"torch.{dtype}", tuple(x.shape))
    assert seen.tolist() == x.tolist()
    x.zero_()
    assert seen.sum().item() == 0
    seen.fill_(1)
    assert x.tolist() == torch.ones_like(seen).tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_from_torch(dtype, layout):
    t = LAYOUTS[layout](torch.arange(12).reshape(3, 4).to(getattr(torch, dtype)))
    x = minipar.from_dlpack(t)
    assert (x.dtype.name, tuple(x.shape)) == (dtype, tuple(t.shape))
    assert x.tolist() == t.tolist()
    t.zero_()
    assert x.sum().item() == 0
    x.fill_(1)
    assert t.tolist() == torch.ones_like(t).tolist()


def test_a_tensor_that_requires_grad_is_not_exported():
    x = minipar.ones(2, requires_grad=True)
    with pytest.raises(BufferError, match=r"x\.detach\(\)"):
        torch.from_dlpack(x)
    torch.from_dlpack(x.detach())[0] = 5
    assert x.tolist() == [5.0, 1.0]


def test_memory_outlives_its_first_owner():
    kept = torch.from_dlpack(minipar.full((1000,), 3.0))
    back = minipar.from_dlpack(torch.full((1000,), 4.0))
    junk = [minipar.zeros(1000) for _ in range(20)]
    assert (kept.sum().item(), back.sum().item(), len(junk)) == (3000, 4000, 20)


def test_by_way_of_numpy():
    x = minipar.arange(6.0).reshape(2, 3)
    by_numpy, by_array = torch.from_numpy(x.numpy()), torch.from_numpy(np.asarray(x))
    by_numpy[0, 0] = 9
    by_array[1, 1] = 8
    assert x.tolist() == [[9.0, 1.0, 2.0], [3.0, 8.0, 5.0]]
    y = minipar.from_numpy(torch.zeros(2).numpy())
    assert y.tolist() == [0.0, 0.0]
    assert torch.as_tensor(np.asarray(x)).data_ptr() == x.array.ctypes.data


def test_ufuncs_of_a_tensor_and_an_array_are_tensors_with_gradients():
    x = minipar.tensor([1.0, 4.0], requires_grad=True)
    y = np.multiply(np.float32([2, 3]), np.sqrt(x)) + np.float32([1, 1])
    assert isinstance(y, minipar.Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 0.75]
