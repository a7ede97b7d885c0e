"""The optimizers' own promises: few kernel calls, errors that help, state in PyTorch's layout, stale graphs noticed."""

import copy
import pickle
import weakref
from collections import defaultdict

import numpy as np
import pytest

import minipar
from minipar import nn, optim
from minipar.backend import dispatch


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def backward(model):
    model.zero_grad()
    (model(minipar.ones(5, 3, dtype=next(model.parameters()).dtype)) ** 2).sum().backward()


@pytest.fixture
def kernel_calls(monkeypatch):
    """The lengths of the arrays that optimizer kernels were called with."""
    lengths = []

    def counting(name, array):
        lengths.append(len(array))
        return dispatch.kernel(name, array)

    monkeypatch.setattr(optim.sgd, "kernel", counting)
    monkeypatch.setattr(optim.adam, "kernel", counting)
    return lengths


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, momentum=0.9), optim.Adam], ids=["sgd", "adam"])
def test_one_kernel_call_steps_a_whole_model(make, kernel_calls):
    model = network()
    optimizer = make(model.parameters())
    for _ in range(3):
        backward(model)
        optimizer.step()
    assert kernel_calls == [26, 26, 26]


def test_a_parameter_without_gradient_splits_the_run(kernel_calls):
    model = network()  # in the buffer: 2.bias (2), 2.weight (8), 0.bias (4), 0.weight (12)
    optimizer = optim.SGD(model.parameters())
    backward(model)
    model[0].bias.grad = None
    optimizer.step()
    assert kernel_calls == [10, 12]
    backward(model)
    optimizer.step()
    assert kernel_calls[2:] == [26]


def test_parameters_of_different_age_are_stepped_apart(kernel_calls):
    model = network()
    optimizer = optim.Adam(model.parameters())
    backward(model)
    model[2].bias.grad = None
    optimizer.step()
    backward(model)
    optimizer.step()
    assert kernel_calls == [24, 2, 24]
    assert [float(optimizer.state[p]["step"]) for p in model.parameters()] == [2, 2, 2, 1]


def test_a_gradient_that_was_kept_only_leaves_the_run_while_it_is_kept(kernel_calls):
    model = network()
    optimizer = optim.SGD(model.parameters())
    backward(model)
    kept = model[2].bias.grad
    backward(model)
    optimizer.step()
    assert sorted(kernel_calls) == [2, 24]
    del kept
    backward(model)
    optimizer.step()
    assert kernel_calls[2:] == [26]


def test_the_plan_is_made_once_for_unchanged_training(monkeypatch):
    made = []
    plan = optim.optimizer.Plan
    monkeypatch.setattr(optim.optimizer, "Plan", lambda *args: made.append(1) or plan(*args))
    model = network()
    optimizer = optim.Adam(model.parameters())
    for _ in range(5):
        backward(model)
        optimizer.step()
    assert len(made) == 2  # the first step starts the state, and is planned as such


def test_groups_share_one_buffer_made_before():
    model = network()
    (buffer,) = nn.parameter.flatten(model.parameters())
    optimizer = optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 1.0}], lr=0.5)
    assert {p.buffer for p in model.parameters()} == {buffer}
    backward(model)
    before, slope = buffer.data.copy(), buffer.grad.copy()
    optimizer.step()
    np.testing.assert_allclose(buffer.data, before - slope * np.repeat([1.0, 0.5], [10, 16]), rtol=1e-5)


def test_state_is_made_of_views_of_flat_arrays():
    model = network()
    optimizer = optim.Adam(model.parameters())
    backward(model)
    optimizer.step()
    moments = [optimizer.state[p]["exp_avg"].array for p in model.parameters()]
    assert all(a.base is moments[0].base is not None and a.base.shape == (26,) for a in moments)
    assert [a.shape for a in moments] == [p.shape for p in model.parameters()]


def test_step_makes_a_graph_of_before_stale():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = (model(minipar.ones(5, 3)) ** 2).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"SGD\.step changed it in place"):
        loss.backward()


