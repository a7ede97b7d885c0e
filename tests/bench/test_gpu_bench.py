"""`minipar bench --gpu` without a GPU: all of it but the device calls, over NumPy arrays and recorded times."""

from __future__ import annotations

import json
import sys
from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from minipar.bench.gpu import command, cupy_convolution, ladder, timing
from minipar.bench.gpu.check import Check, guarded
from minipar.bench.gpu.contests import convolution_timings
from minipar.bench.gpu.kernel_checks import REFERENCE, Convolution, kernel_checks, relative_error, tolerance
from minipar.bench.gpu.ladder import ladder_checks, ladder_timings
from minipar.bench.gpu.report import Report, data, failure_lines, file_stem, markdown
from minipar.bench.gpu.timing import Timing, compare, copies, launch_overhead
from minipar.bench.gpu.training_step import initial_state, train_once, training_step_checks
from minipar.kernels.cuda import detect


def same(array):
    return array


def checks_with(**kernels) -> list[Check]:
    return list(kernel_checks({**REFERENCE, **kernels}, same, same))


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_plain_kernels_pass_every_check_in_both_precisions():
    checks = checks_with()
    assert all(check.passed for check in checks)
    assert {check.name for check in checks} == set(REFERENCE)
    for name in REFERENCE:
        cases = [check.case for check in checks if check.name == name]
        assert len(cases) == len(set(cases)) >= 14


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

    for name, broken in (
        ("matmul", last_column_lost),
        ("conv2d_forward", bias_lost),
        ("conv2d_grad_weight", last_pixel_lost),
        ("conv2d_grad_input", last_channel_lost),
    ):
        checks = checks_with(**{name: broken})
        assert all(check.passed for check in checks if check.name != name)
        wrong = [check for check in checks if check.name == name and not check.passed]
        assert len(wrong) >= 10, name


def test_a_wrong_dtype_or_shape_and_an_exception_are_failed_checks():
    def half(a, b):
        return np.matmul(a, b).astype(np.float16)

    def turned(a, b):
        return np.matmul(a, b).swapaxes(-1, -2)[..., None]

    def broken(a, b):
        raise RuntimeError("illegal\naddress")

    for kernel, text in ((half, "not float32"), (turned, "has shape"), (broken, "RuntimeError: illegal address")):
        failed = [check for check in checks_with(matmul=kernel) if not check.passed]
        assert len(failed) == 2 * 11
        assert text in failed[0].exception


def test_relative_error_counts_every_element_and_nan_does_not_pass():
    exact = np.array([1.0, 0.0, 4.0])
    assert relative_error(np.array([1.0, 0.0, 4.5]), exact, np.array([1.0, 0.0, 5.0])) == pytest.approx(0.1)
    assert relative_error(np.array([1.0, 1e-30, 4.0]), exact, np.array([1.0, 0.0, 5.0])) == np.inf
    assert relative_error(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3))) == 0
    nan = relative_error(np.array([np.nan, 0.0, 4.0]), exact, np.array([1.0, 0.0, 5.0]))
    assert not Check("matmul", "", nan, 1.0).passed
    assert tolerance(100, np.dtype(np.float32)) == pytest.approx(80 * 2.0**-24)


def test_checks_before_an_exception_are_kept():
    def two():
        yield Check("a", "", 0.0, 0.0)
        raise ValueError("then this")

    first, second = guarded("a", "case", two)
    assert first.passed
    assert (second.passed, second.exception) == (False, "ValueError: then this")


def test_a_training_step_is_compared_number_by_number(monkeypatch):
    from minipar.bench.gpu import training_step

    checks = list(training_step_checks("cpu", "float32"))
    assert all(check.passed for check in checks)
    assert any(check.error > 0 for check in checks)
    names = [check.name for check in checks]
    assert len(names) == 1 + 2 * len(initial_state())

    def slightly_wrong(device, dtype, initial):
        loss, gradients, after = train_once("cpu", "float64", initial)
        if dtype == "float32":
            gradients["3.bias"] = gradients["3.bias"] + 1e-3
            after["0.weight"] = after["0.weight"] * (1 + 1e-4)
        return loss, gradients, after

    monkeypatch.setattr(training_step, "train_once", slightly_wrong)
    failed = [check.name for check in training_step_checks("cpu", "float32") if not check.passed]
    assert failed == ["gradient of 3.bias", "updated 0.weight"]


