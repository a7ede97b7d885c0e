"""Which operations are replayed as the calls of kernels that they consist of."""

import numpy as np
import pytest

import minipar
from minipar import nn, optim
from minipar.capture import replay
from minipar.capture.patches import listening
from minipar.capture.raw import Watch
from minipar.capture.recorder import Recorder


def fill_first_half(x, y):
    y[: len(y) // 2] = x[: len(y) // 2]


def watched(y, gave):
    """A call that writes half of `y`, by a watch that was told that `empty` gave it, or was not."""
    x, watch = np.arange(8, dtype=np.float32), Watch()
    if gave:
        watch.gave(y)
    return x, watch


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_a_kernel_leaves_as_empty_gave_it_does_not_count(dtype):
    y = np.empty(8, dtype)
    x, watch = watched(y, gave=True)
    watch.run(fill_first_half, (x, y))
    assert watch.again([y], {id(x)})


@pytest.mark.parametrize("gave", [False, True])
def test_what_was_written_before_the_kernel_counts(gave):
    y = np.empty(8, np.float32)
    x, watch = watched(y, gave)
    y[:] = 0  # as np.zeros does; a replay would find there what the last one left
    watch.run(fill_first_half, (x, y))
    assert not watch.again([y], {id(x)})


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
def test_a_recurrent_layer_and_its_last_step_are_replayed_as_kernel_calls(layer, monkeypatch):
    programs = []
    replay_of = replay.replay_of
    monkeypatch.setattr(replay, "replay_of", lambda *given: programs.append(given[0]) or replay_of(*given))
    minipar.manual_seed(0)
    net, head = layer(3, 5, batch_first=True), nn.Linear(5, 2)
    optimizer = optim.SGD([*net.parameters(), *head.parameters()], lr=0.1)

    @minipar.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(head(net(x)[0][:, -1]), y)
        loss.backward()
        optimizer.step()
        return loss

    losses = [step(minipar.ones(4, 6, 3), minipar.zeros(4, 2)).item() for _ in range(4)]
    assert losses == sorted(losses, reverse=True)
    slow = [each.op.name() for each in programs[0] if not getattr(each, "raw", True)]
    assert slow == []


def test_a_kernel_that_is_first_wanted_while_a_step_is_recorded_is_compiled(monkeypatch):
    compiler = pytest.importorskip("minipar.kernels.cpu.compile", exc_type=ImportError)

    @compiler.compiled(["void(float64[:], float64[:])"])
    def twice(x, y):
        room = np.empty(x.size)
        room[:] = x
        y[:] = room + x

    twice.announce = False
    monkeypatch.setattr(twice, "cache_entry", lambda signature: None)
    x, y = np.arange(3.0), np.zeros(3)
    own = np.empty
    with listening(Recorder()):
        twice(x, y)
        assert np.empty is not own  # who listens listens on
    assert np.empty is own
    assert y.tolist() == [0, 2, 4]
