"""A compiled step gives the bits of the step itself: losses, parameters, buffers, gradients, after 20 calls."""

from itertools import pairwise

import pytest

import minipar
from minipar import nn, optim
from minipar.capture import replay
from minipar.nn import functional as F
from tests.compile import steps_losses_hooks  # noqa: F401 - adds to STEPS
from tests.compile.steps import STEPS


def numbers_of(x):
    """Every tensor in nested results, as arrays."""
    if isinstance(x, minipar.Tensor):
        return [x.detach().numpy().copy()]
    if isinstance(x, dict):
        x = list(x.values())
    return [array for part in x for array in numbers_of(part)]


def state_of(kept):
    found = []
    for x in kept:
        tensors = [*x.parameters(), *x.buffers()] if isinstance(x, nn.Module) else [x]
        found += [t.detach().numpy().copy() for t in tensors]
        found += [t.grad.numpy().copy() for t in tensors if t.grad is not None]
    return found


def trained(make, compiled, steps=20):
    minipar.manual_seed(0)
    step, batches, kept = make()
    if compiled:
        step = minipar.compile(step)
    results = []
    for i in range(steps):
        results.append(numbers_of(step(*batches[i % len(batches)])))
    return results, state_of(kept), step


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", STEPS)
def test_twenty_steps_have_the_bits_of_eager(name):
    wanted, state, _ = trained(STEPS[name], False)
    got, compiled_state, step = trained(STEPS[name], True)
    assert step._made == 1, "recorded once"
    assert step._latest.replays == 18, "and replayed from then on"
    for i, (want, have) in enumerate(zip(wanted, got)):
        assert len(want) == len(have)
        assert all(map(same, want, have)), f"call {i}: {want} {have}"
    assert len(state) == len(compiled_state)
    assert all(map(same, state, compiled_state))


def test_memory_stays_flat_over_many_replays():
    import gc
    import tracemalloc

    step, batches, _ = STEPS["transformer"]()
    step = minipar.compile(step)
    for _ in range(5):
        step(*batches[0])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        held = [tracemalloc.get_traced_memory()[0]]
        for _ in range(3):
            for _ in range(100):
                step(*batches[0])
            held.append(tracemalloc.get_traced_memory()[0])
        grown = [after - before for before, after in pairwise(held)]
        assert min(grown) < 10_000, grown  # other threads (of xdist) may keep something once; a replay would always
    finally:
        tracemalloc.stop()
        gc.enable()


@pytest.mark.parametrize("name", ["mlp_adam", "dropouts", "by_hand"])
def test_a_replay_that_leaves_out_a_step_is_noticed(name, monkeypatch):
    """Every step of the program counts: without it, the comparison above fails."""
    wanted = trained(STEPS[name], False, 4)
    programs = []

    def mutated(program, inputs, outputs):
        # Names alone: to hold its arrays would be to look at them.
        programs.append([getattr(getattr(step, "function", step), "__name__", type(step).__name__) for step in program])
        return replay_of(program[:leave_out] + program[leave_out + 1 :], inputs, outputs)

    replay_of, leave_out = replay.replay_of, 10**6
    monkeypatch.setattr(replay, "replay_of", mutated)
    assert same_training(trained(STEPS[name], True, 4), wanted)
    for leave_out, what in enumerate(programs[0]):
        if what not in ("Grad", "bump"):  # a gradient that is there already; a version that nobody asks for
            assert not same_training(trained(STEPS[name], True, 4), wanted), f"without step {leave_out}: {what}"


def same_training(these, those):
    return all(map(same, these[1], those[1])) and all(
        all(map(same, a, b)) for a, b in zip(these[0], those[0], strict=True)
    )


@pytest.mark.parametrize("kernels", ["auto", "reference"])
def test_a_step_that_enables_gradients_is_replayed_so_under_no_grad(kernels):
    def losses(compiled):
        minipar.manual_seed(0)
        net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 2))
        optimizer = optim.SGD(net.parameters(), lr=0.1)
        x, y = minipar.randn(3, 5), minipar.randn(3, 2)

        @minipar.enable_grad()
        def step(x, y):
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        step = minipar.compile(step) if compiled else step
        with minipar.no_grad():
            return [step(x, y).item() for _ in range(5)]

    with minipar.use_kernels(kernels):
        assert losses(compiled=True) == losses(compiled=False)
