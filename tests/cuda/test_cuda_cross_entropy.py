"""Softmax-cross-entropy of the CUDA kernels, simulated, against float64; derived bounds, edges and errors."""

import cuda_cases as cases
import numpy as np
import pytest
from simulated_gpu import assert_within, in_float64, simulated_gpu

import minipar
import minipar.nn.functional as F
from minipar.kernels.cuda import cross_entropy, wrong_targets
from minipar.kernels.reference import softmax_cross_entropy as reference

CHOICES = {
    "dtype": ("float32", "float64"),
    "samples": (5, 1, 9),
    "classes": (10, 1, 33, 300),  # 300: a whole block to a row
    "weighted": (False, True),
    "ignored": (-100, 0),
    "mean": (True, False),
    "indices": ("int64", "int32"),
}


@pytest.fixture
def gpu():
    with simulated_gpu() as gpu:
        yield gpu


def operands(dtype: str, samples: int, classes: int, weighted: bool, ignored: int, indices: str = "int64"):
    """Logits, targets of which some are ignored, weights or None."""
    rng = np.random.default_rng(samples * classes)
    target = rng.integers(0, classes, samples).astype(indices)
    target[1::3] = ignored
    weight = rng.random(classes).astype(dtype) if weighted else None
    return (3 * rng.standard_normal((samples, classes))).astype(dtype), target, weight


