"""einops on minipar's tensors: the same as on NumPy's arrays, with the gradients of PyTorch's tensors."""

import subprocess
import sys

import numpy as np
import pytest

import minipar
from minipar import nn

einops = pytest.importorskip("einops", reason="needs einops: pip install einops")


@pytest.fixture(autouse=True)
def registered():
    import minipar.einops  # noqa: F401 - tests that ran before may have imported minipar first


def array(*shape, dtype=np.float64):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


CALLS = {
    "transpose": ((2, 3, 4), lambda x: einops.rearrange(x, "a b c -> c a b")),
    "merge": ((2, 3, 4), lambda x: einops.rearrange(x, "a b c -> (c a) b")),
    "patches": ((2, 4, 6, 3), lambda x: einops.rearrange(x, "n (h p) (w q) c -> n (h w) (p q c)", p=2, q=3)),
    "ellipsis": ((2, 3, 4), lambda x: einops.rearrange(x, "... (a b) -> ... b a", a=2)),
    "new axis": ((2, 3), lambda x: einops.rearrange(x, "a b -> a 1 b ()")),
    "list": ((2, 3), lambda x: einops.rearrange([x, x * 2], "n a b -> a (n b)")),
    "mean": ((2, 4, 6), lambda x: einops.reduce(x, "n (h 2) (w 3) -> n h w", "mean")),
    "max": ((2, 4, 6), lambda x: einops.reduce(x, "n h w -> n", "max")),
    "min": ((2, 4), lambda x: einops.reduce(x, "n h -> 1 h", "min")),
    "sum": ((2, 4), lambda x: einops.reduce(x, "n h -> ", "sum")),
    "prod": ((2, 4, 3), lambda x: einops.reduce(x, "n h w -> h", "prod")),
    "function": ((2, 4, 3), lambda x: einops.reduce(x, "n h w -> h", lambda x, axes: x.sum(tuple(axes)))),
    "repeat": ((2, 3), lambda x: einops.repeat(x, "a b -> (a r) b c", r=2, c=3)),
    "einsum": ((2, 3), lambda x: einops.einsum(x, x, "row k, column k -> row column")),
    "pack": ((2, 3), lambda x: einops.pack([x, einops.rearrange(x, "a b -> a b 1")], "a *")[0]),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    shape, call = CALLS[name]
    ours, theirs = minipar.tensor(array(*shape), requires_grad=True), torch.tensor(array(*shape), requires_grad=True)
    y, wanted = call(ours), call(theirs)
    assert isinstance(y, minipar.Tensor)
    assert y.shape == tuple(wanted.shape)
    np.testing.assert_allclose(y.detach().numpy(), wanted.detach().numpy())
    weights = array(*y.shape)
    (y * minipar.tensor(weights)).sum().backward()
    (wanted * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())


@pytest.mark.parametrize("name", [name for name in CALLS if name != "mean"])  # einops takes none of integers
def test_integers_as_numpy_has_them(name):
    shape, call = CALLS[name]
    given = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(call(minipar.tensor(given)).numpy(), call(given))


def test_truths():
    given = array(2, 3) > 0
    for operation in ("any", "all"):
        ours = einops.reduce(minipar.tensor(given), "a b -> b", operation)
        np.testing.assert_array_equal(ours.numpy(), einops.reduce(given, "a b -> b", operation))


def test_unpack_and_parse_shape():
    parts = [minipar.tensor(array(2, 3)), minipar.tensor(array(2)), minipar.tensor(array(2, 3, 5))]
    packed, shapes = einops.pack(parts, "a *")
    assert packed.shape == (2, 3 + 1 + 15)
    for part, back in zip(parts, einops.unpack(packed, shapes, "a *"), strict=True):
        assert minipar.equal(part, back)
    assert einops.parse_shape(parts[2], "a _ c") == {"a": 2, "c": 5}


def test_rearranging_is_a_view_where_numpys_is():
    x = minipar.zeros(2, 3)
    einops.rearrange(x, "a b -> b a")[0, 1] = 5.0
    assert x[1, 0].item() == 5.0
    assert np.shares_memory(einops.asnumpy(x), x.numpy())


def test_errors_are_those_of_einops():
    with pytest.raises(einops.EinopsError, match="can't divide axis of length 3"):
        einops.rearrange(minipar.zeros(2, 3), "a (b c) -> a b c", b=2)


def test_layers():
    from minipar.einops import Rearrange, Reduce

    model = nn.Sequential(
        Reduce("n c (h 2) (w 2) -> n c h w", "max"), Rearrange("n c h w -> n (c h w)"), nn.Linear(6, 2)
    )
    given = minipar.randn(5, 1, 4, 6)
    wanted = nn.functional.max_pool2d(given, 2).flatten(1)
    assert minipar.equal(model[:2](given), wanted)
    assert "Rearrange('n c h w -> n (c h w)')" in repr(model)
    model(given).sum().backward()


@pytest.mark.parametrize("imports", ["import einops, minipar", "import minipar, einops, minipar.einops"])
def test_what_has_to_be_imported(imports):
    code = f"{imports}; print(einops.rearrange(minipar.zeros(2, 3), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "(3, 2)", done.stderr


def test_minipar_does_not_import_einops():
    code = "import sys, minipar; print('einops' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
