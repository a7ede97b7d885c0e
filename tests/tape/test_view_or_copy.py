"""What looks at its input's memory, and what does not, beside PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

MAKERS = {
    "reshape": lambda x: x.reshape(4, 3),
    "reshape of a transpose": lambda x: x.mT.reshape(-1),
    "view": lambda x: x.view(2, 6),
    "view of a part": lambda x: x[:, 1:3].view(3, 2, 1),
    "flatten": lambda x: x.flatten(),
    "ravel of a part": lambda x: x[:, 1:].ravel(),
    "squeeze": lambda x: x[:1].squeeze(0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "permute": lambda x: x.permute(1, 0),
    "movedim": lambda x: x.movedim(0, 1),
    "t": lambda x: x.t(),
    "expand": lambda x: x[:, :1].expand(3, 4),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(1, 0),
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2, 1)[0],
    "unbind": lambda x: x.unbind(1)[2],
    "iteration": lambda x: next(iter(x)),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "diagonal": lambda x: x.diagonal(1),
    "diag": lambda x: x.diag(),
    "repeat": lambda x: x.repeat(1, 1),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1),
    "tril": lambda x: x.tril(),
    "index_select": lambda x: x.index_select(0, (x[:1, 0] * 0).long()),
    "contiguous": lambda x: x.contiguous(),
    "x[0]": lambda x: x[0],
    "x[::2]": lambda x: x[::2],
    "x[[0]]": lambda x: x[[0]],
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_view_where_pytorch_has_one(name: str) -> None:
    x, t = minipar.arange(12.0).reshape(3, 4), torch.arange(12.0).reshape(3, 4)
    y, e = MAKERS[name](x), MAKERS[name](t)
    np.testing.assert_array_equal(y.numpy(), e.numpy())
    shared = e.untyped_storage().data_ptr() == t.untyped_storage().data_ptr()
    assert np.may_share_memory(y.array, x.array) == shared
    assert y is x or (y.version is not None and y.version is x.version) == shared


@pytest.mark.parametrize(
    ("cut", "shape"),
    [
        (lambda x: x.mT, (12,)),
        (lambda x: x[:, 1:], (9,)),
        (lambda x: x[:, ::2], (6,)),
        (lambda x: x[:, ::2], (3, 1, 2)),
        (lambda x: x[::2], (2, 2, 2)),
        (lambda x: x[:, :1], (3,)),
        (lambda x: x[:, :1].expand(3, 4), (12,)),
        (lambda x: x[:1, :1].expand(3, 4), (2, 6)),
        (lambda x: x[:, :0], (0, 7)),
    ],
)
def test_view_refuses_the_strides_that_pytorch_refuses(cut, shape) -> None:
    x, t = cut(minipar.arange(12.0).reshape(3, 4)), cut(torch.arange(12.0).reshape(3, 4))
    try:
        expected = t.view(shape)
    except RuntimeError:
        with pytest.raises(RuntimeError, match="view"):
            x.view(shape)
        return
    y = x.view(shape)
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    assert y.array.size == 0 or np.may_share_memory(y.array, x.array)