def test_only_what_was_stepped_is_stale():
    a, b = nn.Parameter(minipar.ones(2)), nn.Parameter(minipar.ones(2))
    optimizer = optim.SGD([a, b], lr=0.1)
    product = (a * a).sum()
    (b * b).sum().backward()
    optimizer.step()
    product.backward()
    assert a.grad.tolist() == [2, 2]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda p: optim.SGD(iter([])), ValueError, "empty parameter list"),
        (lambda p: optim.SGD(p), TypeError, r"pass \[p\]"),
        (lambda p: optim.SGD({p}), TypeError, "not a set"),
        (lambda p: optim.SGD(3), TypeError, "not int"),
        (lambda p: optim.SGD([3.0]), TypeError, "one of the params is float"),
        (lambda p: optim.SGD([("weight", p), minipar.ones(2)]), ValueError, "some names are missing"),
        (lambda p: optim.SGD([("weight", p)]).add_param_group({"params": minipar.ones(2)}), ValueError, "with names"),
        (lambda p: optim.SGD([p], lr=minipar.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (lambda p: optim.SGD([p * 2]), ValueError, "non-leaf"),
        (lambda p: optim.SGD([p, p]), ValueError, "twice"),
        (lambda p: optim.SGD([{"params": p}, {"params": [p]}]), ValueError, "more than one parameter group"),
        (lambda p: optim.SGD([{"lr": 1.0}]), KeyError, "'params'"),
        (lambda p: optim.SGD([p]).add_param_group([p]), TypeError, "must be a dict"),
        (lambda p: optim.SGD([p], lr=-0.1), ValueError, "Invalid learning rate: -0.1"),
        (lambda p: optim.SGD([p], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
        (lambda p: optim.SGD([{"params": p, "lr": -1}]), ValueError, "Invalid learning rate: -1"),
        (lambda p: optim.SGD([p], momentum=-1), ValueError, "Invalid momentum"),
        (lambda p: optim.SGD([p], weight_decay=-1), ValueError, "Invalid weight_decay"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov"),
        (lambda p: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "Nesterov"),
        (lambda p: optim.SGD([p], foreach=True), NotImplementedError, "SGD: foreach"),
        (lambda p: optim.SGD([p], fused=True), NotImplementedError, "SGD: fused"),
        (lambda p: optim.SGD([p], differentiable=True), NotImplementedError, "SGD: differentiable"),
        (lambda p: optim.Adam([p], lr=-1), ValueError, "Invalid learning rate"),
        (lambda p: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
        (lambda p: optim.Adam([p], betas=(0.9, -0.1)), ValueError, "Invalid beta parameter at index 1: -0.1"),
        (lambda p: optim.Adam([p], betas=(minipar.tensor(0.9), 0.9)), ValueError, "both floats or both Tensors"),
        (lambda p: optim.Adam([p], eps=-1), ValueError, "Invalid epsilon"),
        (lambda p: optim.Adam([p], weight_decay=-1), ValueError, "Invalid weight_decay"),
        (lambda p: optim.Adam([p], capturable=True), NotImplementedError, "Adam: capturable"),
        (lambda p: optim.Adam([{"params": p, "fused": True}]), NotImplementedError, "Adam: fused"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter(minipar.ones(3)))


def test_a_group_that_is_refused_leaves_no_trace():
    p, q = nn.Parameter(minipar.ones(3)), nn.Parameter(minipar.ones(2))
    optimizer = optim.SGD([p])
    with pytest.raises(ValueError, match="learning rate"):
        optimizer.add_param_group({"params": [q], "lr": -1})
    assert len(optimizer.param_groups) == 1
    assert q.buffer is None


def test_state_of_a_replaced_shape_is_an_error():
    p = nn.Parameter(minipar.ones(3))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    (p * p).sum().backward()
    optimizer.step()
    p.data = minipar.ones(4)
    p.grad = minipar.ones(4)
    with pytest.raises(RuntimeError, match=r"'momentum_buffer' has shape \(3,\), its parameter \(4,\)"):
        optimizer.step()
    optimizer.state.pop(p)
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), 0.9, rtol=1e-6)


def test_gradient_of_a_replaced_shape_is_an_error():
    p = nn.Parameter(minipar.ones(3))
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = minipar.ones(3)
    p.data = minipar.ones(4)
    with pytest.raises(RuntimeError, match=r"gradient has shape \(3,\), its parameter \(4,\)"):
        optimizer.step()


def test_incomplete_state_is_an_error():
    p = nn.Parameter(minipar.ones(3))
    optimizer = optim.Adam([p])
    (p * p).sum().backward()
    optimizer.step()
    del optimizer.state[p]["exp_avg_sq"]
    with pytest.raises(RuntimeError, match="lacks 'exp_avg_sq'"):
        optimizer.step()


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_state_dict_has_pytorchs_layout(name, steps):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    found = []
    for T in (minipar, torch):
        p, q = T.nn.Parameter(T.ones(2, 3)), T.nn.Parameter(T.ones(4))
        options = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(T.optim, name)([{"params": [p], "lr": 0.5}, {"params": [q]}], **options)
        for _ in range(steps):
            ((p**2).sum() + (q**2).sum()).backward()
            optimizer.step()
        state = optimizer.state_dict()
        for entry in state["state"].values():
            entry.update({k: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in entry.items()})
        found.append((state, repr(optimizer)))
    assert found[0] == found[1]


def test_state_dict_is_in_the_order_of_the_parameters():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.Adam(net.parameters())
    net(minipar.ones(4, 2)).sum().backward()
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [0, 1, 2, 3]


def test_rprop_takes_no_step_along_nan():
    p = nn.Parameter(minipar.tensor([1.0, 2.0]))
    optimizer = optim.Rprop([p], lr=0.5)
    p.grad = minipar.tensor([float("nan"), 3.0])
    optimizer.step()
    assert p.tolist() == [1.0, 1.5]


def test_state_dict_loads_pytorchs_numbers():
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    start = np.linspace(-1, 1, 6)
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = torch.optim.Adam([theirs], lr=0.1)

    def step(p, optimizer):
        optimizer.zero_grad()
        (p**4).sum().backward()
        optimizer.step()

    for _ in range(3):
        step(theirs, optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    state["state"][0] = {k: minipar.tensor(v.numpy()) for k, v in state["state"][0].items()}
    state["state"][0]["step"] = 3  # a plain number, as older files have it
    ours = nn.Parameter(minipar.tensor(theirs.detach().numpy()))
    mine = optim.Adam([ours])
    mine.load_state_dict(state)
    for _ in range(3):
        step(theirs, optimizer)
        step(ours, mine)
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


def test_load_state_dict_refuses_other_groups_and_changes_nothing():
    p, q = nn.Parameter(minipar.ones(3)), nn.Parameter(minipar.ones(2))
    optimizer = optim.SGD([p], lr=0.25)
    with pytest.raises(ValueError, match="2 parameter groups, this optimizer 1"):
        optimizer.load_state_dict(optim.SGD([{"params": p}, {"params": q}]).state_dict())
    with pytest.raises(ValueError, match="has 2 parameters, of this optimizer 1"):
        optimizer.load_state_dict(optim.SGD([p, q]).state_dict())
    bad = optim.SGD([p], lr=0.5).state_dict()
    bad["param_groups"][0]["momentum"] = -1
    with pytest.raises(ValueError, match="Invalid momentum"):
        optimizer.load_state_dict(bad)
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("kind", [nn.Parameter, lambda t: t.requires_grad_()], ids=["in a buffer", "alone"])
def test_load_state_dict_copies(kind):
    p = kind(minipar.ones(3))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    (p * p).sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(state)
    optimizer.step()
    assert state["state"][0]["momentum_buffer"].tolist() == [2, 2, 2]


def test_state_is_cast_to_the_parameter_when_loaded():
    p = nn.Parameter(minipar.ones(3, dtype=minipar.float64))
    q = nn.Parameter(minipar.ones(3))
    first, second = optim.Adam([p]), optim.Adam([q])
    (p * p).sum().backward()
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.state[q]["exp_avg"].dtype == minipar.float32
    assert second.state[q]["step"].dtype == minipar.float32


def test_pickled_optimizer_goes_on():
    p = nn.Parameter(minipar.ones(3))
    optimizer = optim.Adam([p])
    (p * p).sum().backward()
    optimizer.step()
    clone = pickle.loads(pickle.dumps(optimizer))
    (q,) = clone.param_groups[0]["params"]
    assert q is not p
    q.grad = p.grad
    for _ in range(2):
        optimizer.step()
        clone.step()
    assert q.tolist() == p.tolist()
    assert float(clone.state[q]["step"]) == 3


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copied_pair_lies_flat_again(clone, kernel_calls):
    model = network()
    optimizer = optim.Adam(model.parameters())
    backward(model)
    optimizer.step()
    model, optimizer = clone((model, optimizer))
    for _ in range(2):
        backward(model)
        optimizer.step()
    assert kernel_calls[-1] == 26


def test_learning_rate_may_be_a_tensor():
    p = nn.Parameter(minipar.ones(3))
    optimizer = optim.SGD([p], lr=minipar.tensor(0.5))
    p.grad = minipar.ones(3)
    optimizer.step()
    assert p.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("dtype", [minipar.float16, minipar.float32, minipar.float64])
def test_dtypes_stay(dtype):
    p, q = nn.Parameter(minipar.ones(3, dtype=dtype)), nn.Parameter(minipar.ones(3, dtype=minipar.float64))
    for optimizer in (optim.SGD([p, q], lr=0.1, momentum=0.9), optim.Adam([p, q], lr=0.1)):
        p.grad, q.grad = minipar.ones(3, dtype=dtype), minipar.ones(3, dtype=minipar.float64)
        optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=2e-3)
    assert p.dtype == dtype
    assert all(t.dtype == dtype for k, t in optimizer.state[p].items() if k != "step")


def test_a_model_moved_to_another_dtype_moves_into_a_new_buffer_with_its_state(kernel_calls):
    model = network()
    optimizer = optim.Adam(model.parameters())
    backward(model)
    optimizer.step()
    old_buffer, old_state = (
        weakref.ref(model[0].weight.buffer),
        weakref.ref(optimizer.state[model[0].weight]["step"].array),
    )
    model.double()
    for _ in range(2):
        backward(model)
        optimizer.step()
    assert kernel_calls == [26, 12, 4, 8, 2, 26]  # the gradients of the first step were not in the buffer yet
    assert optimizer.state[model[0].weight]["exp_avg"].dtype == minipar.float64
    assert float(optimizer.state[model[0].weight]["step"]) == 3
    assert old_buffer() is None
    assert old_state() is None


def test_step_needs_a_subclass():
    with pytest.raises(NotImplementedError):
        optim.Optimizer([nn.Parameter(minipar.ones(1))], {}).step()


def test_named_parameters_are_remembered():
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    found = []
    for T in (minipar, torch):
        model = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Linear(2, 1))
        optimizer = T.optim.SGD(model.named_parameters(), lr=0.5)
        saved = optimizer.state_dict()
        other = T.optim.SGD([(f"other.{name}", p) for name, p in model.named_parameters()])
        names = [other.param_groups[0]["param_names"]]
        other.load_state_dict({"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1, 2, 3]}]})
        names.append(other.param_groups[0]["param_names"])
        other.load_state_dict(saved)
        found.append((saved, names, other.param_groups[0]["param_names"], repr(optimizer)))
    assert found[0] == found[1]


def test_hooks_run_around_every_step_and_may_change_its_arguments():
    p = nn.Parameter(minipar.ones(1))
    seen = []
    for make in (optim.SGD, optim.LBFGS):
        optimizer = make([p], lr=0.5)
        p.grad = minipar.ones(1)
        swap = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: minipar.tensor(7.0),), {}))
        optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", o, args, kwargs)))
        optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("after", o, args, kwargs)))
        assert float(optimizer.step(None)) == 7
        assert [(when, of) for when, of, _, _ in seen] == [("before", optimizer), ("after", optimizer)]
        assert seen[0][2][0]() == 7
        swap.remove()
        seen.clear()
        optimizer.step(lambda: minipar.tensor(5.0))
        assert len(seen) == 2
        seen.clear()


