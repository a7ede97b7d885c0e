"""On a machine with an NVIDIA GPU: a training step on CuPy arrays, and NCCL. Skipped by name where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from minipar.bench.gpu.nccl import all_reduce_of_one
from minipar.bench.gpu.training_step import train_once, training_step_checks
from minipar.kernels.cuda import detect

usable, reason = detect.status()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_training_step_equals_the_float64_step_on_the_cpu(dtype):
    failed = [check for check in training_step_checks("cuda", dtype) if not check.passed]
    assert not failed


def test_the_same_step_twice_gives_the_same_bits():
    from minipar.bench.gpu.training_step import initial_state

    (loss, gradients, after), (loss_again, gradients_again, after_again) = (
        train_once("cuda", "float32", initial_state()) for _ in range(2)
    )
    assert loss == loss_again
    for name in gradients:
        assert np.array_equal(gradients[name], gradients_again[name]), name
        assert np.array_equal(after[name], after_again[name]), name


def test_an_all_reduce_in_a_world_of_one_is_the_identity():
    array = np.random.default_rng(0).standard_normal(1003).astype(np.float32)
    assert np.array_equal(all_reduce_of_one(array), array)
