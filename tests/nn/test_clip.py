"""nn.utils beside torch.nn.utils: gradients clipped by norm and by value, parameters as one vector and back."""

import math

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn import utils

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def parameters(T, dtypes=("float64", "float64", "float64")):
    """Three with gradients and one without, whose gradient does not count."""
    rng = np.random.default_rng(3)
    made = []
    for shape, dtype in zip([(2, 3), (), (4,)], dtypes):
        p = T.nn.Parameter(T.tensor(rng.normal(size=shape).astype(dtype)))
        p.grad = T.tensor(3 * rng.normal(size=shape).astype(dtype))
        made.append(p)
    return [*made, T.nn.Parameter(T.ones(3))]


def gradients(ps):
    return [None if p.grad is None else p.grad.numpy() for p in ps]


def assert_same_gradients(ours, theirs, rtol=1e-12):
    for a, b in zip(gradients(ours), gradients(theirs), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=rtol)


@pytest.mark.parametrize("norm_type", [2, 1.0, "inf", math.inf, -math.inf, 0, 0.5, 3, -1.5])
@pytest.mark.parametrize("max_norm", [0.7, 100])
def test_clip_grad_norm(norm_type, max_norm):
    ours, theirs = parameters(minipar), parameters(torch)
    norms = [T.nn.utils.clip_grad_norm_(ps, max_norm, norm_type) for T, ps in ((minipar, ours), (torch, theirs))]
    assert norms[0].shape == ()
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-12)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("dtypes", [["float32"] * 3, ["float16"] * 3, ["float32", "float64", "float16"]], ids=str)
def test_dtypes(dtypes):
    ours, theirs = parameters(minipar, dtypes), parameters(torch, dtypes)
    norms = [T.nn.utils.clip_grad_norm_(ps, 0.5) for T, ps in ((minipar, ours), (torch, theirs))]
    assert norms[0].dtype.name == str(norms[1].dtype).removeprefix("torch.")
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=1e-3)
    assert_same_gradients(ours, theirs, rtol=3e-3)


def test_the_norm_alone_then_clipping_by_it():
    ours, theirs = parameters(minipar), parameters(torch)
    for T, ps in ((minipar, ours), (torch, theirs)):
        total = T.nn.utils.get_total_norm([p.grad for p in ps if p.grad is not None])
        assert T.nn.utils.clip_grads_with_norm_(ps, 1.5, total) is None
    assert_same_gradients(ours, theirs)


def test_nothing_to_clip():
    assert utils.get_total_norm([]).item() == 0
    assert utils.clip_grad_norm_(nn.Parameter(minipar.ones(2)), 1.0).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        utils.clip_grad_norm_((p for p in []), 1.0)


def test_one_tensor_a_generator_and_an_empty_gradient():
    p, q = nn.Parameter(minipar.ones(2)), nn.Parameter(minipar.zeros(0))
    p.grad, q.grad = minipar.tensor([3.0, 4.0]), minipar.zeros(0)
    assert utils.clip_grad_norm_(p, 1.0).item() == 5
    p.grad = minipar.tensor([3.0, 4.0])
    assert utils.clip_grad_norm_((x for x in (p, q)), 1.0).item() == 5
    np.testing.assert_allclose(p.grad.numpy(), [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_nonfinite_norms(bad):
    p = nn.Parameter(minipar.ones(2))
    p.grad = minipar.tensor([bad, 1.0])
    with pytest.raises(RuntimeError, match=f"the total norm of order 2.0 of the gradients is {bad}"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad[1].item() == 1


@pytest.mark.parametrize("clip_value", [0.5, 10, 0])
def test_clip_grad_value(clip_value):
    ours, theirs = parameters(minipar), parameters(torch)
    for T, ps in ((minipar, ours), (torch, theirs)):
        assert T.nn.utils.clip_grad_value_(iter(ps), clip_value) is None
    assert_same_gradients(ours, theirs)


def test_gradients_are_clipped_where_they_lie():
    model = nn.Linear(3, 2)
    (buffer,) = nn.parameter.flatten(model.parameters())
    (model(minipar.ones(4, 3)) ** 2).sum().backward()
    kept = model.weight.grad
    utils.clip_grad_norm_(model.parameters(), 1e-3)
    assert model.weight.grad is kept
    assert np.linalg.norm(buffer.grad) == pytest.approx(1e-3, rel=1e-2)
    utils.clip_grad_value_(model.parameters(), 1e-5)
    assert np.abs(buffer.grad).max() == pytest.approx(1e-5)


def test_a_vector_and_back():
    found = []
    for T in (minipar, torch):
        model = T.nn.Sequential(T.nn.Linear(2, 3), T.nn.Linear(3, 1))
        size = sum(p.numel() for p in model.parameters())
        row = T.tensor(np.arange(size, dtype=np.float32) / 4)
        T.nn.utils.vector_to_parameters(row, model.parameters())
        vector = T.nn.utils.parameters_to_vector(model.parameters())
        (vector**3).sum().backward()
        found.append(([p.tolist() for p in model.parameters()], vector.tolist(), model[0].weight.grad.tolist()))
        assert vector.tolist() == row.tolist()
    assert found[0] == found[1]


def test_parameters_stay_in_their_buffer():
    model = nn.Linear(2, 2)
    (buffer,) = nn.parameter.flatten(model.parameters())
    utils.vector_to_parameters(minipar.arange(6.0), model.parameters())
    assert model.weight.in_buffer()
    assert sorted(buffer.data.tolist()) == [0, 1, 2, 3, 4, 5]
