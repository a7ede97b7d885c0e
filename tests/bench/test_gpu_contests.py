"""Whom the GPU kernels are timed beside: cuDNN by PyTorch's names, CuPy's own lines, and GPUs beside each other."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minipar.backend import dispatch
from minipar.bench.gpu import bars, fused, nccl, timing
from minipar.bench.gpu.bars import verdicts
from minipar.bench.gpu.cases import ARTICLES_CNN, CONVOLUTIONS, RESNET18, Convolution
from minipar.bench.gpu.check import Check
from minipar.bench.gpu.cudnn import KERNELS, MODES, cudnn_timings, same_bits_checks, title
from minipar.bench.gpu.fused import LINES, OURS, fused_timings
from minipar.bench.gpu.kernel_checks import GROUPS, REFERENCE, kernel_checks
from minipar.bench.gpu.ladder import kernels_of, ladder_checks
from minipar.bench.gpu.timing import Timing
from minipar.kernels.cuda import conv2d, launcher, linear, matmul, precision
from minipar.kernels.cuda.conv2d import products
from tests.bench.gpu_stand_ins import pytorch_on_the_double
from tests.cupy_double.double_nccl import nccl_installed
from tests.cupy_double.installed import double_installed
from tests.parallel.nccl.threads_with_nccl import launch

SMALL = Convolution((2, 4, 6, 7), (6, 2, 3, 3), stride=(2, 1), padding=(1, 0), groups=2)


def elapsed(work) -> float:
    work()
    return 1.0


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "SAMPLES", (1, 1))
    monkeypatch.setattr(timing, "COPIES", (2, 2))


# ── convolutions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("c", [*CONVOLUTIONS, SMALL], ids=str)
def test_the_shape_of_an_output_is_the_kernels(c):
    assert REFERENCE["conv2d_forward"](np.zeros(c.x), np.zeros(c.w), None, *c.geometry).shape == c.y


def test_resnet18_and_the_articles_cnn_are_all_there():
    assert sum(RESNET18.values()) == 20
    products = sum(times * np.prod(c.y) * np.prod(c.w[1:]) for c, times in RESNET18.items()) / 32
    assert products == 1_813_561_344  # of an image, as torchvision counts them, without the last layer
    first, second = ARTICLES_CNN
    assert (first.y[1:], second.x[1:]) == ((32, 28, 28), (32, 14, 14))


@pytest.fixture
def torch():
    with pytorch_on_the_double(pytest.importorskip("torch", reason='needs PyTorch: pip install ".[oracle]"')) as there:
        yield there


def beside_pytorch(torch, convolution=SMALL, **kernels) -> list:
    kernels = {**REFERENCE, **kernels}
    return list(cudnn_timings(kernels, torch, np.copy, torch.from_numpy, elapsed, (convolution,)))


def test_every_convolution_is_timed_and_compared_with_pytorchs(torch):
    rows = beside_pytorch(torch)
    wanted = {title(kernel, mode) for kernel in KERNELS for mode in MODES}
    assert {row.name for row in rows if isinstance(row, Timing)} == wanted
    assert {row.opponent for row in rows if isinstance(row, Timing)} == {"cuDNN"}
    assert {row.flop for row in rows if isinstance(row, Timing)} == {2 * np.prod(SMALL.y) * 2 * 9}
    checks = [row for row in rows if isinstance(row, Check)]
    assert len(checks) == len(wanted)
    assert all(check.passed for check in checks)


def test_both_sides_are_told_how_to_multiply(torch):
    told = []

    def forward(*operands):
        told.append((precision.in_use(), torch.backends.cudnn.allow_tf32))
        return REFERENCE["conv2d_forward"](*operands)

    beside_pytorch(torch, conv2d_forward=forward)
    assert dict.fromkeys(told) == {("highest", False): None, ("high", True): None}
    assert (precision.in_use(), torch.backends.cudnn.allow_tf32) == ("highest", True)  # as before


def test_a_convolution_that_computes_something_else_is_found(torch):
    def last_pixel_lost(g, x, *rest):
        g = g.copy()
        g[-1, :, -1, -1] = 0
        return REFERENCE["conv2d_grad_weight"](g, x, *rest)

    rows = beside_pytorch(torch, conv2d_grad_weight=last_pixel_lost)
    failed = {row.name for row in rows if isinstance(row, Check) and not row.passed}
    assert failed == {f"{title('conv2d_grad_weight', mode)}, as timed, beside cuDNN" for mode in MODES}


def test_other_bits_the_second_time_are_found():
    checks = list(same_bits_checks(REFERENCE, np.copy, (SMALL,)))
    assert len(checks) == len(KERNELS) * len(MODES)
    assert all(check.passed for check in checks)
    rng = np.random.default_rng(0)

    def in_any_order(g, w, *rest):
        dx = REFERENCE["conv2d_grad_input"](g, w, *rest)
        dx[0, 0, 0, 0] = rng.standard_normal()
        return dx

    checks = same_bits_checks({**REFERENCE, "conv2d_grad_input": in_any_order}, np.copy, (SMALL,))
    assert [check.error for check in checks if not check.passed] == [1.0, 1.0]


def test_the_bar_is_the_geometric_mean_over_all_layers(monkeypatch):
    twice = Convolution((1, 1, 4, 4), (1, 1, 3, 3))
    monkeypatch.setattr(bars, "RESNET18", {SMALL: 1, twice: 2})

    def found(*ratios):
        name = title("conv2d_forward", "float32")
        rows = [Timing(name, str(c), 1.0, ratio, 1.0, 1.0, 1.0, "cuDNN") for c, ratio in ratios]
        return {verdict.name: verdict for verdict in verdicts(rows, [], [])}[
            "conv2d_forward over ResNet-18 in float32 ÷ cuDNN"
        ]

    assert (found((SMALL, 0.1), (twice, 1.6)).found, found((SMALL, 0.1), (twice, 1.6)).answer) == ("0.63", "met")
    assert found((SMALL, 1.6), (twice, 0.1)).answer == "NOT met"
    assert found((SMALL, 1.6)).answer == "not measured"


# ── kernels that the checks reach ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def planned(monkeypatch):
    """What is planned of the checks of kernels, over NumPy arrays, and not run: kernels; and tiles, by what is planned
    and how it multiplies."""
    found = SimpleNamespace(kernels=set(), tiles={}, now="")
    tile_for = products.tile_for

    def launch_nothing(planner, *operands):
        plan = planner(*operands)
        if plan.blocks:
            found.kernels.add((plan.kernel.name, plan.kernel.dtype.name))
        return plan.result

    def noted(channels, pixels, multiplied, *parts):
        tile = tile_for(channels, pixels, multiplied, *parts)
        found.tiles.setdefault((found.now, multiplied), set()).add(tile)
        return tile

    def named(name, kernel):
        def call(*operands):
            found.now = name
            return kernel(*operands)

        return call

    monkeypatch.setattr(launcher, "launch", launch_nothing)
    monkeypatch.setattr(products, "tile_for", noted)
    for kept in (products._forward, products._grad_input, products._grad_weight):
        kept.cache_clear()
    kernels = {"matmul": matmul.matmul, "linear_forward": linear.linear_forward}
    kernels |= {"linear_backward": linear.linear_backward, **{name: getattr(conv2d, name) for name in KERNELS}}
    found.of = {name: named(name, kernel) for name, kernel in kernels.items()}
    return found


def test_every_kernel_of_products_and_convolutions_is_checked_in_every_tile(planned, monkeypatch):
    nothing = dict.fromkeys(REFERENCE, lambda *operands: np.zeros(0))  # what is right, is not asked
    monkeypatch.setattr("minipar.bench.gpu.kernel_checks.REFERENCE", nothing)
    for group in GROUPS.values():
        list(kernel_checks(group, planned.of, lambda array: array, lambda array: array))
    assert planned.tiles == {
        (name, multiplied): set(way.tiles) for name in KERNELS for multiplied, way in products.MULTIPLICATIONS.items()
    }
    for rung in matmul.RUNGS:
        list(ladder_checks(rung, kernels_of(rung), lambda array: array, lambda array: array))
    names = {name for name, _ in planned.kernels}
    assert names - {"sum_of_strips"} == kernel_names("matmul", "conv2d")  # that one is of all rooms
    assert ("matmul_tensor_cores", "float16") in planned.kernels


def kernel_names(*rooms: str) -> set[str]:
    """Each function that a file of these rooms of kernels/cuda makes a Kernel of."""
    folder = Path(launcher.__file__).parent
    calls = (
        node
        for room in rooms
        for file in (folder / room).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Kernel"
    )
    return {call.args[0].id for call in calls}


# ── fused kernels ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_fused_kernel_is_timed_beside_cupys_lines():
    others = {"matmul", "linear_forward", "linear_backward", *KERNELS}
    timed = {name.partition(",")[0] for name in fused.CASES}
    assert timed == set(dispatch.CUDA) - others, "give it a case in fused.py"
    rows = list(fused_timings(LINES, LINES, np.copy, elapsed, numbers=1 << 15))
    assert [row.name for row in rows] == list(fused.CASES)
    assert all(row.ratio == 1 and row.opponent == "CuPy's lines" for row in rows)


def test_both_sides_of_a_fused_kernel_compute_the_same():
    """Those of the CPU, compiled, in the place of a GPU's: they take the same arguments."""
    compiled = lambda name: fused.served_by(dispatch.COMPILED, name)  # noqa: E731
    for name, case in fused.CASES.items():
        if name == "follow_statistics":  # a CPU's come in float64
            continue
        ours, lines = (_result(case(named, fused.Operands(np.copy, 1 << 15))) for named in (compiled, LINES))
        np.testing.assert_allclose(ours, lines, rtol=2e-3, atol=2e-4, err_msg=name)


