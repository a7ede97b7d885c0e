"""RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam: the compiled steps against the reference, bit for bit.

The reference's formulas are held against PyTorch's, over whole training runs, in tests/optim.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_layouts import seeds

from minipar.kernels.cpu import adaptive_steps as compiled
from minipar.kernels.cpu import flat_steps
from minipar.kernels.reference import adaptive_steps as reference

STEPS = {  # name: the function, which rows of state it takes, and its numbers before weight_decay and after it
    "rmsprop": ("rmsprop_step", lambda a, b: (a, None, None), lambda lr, t: (lr, 0.99, 1e-8), (0,), ()),
    "rmsprop momentum": ("rmsprop_step", lambda a, b: (a, b, None), lambda lr, t: (lr, 0.9, 1e-8), (0.9,), ()),
    "rmsprop centered": ("rmsprop_step", lambda a, b: (a, None, b), lambda lr, t: (lr, 0.9, 1e-8), (0,), ()),
    "adagrad": ("adagrad_step", lambda a, b: (a,), lambda lr, t: (lr, 1e-10), (), ()),
    "adadelta": ("adadelta_step", lambda a, b: (a, b), lambda lr, t: (lr, 0.9, 1e-6), (), ()),
    "adamax": ("adamax_step", lambda a, b: (a, b), lambda lr, t: (t, lr, 0.9, 0.999, 1e-8), (), ()),
    "nadam": ("nadam_step", lambda a, b: (a, b), lambda lr, t: (t, lr, lr / 3, lr / 7, 0.9, 0.999, 1e-8), (), (False,)),
    "nadam decoupled": ("nadam_step", lambda a, b: (a, b), lambda lr, t: (t, lr, lr, lr, 0.9, 0.99, 1e-8), (), (True,)),
    "radam": ("radam_step", lambda a, b: (a, b), lambda lr, t: (t, lr, 0.9, 0.999, 1e-8), (), (False,)),
    "radam decoupled": ("radam_step", lambda a, b: (a, b), lambda lr, t: (t, lr, 0.9, 0.99, 1e-8), (), (True,)),
}


def run(kernels, kind, p, g, first, second, lr, t, weight_decay, maximize):
    name, state, before, between, after = STEPS[kind]
    getattr(kernels, name)(p, g, *state(first, second), *before(lr, t), weight_decay, *between, maximize, *after)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about the NaN and the infinity
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", STEPS)
@given(st.integers(0, 90), st.integers(1, 500), st.sampled_from([0, 0.1]), st.booleans(), seeds)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compiled_steps_equal_the_reference_to_the_bit(
    monkeypatch, kind, dtype, threads, size, t, decay, maximize, seed
):
    monkeypatch.setattr(flat_steps, "SPLIT", 2)
    monkeypatch.setattr(flat_steps, "threads_for", lambda work, pieces: min(threads, pieces))
    rng = np.random.default_rng(seed)
    rows = [(rng.normal(size=size) * 10.0 ** rng.integers(-9, 9, size)).astype(dtype) for _ in range(4)]
    rows[1][: min(size, 3)] = rng.choice([np.nan, np.inf, -np.inf, 0.0], min(size, 3))
    for row in rows[2:]:
        np.abs(row, out=row)
    ours, theirs = [row.copy() for row in rows], [row.copy() for row in rows]
    lr = rng.uniform(1e-4, 1)
    run(compiled, kind, *ours, lr, t, decay, maximize)
    run(reference, kind, *theirs, lr, t, decay, maximize)
    for actual, expected in zip(ours, theirs):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(ours[1], rows[1])


@pytest.mark.parametrize("kind", [kind for kind in STEPS if "centered" not in kind])
def test_lengths_and_dtypes_that_would_be_misread_are_refused(kind):
    whole, short = np.ones(4), np.ones(3)
    for wrong in ((whole, short, whole, whole), (short, whole, whole, whole), (whole, whole, short, whole)):
        with pytest.raises(ValueError, match="p, g and the optimizer's state must have one length"):
            run(compiled, kind, *wrong, 0.1, 1, 0, False)
    for wrong in (np.ones(4, np.float32), np.ones(4, np.float16), np.ones(8)[::2]):
        with pytest.raises(TypeError, match=r"adaptive_steps\._\w+ takes void"):
            run(compiled, kind, whole, wrong, whole.copy(), whole.copy(), 0.1, 1, 0, False)


def test_radam_trusts_the_variance_from_the_sixth_step_on():
    assert [bool(reference.rectification(step, 0.999)) for step in range(1, 8)] == [False] * 5 + [True] * 2
