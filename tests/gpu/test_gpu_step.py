"""On a machine with an NVIDIA GPU: training steps on CuPy arrays, and NCCL. Skipped by name where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from minipar.bench.gpu.families import FAMILIES, family_checks, trained
from minipar.bench.gpu.nccl import gpus, nccl_checks
from minipar.kernels.cuda import detect

usable, reason = detect.status()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_on_the_gpu_equals_the_float64_training_on_the_cpu(family, dtype):
    failed = [check for check in family_checks(family, dtype, "cuda") if not check.passed]
    assert not failed


@pytest.mark.parametrize("family", ["CNN", "Transformer", "GRU"])
def test_the_same_training_twice_gives_the_same_bits(family):
    once, again = (trained(family, "float32", "cuda") for _ in range(2))
    assert once.losses == again.losses
    for ours, theirs in ((once.gradients, again.gradients), (once.state, again.state)):
        for name in ours:
            assert np.array_equal(ours[name], theirs[name]), name


def test_an_all_reduce_over_all_gpus_is_exact():
    checks = list(nccl_checks(gpus()))
    assert len(checks) == gpus()
    assert all(check.passed for check in checks)
