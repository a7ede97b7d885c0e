"""The training steps of `minipar bench --gpu`: every family, on the CPU in the GPU's place and over the CuPy double."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minipar
from minipar.bench.gpu import families, steps, timing
from minipar.bench.gpu.check import Check
from minipar.bench.gpu.families import FAMILIES, family_checks, trained
from minipar.bench.gpu.steps import Step, step_checks, step_timings
from minipar.bench.workloads import WORKLOADS
from tests.cupy_double.installed import double_installed


def elapsed(work) -> float:
    work()
    return 1.0


def test_every_family_is_there():
    wanted = {"MLP", "CNN", "RNN", "LSTM", "GRU", "Transformer", "autoencoder", "GAN"}
    assert wanted <= set(FAMILIES)
    assert wanted <= set(steps.FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_passes_over_cupys_names(family, monkeypatch):
    monkeypatch.setattr(families, "STEPS", 2)
    with double_installed():
        checks = [check for dtype in ("float64", "float32") for check in family_checks(family, dtype, "cuda")]
    assert [check for check in checks if not check.passed] == []
    assert any(check.error > 0 for check in checks)  # float32 is not float64
    kinds = {check.name.partition(", ")[2] for check in checks}
    assert kinds == {"losses", "gradients", "after 2 steps"}


def test_what_is_slightly_wrong_is_found(monkeypatch):
    def wrong_in_float32(family, dtype, device):
        run = trained(family, dtype, device)
        if dtype == "float32":
            run.gradients["9.bias"] = run.gradients["9.bias"] + 1e-3
            run.state["0.weight"] = run.state["0.weight"] * np.float32(1 + 1e-4)
            run.losses[1] *= 1 + 1e-4
        return run

    monkeypatch.setattr(families, "trained", wrong_in_float32)
    failed = [(check.name, check.case) for check in family_checks("CNN", "float32", "cpu") if not check.passed]
    assert failed == [
        ("CNN in float32, losses", "step 2"),
        ("CNN in float32, gradients", "9.bias"),
        (f"CNN in float32, after {families.STEPS} steps", "0.weight"),
    ]


def test_dropout_is_the_same_in_both_dtypes_and_on_both_devices():
    def dropped(dtype, device):
        minipar.manual_seed(1)
        x = minipar.ones(40, 30, dtype=getattr(minipar, dtype), device=device)
        return minipar.nn.functional.dropout(x, 0.5).cpu().numpy() != 0

    with double_installed():
        masks = [dropped(dtype, device) for dtype in ("float32", "float64") for device in ("cpu", "cuda")]
    assert 0.4 < masks[0].mean() < 0.6
    assert all((mask == masks[0]).all() for mask in masks)


@pytest.fixture
def small(monkeypatch):
    """Two small workloads and the GAN, timed once."""
    monkeypatch.setattr(steps, "MODELS", {"MLP": WORKLOADS["W2a"], "RNN": WORKLOADS["W4a"]})
    monkeypatch.setattr(steps, "FAMILIES", ("MLP", "RNN", steps.GAN))
    monkeypatch.setattr(timing, "SAMPLES", (1, 1))


def test_steps_are_timed_beside_pytorch_and_their_losses_compared(small):
    torch = pytest.importorskip("torch", reason='needs PyTorch: pip install ".[oracle]"')
    rows = list(step_timings("cpu", torch, elapsed))
    assert [row.name for row in rows if isinstance(row, Step)] == ["MLP", "RNN", "GAN"]
    assert all(row.theirs and row.ratio for row in rows if isinstance(row, Step))
    checks = [row for row in rows if isinstance(row, Check)]
    assert len(checks) == 2 * steps.FIRST_STEPS
    assert all(check.passed for check in checks)


def test_without_pytorch_our_steps_are_timed_alone(small, monkeypatch):
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    torch, why_not = steps.pytorch("cuda")
    assert (torch, why_not) == (None, "PyTorch is not installed: nothing is timed beside it")
    with double_installed():
        rows = list(step_timings("cuda", torch, elapsed))
    assert [(type(row), row.theirs, row.ratio) for row in rows] == [(Step, None, None)] * 3


def test_pytorch_without_a_gpu_is_said_and_with_one_does_not_use_tf32(monkeypatch):
    torch = pytest.importorskip("torch", reason='needs PyTorch: pip install ".[oracle]"')
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert steps.pytorch("cuda")[1] == f"PyTorch {torch.__version__} finds no GPU: nothing is timed beside it"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # PyTorch's own testing tools, which other tests import, forbid what a program may do.
    monkeypatch.setitem(torch.backends.flags_frozen.__globals__, "__allow_nonbracketed_mutation_flag", True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert steps.pytorch("cuda") == (torch, "")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_timed_steps_are_checked_against_the_cpu(small, monkeypatch):
    with double_installed():
        checks = [check for family in steps.FAMILIES for check in step_checks(family, "cuda")]
    assert len(checks) == 3 * steps.FIRST_STEPS
    assert all(check.passed for check in checks)
    models = {
        "cuda": {"MLP": replace(WORKLOADS["W2a"], lr=1e-2)},
        "cpu": {"MLP": WORKLOADS["W2a"]},
    }
    original = steps.training_step

    def other_rate(library, family, device):
        monkeypatch.setattr(steps, "MODELS", models[device])
        return original(library, family, device)

    monkeypatch.setattr(steps, "training_step", other_rate)
    with double_installed():
        passed = [check.passed for check in step_checks("MLP", "cuda")]
    assert passed == [True, False, False]  # the first loss is from before the first update