def test_every_rung_is_checked_and_tensor_cores_may_round_their_operands():
    def rounded(a, b):
        return np.matmul(in_tf32(a), in_tf32(b)).astype(a.dtype)

    def in_tf32(x):
        mantissa, exponent = np.frexp(x.astype(np.float64))
        return np.ldexp(np.rint(mantissa * 2**11) / 2**11, exponent)

    checks = list(ladder_checks({"naive": rounded, "tf32": rounded, "bf16": np.matmul}, same, same))
    assert {check.name for check in checks} == {"matmul, naive", "matmul, tf32", "matmul, bf16"}
    assert all(check.passed for check in checks if check.name != "matmul, naive")
    assert sum(not check.passed for check in checks if check.name == "matmul, naive") >= 9


def test_the_slow_rungs_are_not_timed_on_large_matrices(monkeypatch):
    monkeypatch.setattr(ladder, "LARGEST_FOR_SLOW", 4)
    timed = ladder_timings(
        {"naive": same_product, "tf32": same_product},
        {"float32": same_product, "tf32": same_product},
        same,
        lambda work: 1.0,
        sizes=(4, 5),
    )
    assert [t.case for t in timed if t.name == "matmul, naive"] == ["4×4×4"]


def same_product(a, b):
    return a


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
    assert samples[::2] == pytest.approx([5e-3] * timing.SAMPLES)  # five calls of ours fill a sample
    assert samples[1::2] == pytest.approx([2e-2] * timing.SAMPLES)  # one call of theirs is longer than that


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


def test_contests_run_the_same_operands_through_both_sides():
    results = []

    def stopwatch(work):
        work()
        return 1.0

    def recording(function):
        def call(*operands):
            results.append(function(*operands))
            return results[-1]

        return call

    libraries = {"float32": recording(np.matmul), "tf32": recording(lambda a, b: np.matmul(a, b)[None])}
    rungs = {"naive": np.matmul, "double-buffered": np.matmul, "tf32": np.matmul}
    products = list(ladder_timings(rungs, libraries, same, stopwatch, sizes=(4,)))
    assert [(t.name, t.case, t.flop) for t in products] == [(f"matmul, {name}", "4×4×4", 128) for name in rungs]
    assert results[0].shape == (4, 4)
    assert results[-1].shape == (1, 4, 4)
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


# ── report ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def recorded(**changes) -> Report:
    report = Report(
        {"device": "NVIDIA H200 (SXM)", "date": "2026-11-21 12:00 UTC"},
        [Check("matmul", "(5, 3) @ (3, 7) float32", 1e-8, 1e-6), Check("matmul", "other", 9e-7, 1e-6)],
        [Timing("matmul", "1024×1024×1024", 2e-4, 1e-4, 1.9e-4, 0.9e-4, 2.0 * 1024**3)],
        {"minipar matmul": 8.25e-6},
    )
    for name, value in changes.items():
        setattr(report, name, value)
    return report


def test_the_report_shows_the_worst_of_each_check_speed_and_launches():
    page = markdown(recorded())
    assert "**2 of 2 checks passed.**" in page
    assert "| matmul | 2/2 | 9e-07 | 1e-06 | other |" in page
    assert "| matmul | 1024×1024×1024 | 200 µs | 10.7 | 100 µs | 21.5 | 0.50 |" in page
    assert "| minipar matmul | 8.25 µs |" in page
    assert "What failed" not in page
    found = json.loads(json.dumps(data(recorded())))
    assert found["passed"] is True
    assert found["checks"][1] == {
        "name": "matmul", "case": "other", "error": 9e-7, "tolerance": 1e-6, "exception": "", "passed": True,
    }  # fmt: skip
    assert found["timings"][0]["ratio"] == 0.5


def test_a_failure_is_reported_with_its_numbers():
    wrong = [Check("matmul", "a", 0.5, 1e-6), Check("NCCL", "b", float("nan"), 0.0, "RuntimeError: no NCCL")]
    report = recorded(checks=wrong, failures=["conv2d timings: OutOfMemoryError: 3 GiB"])
    assert not report.passed
    assert failure_lines(report) == [
        "matmul, a: error 0.5 is above 1e-06",
        "NCCL, b: RuntimeError: no NCCL",
        "conv2d timings: OutOfMemoryError: 3 GiB",
    ]
    page = markdown(report)
    assert "**0 of 2 checks passed; 1 part did not run to its end.**" in page
    assert "- matmul, a: error 0.5 is above 1e-06" in page


