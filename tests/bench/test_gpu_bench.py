"""What `minipar bench --gpu` checks and times, over NumPy arrays and recorded times."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import count

import numpy as np
import pytest

from minipar.bench.gpu import cupy_convolution, ladder, timing
from minipar.bench.gpu.bandwidth import OPERATIONS, bandwidths
from minipar.bench.gpu.cases import Convolution
from minipar.bench.gpu.check import Check, guarded
from minipar.bench.gpu.contests import convolution_timings
from minipar.bench.gpu.kernel_checks import GROUPS, REFERENCE, kernel_checks, relative_error, tolerance
from minipar.bench.gpu.ladder import ladder_checks, ladder_timings
from minipar.bench.gpu.timing import Timing, compare, copies, launch_overhead, race, wake
from tests.bench.gpu_stand_ins import plain_kernels


def same(array):
    return array


def checks_with(*groups, **kernels) -> list[Check]:
    """Of the plain kernels but for those given; the other groups have the same kernels again."""
    kernels = {**plain_kernels(), **kernels}
    wanted = groups or ("products", "linear layers", "convolutions")
    return [check for group in wanted for check in kernel_checks(GROUPS[group], kernels, same, same)]


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_plain_kernels_pass_every_check_in_every_precision():
    checks = checks_with()
    assert all(check.passed for check in checks)
    assert {check.name for check in checks} == set(REFERENCE)
    for name in REFERENCE:
        cases = [check.case for check in checks if check.name == name]
        assert len(cases) == len(set(cases)) >= 14
    assert {check.case.split("float")[1][:2] for check in checks if check.name == "matmul"} == {"16", "32", "64"}


def test_a_dropped_term_is_caught_for_every_kernel():
    def last_column_lost(a, b):
        return np.matmul(a[..., :-1], b[..., :-1, :]) if a.shape[-1] > 1 else np.matmul(a, b)

    def bias_lost(x, w, bias, *geometry):
        return REFERENCE["conv2d_forward"](x, w, None, *geometry)

    def last_pixel_lost(g, x, *rest):
        g = g.copy()
        g[-1, :, -1, -1] = 0
        return REFERENCE["conv2d_grad_weight"](g, x, *rest)

    def last_channel_lost(g, w, *rest):
        g = g.copy()
        g[:, -1] = 0
        return REFERENCE["conv2d_grad_input"](g, w, *rest)

    def last_input_lost(x, weight, bias, relu):
        return REFERENCE["linear_forward"](x[..., 1:], weight[:, 1:], bias, relu)

    def last_row_lost(g, x, weight):
        dx, dw, db = REFERENCE["linear_backward"](g, x, weight)
        return dx, dw, db - g[-1]

    for group, name, broken, fewest in (
        ("products", "matmul", last_column_lost, 10),
        ("linear layers", "linear_forward", last_input_lost, 10),
        ("linear layers", "linear_backward", last_row_lost, 8),
        ("convolutions", "conv2d_forward", bias_lost, 10),
        ("convolutions", "conv2d_grad_weight", last_pixel_lost, 10),
        ("convolutions", "conv2d_grad_input", last_channel_lost, 10),
    ):
        checks = checks_with(group, **{name: broken})
        assert all(check.passed for check in checks if check.name != name)
        wrong = [check for check in checks if check.name == name and not check.passed]
        assert len(wrong) >= fewest, name


def test_a_wrong_dtype_or_shape_and_an_exception_are_failed_checks():
    def half(a, b):
        return np.matmul(a, b).astype(np.float16)

    def turned(a, b):
        return np.matmul(a, b).swapaxes(-1, -2)[..., None]

    def broken(a, b):
        raise RuntimeError("illegal\naddress")

    for kernel, dtypes, text in (
        (half, 2, "not float32"),
        (turned, 3, "has shape"),
        (broken, 3, "RuntimeError: illegal address"),
    ):
        failed = [check for check in checks_with("products", matmul=kernel) if not check.passed]
        assert len(failed) == dtypes * 11
        assert text in failed[0].exception


def test_relative_error_counts_every_element_and_nan_does_not_pass():
    exact = np.array([1.0, 0.0, 4.0])
    assert relative_error(np.array([1.0, 0.0, 4.5]), exact, np.array([1.0, 0.0, 5.0])) == pytest.approx(0.1)
    assert relative_error(np.array([1.0, 1e-30, 4.0]), exact, np.array([1.0, 0.0, 5.0])) == np.inf
    assert relative_error(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3))) == 0
    nan = relative_error(np.array([np.nan, 0.0, 4.0]), exact, np.array([1.0, 0.0, 5.0]))
    assert not Check("matmul", "", nan, 1.0).passed
    assert tolerance(100, np.dtype(np.float32)) == pytest.approx(80 * 2.0**-24)
    assert tolerance(100, np.dtype(np.float16)) == pytest.approx(80 * 2.0**-24 + 2.0**-11)


def test_checks_before_an_exception_are_kept():
    def two():
        yield Check("a", "", 0.0, 0.0)
        raise ValueError("then this")

    first, second = guarded("a", "case", two)
    assert first.passed
    assert (second.passed, second.exception) == (False, "ValueError: then this")


def test_every_rung_is_checked_and_tensor_cores_may_round_their_operands():
    def rounded(a, b):
        return np.matmul(in_tf32(a), in_tf32(b)).astype(a.dtype)

    def in_tf32(x):
        mantissa, exponent = np.frexp(x.astype(np.float64))
        return np.ldexp(np.rint(mantissa * 2**11) / 2**11, exponent)

    def layer(x, weight, bias, relu):
        return REFERENCE["linear_forward"](in_tf32(x), in_tf32(weight), bias, relu).astype(x.dtype)

    def bias_lost(x, weight, bias, relu):
        return layer(x, weight, bias * 0, relu)

    def found(name, **kernels):
        return list(ladder_checks(name, kernels, same, same))

    assert {check.name for check in found("naive", matmul=np.matmul)} == {"matmul, naive"}
    checks = found("tf32", matmul=rounded, linear_forward=layer)
    assert {check.name for check in checks} == {"matmul, tf32", "linear_forward, tf32"}
    assert all(check.passed for check in [*checks, *found("bf16", matmul=np.matmul)])
    assert sum(not check.passed for check in found("naive", matmul=rounded)) >= 9
    assert not any(check.passed for check in found("bf16", linear_forward=bias_lost))


def timed(products, sizes, library=np.matmul, said=None):
    """The rows of a ladder; `said` collects the precision in which each product of the library's was asked for."""
    precision = []

    @contextmanager
    def library_in(name):
        precision.append(name)
        yield
        precision.pop()

    def recorded(a, b):
        if said is not None:
            said.append(precision[-1])
        return library(a, b)

    def stopwatch(work):
        work()
        return 1.0

    return list(ladder_timings(products, recorded, library_in, same, same, stopwatch, sizes=sizes))


