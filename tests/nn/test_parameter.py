"""Parameters and their flat buffers: who lives where, and that nobody's numbers change under their hands."""

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn.parameter import Parameter, flatten


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def backward(model, factor=1.0):
    (model(minipar.ones(5, 3)) * factor).sum().backward()


def test_neighbours_in_reverse_order_of_registration():
    model = network()
    before = [p.detach().numpy().copy() for p in model.parameters()]
    (buffer,) = flatten(model.parameters())
    assert [p.slot for p in model.parameters()] == [3, 2, 1, 0]
    assert buffer.spans == [(0, 2), (2, 10), (10, 14), (14, 26)]
    np.testing.assert_array_equal(buffer.data, np.concatenate([a.ravel() for a in before[::-1]]))
    for p, a in zip(model.parameters(), before):
        np.testing.assert_array_equal(p.detach().numpy(), a)
        assert p.in_buffer()
        assert np.shares_memory(p.array, buffer.data)


def test_flatten_again_changes_nothing():
    model = network()
    buffers = flatten(model.parameters())
    arrays = [p.array for p in model.parameters()]
    assert flatten(model.parameters()) == buffers
    assert all(p.array is a for p, a in zip(model.parameters(), arrays))
    late = nn.Linear(2, 2)
    first, second = flatten([*model.parameters(), *late.parameters()])
    assert [len(first.spans), len(second.spans)] == [2, 4]
    assert second is buffers[0]


def test_one_buffer_a_dtype_and_trainable_group():
    a, b = Parameter(minipar.ones(2)), Parameter(minipar.ones(3, dtype=minipar.float64))
    c, d = Parameter(minipar.ones(4), requires_grad=False), Parameter(minipar.ones(5))
    assert [buffer.data.size for buffer in flatten([a, b, c, d, a])] == [7, 4, 3]
    assert a.buffer is d.buffer


def test_empty_and_0d_parameters():
    parameters = [Parameter(minipar.zeros(0, 3)), Parameter(minipar.tensor(2.0)), Parameter(minipar.ones(2))]
    (buffer,) = flatten(parameters)
    assert buffer.data.tolist() == [1, 1, 2]
    assert [p.shape for p in parameters] == [(0, 3), (), (2,)]
    (parameters[1] * parameters[2].sum() + parameters[0].sum()).backward()
    assert buffer.grad.tolist() == [2, 2, 2]
    assert all(p.grad_in_buffer() for p in parameters)
    assert flatten([]) == []


def test_gradients_lie_in_the_buffer_and_add_up_there():
    model = network()
    (buffer,) = flatten(model.parameters())
    assert [p.grad for p in model.parameters()] == [None] * 4
    backward(model)
    once = buffer.grad.copy()
    backward(model)
    assert all(p.grad_in_buffer() for p in model.parameters())
    np.testing.assert_allclose(buffer.grad, 2 * once)
    model.zero_grad()
    assert not any(p.grad_in_buffer() for p in model.parameters())
    backward(model)
    np.testing.assert_allclose(buffer.grad, once)


def test_a_gradient_of_before_stays_valid_and_outside():
    model = network()
    backward(model)
    before = model[0].weight.grad
    numbers = before.numpy().copy()
    flatten(model.parameters())
    assert model[0].weight.grad is before
    backward(model)
    np.testing.assert_allclose(before.numpy(), 2 * numbers)
    model.zero_grad()
    backward(model)
    assert model[0].weight.grad_in_buffer()
    np.testing.assert_allclose(before.numpy(), 2 * numbers)


@pytest.mark.parametrize(
    "keep",
    [
        lambda g: g,
        lambda g: g.detach(),
        lambda g: g.numpy(),
        lambda g: g.view(-1),
        lambda g: g.T[1:],
        lambda g: g.numpy()[1:].T,
        lambda g: np.asarray(g).reshape(-1)[::2],
        lambda g: g.expand(2, 4, 3),
        lambda g: memoryview(g.numpy()),
        lambda g: np.from_dlpack(g),
    ],
)
def test_whoever_looks_at_a_gradient_keeps_its_numbers(keep):
    model = network()
    flatten(model.parameters())
    backward(model)
    weight = model[0].weight
    kept = keep(weight.grad)
    expected = np.array(kept.numpy() if isinstance(kept, minipar.Tensor) else kept)
    model.zero_grad()
    backward(model, factor=3.0)
    np.testing.assert_array_equal(kept.numpy() if isinstance(kept, minipar.Tensor) else np.array(kept), expected)
    assert not weight.grad_in_buffer()
    assert model[2].weight.grad_in_buffer()
    del kept
    model.zero_grad()
    backward(model)
    assert weight.grad_in_buffer()


