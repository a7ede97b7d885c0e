"""Module beside PyTorch's: registration, walking, state, modes, hooks, copies."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
BOTH = (minipar, torch)


def make_net(T):
    """A module with everything: parameters, buffers, a tied module, a tied parameter, None entries."""

    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = T.nn.Parameter(T.ones(2))
            self.first = T.nn.Linear(3, 2)
            self.inner = T.nn.Sequential(T.nn.ReLU(), T.nn.Linear(2, 2, bias=False))
            self.again = self.first
            self.tied = T.nn.Linear(2, 2)
            self.tied.weight = self.inner[1].weight
            self.register_buffer("mean", T.zeros(2))
            self.register_buffer("secret", T.ones(1), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("absent", None)
            self.missing = None
            self.plain = T.ones(2)

        def forward(self, x):
            return self.tied(self.inner(self.first(x)) * self.scale + self.mean)

    with T.no_grad():
        net = Net()
        for i, p in enumerate(net.parameters()):
            p.copy_(T.tensor(np.random.default_rng(i).standard_normal(tuple(p.shape)), dtype=T.float32))
    return net


def both(function):
    """What `function(T)` gives, or the type of error that it raises, in both libraries."""
    results = []
    for T in BOTH:
        try:
            results.append(function(T))
        except Exception as error:
            results.append(type(error))
    return results


def same(function):
    ours, theirs = both(function)
    assert ours == theirs
    return ours


def test_names():
    def names(T):
        net = make_net(T)
        return {
            "parameters": [k for k, _ in net.named_parameters()],
            "all parameters": [k for k, _ in net.named_parameters(remove_duplicate=False)],
            "own": [k for k, _ in net.named_parameters(recurse=False)],
            "prefixed": [k for k, _ in net.named_parameters(prefix="net")],
            "buffers": [k for k, _ in net.named_buffers()],
            "modules": [(k, type(m).__name__) for k, m in net.named_modules()],
            "all modules": [k for k, _ in net.named_modules(remove_duplicate=False)],
            "prefixed modules": [k for k, _ in net.named_modules(prefix="net")],
            "children": [k for k, _ in net.named_children()],
            "state": [(k, tuple(v.shape)) for k, v in net.state_dict().items()],
            "prefixed state": list(net.state_dict(prefix="net.")),
            "counts": [len(list(x)) for x in (net.parameters(), net.buffers(), net.modules(), net.children())],
        }

    assert len(same(names)["state"]) == 9


def test_get_submodule_and_parameter():
    def found(T):
        net = make_net(T)
        return (
            net.get_submodule("inner.1") is net.inner[1],
            net.get_submodule("") is net,
            net.get_parameter("tied.weight") is net.inner[1].weight,
        )

    assert same(found) == (True, True, True)
    for missing in ("inner.7", "inner.1.weight", "nowhere"):
        assert same(lambda T, name=missing: make_net(T).get_submodule(name)) is AttributeError
    assert same(lambda T: make_net(T).get_parameter("first.nowhere")) is AttributeError


@pytest.mark.parametrize(
    "change",
    [
        lambda T, net: setattr(net, "scale", T.nn.Parameter(T.zeros(5))),
        lambda T, net: setattr(net, "scale", None),
        lambda T, net: setattr(net, "scale", T.ones(2)),
        lambda T, net: setattr(net, "scale", T.nn.ReLU()),
        lambda T, net: setattr(net, "first", T.nn.Linear(1, 1)),
        lambda T, net: setattr(net, "first", None),
        lambda T, net: setattr(net, "first", 3),
        lambda T, net: setattr(net, "first", T.nn.Parameter(T.ones(1))),
        lambda T, net: setattr(net, "mean", T.ones(7)),
        lambda T, net: setattr(net, "mean", None),
        lambda T, net: setattr(net, "mean", 3.0),
        lambda T, net: setattr(net, "mean", T.nn.Parameter(T.ones(1))),
        lambda T, net: setattr(net, "secret", T.nn.Parameter(T.ones(1))),
        lambda T, net: setattr(net, "plain", T.nn.Parameter(T.ones(1))),
        lambda T, net: setattr(net, "plain", T.nn.ReLU()),
        lambda T, net: setattr(net, "new", T.ones(1)),
        lambda T, net: setattr(net, "absent", T.nn.Parameter(T.ones(1))),
        lambda T, net: delattr(net, "scale"),
        lambda T, net: delattr(net, "mean"),
        lambda T, net: delattr(net, "secret"),
        lambda T, net: delattr(net, "first"),
        lambda T, net: delattr(net, "plain"),
        lambda T, net: delattr(net, "nowhere"),
        lambda T, net: net.register_parameter("second", T.nn.Parameter(T.ones(1))),
        lambda T, net: net.register_parameter("plain", T.nn.Parameter(T.ones(1))),
        lambda T, net: net.register_parameter("a.b", T.nn.Parameter(T.ones(1))),
        lambda T, net: net.register_parameter("", T.nn.Parameter(T.ones(1))),
        lambda T, net: net.register_parameter("tensor", T.ones(1)),
        lambda T, net: net.register_buffer("plain", T.ones(1)),
        lambda T, net: net.register_buffer("forward", T.ones(1)),
        lambda T, net: net.register_buffer("mean", T.ones(4), persistent=False),
        lambda T, net: net.register_buffer("list", [1]),
        lambda T, net: net.register_buffer("x.y", T.ones(1)),
        lambda T, net: net.add_module("more", T.nn.ReLU()),
        lambda T, net: net.add_module("more", None),
        lambda T, net: net.add_module("plain", T.nn.ReLU()),
        lambda T, net: net.add_module("a.b", T.nn.ReLU()),
        lambda T, net: net.add_module("number", 3),
    ],
)
def test_attributes_are_registered_by_kind(change):
    def after(T):
        net = make_net(T)
        change(T, net)
        return (
            list(net.state_dict()),
            [k for k, _ in net.named_parameters()],
            [k for k, _ in net.named_buffers()],
            [k for k, _ in net.named_modules()],
            hasattr(net, "plain"),
        )

    same(after)


def test_assignment_before_init():
    def early(T):
        class Early(T.nn.Module):
            def __init__(self):
                self.weight = T.nn.Parameter(T.ones(1))

        return Early()

    assert same(early) is AttributeError


def test_missing_attribute_and_forward():
    assert same(lambda T: make_net(T).nowhere) is AttributeError
    assert same(lambda T: T.nn.Module()(T.ones(1))) is NotImplementedError
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nowhere'"):
        getattr(make_net(minipar), "nowhere")  # noqa: B009 - the attribute is what is tested


def test_load_state_dict_round_trip_and_forward():
    def result(T, state):
        net = make_net(T)
        net.load_state_dict(state)
        return net(T.tensor(x)).detach().numpy()

    x = np.random.default_rng(9).standard_normal((4, 3)).astype(np.float32)
    source = make_net(torch)
    with torch.no_grad():
        for p in source.parameters():
            p.mul_(1.5)
        source.mean += 0.5
    theirs = source.state_dict()
    ours = {k: minipar.tensor(v.numpy()) for k, v in theirs.items()}
    np.testing.assert_allclose(result(minipar, ours), result(torch, theirs), rtol=1e-5, atol=1e-6)
    arrays = {k: v.numpy() for k, v in theirs.items()}
    np.testing.assert_array_equal(result(minipar, arrays), result(minipar, ours))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda T, state: state.pop("mean"),
        lambda T, state: state.pop("first.weight"),
        lambda T, state: state.update(other=T.ones(1)),
        lambda T, state: state.update({"secret": T.ones(1)}),
        lambda T, state: state.update({"tied.bias": T.ones(3)}),
        lambda T, state: state.update({"tied.bias": 3.0}),
        lambda T, state: state.update({"tied.bias": T.ones(2, dtype=T.float64)}),
        lambda T, state: state.update({"tied.bias": T.ones(2).requires_grad_() * 2}),
    ],
)
def test_load_state_dict_strictness(damage, strict):
    def outcome(T):
        net = make_net(T)
        state = OrderedDict((k, T.zeros_like(v)) for k, v in net.state_dict().items())
        damage(T, state)
        answer = net.load_state_dict(state, strict=strict)
        values = {k: v.detach().numpy().tolist() for k, v in net.state_dict().items()}
        return sorted(answer.missing_keys), sorted(answer.unexpected_keys), values

    same(outcome)


def test_a_refused_state_dict_changes_nothing_and_names_every_fault():
    net = make_net(minipar)
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    state = {k: minipar.zeros_like(v) for k, v in net.state_dict().items()}
    state["tied.bias"], state["extra"] = minipar.ones(3), minipar.ones(1)
    del state["mean"]
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    for part in ("tied.bias", "(3,)", "(2,)", "missing key 'mean'", "unexpected key 'extra'"):
        assert part in str(error.value)
    for k, v in net.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k])


def test_load_state_dict_makes_graphs_stale():
    net = minipar.nn.Linear(2, 2)
    y = (net(minipar.ones(1, 2, requires_grad=True)) ** 2).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="copy_ changed it in place"):
        y.backward()


def test_state_dict_shares_memory():
    def shared(T):
        net = T.nn.Linear(2, 2)
        state = net.state_dict()
        with T.no_grad():
            net.weight.fill_(3)
        kept = net.state_dict(keep_vars=True)
        return state["weight"].tolist(), state["weight"].requires_grad, kept["weight"] is net.weight

    assert same(shared) == ([[3, 3], [3, 3]], False, True)


def test_train_eval_apply():
    def modes(T):
        class Stubborn(T.nn.Sequential):
            def train(self, mode=True):
                return super().train(False)

        net = T.nn.Sequential(T.nn.Linear(2, 2), Stubborn(T.nn.ReLU()), T.nn.Tanh())
        seen = [net.train() is net, [m.training for m in net.modules()]]
        net.eval()
        seen.append([m.training for m in net.modules()])
        net[2].train()
        seen.append([m.training for m in net.modules()])
        order = []
        assert net.apply(lambda m: order.append(type(m).__name__)) is net
        return [*seen, order]

    same(modes)
    assert same(lambda T: T.nn.ReLU().train("yes")) is ValueError


def test_to_and_requires_grad():
    def moved(T):
        net = make_net(T)
        net.register_buffer("count", T.zeros(1, dtype=T.int64))
        parameters = list(net.parameters())
        net(T.ones(1, 3)).sum().backward()
        assert net.double() is net
        same_objects = [p is q for p, q in zip(parameters, net.parameters())]
        dtypes = [str(v.dtype).removeprefix("torch.") for v in net.state_dict().values()]
        grads = [None if p.grad is None else str(p.grad.dtype).removeprefix("torch.") for p in net.parameters()]
        net.float()
        net.requires_grad_(False)
        again = [str(v.dtype).removeprefix("torch.") for v in net.state_dict().values()]
        net.to(T.float16)
        half = [str(v.dtype).removeprefix("torch.") for v in net.state_dict().values()]
        return (
            same_objects,
            dtypes,
            grads,
            again,
            half,
            [p.requires_grad for p in parameters],
            net.tied.weight is net.inner[1].weight,
        )

    same(moved)
    assert same(lambda T: make_net(T).to(T.int64)) is TypeError
    with pytest.raises(ValueError, match=r"to: 'gpu' is no device .* and no dtype"):
        make_net(minipar).to("gpu")
    assert make_net(minipar).to("cpu").to(minipar.zeros(1, dtype=minipar.float64)).scale.dtype == minipar.float64


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    def cleared(T):
        net = make_net(T)
        net(T.ones(1, 3)).sum().backward()
        kept = [p.grad for p in net.parameters()]
        net.zero_grad(set_to_none)
        return [
            (None if p.grad is None else p.grad.tolist(), p.grad is k, k.abs().sum().item() == 0)
            for p, k in zip(net.parameters(), kept)
        ]

    ours, theirs = both(cleared)
    assert ours == theirs


def test_hooks():
    def called(T):
        log = []
        net = T.nn.Linear(2, 2, bias=False)
        with T.no_grad():
            net.weight.fill_(1)
        handles = [
            net.register_forward_pre_hook(lambda m, args: log.append(("pre", m is net, args[0].tolist()))),
            net.register_forward_pre_hook(lambda m, args: args[0] * 2),
            net.register_forward_pre_hook(lambda m, args: (args[0] + 1,)),
            net.register_forward_hook(lambda m, args, out: log.append(("post", args[0].tolist(), out.tolist()))),
            net.register_forward_hook(lambda m, args, out: out * 10),
        ]
        log.append(net(T.ones(1, 2)).tolist())
        handles[1].remove()
        handles[4].remove()
        handles[4].remove()
        log.append(net(T.ones(1, 2)).tolist())
        return log

    same(called)


def test_hooks_whose_handles_were_dropped_all_run():
    calls = []
    net = minipar.nn.ReLU()
    for i in range(5):
        net.register_forward_hook(lambda m, args, out, i=i: calls.append(i))
    net(minipar.ones(1))
    assert calls == [0, 1, 2, 3, 4]


def test_backward_through_a_model_with_everything():
    def gradients(T):
        net = make_net(T)
        (net(T.tensor(x)) ** 2).sum().backward()
        return [p.grad.numpy() for p in net.parameters()]

    x = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    for ours, theirs in zip(*both(gradients)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_repr():
    def text(T):
        nn = T.nn
        return repr(
            nn.Sequential(
                OrderedDict(
                    image=nn.Sequential(
                        nn.Conv2d(1, 2, 3, padding=1, stride=2, bias=False),
                        nn.Conv2d(2, 2, (1, 3), dilation=2, groups=2, padding="same"),
                        nn.ReLU(inplace=True),
                        nn.MaxPool2d(2),
                        nn.AvgPool2d(2, 1),
                        nn.Flatten(),
                    ),
                    words=nn.Embedding(5, 3, padding_idx=1),
                    rnn=nn.RNN(3, 4, 2, batch_first=True, bidirectional=True),
                    plain=nn.RNN(3, 4),
                    head=nn.Linear(3, 2),
                    squash=nn.Sigmoid(),
                    loss=nn.CrossEntropyLoss(),
                    error=nn.MSELoss(),
                    nothing=nn.Sequential(),
                    tanh=nn.Tanh(),
                )
            )
        )

    ours, theirs = both(text)
    assert ours.splitlines() == theirs.splitlines()
    assert repr(make_net(minipar)) == repr(make_net(torch))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies(clone):
    def copied(T):
        net = T.nn.Sequential(T.nn.Linear(2, 2), T.nn.Tanh(), T.nn.Linear(2, 2))
        net[2].weight = net[0].weight
        net[1].register_buffer("mean", T.ones(2), persistent=False)
        net[0].weight.requires_grad_(False)
        T.optim.SGD(net.parameters(), lr=0.1)
        net.eval()
        new = clone(net)
        with T.no_grad():
            new[0].weight.fill_(7)
        return (
            [(k, p.requires_grad) for k, p in new.named_parameters(remove_duplicate=False)],
            new[2].weight is new[0].weight,
            new[0].weight is not net[0].weight,
            float(net[0].weight.detach().max()) < 7,
            new[1].mean.tolist(),
            list(new.state_dict()),
            new.training,
        )

    same(copied)


def test_a_copy_drags_no_buffer_along():
    net = minipar.nn.Linear(4, 4)
    big = minipar.nn.Linear(300, 300)
    minipar.nn.parameter.flatten([*net.parameters(), *big.parameters()])
    assert len(pickle.dumps(net)) < 2000
    assert copy.deepcopy(net).weight.buffer is None


def test_sequential():
    def behaviour(T):
        nn = T.nn
        net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
        relu = net[1]
        net[1] = nn.Sigmoid()
        part = net[1:]
        net.append(nn.ReLU())
        return (
            len(net),
            [type(m).__name__ for m in net],
            type(net[-1]).__name__,
            [k for k, _ in part.named_children()],
            list(nn.Sequential(OrderedDict(a=relu, b=nn.Tanh())).state_dict()),
            nn.Sequential()(T.ones(2)).tolist(),
        )

    same(behaviour)
    assert same(lambda T: T.nn.Sequential(T.nn.ReLU())[1]) is IndexError
    assert same(lambda T: T.nn.Sequential(3)) is TypeError
