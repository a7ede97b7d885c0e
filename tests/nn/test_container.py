"""Containers and hooks, beside PyTorch: the same calls on both give the same names, texts and numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def plain(x):
    """Results of either library as comparable Python."""
    if isinstance(x, (minipar.Tensor, torch.Tensor)):
        return x.detach().numpy().tolist()
    if isinstance(x, (tuple, list)):
        return [plain(part) for part in x]
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return repr(x).replace("torch.float", "float") if isinstance(x, (minipar.nn.Module, torch.nn.Module)) else x


def alike(run) -> None:
    """`run(m)` gives the same, or raises the same kind of error."""

    def outcome(m):
        try:
            return plain(run(m))
        except Exception as error:
            return type(error).__name__

    assert outcome(minipar) == outcome(torch)


def net(m):
    return m.nn.Sequential(m.nn.Linear(2, 3), m.nn.ReLU(), m.nn.Linear(3, 1))


def text(module):
    return repr(module), [name for name, _ in module.named_parameters()], len(module)


ROW = {
    "append": lambda m, s: s.append(m.nn.Tanh()),
    "extend": lambda m, s: s.extend([m.nn.Tanh(), m.nn.ReLU()]),
    "insert": lambda m, s: (s.insert(1, m.nn.Tanh()), s)[1],
    "insert first": lambda m, s: (s.insert(0, m.nn.Tanh()), s)[1],
    "insert last": lambda m, s: (s.insert(3, m.nn.Tanh()), s)[1],
    "pop": lambda m, s: (s.pop(1), s)[1],
    "pop last": lambda m, s: (s.pop(-1), s)[1],
    "del": lambda m, s: (s.__delitem__(0), s)[1],
    "del slice": lambda m, s: (s.__delitem__(slice(0, 2)), s)[1],
    "del beyond": lambda m, s: (s.__delitem__(3), s)[1],
    "set": lambda m, s: (s.__setitem__(1, m.nn.Tanh()), s)[1],
    "set from behind": lambda m, s: (s.__setitem__(-1, m.nn.Tanh()), s)[1],
    "set beyond": lambda m, s: (s.__setitem__(3, m.nn.Tanh()), s)[1],
    "slice": lambda m, s: s[1:],
    "backwards": lambda m, s: s[::-1],
    "get beyond": lambda m, s: s[3],
    "iadd": lambda m, s: s.__iadd__(type(s)(m.nn.Tanh()) if isinstance(s, m.nn.Sequential) else [m.nn.Tanh()]),
    "add": lambda m, s: s + s,
}


@pytest.mark.parametrize("name", ROW)
@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_rows_of_modules(kind: str, name: str) -> None:
    def run(m):
        modules = [m.nn.Linear(2, 3), m.nn.ReLU(), m.nn.Linear(3, 1)]
        row = m.nn.Sequential(*modules) if kind == "Sequential" else m.nn.ModuleList(modules)
        return text(ROW[name](m, row))

    alike(run)


@pytest.mark.parametrize(
    "run",
    [
        lambda m: text(net(m) * 2),
        lambda m: text(2 * net(m)),
        lambda m: text(net(m).__imul__(2)),
        lambda m: text(m.nn.ModuleList()),
        lambda m: text(m.nn.ModuleList([m.nn.Linear(2, 2) for _ in range(3)] + [net(m), net(m), m.nn.ReLU()])),
        lambda m: text(m.nn.Sequential(m.nn.ModuleList([net(m), net(m)]))),
    ],
)
def test_texts_of_rows(run) -> None:
    alike(run)


@pytest.mark.parametrize(
    "run",
    [
        lambda m, d: list(d),
        lambda m, d: [k for k, _ in d.items()],
        lambda m, d: [repr(v) for v in d.values()],
        lambda m, d: (repr(d.pop("b")), list(d.keys()), len(d)),
        lambda m, d: (d.update({"a": m.nn.Tanh(), "c": m.nn.ReLU()}), repr(d)),
        lambda m, d: (d.update([("z", m.nn.Tanh())]), list(d)),
        lambda m, d: (d.update(m.nn.ModuleDict({"q": m.nn.Tanh()})), list(d)),
        lambda m, d: (d.__delitem__("a"), "a" in d, "b" in d),
        lambda m, d: (d.clear(), len(d), repr(d)),
        lambda m, d: d["missing"],
        lambda m, d: d.update(3),
        lambda m, d: d.__setitem__("keys", m.nn.ReLU()),
    ],
)
def test_module_dict(run) -> None:
    alike(lambda m: run(m, m.nn.ModuleDict({"b": m.nn.Linear(1, 2), "a": m.nn.ReLU()})))


@pytest.mark.parametrize(
    "run",
    [
        lambda m, p: [n for n, _ in p.named_parameters()],
        lambda m, p: [type(x).__name__ for x in p],
        lambda m, p: (p.append(m.ones(1)), len(p), p[-1]),
        lambda m, p: p[1:],
        lambda m, p: [list(x.shape) for x in p[:2]],
        lambda m, p: p[3],
        lambda m, p: (p.__setitem__(0, m.zeros(1)), p[0], p[0].requires_grad),
        lambda m, p: (p.__iadd__([m.ones(1), "text"]), p[4]),
        lambda m, p: p.extend(m.ones(2)),
        lambda m, p: p(1),
    ],
)
def test_parameter_list(run) -> None:
    alike(lambda m: run(m, m.nn.ParameterList([m.ones(2), m.nn.Parameter(m.zeros(3)), 5])))


@pytest.mark.parametrize(
    "run",
    [
        lambda m, p: [n for n, _ in p.named_parameters()],
        lambda m, p: (list(p), list(reversed(p)), len(p)),
        lambda m, p: (p.pop("b"), list(p)),
        lambda m, p: (p.popitem()[0], list(p), [n for n, _ in p.named_parameters()]),
        lambda m, p: (p.get("a"), p.get("q"), p.get("q", 3)),
        lambda m, p: (p.setdefault("q", m.ones(1)), p.setdefault("a", 1), list(p)),
        lambda m, p: list((p | m.nn.ParameterDict({"c": m.ones(1)})).keys()),
        lambda m, p: list(p.__ior__(m.nn.ParameterDict({"c": m.ones(1)}))),
        lambda m, p: list(p.copy().items()),
        lambda m, p: list(p.fromkeys(["x", "y"], 1).items()),
        lambda m, p: (p.clear(), len(p), list(p.parameters())),
        lambda m, p: (p.__delitem__("a"), "a" in p),
        lambda m, p: p.update(3),
        lambda m, p: p(1),
    ],
)
def test_parameter_dict(run) -> None:
    alike(lambda m: run(m, m.nn.ParameterDict({"b": m.ones(2), "a": m.nn.Parameter(m.zeros(3))})))


# ── hooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def layered(m):
    net = m.nn.Sequential(m.nn.Linear(2, 2, bias=False), m.nn.Tanh(), m.nn.Linear(2, 1, bias=False))
    with m.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(m.arange(p.numel()).reshape(p.shape).float() * 0.5 + i)
    return net


def test_full_backward_hooks_see_the_gradients() -> None:
    def run(m):
        net, seen = layered(m), []
        net[1].register_full_backward_hook(lambda module, i, o: seen.append(("tanh", i, o)))
        net[0].register_full_backward_hook(lambda module, i, o: seen.append(("first", i, o)))
        net.register_full_backward_hook(lambda module, i, o: seen.append(("net", i, o)))
        net.register_full_backward_pre_hook(lambda module, o: seen.append(("before", o)))
        x = m.tensor([[0.1, -0.2]], requires_grad=True)
        net(x).sum().backward()
        return [(s[0], *[[round(v, 5) for g in part for v in g.flatten().tolist()] for part in s[1:]]) for s in seen]

    alike(run)


def test_full_backward_hooks_replace_the_gradients() -> None:
    def run(m):
        net = layered(m)
        net[1].register_full_backward_hook(lambda module, i, o: (i[0] * 2,))
        net[2].register_full_backward_pre_hook(lambda module, o: (o[0] * 3,))
        x = m.tensor([[0.1, -0.2]], requires_grad=True)
        net(x).sum().backward()
        return np.round(x.grad.numpy(), 4).tolist(), np.round(net[2].weight.grad.numpy(), 4).tolist()

    alike(run)


def test_full_backward_hook_without_gradient_of_the_input() -> None:
    x = np.ones((1, 2), np.float32)
    seen = []
    net = layered(minipar)
    handle = net[0].register_full_backward_hook(lambda module, i, o: seen.append((i, len(o))))
    net(minipar.tensor(x)).sum().backward()
    assert seen == [((None,), 1)]
    handle.remove()
    net(minipar.tensor(x)).sum().backward()
    assert len(seen) == 1


def test_full_backward_hooks_of_several_inputs_and_outputs() -> None:
    def run(m):
        class Pair(m.nn.Module):
            def forward(self, a, number, b):
                return a * number, "text", a * b

        seen = []
        module = Pair()
        module.register_full_backward_hook(lambda module, i, o: seen.append((i, o)))
        a, b = (m.tensor([1.0, 2.0], requires_grad=True) for _ in "ab")
        y, _, z = module(a, 3, b)
        (y.sum() + (2 * z).sum()).backward()
        return seen, a.grad, b.grad

    alike(run)


def test_a_second_derivative_passes_the_hooks() -> None:
    def run(m):
        module = m.nn.Tanh()
        module.register_full_backward_hook(lambda module, i, o: (i[0] * 2,))
        x = m.tensor([0.5], requires_grad=True)
        (g,) = m.autograd.grad(module(x).sum(), x, create_graph=True)
        return np.round(m.autograd.grad(g.sum(), x)[0].numpy(), 5).tolist()

    alike(run)


def test_forward_hooks_with_keywords_order_and_errors() -> None:
    def run(m):
        class Scaled(m.nn.Module):
            def forward(self, x, scale=1.0):
                if scale < 0:
                    raise ValueError("negative")
                return x * scale

        module, seen = Scaled(), []
        module.register_forward_hook(lambda module, args, out: seen.append("second"))
        module.register_forward_hook(lambda module, args, out: seen.append("first"), prepend=True)
        module.register_forward_hook(
            lambda module, args, kwargs, out: (seen.append(sorted(kwargs.items())), out + 1)[1], with_kwargs=True
        )
        module.register_forward_pre_hook(
            lambda module, args, kwargs: (args, {**kwargs, "scale": kwargs["scale"] * 2}), with_kwargs=True
        )
        module.register_forward_hook(lambda module, args, out: seen.append(("always", out)), always_call=True)
        result = module(m.ones(2), scale=2.0)
        try:
            module(m.ones(2), scale=-1.0)
        except ValueError as error:
            seen.append(str(error))
        return seen, result

    alike(run)


# ── state ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_buffers_by_assignment() -> None:
    def run(m):
        module = m.nn.Module()
        module.mean = m.nn.Buffer(m.zeros(2))
        module.hidden = m.nn.Buffer(m.ones(1), persistent=False)
        module.inner = m.nn.Sequential(m.nn.ReLU())
        module.set_submodule("inner.0", m.nn.Linear(1, 1, bias=False))
        return [n for n, _ in module.named_buffers()], list(module.state_dict()), module.get_buffer("hidden")

    alike(run)


def test_assigning_a_state() -> None:
    def run(m):
        module = m.nn.Linear(2, 1)
        module.weight.requires_grad_(False)
        state = {"weight": m.ones(1, 2).double(), "bias": m.zeros(1).double()}
        answer = module.load_state_dict(state, assign=True)
        found = [(n, str(p.dtype).removeprefix("torch."), p.requires_grad) for n, p in module.named_parameters()]
        return list(answer), found, type(module.bias).__name__

    alike(run)


def test_types_and_destination() -> None:
    def run(m):
        module = m.nn.Linear(1, 1)
        module.register_buffer("count", m.tensor(1))
        module.type(m.float64)
        state = module.state_dict(destination={"before": 1}, prefix="a.")
        return [str(p.dtype).removeprefix("torch.") for p in [*module.parameters(), module.count]], list(state)

    alike(run)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_containers_are_copied(clone) -> None:
    for module in (
        minipar.nn.ModuleList([minipar.nn.Linear(1, 2)]),
        minipar.nn.ModuleDict({"a": minipar.nn.PReLU()}),
        minipar.nn.ParameterList([minipar.ones(2)]),
        minipar.nn.ParameterDict({"a": minipar.ones(2)}),
    ):
        other = clone(module)
        assert repr(other) == repr(module)
        for p, q in zip(module.parameters(), other.parameters(), strict=True):
            assert p is not q
            np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