def test_the_slow_rungs_are_not_timed_on_large_matrices(monkeypatch):
    monkeypatch.setattr(ladder, "LARGEST_FOR_SLOW", 4)
    found = timed({"naive": np.matmul, "tf32": np.matmul}, (4, 5))
    assert [t.case for t in found if t.name == "matmul, naive"] == ["4×4×4"]
    assert [t.case for t in found if t.name == "matmul, tf32"] == ["4×4×4", "5×5×5"]


def test_the_library_may_use_tf32_beside_tensor_cores_only():
    for rung, precision in (("naive", "float32"), ("tf32", "tf32"), ("bf16", "tf32")):
        said = []
        timed({rung: np.matmul}, (4,), said=said)
        assert set(said) == {precision}


def test_what_is_timed_is_checked_on_a_sample():
    def last_column_lost(a, b):
        return np.matmul(a[:, :-1], b[:-1])

    found = timed({"naive": np.matmul, "coalesced": last_column_lost}, (8, 100))
    checks = {(check.name, check.case): check.passed for check in found if isinstance(check, Check)}
    assert checks == {
        ("matmul, naive, as timed", "8×8×8"): True,
        ("matmul, naive, as timed", "100×100×100"): True,
        ("matmul, coalesced, as timed", "8×8×8"): False,
        ("matmul, coalesced, as timed", "100×100×100"): False,
    }


# ── timing ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class RecordedClock:
    """A stopwatch that does the work and then says how long it would have taken."""

    def __init__(self, seconds_a_call):
        self.seconds_a_call = seconds_a_call
        self.spent = 0.0
        self.samples = []

    def __call__(self, work) -> float:
        self.spent = 0.0
        work()
        self.samples.append(self.spent)
        return self.spent

    def function(self, name, used=None):
        def call(*operands):
            if used is not None:
                used.append(operands)
            self.spent += self.seconds_a_call[name]

        return call


def test_two_sides_are_timed_on_rotating_operands():
    clock = RecordedClock({"ours": 1e-3, "theirs": 2e-2})
    used = []
    found = compare("k", "c", clock.function("ours", used), clock.function("theirs"), [(1,), (2,), (3,)], 4e9, clock)
    assert found.ours == found.ours_minimum == pytest.approx(1e-3)
    assert found.theirs == pytest.approx(2e-2)
    assert found.ratio == pytest.approx(20)
    assert found.flop == 4e9
    assert set(used) == {(1,), (2,), (3,)}
    samples = clock.samples[2 * timing.WARM_UP :]
    assert samples[::2] == pytest.approx([5e-3] * timing.SAMPLES[1])  # five calls of ours fill a sample
    assert samples[1::2] == pytest.approx([2e-2] * timing.SAMPLES[1])  # one call of theirs is longer than that


