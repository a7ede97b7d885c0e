"""The parts of a run, in order. A part is a generator of rows, which runs in a process of its own (`process`).

The checks come first, several at a time: they compile what the timings need, and each in its own process, so that a
kernel that ends in an illegal access (after which CUDA refuses a process everything) loses no other part. The timings
come after, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ..machine import conditions, version
from . import cudnn, families, fused, nccl, operations, steps
from .bandwidth import bandwidths
from .check import Check, guarded
from .contests import convolution_timings
from .kernel_checks import GROUPS, Kernels, kernel_checks
from .ladder import cublas_in, kernels_of, ladder_checks, ladder_timings, rungs
from .rows import Condition, Note, Row
from .timing import Launch, event_stopwatch, launch_overhead, wake

PACKAGES = ("numba-cuda", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cublas", "nvidia-nccl-cu13")
COMPUTE_MODE, ONE_PROCESS = "compute mode", "one process at a time"
COMPUTE_MODES = {0: "shared", 2: "prohibited", 3: ONE_PROCESS}


class Part(NamedTuple):
    """What it is called, how many seconds it may take, what it finds, and whether it needs the device for itself."""

    name: str
    seconds: float
    rows: Callable[[], Iterator[Row]]
    alone: bool = True


def parts() -> list[Part]:
    """All of them; together, the seconds of those that run alone and CHECK_SECONDS are less than eight minutes."""
    return [
        Part("device", 20, device_conditions),
        *(Part(f"check {name}", 120, rows, alone=False) for name, rows in _checks().items()),
        Part("launches", 10, launches),
        Part("matmul", 65, matmul_timings),
        Part("steps", 60, step_timings),
        Part("cuDNN", 50, cudnn_timings),
        Part("fused", 30, fused_timings),
        Part("bandwidth", 20, bandwidth_timings),
        Part("NCCL", 25, nccl_timings),
        Part("conv2d", 20, conv2d_timings),
    ]


def _checks() -> dict[str, Callable[[], Iterator[Row]]]:
    """Those first that take longest."""
    return {
        "ResNet-18": _resnet18_checks,
        **{name: partial(_kernel_checks, name) for name in GROUPS},
        **{f"rung {name}": partial(_rung_checks, name) for name in _rung_names()},
        **{f"operations in {dtype}": partial(_operation_checks, dtype) for dtype in operations.TOLERANCE},
        **{f"training of {family}": partial(_family_checks, family) for family in families.FAMILIES},
        **{f"step of {name}": partial(_guarded, f"step of {name}", steps.step_checks, name) for name in steps.FAMILIES},
        "NCCL": _nccl_checks,
    }


def device_conditions() -> Iterator[Condition]:
    """The machine's conditions, with device, driver and the versions of everything between it and us."""
    import cupy

    runtime = cupy.cuda.runtime
    device = cupy.cuda.Device()
    told = runtime.getDeviceProperties(device.id)
    found = {
        "device": told["name"].decode(),
        "memory": f"{told['totalGlobalMem'] / 2**30:.0f} GiB, L2 {told['l2CacheSize'] / 2**20:.0f} MiB",
        "capability": f"{told['major']}.{told['minor']}, {told['multiProcessorCount']} multiprocessors",
        "driver": f"CUDA {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}",
        COMPUTE_MODE: COMPUTE_MODES.get(device.attributes.get("ComputeMode"), "unknown"),
        **conditions(),
        "cupy": cupy.__version__,
        **{package: version(package) for package in PACKAGES},
        "torch": version("torch"),
    }
    for name, text in found.items():
        yield Condition(name, text)


def _guarded(name: str, checks: Callable[..., Iterator[Check]], *args: Any) -> Iterator[Row]:
    """A training on the GPU: what ends it in an exception is a failed check."""
    return guarded(name, "cuda", partial(checks, *args, "cuda"))


def _kernel_checks(name: str) -> Iterator[Row]:
    import cupy

    from ...kernels.cuda.matmul import TENSOR_CORES

    group = GROUPS[name]
    if group.precision != "highest" and _capability() < TENSOR_CORES:
        yield Note(f"{name} need tensor cores, which this GPU does not have: not checked")
        return
    yield from kernel_checks(group, kernels(), cupy.asarray, cupy.asnumpy)


def _resnet18_checks() -> Iterator[Row]:
    import cupy

    return cudnn.same_bits_checks(kernels(), cupy.asarray)