def _result(call) -> np.ndarray:
    """What a call returns first; or what it writes, if it returns nothing."""
    found = call()
    first = found[0] if isinstance(found, (tuple, list)) else found
    return call.args[0] if first is None else first


def test_the_fused_kernels_are_launched_on_cupys_arrays(monkeypatch):
    """Planned over the double, and not run: what they compute, other tests hold."""
    launched = set()
    monkeypatch.setattr(launcher, "_loaded", lambda kernel, device: lambda *_: launched.add(kernel.name))
    with double_installed() as cupy:
        rows = list(fused_timings(OURS, LINES, cupy.asarray, elapsed, numbers=1 << 15))
    assert len(rows) == len(fused.CASES)
    assert launched >= kernel_names("", "recurrent") - {"channel_totals"}  # which is of a convolution's bias


# ── NCCL ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def on_threads(fn, *args, workers, backend):
    assert backend == "nccl"
    return launch(fn, *args, size=workers)


@pytest.mark.parametrize("ranks", [1, 3])
def test_an_all_reduce_is_checked_on_every_gpu(ranks):
    with nccl_installed(gpus=ranks):
        checks = list(nccl.nccl_checks(ranks, on_threads))
    assert [check.passed for check in checks] == [True] * ranks


def test_a_wrong_sum_of_one_rank_is_found():
    def wrong(fn, *args, workers, backend):
        found = on_threads(fn, *args, workers=workers, backend=backend)
        found[1][7] += 1
        return found

    with nccl_installed(gpus=2):
        assert [check.passed for check in nccl.nccl_checks(2, wrong)] == [True, False]


def test_all_reduces_are_timed_by_the_slowest_rank(monkeypatch):
    with nccl_installed(gpus=2) as there:
        rows = list(nccl.nccl_timings(2, on_threads, (64, 4096)))
        assert {name for _, name, _ in there.calls} == {"allReduce"}
    assert [(row.ranks, row.bytes) for row in rows] == [(2, 64), (2, 4096)]
    assert all(row.seconds > 0 for row in rows)
    recorded = [[[1.0, 2.0, 3.0]], [[4.0, 1.0, 1.0]]]
    (row,) = nccl.nccl_timings(2, lambda *_, **__: recorded, (1000,))
    assert row.seconds == 3.0  # of 4, 2 and 3
    assert nccl.AllReduce(4, 1000, 0.5).bus_rate == pytest.approx(3000)