def test_a_step_that_extends_its_base_class_is_one_step_for_the_hooks():
    class Counting(optim.SGD):
        steps = 0

        def step(self, closure=None):
            self.steps += 1
            return super().step(closure)

    optimizer = Counting([nn.Parameter(minipar.ones(1))])
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    optimizer.step()
    assert (optimizer.steps, len(calls)) == (1, 1)


def test_a_hook_that_returns_something_else_is_an_error():
    optimizer = optim.SGD([nn.Parameter(minipar.ones(1))])
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match=r"None or \(args, kwargs\), not 3"):
        optimizer.step()


def test_an_optimizer_of_ones_own_needs_only_a_step():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            with minipar.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(p.grad.sign() * group["lr"])

    p = nn.Parameter(minipar.tensor([1.0, -1.0]))
    optimizer = Sign([p], lr=0.25)
    (p * p).sum().backward()
    optimizer.step()
    assert p.tolist() == [0.75, -0.75]


def test_a_state_that_was_handed_in_and_kept_may_be_changed_later():
    model, given = network(), defaultdict(dict)
    optimizer = optim.Adam(model.parameters())
    optimizer.state = given
    for _ in range(2):
        backward(model)
        optimizer.step()
    for p in model.parameters():
        given[p]["exp_avg"] = minipar.full(p.shape, 7.0)
    backward(model)
    optimizer.step()
    assert all(float(entry["exp_avg"].max()) != 7 for entry in given.values())  # the step went on from it