def _operation_checks(dtype: str) -> Iterator[Row]:
    for name in operations.OPERATIONS:
        yield from _guarded(name, operations.operation_checks, name, dtype)


def _family_checks(family: str) -> Iterator[Row]:
    for dtype in ("float32", "float64"):
        yield from _guarded(f"{family} in {dtype}", families.family_checks, family, dtype)


def _nccl_checks() -> Iterator[Row]:
    return guarded("NCCL all-reduce", f"{nccl.gpus()} ranks", partial(nccl.nccl_checks, nccl.gpus()))


def _rung_names() -> list[str]:
    from ...kernels.cuda.matmul import RUNGS

    return list(RUNGS)


def _rung_checks(name: str) -> Iterator[Row]:
    import cupy

    if name not in rungs(_capability()):
        yield Note(f"the rung {name} needs tensor cores, which this GPU does not have: not checked and not timed")
        return
    yield from ladder_checks(name, kernels_of(name), cupy.asarray, cupy.asnumpy)


def launches() -> Iterator[Row]:
    import cupy

    tiny = tiny_launches()
    wake(next(iter(tiny.values())), event_stopwatch)
    for name, seconds in launch_overhead(tiny, cupy.cuda.get_current_stream().synchronize).items():
        yield Launch(name, seconds)


def matmul_timings() -> Iterator[Row]:
    import cupy

    _wake()
    yield from ladder_timings(rungs(_capability()), cupy.matmul, cublas_in, cupy.asarray, cupy.asnumpy, event_stopwatch)


def step_timings() -> Iterator[Row]:
    torch, why_not = steps.pytorch("cuda")
    if why_not:
        yield Note(why_not)
    _wake()
    yield from steps.step_timings("cuda", torch, event_stopwatch)


def bandwidth_timings() -> Iterator[Row]:
    import cupy

    _wake()
    yield from bandwidths(cupy.asarray, cupy.copyto, event_stopwatch)


def cudnn_timings() -> Iterator[Row]:
    import cupy

    torch, why_not = steps.pytorch("cuda")
    if why_not:
        yield Note(why_not)
        return
    _wake()
    yield from cudnn.cudnn_timings(kernels(), torch, cupy.asarray, torch.from_dlpack, event_stopwatch)


def fused_timings() -> Iterator[Row]:
    import cupy

    _wake()
    yield from fused.fused_timings(fused.OURS, fused.LINES, cupy.asarray, event_stopwatch)


def nccl_timings() -> Iterator[Row]:
    if nccl.gpus() < 2:
        yield Note("there is one GPU: no all-reduce between GPUs is timed")
        return
    yield from nccl.nccl_timings(nccl.gpus())


def conv2d_timings() -> Iterator[Row]:
    import cupy

    _wake()
    with cublas_in("float32"):
        yield from convolution_timings(kernels(), cupy.asarray, event_stopwatch)


def kernels() -> Kernels:
    from ...kernels.cuda import conv2d, linear, matmul

    return {
        "matmul": matmul.matmul,
        "linear_forward": linear.linear_forward,
        "linear_backward": linear.linear_backward,
        "conv2d_forward": conv2d.conv2d_forward,
        "conv2d_grad_input": conv2d.conv2d_grad_input,
        "conv2d_grad_weight": conv2d.conv2d_grad_weight,
    }


def tiny_launches() -> dict[str, Callable[[], Any]]:
    """What is launched → the launch; the first is what the bar is about."""
    import cupy

    from ...kernels.cuda.launcher import launch
    from ...kernels.cuda.matmul import matmul, plan_matmul

    a, b, c = (cupy.ones((16, 16), cupy.float32) for _ in range(3))
    plan = plan_matmul(a, b)
    return {
        "minipar matmul 16×16, planned before": lambda: launch(lambda _: plan, a),
        "minipar matmul 16×16, whole call": lambda: matmul(a, b),
        "CuPy matmul 16×16, out given": lambda: cupy.matmul(a, b, out=c),
        "CuPy add 16×16, out given": lambda: cupy.add(a, b, out=c),
    }


def _capability() -> tuple[int, int]:
    import cupy

    from ...kernels.cuda.launcher import capability_of

    return capability_of(cupy.cuda.Device())


def _wake() -> None:
    """Out of the idle clocks."""
    import cupy

    a = cupy.ones((2048, 2048), cupy.float32)
    wake(lambda: cupy.matmul(a, a), event_stopwatch)