def test_medians_forget_an_outlier():
    clock = RecordedClock({"ours": 1e-2, "theirs": 1e-2})
    outliers = iter([1e-2] * 8 + [5.0] + [1e-2] * 90)

    def stopwatch(work):
        clock(work)
        return next(outliers)

    found = compare("k", "c", clock.function("ours"), clock.function("theirs"), [()], 1.0, stopwatch)
    assert found.ours == found.theirs == pytest.approx(1e-2)


def test_rotation_is_larger_than_the_cache_and_bounded():
    assert copies(1 << 30) == 2
    assert copies(16 << 20) == 8
    assert copies(0) == copies(100) == 64


def test_launch_overhead_is_host_time_a_launch_without_the_first():
    calls, synchronized = [], []
    ticks = count()
    found = launch_overhead(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        lambda: synchronized.append(len(calls)),
        launches=10,
        clock=lambda: float(next(ticks)),
    )
    assert found == {"a": 0.1, "b": 0.1}
    assert calls == ["a"] * 11 + ["b"] * 11
    assert synchronized == [1, 11, 12, 22]


def test_a_long_race_takes_fewer_samples():
    clock = RecordedClock({"quick": 1e-3, "slow": 0.9})
    found = race({name: clock.function(name) for name in ("quick", "slow")}, [()], clock)
    assert {name: len(seconds) for name, seconds in found.items()} == {"quick": 6, "slow": 6}  # of some 0.9 s each
    clock = RecordedClock({"endless": 100.0})
    assert len(race({"endless": clock.function("endless")}, [()], clock)["endless"]) == timing.SAMPLES[0]


def test_a_device_is_woken_for_half_a_second_of_its_own():
    clock = RecordedClock({"work": 0.1})
    wake(clock.function("work"), clock)
    assert len(clock.samples) == pytest.approx(5, abs=1)
    clock = RecordedClock({"work": 0.0})
    wake(clock.function("work"), clock)  # ends, whatever the clock says
    assert len(clock.samples) <= 5001


def test_bandwidths_count_what_must_be_moved_beside_a_copy():
    seconds = iter([2e-3] * 1000)

    def stopwatch(work):
        work()
        return next(seconds)

    found = {row.name: row for row in bandwidths(same, np.copyto, stopwatch, shape=(4, 8))}
    assert set(found) == {"copy", "SGD step", "Adam step", *OPERATIONS}
    assert found["copy"].share == 1
    assert found["add"].bytes == 3 * 4 * 32
    assert found["add"].rate == pytest.approx(3 * 128 / found["add"].seconds)
    assert found["add"].share == pytest.approx(1.5)  # in the same time as the copy half as many bytes more
    assert found["sum over rows"].share == pytest.approx(0.5)
    assert found["Adam step"].share == pytest.approx(3.5)


def test_contests_run_the_same_operands_through_both_sides(monkeypatch):
    monkeypatch.setattr(timing, "COPIES", (2, 2))
    ours, theirs = [], []

    def recording(function, results):
        def call(*operands):
            results.append(function(*operands))
            return results[-1]

        return call

    found = timed({"naive": recording(np.matmul, ours)}, (4,), recording(np.matmul, theirs))
    (timing_,) = [row for row in found if isinstance(row, Timing)]
    assert (timing_.name, timing_.case, timing_.flop) == ("matmul, naive", "4×4×4", 128)
    assert {c.tobytes() for c in ours} == {c.tobytes() for c in theirs}

    def stopwatch(work):
        work()
        return 1.0

    c = Convolution((2, 3, 6, 6), (4, 3, 3, 3), stride=(2, 2), padding=(1, 1))
    timings = list(convolution_timings(REFERENCE, same, stopwatch, (c,)))
    assert [t.name for t in timings] == ["conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight"]
    assert {t.flop for t in timings} == {2 * (2 * 4 * 3 * 3) * (3 * 3 * 3)}


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0)), ((1, 1), (2, 1)), ((2, 3), (1, 2))])
def test_the_opponents_convolution_is_right(stride, padding):
    rng = np.random.default_rng(0)
    x, w, bias = rng.standard_normal((2, 3, 8, 9)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)
    geometry = stride, padding, (1, 1), 1
    y = REFERENCE["conv2d_forward"](x, w, bias, *geometry)
    g = rng.standard_normal(y.shape)
    close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10)
    close(cupy_convolution.conv2d_forward(x, w, bias, stride, padding), y)
    close(
        cupy_convolution.conv2d_grad_input(g, w, x.shape, stride, padding),
        REFERENCE["conv2d_grad_input"](g, w, x.shape, *geometry),
    )
    close(
        cupy_convolution.conv2d_grad_weight(g, x, w.shape, stride, padding),
        REFERENCE["conv2d_grad_weight"](g, x, w.shape, *geometry),
    )
