"""Every peer that is installed trains the same network as minipar: the first losses of each kind of workload."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import minipar
from minipar.bench import racer
from minipar.bench.contenders import CONTENDERS, KINDS, PEERS, Contender
from minipar.bench.peers.numpy_optimizers import optimizer
from minipar.bench.peers.problem import problem
from minipar.bench.summary import Row, check_losses
from minipar.bench.workloads import WORKLOADS, build

SMALL = {"mlp": "W2a", "rnn": "W4a", "encoder": "W6"}  # a CNN's convolutions are left to the benchmark: seconds
# Those that take long to compile too; PyTorch itself is in test_workloads.py.
LEFT_OUT = ("torch", "torch-compile", "torch-channels-last", "tinygrad")
INSTALLED = [name for name in PEERS if name not in LEFT_OUT and not CONTENDERS[name].why_missing()]


@pytest.mark.parametrize("name", INSTALLED)
def test_first_losses_are_minipars(name):
    """In a process of its own, as in the benchmark: thread pools stay apart."""
    contender = CONTENDERS[name]
    for kind, workload in SMALL.items():
        if kind in contender.kinds and (kind == "mlp" or name != "torch-fused"):
            command = [sys.executable, "-m", "minipar.bench.worker", name, workload]
            env = racer.environment(contender)
            done = subprocess.run(command, input="", capture_output=True, text=True, env=env, timeout=100)
            said = json.loads(done.stdout.splitlines()[0])
            step = build(minipar, workload)
            ours = Row("minipar", losses=[step().item() for _ in range(5)])
            assert "error" not in said
            assert check_losses(Row(name, losses=said["losses"]), ours) == ""
            assert said["version"]


def test_a_peer_that_is_missing_is_named_with_its_pip_line(tmp_path, monkeypatch):
    """A folder that happens to have the name is not the library."""
    (tmp_path / "namespace_only").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    absent = Contender("jax", lambda _: None, requires="no_such_module", install="pip install jax")
    assert absent.why_missing() == "no rows for jax: the module 'no_such_module' is not installed (pip install jax)"
    folder = Contender("x", lambda _: None, requires="namespace_only", install="pip install x")
    assert "is not installed" in folder.why_missing()
    lacking = Contender("compiled", lambda _: None, requires="minipar", attribute="no_such_name")
    assert lacking.why_missing() == "no rows for compiled: this minipar has no 'no_such_name'"


def test_kinds_say_what_a_contender_can_express():
    assert {workload.kind for workload in WORKLOADS.values()} == set(KINDS)
    assert not CONTENDERS["sklearn"].runs("W3")
    assert CONTENDERS["torch-channels-last"].runs("W3s")
    assert not CONTENDERS["tinygrad"].runs("W4b")


def test_a_problem_is_the_same_numbers_in_another_layout():
    p = problem("W3")
    model = WORKLOADS["W3"].model(minipar)
    model.load_state_dict(
        {key: minipar.from_numpy(w) for (key, _), w in zip(model.named_parameters(), p.weights)}, strict=False
    )
    k1, b1, k2, b2, head, bias = p.channels_last
    x = p.images[:2]
    for kernel, shift in ((k1, b1), (k2, b2)):
        framed = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(framed, (5, 5), axis=(1, 2))
        x = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + shift, 0)
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    expected = model(minipar.from_numpy(p.x[:2])).detach().numpy()
    np.testing.assert_allclose(x.reshape(2, -1) @ head + bias, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_updates_in_numpy_are_minipars(name):
    rng = np.random.default_rng(0)
    start = rng.standard_normal(7)
    mine, other = start.copy(), minipar.nn.Parameter(minipar.from_numpy(start.copy()))
    update = optimizer(name, [mine], 0.1)
    theirs = getattr(minipar.optim, name)([other], lr=0.1)
    for _ in range(3):
        g = rng.standard_normal(7)
        other.grad = minipar.from_numpy(g)
        update([g])
        theirs.step()
    np.testing.assert_allclose(mine, other.detach().numpy(), rtol=1e-9)