def bounds(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roundings of a log-probability and, relatively, of a probability, for each row.

    An exponential of x ≤ 0 has an error of 2 and of |x| from the subtraction; the sum of n has one rounding for each
    addition on the longest way, at most n/32 + 13; its logarithm and the subtractions have those and the result's size.
    """
    wide = logits.astype(np.float64)
    reach = wide.max(1, initial=-np.inf) - wide.min(1, initial=np.inf) + 2
    additions = wide.shape[1] / 32 + 13
    return 2 * reach + additions + 8, reach + additions + 8


@pytest.mark.parametrize("row", list(cases.pairwise(CHOICES)), ids=lambda row: "-".join(map(str, row)))
def test_loss_and_gradient(row, gpu):
    dtype, samples, classes, weighted, ignored, mean, indices = row
    logits, target, weight = operands(dtype, samples, classes, weighted, ignored, indices)
    g = np.asarray(-1.25, dtype)
    there = gpu.to_gpu((logits, target, weight))
    loss, denominator, kept = cross_entropy.cross_entropy_loss(*there, ignored, mean)
    dlogits = cross_entropy.cross_entropy_gradient(gpu.to_gpu(g), kept, there[1])
    wide = in_float64(logits, target, weight)
    expected, expected_denominator, wide_kept = reference.cross_entropy_loss(*wide, ignored, mean)
    of_loss, of_probability = bounds(logits)
    np.testing.assert_allclose(denominator.get(), expected_denominator, rtol=1e-6 if dtype == "float32" else 1e-14)
    losses, _ = reference.cross_entropy_forward(*wide, ignored)
    share = expected_denominator if mean and expected_denominator else 1
    assert loss.shape == ()
    assert_within(loss.get(), expected, (of_loss.sum() + (13 + samples) * abs(losses).sum()) / share)
    scale = abs(1.25 * wide_kept[1])[:, None]
    assert_within(dlogits.get(), reference.cross_entropy_gradient(g.astype(float), wide_kept, target),
                  scale * (of_probability[:, None] + 6))  # fmt: skip
    names = ["cross_entropy_rows", "cross_entropy_totals", "cross_entropy_gradient"]
    assert gpu.launched == names


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [7, 260])
def test_losses_row_by_row(classes, dtype, gpu):
    logits, target, weight = operands(dtype, 6, classes, True, 2)
    g = np.random.default_rng(1).standard_normal(6).astype(dtype)
    there = gpu.to_gpu((logits, target, weight))
    losses, kept = cross_entropy.cross_entropy_forward(*there, 2)
    dlogits = cross_entropy.cross_entropy_backward(gpu.to_gpu(g), kept, *there[1:], 2)
    wide = in_float64(logits, target, weight)
    expected, log_probs = reference.cross_entropy_forward(*wide, 2)
    of_loss, of_probability = bounds(logits)
    assert_within(losses.get(), expected, of_loss + 2 * abs(expected))
    expected = reference.cross_entropy_backward(g.astype(float), log_probs, *wide[1:], 2)
    assert_within(dlogits.get(), expected, (abs(g) * (of_probability + 6))[:, None])


@pytest.mark.parametrize("classes", [3, 300])
def test_huge_impossible_and_nan_logits(classes, gpu):
    logits = np.zeros((6, classes))
    logits[0, :2] = 1e30, -1e30
    logits[1, 0] = -np.inf  # the target: costs infinity
    logits[2] = -np.inf
    logits[3, 1] = np.inf
    logits[4, 2] = np.nan
    target = np.array([0, 0, 1, 1, 0, -100])
    losses, kept = gpu.call(cross_entropy.cross_entropy_forward, logits, target, None, -100)
    expected, log_probs = reference.cross_entropy_forward(logits, target, None, -100)
    np.testing.assert_array_equal(losses, expected)
    g = np.array([1, 1, 1, 1, 1, np.nan])
    dlogits = gpu.call(cross_entropy.cross_entropy_backward, g, kept, target, None, -100)
    np.testing.assert_allclose(dlogits, reference.cross_entropy_backward(g, log_probs, target, None, -100), atol=1e-15)
    assert (dlogits[5] == 0).all()


def test_logits_of_any_strides_and_no_samples(gpu):
    logits, target, _ = operands("float64", 9, 20, False, 0)
    expected, _, _ = reference.cross_entropy_loss(logits[::2, 1::3], target[::2] % 6, None, -1, True)
    there = gpu.to_gpu(logits), gpu.to_gpu(target)
    loss, _, _ = cross_entropy.cross_entropy_loss(there[0][::2, 1::3], there[1][::2] % 6, None, -1, True)
    np.testing.assert_allclose(loss.get(), expected, rtol=1e-14)
    loss, denominator, kept = cross_entropy.cross_entropy_loss(there[0][:0], there[1][:0], None, -1, True)
    assert np.isnan(loss.get())
    assert denominator.get() == 0
    assert cross_entropy.cross_entropy_gradient(gpu.to_gpu(np.ones(())), kept, there[1][:0]).shape == (0, 20)


def test_the_mean_of_nothing_has_no_gradient(gpu):
    logits, target, _ = operands("float32", 3, 4, False, 0)
    target[:] = -100
    loss, denominator, kept = gpu.call(cross_entropy.cross_entropy_loss, logits, target, None, -100, True)
    assert np.isnan(loss)
    assert denominator == 0
    g = np.full((), np.nan, np.float32)
    assert not gpu.call(cross_entropy.cross_entropy_gradient, g, kept, target).any()


@pytest.mark.parametrize("wrong", [-1, 10, 2**33 + 1])
@pytest.mark.parametrize("function", ["cross_entropy_loss", "cross_entropy_forward"])
def test_a_class_that_there_is_not_is_named(function, wrong, gpu):
    logits, target, _ = operands("float32", 6, 10, False, 0)
    target[4] = wrong
    options = (True,) if function == "cross_entropy_loss" else ()
    gpu.call(getattr(cross_entropy, function), logits, target, None, -100, *options)
    with pytest.raises(IndexError, match=rf"target\[4\] is {wrong}, not in 0\.\.9 nor ignore_index \(-100\)"):
        wrong_targets.tell()
    wrong_targets.tell()  # once is enough
    gpu.call(getattr(cross_entropy, function), logits, target * 0, None, -100, *options)
    wrong_targets.tell()


READING = {  # ways by which a number comes to the host
    "item": lambda loss, logits: loss.item(),
    "float": lambda loss, logits: float(loss),
    "tolist": lambda loss, logits: loss.tolist(),
    "cpu": lambda loss, logits: loss.cpu(),
    "print": lambda loss, logits: repr(loss),
    "comparison": lambda loss, logits: bool(loss > 1),
    "another tensor": lambda loss, logits: logits.detach().cpu(),
    "numpy": lambda loss, logits: logits.grad.numpy(force=True),
    "synchronize": lambda loss, logits: minipar.cuda.synchronize(),
}


@pytest.mark.parametrize("way", READING)
def test_no_number_is_read_after_a_wrong_class_without_an_error(way, gpu):
    values, target, _ = operands("float32", 6, 10, False, 0)
    logits = minipar.tensor(values, device="cuda", requires_grad=True)
    target[[2, 5]] = 10, 11
    F.cross_entropy(logits, minipar.tensor(target % 10, device="cuda")).item()
    loss = F.cross_entropy(logits, minipar.tensor(target, device="cuda"))
    F.cross_entropy(logits, minipar.tensor(target * 0 - 7, device="cuda")).backward()  # the first one is told
    with pytest.raises(IndexError, match=r"target\[2\] is 10, not in 0\.\.9 nor ignore_index \(-100\)"):
        READING[way](loss, logits)
    F.cross_entropy(logits, minipar.tensor(target % 10, device="cuda")).item()


def test_a_step_waits_for_nothing(gpu, monkeypatch):
    """Neither the loss nor its gradient brings a number to the host."""
    values, target, _ = operands("float32", 6, 10, False, 0)
    logits = minipar.tensor(values, device="cuda", requires_grad=True)
    classes = minipar.tensor(target, device="cuda")
    for name in ("get", "item", "tolist", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(gpu.cupy.ndarray, name, lambda self, *_: pytest.fail("a number was read"))
    F.cross_entropy(logits, classes).backward()


def test_an_ignored_class_may_be_any_integer(gpu):
    logits, target, _ = operands("float32", 4, 5, False, 2**40)
    _, denominator, _ = gpu.call(cross_entropy.cross_entropy_loss, logits, target, None, 2**40, False)
    assert denominator == 3


def test_operands_that_do_not_fit_are_refused(gpu):
    logits, target, weight = operands("float32", 4, 5, True, -100)
    loss = cross_entropy.cross_entropy_loss
    with pytest.raises(ValueError, match=r"one class for each of the 4 rows of logits, got \(3,\)"):
        gpu.call(loss, logits, target[1:], None, -100, True)
    with pytest.raises(ValueError, match=r"one number for each of the 5 classes, got \(4,\)"):
        gpu.call(loss, logits, target, weight[1:], -100, True)
    with pytest.raises(ValueError, match=r"at least one class, got shape \(4, 0\)"):
        gpu.call(loss, logits[:, :0], target, None, -100, True)
    with pytest.raises(TypeError, match="float32 or float64"):
        gpu.call(loss, logits.astype(np.float16), target, None, -100, True)
