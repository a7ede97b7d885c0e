"""Grad modes, hooks, devices, and memory: nothing is left behind."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import types
import weakref

import numpy as np
import pytest

import minipar
from minipar.autograd import enable_grad, grad, is_grad_enabled, no_grad, set_grad_enabled


def leaf(number: float = 1.0) -> minipar.Tensor:
    return minipar.tensor(number, dtype=minipar.float64, requires_grad=True)


# ── modes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_modes_nest_and_survive_exceptions() -> None:
    x = leaf()
    with no_grad():
        assert not (x * 2).requires_grad
        with enable_grad():
            assert (x * 2).requires_grad
            with pytest.raises(ZeroDivisionError), no_grad():
                raise ZeroDivisionError
            assert is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_modes_as_decorators() -> None:
    x = leaf()

    @no_grad()
    def without(depth: int = 0):
        return without(depth - 1) if depth else (x * 2).requires_grad

    @enable_grad()
    def recorded():
        return (x * 2).requires_grad

    @set_grad_enabled(False)
    def switched():
        return is_grad_enabled()

    assert not without(3)
    assert is_grad_enabled()
    with no_grad():
        assert recorded()
        assert not switched()
        assert not is_grad_enabled()
    assert not switched()
    assert is_grad_enabled()


def test_set_grad_enabled_as_a_function_and_as_a_context() -> None:
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()
    set_grad_enabled(False)
    try:
        assert not is_grad_enabled()
        with set_grad_enabled(True):
            assert is_grad_enabled()
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)


def test_modes_belong_to_a_thread() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_leafs_hook_sees_the_whole_gradient_once_and_may_replace_it() -> None:
    x, seen = leaf(2.0), []
    handle = x.register_hook(lambda g: seen.append(g.item()) or g * 10)
    (x * 3 + x * 4).backward()
    assert seen == [7.0]
    assert x.grad.item() == 70.0
    handle.remove()
    handle.remove()
    (x * 3).backward()
    assert seen == [7.0]
    assert x.grad.item() == 73.0


def test_a_non_leafs_hook_changes_what_flows_on() -> None:
    x, seen = leaf(2.0), []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 100)
    y.retain_grad()
    (y * 2 + y).backward()
    assert seen == [3.0]
    assert (y.grad.item(), x.grad.item()) == (300.0, 900.0)
    assert (y.retains_grad, x.retains_grad, (y * 2).retains_grad) == (True, False, False)


def test_hooks_whose_handles_nobody_keeps_all_stay() -> None:
    x, seen = leaf(2.0), []
    for i in range(50):
        x.register_hook(lambda g, i=i: seen.append(i))
    (x * 3).backward()
    assert seen == list(range(50))


def test_hooks_of_what_grad_asks_for() -> None:
    x, w, seen = leaf(2.0), leaf(5.0), []
    x.register_hook(lambda g: g * 2)
    w.register_hook(seen.append)
    y = x * w
    y.register_hook(lambda g: g * 3)
    assert grad(y, x)[0].item() == 30.0
    assert seen == []


def test_a_hook_that_returns_nonsense() -> None:
    for wrong, error in ((lambda g: minipar.ones(2, dtype=minipar.float64), RuntimeError), (lambda g: 3.0, TypeError),
                         (lambda g: g.float(), RuntimeError)):  # fmt: skip
        x = leaf()
        x.register_hook(wrong)
        with pytest.raises(error, match="a hook must return"):
            (x * 2).backward()


def test_hooks_under_create_graph_are_differentiated() -> None:
    x = leaf(2.0)
    y = x**3
    y.register_hook(lambda g: g * x)
    (gx,) = grad(y, x, create_graph=True)  # 3 x² · x
    assert grad(gx, x)[0].item() == pytest.approx(9 * 4)


def test_post_accumulate_hooks_run_after_the_gradient_is_there() -> None:
    x, seen = leaf(2.0), []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.item())))
    (x * 3 + x).backward()
    (x * 3).backward()
    handle.remove()
    (x * 3).backward()
    assert seen == [(True, 4.0), (True, 7.0)]
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 1).register_post_accumulate_grad_hook(seen.append)


def test_hooks_need_a_gradient() -> None:
    for register in (lambda t: t.register_hook(print), lambda t: t.retain_grad()):
        with pytest.raises(RuntimeError, match="require"):
            register(minipar.ones(1))
    x = leaf()
    x.retain_grad()  # of a leaf: nothing to do
    (x * 2).backward()
    assert x.grad.item() == 2.0


# ── devices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tensors_of_two_devices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class ndarray(np.ndarray):
        """Stands for cupy.ndarray: another type of array, on a device of its own."""

        device = types.SimpleNamespace(id=1)

    cupy = types.ModuleType("cupy")
    cupy.ndarray = ndarray
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(
        sys.modules["minipar.backend.device"], "namespace", lambda a: cupy if type(a) is ndarray else np
    )
    here, there = minipar.ones(2, 3), minipar.tensor([0.0])
    there.array = np.ones((2, 3), np.float32).view(ndarray)
    with pytest.raises(RuntimeError, match=r"Add.*cpu \(shape \(2, 3\)\).*cuda:1.*\.to\('cpu'\)"):
        here + there
    with pytest.raises(RuntimeError, match=r"Linear.*two devices"):
        minipar.nn.functional.linear(there, here)


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def collector_off():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_a_graph_is_gone_with_its_last_output(collector_off) -> None:
    from tests.ops.table import TABLE

    def run(case):
        inputs = [minipar.from_numpy(a).requires_grad_() for a in case.inputs(case.example, 0)]
        y = case.run(minipar, *inputs)
        y.sum().backward()
        return y, inputs

    for case in TABLE:
        run(case)  # a kernel that is compiled now leaves cycles of the compiler's behind
    gc.collect()
    ran = 0
    for case in TABLE:
        y, inputs = run(case)
        alive = [weakref.ref(t) for t in (y, *inputs)]
        del y, inputs
        assert [ref() for ref in alive] == [None] * len(alive), f"{case.name} leaves a reference cycle"
        inputs = [minipar.from_numpy(a).requires_grad_() for a in case.inputs(case.example, 0)]
        y = case.run(minipar, *inputs)
        first = grad(y.sum(), inputs, create_graph=True, allow_unused=True)
        alive = [weakref.ref(t) for t in (y, *inputs, *first) if t is not None]
        del y, inputs, first
        assert [ref() for ref in alive] == [None] * len(alive), f"{case.name} leaves a cycle under create_graph"
        ran += 1
    assert ran == len(TABLE)


def test_memory_is_flat_over_10000_training_steps(collector_off) -> None:
    draw = np.random.default_rng(0)
    w1, w2 = (minipar.tensor(draw.standard_normal((4, 4)) * 0.1, requires_grad=True) for _ in "12")
    x = minipar.tensor(draw.standard_normal((2, 4)))

    def step() -> None:
        h = minipar.tanh(x @ w1).clone()
        h[0] = h[0] * 2
        loss = (minipar.nn.functional.linear(h.relu(), w2) ** 2).mean()
        loss.backward()
        with no_grad():
            for w in (w1, w2):
                w -= 0.01 * w.grad
                w.grad = None

    for _ in range(200):
        step()
    tracemalloc.start()
    try:
        step()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        for _ in range(9_600):
            step()
        tracemalloc.start()
        for _ in range(200):
            step()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < before + 20_000, f"{grown - before} bytes more after 200 steps"
    assert gc.collect() < 1_000, "the steps left reference cycles"  # one a step would be 10,000


def test_views_of_a_lasting_tensor_leave_nothing_behind(collector_off) -> None:
    x = minipar.zeros(10)
    for i in range(1_000):
        x[i % 10]
    assert len(x.version.sharers) < 20