def test_data_is_copied_into_the_slot_if_it_fits():
    model = network()
    (buffer,) = flatten(model.parameters())
    given = minipar.ones(4, 3)
    model[0].weight.data = given
    given.fill_(5)
    assert model[0].weight.in_buffer()
    assert buffer.data[14:].tolist() == [1.0] * 12  # PyTorch would share memory with `given`: a documented difference


@pytest.mark.parametrize(
    "given", [minipar.ones(3, 3), minipar.ones(4, 3, dtype=minipar.float64)], ids=["shape", "dtype"]
)
def test_data_that_does_not_fit_leaves_the_buffer(given):
    model = network()
    flatten(model.parameters())
    weight = model[0].weight
    weight.data = given
    assert not weight.in_buffer()
    assert weight.buffer is None
    assert weight.array is given.array
    assert model[0].bias.in_buffer()
    model.zero_grad()
    (weight * 2.0).sum().backward()
    assert weight.grad.shape == given.shape
    assert weight.grad.dtype == given.dtype
    flatten([weight])  # `given` looks at it
    assert weight.buffer is None


@pytest.mark.parametrize(
    "look", [lambda p: p.data, lambda p: p.detach(), lambda p: p.data.T[1:], lambda p: p.data.numpy()[0]]
)
def test_whoever_looks_at_the_old_data_keeps_its_numbers(look):
    p = Parameter(minipar.ones(2, 2))
    flatten([p])
    old = look(p)
    p.data = minipar.zeros(2, 2)
    assert np.array(old).min() == 1
    assert p.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("new", [minipar.ones(2), minipar.ones(3)], ids=["same", "other"])
@pytest.mark.parametrize("flat", [True, False])
def test_replaced_data_makes_a_graph_stale(new, flat):
    p = Parameter(minipar.ones(2))
    if flat:
        flatten([p])
    y = (p * p).sum()
    p.data = new
    with pytest.raises(RuntimeError, match="data changed it in place"):
        y.backward()


def test_data_must_be_a_tensor():
    with pytest.raises(TypeError, match="not ndarray"):
        Parameter(minipar.ones(2)).data = np.ones(2)


@pytest.mark.parametrize(
    "alias", [lambda p: p.detach(), lambda p: p.data.numpy(), lambda p: p.data[0], lambda p: p.data.numpy()[:1]]
)
def test_memory_that_is_shared_stays_shared(alias):
    p, q = Parameter(minipar.ones(2, 2)), Parameter(minipar.ones(2, 2))
    shared = alias(p)
    flatten([p, q])
    with minipar.no_grad():
        p.fill_(3)
    assert np.array(shared).min() == 3
    assert (p.buffer is None, q.buffer is None) == (True, False)
    del shared
    flatten([p])
    assert p.in_buffer()


def test_a_view_of_a_dead_array_may_move_in():
    p = Parameter(minipar.randn(3, 4))  # a reshaped draw
    q = Parameter(minipar.ones(4, 3).T)
    flatten([p, q])
    assert p.in_buffer()
    assert q.in_buffer()


def test_only_the_changed_parameter_is_noticed():
    a, b = Parameter(minipar.ones(2)), Parameter(minipar.ones(2))
    flatten([a, b])
    y = (a * a).sum() + (b * b).sum()
    with minipar.no_grad():
        b.add_(1)
    with pytest.raises(RuntimeError, match="add_ changed it in place"):
        y.backward(retain_graph=True)
    a.grad = b.grad = None
    z = (a * a).sum()
    with minipar.no_grad():
        b.add_(1)
    z.backward()
    assert a.grad.tolist() == [2, 2]


def test_create_graph_gradients_stay_outside():
    p = Parameter(minipar.ones(2))
    flatten([p])
    (p**3).sum().backward(create_graph=True)
    assert not p.grad_in_buffer()
    assert p.grad.grad_fn is not None


def test_construction_and_repr():
    p = Parameter(minipar.tensor([1.0, 2.0]))
    assert p.requires_grad
    assert p.is_leaf
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert not Parameter(minipar.ones(1), requires_grad=False).requires_grad
    assert Parameter(minipar.ones(1, requires_grad=True) * 2).is_leaf
    with pytest.raises(RuntimeError, match="floating-point"):
        Parameter(minipar.tensor([1, 2]))
    assert Parameter(minipar.tensor([1, 2]), requires_grad=False).dtype == minipar.int64