def test_a_report_without_checks_or_with_a_part_missing_has_not_passed():
    assert recorded().passed
    assert not recorded(checks=[]).passed
    assert not recorded(failures=["matmul timings: MemoryError: 3 GiB"]).passed


def test_the_files_are_named_after_device_and_date():
    assert file_stem(recorded().conditions) == "gpu-nvidia-h200-sxm-2026-11-21"


# ── the whole run, over a stand-in for CuPy ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def standin(monkeypatch, tmp_path):
    """NumPy in CuPy's place, so that `run` gets through; the training step and NCCL cannot pass on it."""
    memory, shape = {"totalGlobalMem": 2**33, "l2CacheSize": 2**22}, {"major": 9, "minor": 0}
    properties = {"name": b"Stand-in", **memory, **shape, "multiProcessorCount": 4}
    stream = SimpleNamespace(synchronize=lambda: None)
    runtime = SimpleNamespace(
        getDeviceProperties=lambda device: properties, driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 13000
    )
    event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
    cuda = SimpleNamespace(
        runtime=runtime,
        Device=lambda: SimpleNamespace(id=0),
        get_current_stream=lambda: stream,
        Event=lambda: event,
        get_elapsed_time=lambda start, end: 20.0,  # milliseconds
    )
    cupy = SimpleNamespace(
        cuda=cuda,
        asarray=np.asarray,
        asnumpy=np.asarray,
        matmul=np.matmul,
        __version__="14",
        ndarray=type("ndarray", (), {}),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(detect, "status", lambda: (True, ""))
    monkeypatch.setattr(command, "_kernels", lambda: REFERENCE)
    monkeypatch.setattr(command, "_tiny_launches", lambda kernels: {"tiny": lambda: None})
    small = Convolution((2, 3, 6, 6), (4, 3, 3, 3))
    monkeypatch.setattr(command, "rungs", lambda: {"naive": np.matmul})
    monkeypatch.setattr(command, "cublas", lambda: {"float32": np.matmul})
    monkeypatch.setattr(command, "ladder_timings", partial(ladder_timings, sizes=(8,)))
    monkeypatch.setattr(command, "convolution_timings", partial(convolution_timings, convolutions=(small,)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_whole_run_writes_its_report_and_fails_if_any_check_does(standin, capsys):
    assert command.run(None, None) == 1
    captured = capsys.readouterr()
    assert "kernels          64/64 passed" in captured.out
    assert "training step, float32" in captured.err
    assert "NCCL all-reduce, world size 1" in captured.err
    files = sorted(file.name for file in standin.iterdir())
    assert [name[:13] for name in files] == ["gpu-stand-in-"] * 2
    found = json.loads(next(standin.glob("*.json")).read_text())
    assert found["timings"][0]["ours"] == pytest.approx(0.02)
    assert list(found["launches"]) == ["tiny"]


def test_a_whole_run_passes_if_every_check_does(standin, monkeypatch, capsys):
    monkeypatch.setattr(command, "training_step_checks", lambda device, dtype: [Check("loss", dtype, 0.0, 0.0)])
    monkeypatch.setattr(command, "nccl_checks", lambda: [Check("NCCL", "", 0.0, 0.0)])
    (standin / "benchmarks" / "results").mkdir(parents=True)
    assert command.run(standin / "given.json", None) == 0
    assert not capsys.readouterr().err
    assert (standin / "given.json").is_file()
    assert len(list((standin / "benchmarks" / "results").glob("gpu-stand-in-*.md"))) == 1


def test_a_timing_that_fails_is_reported_and_the_rest_runs(standin, monkeypatch):
    def broken(*_):
        raise MemoryError("3 GiB")
        yield

    monkeypatch.setattr(command, "ladder_timings", broken)
    report = Report({})
    command.measure(report)
    assert report.failures == ["matmul timings: MemoryError: 3 GiB"]
    assert len(report.timings) == 3
    assert report.launches
